//! Patterns for absolute paths: `*` and `?` within one segment, everything else literal.
//!
//! What must stay true: a pattern is normal (absolute, no `.`, `..` or empty segments), so that matching is text
//! against text; and neither wildcard ever crosses a `/`.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// Longest pattern taken. Far longer than any path of `/proc` and `/sys`, and short enough to be held against a hostile
/// path in no time.
const PATTERN_LEN_MAX: usize = 512;
/// Longest path taken, with its closing zero byte as long as the longest that Linux takes (path_resolution(7)).
const PATH_LEN_MAX: usize = 4095;
/// Longest name of one file (`NAME_MAX`, limits.h).
const NAME_LEN_MAX: usize = 255;

/// A checked pattern. One without wildcards is an exact path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} {problem}")]
pub struct NotAPattern {
    pattern: String,
    problem: &'static str,
}

impl Pattern {
    /// Checks and takes a pattern. Paths of processes and devices are refused here with the reason, so that nobody
    /// learns only at run time that no grant can open them.
    pub fn parse(text: &str) -> Result<Self, NotAPattern> {
        let refuse = |problem| {
            let pattern = text.chars().take(200).collect();
            Err(NotAPattern { pattern, problem })
        };
        if text.len() > PATTERN_LEN_MAX {
            return refuse("is longer than 512 bytes");
        }
        if !is_normal(text) {
            return refuse("is not an absolute path without `.`, `..` and empty segments");
        }
        if text.contains("**") {
            return refuse("holds `**`; `*` stands for one path segment or a part of it");
        }
        if is_forbidden(text) {
            return refuse("cannot be granted: processes, kernel memory and devices are out of reach for plugins");
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether the path fits.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        fits(self.0.as_bytes(), path.as_bytes())
    }

    /// Whether this directory may hold something that fits; the root is the empty text.
    #[must_use]
    pub(crate) fn leads_through(&self, directory: &str) -> bool {
        let depth = directory.matches('/').count();
        let end = self.0.match_indices('/').nth(depth).map_or(self.0.len(), |(end, _)| end);
        self.0.get(..end).is_some_and(|head| fits(head.as_bytes(), directory.as_bytes()))
    }

    /// Whether every path that fits `narrower` certainly fits this one.
    #[must_use]
    pub fn covers(&self, narrower: &Self) -> bool {
        // A `*` of the narrower pattern, taken as a character, can only be matched by one of ours; a `?` of ours would
        // wrongly match it too, hence the second condition.
        self == narrower || (fits(self.0.as_bytes(), narrower.0.as_bytes()) && !self.0.contains('?'))
    }

    /// Whether it names one file only.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Longer than any path that exists. Whoever matches a path from outside asks this first.
pub(crate) fn is_too_long(path: &str) -> bool {
    path.len() > PATH_LEN_MAX || path.split('/').any(|name| name.len() > NAME_LEN_MAX)
}

/// Absolute, and what it says is where it leads (symbolic links apart).
pub(crate) fn is_normal(path: &str) -> bool {
    !path.contains('\0')
        && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|segment| !matches!(segment, "" | "." | "..")))
}

/// Paths that stay closed whatever manifest and policy say: `/proc/<pid>/mem` of the daemon is the daemon, and opening
/// a device can already act on it.
pub(crate) fn is_forbidden(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    match segments.next() {
        Some("dev") => true,
        Some("proc") => match segments.next() {
            Some(
                "self" | "thread-self" | "kcore" | "kmem" | "kmsg" | "kpagecount" | "kpageflags" | "kpagecgroup"
                | "sysrq-trigger",
            ) => true,
            Some(process) => process.bytes().all(|byte| byte.is_ascii_digit()),
            None => false,
        },
        _ => false,
    }
}

/// Glob matching with one point of return within each segment, so linear in practice and at worst the product of the
/// pattern's length and the longest segment of the text.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(b'?'), Some(byte)) if *byte != b'/' => {
                p += 1;
                t += 1;
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                if *byte == b'/' {
                    // No other way through the segment before leads anywhere else.
                    star = None;
                }
                p += 1;
                t += 1;
            }
            _ => match star {
                // The star swallows one more byte, but never a slash.
                Some((star_p, star_t)) if text.get(star_t).is_some_and(|byte| *byte != b'/') => {
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests;
