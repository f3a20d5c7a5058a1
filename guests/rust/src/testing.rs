//! The host as `cargo test` sees it: one per thread, empty at first, filled and inspected by the test.
//!
//! ```
//! use edgeplug_guest::{config, testing};
//!
//! testing::with(|host| host.config.insert("unit".into(), "celsius".into()));
//! assert_eq!(config::get("unit").as_deref(), Some("celsius"));
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use crate::hardware::{i2c, missing, spi};
use crate::log::Level;
use crate::telemetry::Outcome;
use crate::{Ending, Sample, device, hardware, state, twin};

/// What the plugin under test sees and what it did.
pub struct TestHost {
    /// The `[config]` table.
    pub config: BTreeMap<String, String>,
    /// Granted files by path.
    pub files: BTreeMap<String, Vec<u8>>,
    pub unique_id: String,
    /// What the cloud says about the device.
    pub template: Option<device::Template>,
    pub connected: bool,
    /// Whether the plugin may disconnect the device.
    pub may_disconnect: bool,
    /// What becomes of every sample that is sent.
    pub outcome: Outcome,
    /// Samples that were accepted.
    pub sent: Vec<Sample>,
    pub log: Vec<(Level, String)>,
    /// What the hub answers. Its `reported` is as the test left it: patches are listed, not merged.
    pub twin: Result<twin::Document, twin::Error>,
    /// The patches that were reported.
    pub reported: Vec<String>,
    /// How deferred commands and updates ended, by id.
    pub finished: BTreeMap<String, Ending>,
    /// Id, percent and words.
    pub progress: Vec<(String, u8, String)>,
    /// The plugin's memory.
    pub state: BTreeMap<String, Vec<u8>>,
    /// The files of updates under way, by id.
    pub firmware: BTreeMap<String, Vec<u8>>,
    /// Plays the I2C devices. It cannot look into the host itself.
    pub i2c: PlayedI2c,
    /// Plays the SPI devices. It cannot look into the host itself.
    pub spi: PlayedSpi,
    /// Lines of general purpose by name.
    pub lines: BTreeMap<String, bool>,
    /// Serial ports by name.
    pub ports: BTreeMap<String, TestPort>,
}

/// Bus, address and operations.
pub type PlayedI2c = Box<dyn FnMut(&str, u16, &[i2c::Operation]) -> Result<Vec<Vec<u8>>, hardware::Error>>;
/// Device and operations.
pub type PlayedSpi = Box<dyn FnMut(&str, &[spi::Operation]) -> Result<Vec<Vec<u8>>, hardware::Error>>;

/// A serial port.
#[derive(Clone, Debug, Default)]
pub struct TestPort {
    /// What the plugin will read.
    pub incoming: VecDeque<u8>,
    /// What it wrote.
    pub outgoing: Vec<u8>,
}

impl Default for TestHost {
    fn default() -> Self {
        Self {
            config: BTreeMap::new(),
            files: BTreeMap::new(),
            unique_id: "test-device".to_owned(),
            template: None,
            connected: true,
            may_disconnect: false,
            outcome: Outcome::Accepted,
            sent: Vec::new(),
            log: Vec::new(),
            twin: Ok(twin::Document {
                desired: "{}".to_owned(),
                desired_version: 1,
                reported: "{}".to_owned(),
                reported_version: 1,
            }),
            reported: Vec::new(),
            finished: BTreeMap::new(),
            progress: Vec::new(),
            state: BTreeMap::new(),
            firmware: BTreeMap::new(),
            i2c: Box::new(|bus, _, _| Err(missing(bus))),
            spi: Box::new(|device, _| Err(missing(device))),
            lines: BTreeMap::new(),
            ports: BTreeMap::new(),
        }
    }
}

/// The limits of `state`, as the WIT has them: keys, bytes of a key, bytes in all.
const KEYS_MAX: usize = 64;
const KEY_LEN_MAX: usize = 128;
const STATE_LEN_MAX: usize = 64 * 1024;

impl TestHost {
    pub(crate) fn keep(&mut self, key: &str, value: &[u8]) -> Result<(), state::Error> {
        let others = self.state.iter().filter(|(name, _)| *name != key);
        let (count, bytes) =
            others.fold((0, 0), |(count, bytes), (name, value)| (count + 1, bytes + name.len() + value.len()));
        if key.is_empty() || key.len() > KEY_LEN_MAX {
            return Err(state::Error::Quota(format!("a key has 1 to {KEY_LEN_MAX} bytes, this one has {}", key.len())));
        }
        if count == KEYS_MAX {
            return Err(state::Error::Quota(format!("there are {KEYS_MAX} keys already")));
        }
        if bytes + key.len() + value.len() > STATE_LEN_MAX {
            return Err(state::Error::Quota(format!("it would be more than {STATE_LEN_MAX} bytes in all")));
        }
        self.state.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    pub(crate) fn switch_connection(&mut self, connected: bool) -> Result<(), String> {
        if !self.may_disconnect {
            return Err("the test's host does not grant `disconnect`; see `may_disconnect`".to_owned());
        }
        self.connected = connected;
        Ok(())
    }
}

thread_local! {
    static HOST: RefCell<TestHost> = RefCell::default();
}

/// Looks into this thread's host, or changes it.
pub fn with<T>(look: impl FnOnce(&mut TestHost) -> T) -> T {
    HOST.with_borrow_mut(look)
}

/// What the real host reads in one go, in bytes.
pub(crate) const READ_MAX: usize = 1 << 20;

/// Part of a file.
pub(crate) fn part(file: &[u8], offset: u64, length: u32) -> Vec<u8> {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
    let to = from.saturating_add(length as usize).min(file.len());
    file[from..to].to_vec()
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
mod tests;
