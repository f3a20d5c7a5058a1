//! Measures how busy the machine is. A plugin to start from.

use edgeplug_guest::{Command, Plugin, Reply, Sample, config, files, info};

/// What the manifest asks to read.
const LOADAVG: &str = "/proc/loadavg";

struct Load {
    /// From the manifest; readings are multiplied by it.
    factor: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self { factor: 1.0 }
    }
}

impl Plugin for Load {
    fn start(&mut self) -> Result<(), String> {
        self.factor = config::parsed("factor")?.unwrap_or(1.0);
        info!("started with a factor of {}", self.factor);
        Ok(())
    }

    fn sample(&mut self) -> Result<Vec<Sample>, String> {
        let text = files::read_to_string(LOADAVG).map_err(|error| format!("{LOADAVG}: {error}"))?;
        let load: f64 = text
            .split_whitespace()
            .next()
            .and_then(|field| field.parse().ok())
            .ok_or_else(|| format!("{LOADAVG} holds no number: {text:?}"))?;
        Ok(vec![Sample::new().with("load", load * self.factor)])
    }

    fn handle(&mut self, command: &Command) -> Result<Reply, String> {
        Ok(match command.name() {
            "ping" => Reply::done("pong"),
            other => Reply::failed(format!("there is no command {other:?}; there is: ping")),
        })
    }
}

edgeplug_guest::export!(Load: sensor, commands, lifecycle);

#[cfg(test)]
mod tests {
    use edgeplug_guest::testing;

    use super::*;

    fn started(loadavg: &str) -> Load {
        testing::with(|host| {
            host.config.insert("factor".to_owned(), "2".to_owned());
            host.files.insert(LOADAVG.to_owned(), loadavg.into());
        });
        let mut plugin = Load::default();
        plugin.start().unwrap();
        plugin
    }

    #[test]
    fn the_load_is_read_and_multiplied() {
        let mut plugin = started("0.52 0.58 0.59 1/389 12345\n");
        assert_eq!(plugin.sample(), Ok(vec![Sample::new().with("load", 1.04)]));
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        let words = started("busy\n").sample().unwrap_err();
        assert!(words.contains("busy"), "{words}");
    }

    #[test]
    fn ping_is_answered() {
        let mut plugin = started("0 0 0");
        assert_eq!(plugin.handle(&Command::from("ping")), Ok(Reply::done("pong")));
        assert!(matches!(plugin.handle(&Command::from("dance")), Ok(Reply::Failed(_))));
    }
}
