//! Says what would be said again and again only once in a while.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// For so long the same text is not said again.
const QUIET: Duration = Duration::from_secs(60);
/// Texts remembered: a file for each sensor of a large machine. Of more the oldest is forgotten, and so said again.
const TEXTS_MAX: usize = 256;

/// What was said, by its hash, as a guest chooses the texts and their lengths.
#[derive(Debug, Default)]
pub(crate) struct Repeats(BTreeMap<u64, Said>);

#[derive(Debug)]
struct Said {
    at: Duration,
    /// Times it was kept back since.
    again: u64,
}

impl Repeats {
    /// What shall be said for this text at this time since some beginning, if anything.
    pub(crate) fn say(&mut self, text: &str, now: Duration) -> Option<String> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        let mut again = 0;
        if let Some(said) = self.0.get_mut(&hash) {
            if now.saturating_sub(said.at) < QUIET {
                said.again += 1;
                return None;
            }
            again = said.again;
        } else if self.0.len() >= TEXTS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, said)| said.at).map(|(hash, _)| *hash);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(hash, Said { at: now, again: 0 });
        Some(match again {
            0 => text.to_owned(),
            1 => format!("{text} (and once more since this was last said)"),
            again => format!("{text} (and {again} times more since this was last said)"),
        })
    }
}

#[cfg(test)]
mod tests;
