//! The device template: which attributes a device has and what they may hold.

use std::collections::HashMap;

use crate::legacy::validation::ValidValues;

/// Everything sync says about what may be sent, ready for look-up by device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Template {
    /// `dtg`, echoed in reports and faults.
    pub id: String,
    /// `cpId` as the cloud spells it, echoed in every body.
    pub cpid: String,
    /// The device itself first, then its children.
    pub devices: Vec<Device>,
    /// Attributes by tag; a device that is no gateway has the tag "".
    attributes: HashMap<String, HashMap<String, Attribute>>,
}

/// The device or one of its children.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A scalar's type and allowed values.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// Its type.
    pub data_type: DataType,
    /// `dv`.
    pub valid: ValidValues,
}

/// Legacy data types (`dt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// 0, and 3 (FLOAT), which the old SDK declared but always refused.
    Number,
    /// 1.
    Text,
    /// A number this protocol does not define; its values go out as faults.
    Unknown(i64),
}

impl DataType {
    /// From the wire number.
    #[must_use]
    pub fn from_wire(number: i64) -> Self {
        match number {
            0 | 3 => Self::Number,
            1 => Self::Text,
            other => Self::Unknown(other),
        }
    }
}

impl Template {
    /// An empty template for this company and template id.
    #[must_use]
    pub fn new(cpid: impl Into<String>, id: impl Into<String>, devices: Vec<Device>) -> Self {
        Self { id: id.into(), cpid: cpid.into(), devices, attributes: HashMap::new() }
    }

    /// Declares an attribute for every device of a tag.
    pub fn declare(&mut self, tag: &str, name: &str, attribute: Attribute) {
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
    pub fn attributes(&self, tag: &str) -> Option<&HashMap<String, Attribute>> {
        self.attributes.get(tag)
    }

    /// How many attributes there are in all.
    #[must_use]
    pub fn attribute_count(&self) -> usize {
        self.attributes.values().map(HashMap::len).sum()
    }
}
