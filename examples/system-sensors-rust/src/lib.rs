//! Measures the machine it runs on. See README.md for attributes and commands.

mod procfs;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgeplug_guest::telemetry::{self, Outcome};
use edgeplug_guest::{Command, Plugin, Reply, Sample, config, files, info, warn};

use procfs::CpuTimes;

/// Written into the log at the start; a second build for trying out a replacement sets `PLUGIN_BUILD`.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const BUILD: Option<&str> = option_env!("PLUGIN_BUILD");

const COMMANDS: &str = "set-interval SECONDS, fail";
/// A day.
const INTERVAL_S_MAX: u64 = 86_400;
/// The daemon's schedule wanders by some milliseconds; a reading that is early by less is on time.
const EARLY_MAX: Duration = Duration::from_millis(50);

#[derive(Default)]
struct SystemSensors {
    /// Send the readings ourselves and log what was accepted.
    log_accepted: bool,
    /// Number of the next reading.
    sequence: i64,
    cpu: Option<CpuTimes>,
    /// Set by `set-interval`.
    interval: Option<Duration>,
    last_reading: Option<Instant>,
    /// Files whose absence was logged.
    complained: BTreeSet<String>,
}

impl Plugin for SystemSensors {
    fn start(&mut self) -> Result<(), String> {
        self.log_accepted = config::parsed("log_accepted")?.unwrap_or(false);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.sequence = i64::try_from(since_1970.as_millis()).unwrap_or(0);
        info!("system-sensors {VERSION} build {} started, sequence={}", BUILD.unwrap_or("1"), self.sequence);
        Ok(())
    }

    fn sample(&mut self) -> Result<Vec<Sample>, String> {
        if !self.is_due(Instant::now()) {
            return Ok(Vec::new());
        }
        let sample = self.measure();
        if !self.log_accepted {
            return Ok(vec![sample]);
        }
        let sequence = self.sequence - 1;
        for outcome in telemetry::send(&[sample]) {
            match outcome {
                Outcome::Rejected(reason) => warn!("rejected sequence={sequence}: {reason}"),
                Outcome::HeldBack => info!("held back sequence={sequence}"),
                Outcome::Accepted | Outcome::AcceptedInMemory => info!("accepted sequence={sequence}"),
            }
        }
        Ok(Vec::new())
    }

    fn handle(&mut self, command: &Command) -> Result<Reply, String> {
        Ok(match command.name() {
            "set-interval" => self.set_interval(command.arguments()),
            "fail" => Reply::failed("this command always fails, as it was asked to"),
            other => Reply::failed(format!("there is no command {other:?}; there are: {COMMANDS}")),
        })
    }

    fn stop(&mut self) {
        info!("system-sensors {VERSION} build {} stopped", BUILD.unwrap_or("1"));
    }
}

impl SystemSensors {
    fn measure(&mut self) -> Sample {
        let load = self.read("/proc/loadavg", procfs::load_1m);
        let cpu = self.read("/proc/stat", procfs::cpu_times);
        let cpu_percent = self.cpu.zip(cpu).and_then(|(before, now)| procfs::cpu_percent(before, now));
        self.cpu = cpu.or(self.cpu);
        let memory = self.read("/proc/meminfo", procfs::memory);
        let uptime = self.read("/proc/uptime", procfs::uptime_s);
        let zone = files::find("/sys/class/thermal/thermal_zone*/temp").unwrap_or_default().into_iter().next();
        let temperature = zone.and_then(|zone| self.read(&zone, procfs::temperature_c));
        let sequence = self.sequence;
        self.sequence += 1;
        Sample::new()
            .with_some("cpu_load_1m", load)
            .with_some("cpu_percent", cpu_percent.map(rounded))
            .with_some("memory_available_mb", memory.map(|memory| rounded(memory.available_kb as f64 / 1024.0)))
            .with_some("memory_used_percent", memory.and_then(procfs::Memory::used_percent).map(rounded))
            .with_some("uptime_s", uptime)
            .with_some("temperature_c", temperature)
            .with("sequence", sequence)
    }

    /// A reading that cannot be had is left out, and said once.
    fn read<T>(&mut self, path: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let problem = match files::read_to_string(path) {
            Ok(text) => match parse(&text) {
                Some(reading) => return Some(reading),
                None => "not in the format that was expected".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        if self.complained.insert(path.to_owned()) {
            warn!("no reading from {path}: {problem}");
        }
        None
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let early =
            self.interval.zip(self.last_reading).is_some_and(|(interval, last)| now + EARLY_MAX < last + interval);
        if !early {
            self.last_reading = Some(now);
        }
        !early
    }

    fn set_interval(&mut self, arguments: &str) -> Reply {
        match arguments.parse::<u64>() {
            Ok(0) => {
                self.interval = None;
                Reply::done("a reading whenever the daemon asks")
            }
            Ok(seconds @ 1..=INTERVAL_S_MAX) => {
                self.interval = Some(Duration::from_secs(seconds));
                Reply::done(format!("at least {seconds} s between readings, on the daemon's schedule"))
            }
            _ => {
                Reply::failed(format!("set-interval wants whole seconds from 0 to {INTERVAL_S_MAX}, not {arguments:?}"))
            }
        }
    }
}

/// Two digits after the point; more are noise.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

edgeplug_guest::export!(SystemSensors);

#[cfg(test)]
mod tests {
    use edgeplug_guest::{Value, testing};

    use super::*;

    fn started() -> SystemSensors {
        testing::with(|host| {
            for (path, content) in [
                ("/proc/loadavg", "0.52 0.58 0.59 1/389 12345\n"),
                ("/proc/stat", "cpu  100 5 45 800 50 0 0 0\n"),
                ("/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n"),
                ("/proc/uptime", "100.5 1.0\n"),
                ("/sys/class/thermal/thermal_zone0/temp", "42500\n"),
            ] {
                host.files.insert(path.to_owned(), content.into());
            }
        });
        let mut plugin = SystemSensors::default();
        plugin.start().expect("start");
        plugin
    }

    fn names(sample: &Sample) -> Vec<&str> {
        sample.values.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn every_reading_has_its_attribute() {
        let mut plugin = started();
        let first = plugin.sample().expect("sample").remove(0);
        let absent = "cpu_percent";
        assert!(!names(&first).contains(&absent));
        testing::with(|host| host.files.insert("/proc/stat".to_owned(), b"cpu  150 5 45 850 50 0 0 0\n".to_vec()));
        let second = plugin.sample().expect("sample").remove(0);
        assert_eq!(
            second.values[..6],
            [
                ("cpu_load_1m".to_owned(), Value::Number(0.52)),
                ("cpu_percent".to_owned(), Value::Number(50.0)),
                ("memory_available_mb".to_owned(), Value::Number(4096.0)),
                ("memory_used_percent".to_owned(), Value::Number(50.0)),
                ("uptime_s".to_owned(), Value::Number(100.5)),
                ("temperature_c".to_owned(), Value::Number(42.5)),
            ]
        );
        assert_eq!(second.values[6].0, "sequence");
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_said_once() {
        let mut plugin = started();
        testing::with(|host| host.files.remove("/proc/uptime"));
        for _ in 0..3 {
            let sample = plugin.sample().expect("sample").remove(0);
            assert!(!names(&sample).contains(&"uptime_s") && names(&sample).contains(&"cpu_load_1m"));
        }
        let complaints =
            testing::with(|host| host.log.iter().filter(|(_, text)| text.contains("/proc/uptime")).count());
        assert_eq!(complaints, 1);
    }

    #[test]
    fn accepted_readings_are_logged_by_number() {
        testing::with(|host| host.config.insert("log_accepted".to_owned(), "true".to_owned()));
        let mut plugin = started();
        let first = plugin.sequence;
        assert_eq!(plugin.sample(), Ok(vec![]));
        assert_eq!(plugin.sample(), Ok(vec![]));
        let log = testing::with(|host| host.log.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>());
        assert!(log.contains(&format!("accepted sequence={first}")), "{log:?}");
        assert!(log.contains(&format!("accepted sequence={}", first + 1)), "{log:?}");
        testing::with(|host| host.outcome = Outcome::Rejected("full".to_owned()));
        assert_eq!(plugin.sample(), Ok(vec![]));
        let last = testing::with(|host| host.log.last().map(|(_, text)| text.clone()));
        assert_eq!(last, Some(format!("rejected sequence={}: full", first + 2)));
    }

    #[test]
    fn set_interval_makes_readings_rarer() {
        let mut plugin = started();
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(matches!(plugin.handle(&Command::from("set-interval 10")), Ok(Reply::Done(_))));
        let due: Vec<_> = (0..30).map(|second| plugin.is_due(at(second))).collect();
        assert_eq!(due.iter().filter(|due| **due).count(), 3);
        assert!(matches!(plugin.handle(&Command::from("set-interval 0")), Ok(Reply::Done(_))));
        assert!(plugin.is_due(at(30)) && plugin.is_due(at(30)));
    }

    #[test]
    fn what_is_wrong_with_a_command_is_said() {
        let mut plugin = started();
        for (text, says) in [
            ("fail", "always fails"),
            ("set-interval", "whole seconds"),
            ("set-interval -1", "whole seconds"),
            ("set-interval 86401", "0 to 86400"),
            ("dance", "set-interval SECONDS, fail"),
            ("", "set-interval SECONDS, fail"),
        ] {
            match plugin.handle(&Command::from(text)) {
                Ok(Reply::Failed(message)) => assert!(message.contains(says), "{message}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
