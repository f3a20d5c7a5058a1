//! Many components made of one: the guest `reload` with another version number written into it.

use anyhow::Context as _;

use crate::programs;

/// What the guest looks for in itself, before eight digits, a colon and the letter of a habit.
const MARK: &[u8] = b"EDGEPLUG-RELOAD:";

/// The component that all versions are made of.
#[derive(Debug)]
pub struct Versions {
    bytes: Vec<u8>,
    digits_at: usize,
}

impl Versions {
    /// Reads the guest.
    ///
    /// # Errors
    /// When it is not built, or has no place for a version.
    pub fn read() -> anyhow::Result<Self> {
        let bytes = std::fs::read(programs::guest("reload")?)?;
        let mark = bytes.windows(MARK.len()).position(|window| window == MARK).context("the guest has no mark")?;
        Ok(Self { bytes, digits_at: mark + MARK.len() })
    }

    /// A component of the same size and speed for every number below 100,000,000. What the letter of a habit means says
    /// `tests/fixtures/reload`; `G` is a good one.
    #[must_use]
    pub fn version(&self, number: u32, habit: char) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let text = format!("{number:08}:{habit}");
        bytes.splice(self.digits_at..self.digits_at + text.len(), text.bytes());
        bytes
    }
}
