//! What the cloud says about a device, in the one shape that plugins see for every wire protocol.
//!
//! Names are the cloud's own; nothing here is validated against it again. Rules are deliberately absent: the daemon
//! evaluates them itself. [`crate::definition::Definition::model`] makes it; the plugin adapter turns it into the
//! `device.template` of `wit/imports.wit`.

/// Everything a plugin may know about its device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceModel {
    /// Every attribute of every tag, in the cloud's order.
    pub attributes: Vec<Attribute>,
    /// Child devices of a gateway; the device itself is not among them.
    pub children: Vec<Child>,
    /// Desired values declared for the twin.
    pub settings: Vec<Setting>,
    /// The cloud wants readings no more often than this, in seconds; 0 is as often as they come.
    pub frequency_s: u32,
    /// Whether windows of readings are sent in their place.
    pub edge: bool,
}

/// A named value a device may report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its local name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Valid values as typed at the portal; empty when all are.
    pub validity: String,
    /// The tag of the devices that have it; empty on a device without children.
    pub tag: String,
    /// Members of an object, empty otherwise.
    pub members: Vec<Member>,
}

/// A member of an object attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its local name.
    pub name: String,
    /// What it holds; never an object.
    pub kind: Kind,
    /// Valid values as typed at the portal; empty when all are.
    pub validity: String,
}

/// A desired value declared for the twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its local name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Valid values as typed at the portal; empty when all are.
    pub validity: String,
}

/// A device behind this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its unique id.
    pub unique_id: String,
    /// The tag that binds it to attributes.
    pub tag: String,
}

/// What an attribute holds. The legacy protocol has `Number`, `Text` and `Object` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// 0 or 1.
    Bit,
    /// 32 bits.
    Integer,
    /// 64 bits.
    Long,
    /// With decimals.
    Number,
    /// UTF-8.
    Text,
    /// `YYYY-MM-DD`.
    Date,
    /// `hh:mm:ss`.
    Time,
    /// ISO 8601.
    DateTime,
    /// Latitude and longitude.
    LatLong,
    /// Named members, one level deep.
    Object,
}
