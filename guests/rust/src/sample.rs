//! Building samples.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{LatLong, Moment, Sample, Scalar, Value};

impl Sample {
    /// An empty sample of the device itself, measured when it arrives at the host.
    #[must_use]
    pub fn new() -> Self {
        Self { device: None, time: None, values: Vec::new() }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, attribute: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.push((attribute.into(), value.into()));
        self
    }

    /// Adds an attribute that could be measured, and nothing otherwise.
    #[must_use]
    pub fn with_some(self, attribute: impl Into<String>, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(attribute, value),
            None => self,
        }
    }

    /// Says which child device was measured.
    #[must_use]
    pub fn of_device(mut self, unique_id: impl Into<String>) -> Self {
        self.device = Some(unique_id.into());
        self
    }

    /// Says when it was measured.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.time = Some(time.into());
        self
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self::new()
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self { seconds: clamped(since.as_secs()), nanoseconds: since.subsec_nanos() },
            Err(error) => {
                // Nanoseconds count forward from a second further back.
                let before = error.duration();
                let seconds = -clamped(before.as_secs());
                match before.subsec_nanos() {
                    0 => Self { seconds, nanoseconds: 0 },
                    nanoseconds => Self { seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
                }
            }
        }
    }
}

fn clamped(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

macro_rules! from {
    ($($from:ty => $variant:ident;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
        impl From<$from> for Scalar {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

// A u64 is missing on purpose: half of them do not fit, so the author decides what becomes of those.
from! {
    bool => Boolean;
    i8 => Integer;
    i16 => Integer;
    i32 => Integer;
    i64 => Integer;
    u8 => Integer;
    u16 => Integer;
    u32 => Integer;
    f32 => Number;
    f64 => Number;
    &str => Text;
    String => Text;
}

impl From<LatLong> for Value {
    fn from(place: LatLong) -> Self {
        Self::LatLong(place)
    }
}

impl<N: Into<String>, S: Into<Scalar>> FromIterator<(N, S)> for Value {
    /// An object, one level deep.
    fn from_iter<I: IntoIterator<Item = (N, S)>>(members: I) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sample_is_built_in_one_expression() {
        let sample = Sample::new()
            .with("on", true)
            .with("count", 7u32)
            .with("temperature", 21.5)
            .with("name", "north")
            .with("place", LatLong { latitude: 1.0, longitude: 2.0 })
            .with("axes", Value::from_iter([("x", 0.5), ("y", -0.5)]))
            .with_some("missing", None::<f64>)
            .of_device("child-1")
            .at(UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!(sample.device.as_deref(), Some("child-1"));
        assert_eq!(sample.time, Some(Moment { seconds: 1, nanoseconds: 500_000_000 }));
        let names: Vec<_> = sample.values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["on", "count", "temperature", "name", "place", "axes"]);
        assert_eq!(sample.values[1].1, Value::Integer(7));
    }

    #[test]
    fn times_before_1970_count_forward_too() {
        let before = UNIX_EPOCH - Duration::from_millis(1500);
        assert_eq!(Moment::from(before), Moment { seconds: -2, nanoseconds: 500_000_000 });
        assert_eq!(Moment::from(UNIX_EPOCH - Duration::from_secs(2)), Moment { seconds: -2, nanoseconds: 0 });
    }
}
