//! Moments as the wire writes them. The clock itself lives in the shell.

use serde::{Deserialize, Serialize};

/// An RFC 3339 moment that keeps the caller's own text, because the cloud is sent exactly what the sensor said. One without
/// zone is taken as UTC.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(String);

/// The text is not an RFC 3339 moment, or the number is outside the years 0 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; write it like 2021-01-24T10:06:17.857Z")]
pub struct NotATime(String);

/// Longest text taken for a time; RFC 3339 with nanoseconds and an offset needs 35.
const TEXT_LEN_MAX: usize = 40;

impl Timestamp {
    /// Takes RFC 3339 text and keeps it verbatim.
    pub fn parse(text: &str) -> Result<Self, NotATime> {
        if text.len() > TEXT_LEN_MAX {
            return Err(NotATime(text.chars().take(TEXT_LEN_MAX).collect()));
        }
        match moment(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(NotATime(text.to_owned())),
        }
    }

    /// Unix seconds and nanoseconds, written with milliseconds and `Z`. Years are 0 to 9999: the wire has four digits.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Result<Self, NotATime> {
        let moment = i32::try_from(nanoseconds).ok().and_then(|nanos| jiff::Timestamp::new(seconds, nanos).ok());
        match moment.filter(|_| seconds >= YEAR_0) {
            Some(moment) => Ok(Self(format!("{moment:.3}"))),
            None => Err(NotATime(format!("{seconds}.{nanoseconds:09} s since 1970"))),
        }
    }

    /// Milliseconds since 1970; a value no calendar holds becomes 1970 itself.
    #[must_use]
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        let moment = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self(format!("{moment:.3}"))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        moment(&self.0).map_or(0, |moment| moment.as_millisecond())
    }

    /// The text as it goes onto the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first second of the year 0.
const YEAR_0: i64 = -62_167_219_200;

/// The moment a text names. The last day of the year 9999, which the library's own type does not reach, becomes its end.
fn moment(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok().or_else(|| {
        let civil = text.strip_suffix(['Z', 'z']).unwrap_or(text);
        let has_time = civil.contains(['T', 't', ' ']);
        let civil: jiff::civil::DateTime = civil.parse().ok().filter(|_| has_time)?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).map_or(jiff::Timestamp::MAX, |zoned| zoned.timestamp()))
    })
}

impl TryFrom<String> for Timestamp {
    type Error = NotATime;
    fn try_from(text: String) -> Result<Self, NotATime> {
        Self::parse(&text)
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

#[cfg(test)]
mod tests;
