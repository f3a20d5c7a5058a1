//! The device template: which attributes a device has and what they may hold.

use std::collections::HashMap;
use std::time::Duration;

use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use crate::model::Kind;
use crate::validation::ValidValues;
use crate::version::Version;

/// Everything the cloud says about what may be sent, ready for look-up by device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Template {
    /// Which protocol its values are judged and written in.
    pub version: Version,
    /// `dtg`, echoed in legacy reports and faults; `cd` in 2.1.
    pub id: String,
    /// `cpId` as the cloud spells it, echoed in every body.
    pub cpid: String,
    /// The device itself first, then its children.
    pub devices: Vec<Device>,
    /// Attributes by tag; a device that is no gateway has the tag "".
    attributes: HashMap<String, Attributes, FxBuildHasher>,
    /// An attribute's name needs escapes in JSON.
    escapes: bool,
}

/// Attributes by name. The names are the cloud's, so nobody else can make them collide, and every value is looked up.
pub type Attributes = HashMap<String, Attribute, FxBuildHasher>;

/// The device or one of its children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Unique id.
    pub id: String,
    /// Tag that binds it to attributes.
    pub tag: String,
}

/// What one attribute may hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// One value.
    Scalar(Scalar),
    /// Named values, one level deep.
    Object(HashMap<String, Scalar>),
}

/// A scalar's type and allowed values, and what an edge device does with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scalar {
    /// Its type.
    pub data_type: DataType,
    /// `dv`.
    pub valid: ValidValues,
    /// What an edge device sends of a window.
    pub aggregates: Aggregates,
    /// Length of the tumbling window; `None` where the cloud names no usable one.
    pub window: Option<Duration>,
    /// Decimals the operator wants kept.
    pub decimals: Option<u8>,
}

/// Which aggregates are sent of a window (`agt`): 1 minimum, 2 maximum, 4 sum, 8 average, 16 count, 32 latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aggregates(pub u8);

impl Aggregates {
    /// All six.
    pub const ALL: Self = Self(63);
}

impl Default for Aggregates {
    fn default() -> Self {
        Self::ALL
    }
}

/// What a value must be (`dt`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DataType {
    /// Legacy 0, and 3 (FLOAT), which the old SDK declared but always refused.
    #[default]
    Number,
    /// Legacy 1.
    Text,
    /// 2.1: 1, 32 bits.
    Integer,
    /// 2.1: 2, 64 bits.
    Long,
    /// 2.1: 3.
    Decimal,
    /// 2.1: 4.
    String,
    /// 2.1: 5, `HH:MM:SS`.
    Time,
    /// 2.1: 6, `YYYY-MM-DD`.
    Date,
    /// 2.1: 7, RFC 3339.
    DateTime,
    /// 2.1: 8, 0 or 1.
    Bit,
    /// 2.1: 9.
    Boolean,
    /// 2.1: 10, `[latitude, longitude]`.
    LatLong,
    /// A number the protocol does not define; its values go out as faults.
    Unknown(i64),
}

impl DataType {
    /// From the wire number.
    #[must_use]
    pub fn from_wire(version: Version, number: i64) -> Self {
        match (version, number) {
            (Version::Legacy, 0 | 3) => Self::Number,
            (Version::Legacy, 1) => Self::Text,
            (Version::V21, 1) => Self::Integer,
            (Version::V21, 2) => Self::Long,
            (Version::V21, 3) => Self::Decimal,
            (Version::V21, 4) => Self::String,
            (Version::V21, 5) => Self::Time,
            (Version::V21, 6) => Self::Date,
            (Version::V21, 7) => Self::DateTime,
            (Version::V21, 8) => Self::Bit,
            (Version::V21, 9) => Self::Boolean,
            (Version::V21, 10) => Self::LatLong,
            (_, other) => Self::Unknown(other),
        }
    }

    /// As plugins see it. What an undefined type holds is anybody's guess; as a text it can at least be shown.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Number | Self::Decimal => Kind::Number,
            Self::Text | Self::String | Self::Unknown(_) => Kind::Text,
            Self::Integer => Kind::Integer,
            Self::Long => Kind::Long,
            Self::Time => Kind::Time,
            Self::Date => Kind::Date,
            Self::DateTime => Kind::DateTime,
            Self::Bit => Kind::Bit,
            Self::Boolean => Kind::Boolean,
            Self::LatLong => Kind::LatLong,
        }
    }
}

impl Template {
    /// An empty template for this company and template id.
    #[must_use]
    pub fn new(version: Version, cpid: impl Into<String>, id: impl Into<String>, devices: Vec<Device>) -> Self {
        Self { version, id: id.into(), cpid: cpid.into(), devices, attributes: HashMap::default(), escapes: false }
    }

    /// Declares an attribute for every device of a tag.
    pub fn declare(&mut self, tag: &str, name: &str, attribute: Attribute) {
        self.escapes |= !is_plain(name);
        self.attributes.entry(tag.to_owned()).or_default().insert(name.to_owned(), attribute);
    }

    /// The device itself.
    #[must_use]
    pub fn own_device(&self) -> Option<&Device> {
        self.devices.first()
    }

    /// The device of this unique id, or the device itself for `None`.
    #[must_use]
    pub fn device(&self, id: Option<&str>) -> Option<&Device> {
        match id {
            None => self.own_device(),
            Some(id) => self.devices.iter().find(|device| device.id == id),
        }
    }

    /// The attributes of devices of this tag, by name.
    #[must_use]
    pub fn attributes(&self, tag: &str) -> Option<&Attributes> {
        self.attributes.get(tag)
    }

    /// Whether every attribute's name stands in JSON as it is.
    pub(crate) fn has_plain_names(&self) -> bool {
        !self.escapes
    }

    /// How many attributes there are in all.
    #[must_use]
    pub fn attribute_count(&self) -> usize {
        self.attributes.values().map(HashMap::len).sum()
    }
}

/// Whether a text stands in JSON as it is.
pub(crate) fn is_plain(text: &str) -> bool {
    // Without a way out before the end, so that it takes many bytes at a time.
    !text.bytes().fold(false, |any, byte| any | (byte < b' ') | (byte == b'"') | (byte == b'\\'))
}
