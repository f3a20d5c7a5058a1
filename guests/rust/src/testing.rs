//! The host as `cargo test` sees it: one per thread, empty at first, filled and inspected by the test.
//!
//! ```
//! use edgeplug_guest::{config, testing};
//!
//! testing::with(|host| host.config.insert("unit".into(), "celsius".into()));
//! assert_eq!(config::get("unit").as_deref(), Some("celsius"));
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Sample;
use crate::log::Level;
use crate::telemetry::Outcome;

/// What the plugin under test sees and what it did.
#[derive(Clone, Debug)]
pub struct TestHost {
    /// The `[config]` table.
    pub config: BTreeMap<String, String>,
    /// Granted files by path.
    pub files: BTreeMap<String, Vec<u8>>,
    pub unique_id: String,
    pub connected: bool,
    /// What becomes of every sample that is sent.
    pub outcome: Outcome,
    /// Samples that were accepted.
    pub sent: Vec<Sample>,
    pub log: Vec<(Level, String)>,
}

impl Default for TestHost {
    fn default() -> Self {
        Self {
            config: BTreeMap::new(),
            files: BTreeMap::new(),
            unique_id: "test-device".to_owned(),
            connected: true,
            outcome: Ok(()),
            sent: Vec::new(),
            log: Vec::new(),
        }
    }
}

thread_local! {
    static HOST: RefCell<TestHost> = RefCell::default();
}

/// Looks into this thread's host, or changes it.
pub fn with<T>(look: impl FnOnce(&mut TestHost) -> T) -> T {
    HOST.with_borrow_mut(look)
}

/// `*` and `?` within one segment, as the real host matches.
pub(crate) fn fits(pattern: &str, path: &str) -> bool {
    fn rest(pattern: &[u8], path: &[u8]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((b'*', pattern)), _) if rest(pattern, path) => true,
            (Some((b'*', _)), Some((byte, path))) => *byte != b'/' && rest(pattern, path),
            (Some((b'?', pattern)), Some((byte, path))) => *byte != b'/' && rest(pattern, path),
            (Some((wanted, pattern)), Some((byte, path))) => wanted == byte && rest(pattern, path),
            _ => false,
        }
    }
    rest(pattern.as_bytes(), path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Command, Plugin, Reply, config, files, info, telemetry};

    #[derive(Default)]
    struct Counter {
        calls: u32,
    }

    impl Plugin for Counter {
        fn start(&mut self) -> Result<(), String> {
            self.calls = config::parsed("first")?.unwrap_or(0);
            Ok(())
        }

        fn sample(&mut self) -> Result<Vec<Sample>, String> {
            self.calls += 1;
            info!("call {}", self.calls);
            Ok(vec![Sample::new().with("calls", self.calls)])
        }
    }

    #[test]
    fn a_plugin_starts_on_first_use_and_keeps_its_state() {
        with(|host| host.config.insert("first".to_owned(), "41".to_owned()));
        let cell = Cell::<Counter>::new();
        let sampled = cell.with(Plugin::sample).expect("sample");
        assert_eq!(sampled, [Sample::new().with("calls", 42u32)]);
        cell.with(Plugin::sample).expect("sample");
        assert_eq!(with(|host| host.log.last().cloned()), Some((Level::Info, "call 43".to_owned())));
        let reply = cell.with(|plugin| plugin.handle(&Command::from("go now")));
        assert_eq!(reply, Ok(Reply::failed("this plugin has no command \"go\"")));
    }

    #[test]
    fn a_plugin_that_does_not_start_says_why_every_time() {
        with(|host| host.config.insert("first".to_owned(), "many".to_owned()));
        let cell = Cell::<Counter>::new();
        for _ in 0..2 {
            let error = cell.with(Plugin::sample).expect_err("no number");
            assert!(error.contains("`first`") && error.contains("many"), "{error}");
        }
    }

    #[test]
    fn the_test_host_answers_like_the_real_one() {
        with(|host| host.files.insert("/sys/a/temp".to_owned(), b"1".to_vec()));
        assert_eq!(files::find("/sys/*/temp"), Ok(vec!["/sys/a/temp".to_owned()]));
        assert_eq!(files::find("/sys/*"), Ok(vec![]));
        assert_eq!(files::read_to_string("/sys/a/temp"), Ok("1".to_owned()));
        assert_eq!(files::read("/other"), Err(files::Error::NotFound));
        assert_eq!(telemetry::send(&[Sample::new().with("a", 1)]), [Ok(())]);
        with(|host| host.outcome = Err("full".to_owned()));
        assert_eq!(telemetry::send(&[Sample::new().with("a", 2)]), [Err("full".to_owned())]);
        assert_eq!(with(|host| host.sent.len()), 1);
    }
}
