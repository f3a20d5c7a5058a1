//! What the cloud has said about a device, part by part.
//!
//! Legacy sync answers everything at once and later single parts; 2.1 tells the connection first and the rest message
//! by message. Either way each part replaces the one before ([`Definition::apply`]), and what the daemon works with is
//! built from the whole: the [`Template`] for encoding, the [`DeviceModel`] for plugins. It is kept on disk as JSON.
//!
//! Deliberately absent: conditions are kept as text ([`crate::rules`] reads them), and so are `dv` and `tw`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{self, DeviceModel};
use crate::template::{Aggregates, Attribute, DataType, Device, Scalar, Template};
use crate::topics::Topics;
use crate::validation::ValidValues;
use crate::version::Version;

/// Data frequency when the cloud names none, in seconds (IoTConnect, `sc.df`).
pub const DATA_FREQUENCY_DEFAULT_S: u64 = 60;

/// Decimals an operator wants kept, by attribute (`temp`) or member (`gyro.x`).
pub type Rounding = BTreeMap<String, u8>;

/// Everything the cloud said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Which protocol said it.
    pub version: Version,
    /// `cpId` as the cloud spells it (legacy); empty in 2.1.
    pub cpid: String,
    /// `dtg` (legacy) or `cd` (2.1).
    pub template_id: String,
    /// How the device signs in.
    pub auth: AuthType,
    /// Windows and rules instead of single readings.
    pub edge: bool,
    /// Least time between reports of one source in seconds; 0 is off.
    pub frequency_s: u64,
    /// Where to connect and publish.
    pub hub: Hub,
    /// The device itself first, then its children.
    pub devices: Vec<Device>,
    /// The gateway's own guid, under which children are created (2.1).
    pub gateway_guid: Option<String>,
    /// Attributes, in the cloud's order.
    pub groups: Vec<Group>,
    /// Twin settings.
    pub settings: Vec<Setting>,
    /// Edge rules, conditions unread.
    pub rules: Vec<Rule>,
    /// A firmware update that waits, as received. Its signed URLs are secrets that expire, so it is not kept on disk: every
    /// connection hears of it anew.
    #[serde(skip)]
    pub pending_ota: Option<serde_json::Value>,
    /// What the cloud said that cannot be used and is not in here, in words for an operator: some dozens at most.
    #[serde(default)]
    pub left_out: BTreeMap<Place, Vec<String>>,
}

/// Where in the cloud's words something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// What is said once for the whole device: connection settings, flags, data frequency.
    Device,
    /// [`Definition::devices`].
    Devices,
    /// [`Definition::groups`].
    Attributes,
    /// [`Definition::settings`].
    Settings,
    /// [`Definition::rules`].
    Rules,
}

/// A part that replaces the one before.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// Attributes.
    Attributes(Vec<Group>),
    /// Twin settings.
    Settings(Vec<Setting>),
    /// Edge rules.
    Rules(Vec<Rule>),
    /// All devices, the device itself first (legacy).
    Devices(Vec<Device>),
    /// The children without the device itself (2.1).
    Children(Vec<Device>),
    /// Data frequency in seconds.
    Frequency(u64),
    /// Connection settings.
    Hub(Box<Hub>),
    /// A firmware update that waits, or none.
    Ota(Option<serde_json::Value>),
    /// What of a part was left out, if anything; comes with the part.
    LeftOut(Place, Vec<String>),
}

/// Where and as whom to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hub {
    /// Host name.
    pub host: String,
    /// TLS port.
    pub port: u16,
    /// MQTT client id, which is the hub's device id.
    pub client_id: String,
    /// MQTT user name.
    pub user_name: String,
    /// Where to publish and what to subscribe to.
    pub topics: Topics,
}

/// How a device signs in (`at`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthType {
    /// 1: key, or a ready SAS token in `p.pwd`.
    Key,
    /// 2, 3, 6, 7: certificates.
    Certificate,
    /// 4.
    Tpm,
    /// 5.
    SymmetricKey,
    /// A number the protocol does not define.
    Unknown(i64),
}

/// Scalars of any tag, or one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name of the object; `None` for a group of scalars.
    pub object: Option<String>,
    /// Tag of an object; scalars have their own.
    pub tag: String,
    /// Tumbling window of an object as text (`tw`, legacy).
    pub window: String,
    /// Its scalars or members.
    pub attributes: Vec<AttributeDefinition>,
}

/// One scalar or member, in the cloud's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeDefinition {
    /// Local name (`ln`).
    pub name: String,
    /// Wire number of its type (`dt`).
    pub data_type: i64,
    /// Valid values as typed at the portal (`dv`).
    pub validity: String,
    /// Tag (`tg`); empty on a device without children.
    pub tag: String,
    /// Which aggregates an edge device sends (`agt`); `None` where the cloud names none (2.1: all six).
    pub aggregates: Option<u8>,
    /// Tumbling window as text (`tw`), for instance `10s`.
    pub window: String,
}

/// A twin setting (`set`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Local name.
    pub name: String,
    /// Wire number of its type.
    pub data_type: i64,
    /// Valid values as typed at the portal.
    pub validity: String,
}

/// An edge rule, its condition still text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Rule guid (`g`).
    pub guid: String,
    /// Event subscription guid (`es`); null in matches where the cloud named none.
    pub event_subscription: Option<String>,
    /// Condition (`con`).
    pub condition: String,
    /// Local command to run on a match (`cmd`), if any.
    pub command: Option<String>,
}

impl AuthType {
    /// From the wire number (`at`).
    #[must_use]
    pub fn from_wire(number: i64) -> Self {
        match number {
            1 => Self::Key,
            2 | 3 | 6 | 7 => Self::Certificate,
            4 => Self::Tpm,
            5 => Self::SymmetricKey,
            other => Self::Unknown(other),
        }
    }
}

impl Definition {
    /// Replaces a part. Says whether anything changed.
    pub fn apply(&mut self, update: Update) -> bool {
        fn replace<T: PartialEq>(place: &mut T, new: T) -> bool {
            let changed = *place != new;
            *place = new;
            changed
        }
        match update {
            Update::Attributes(groups) => replace(&mut self.groups, groups),
            Update::Settings(settings) => replace(&mut self.settings, settings),
            Update::Rules(rules) => replace(&mut self.rules, rules),
            Update::Devices(devices) => replace(&mut self.devices, devices),
            Update::Children(children) => {
                let own = self.devices.first().cloned();
                // A cloud that lists the gateway among its children must not double it.
                let children = children.into_iter().filter(|child| own.as_ref().is_none_or(|own| own.id != child.id));
                let devices = own.clone().into_iter().chain(children).collect();
                replace(&mut self.devices, devices)
            }
            Update::Frequency(frequency_s) => replace(&mut self.frequency_s, frequency_s),
            Update::Hub(hub) => replace(&mut self.hub, *hub),
            Update::Ota(ota) => replace(&mut self.pending_ota, ota),
            Update::LeftOut(place, reasons) => {
                let before = self.left_out.remove(&place).unwrap_or_default();
                let changed = before != reasons;
                if !reasons.is_empty() {
                    self.left_out.insert(place, reasons);
                }
                changed
            }
        }
    }

    /// What may be sent.
    #[must_use]
    pub fn template(&self, rounding: &Rounding) -> Template {
        let mut template = Template::new(self.version, &self.cpid, &self.template_id, self.devices.clone());
        for group in &self.groups {
            match &group.object {
                None => {
                    for scalar in &group.attributes {
                        let attribute = Attribute::Scalar(self.scalar(scalar, &scalar.window, rounding, &scalar.name));
                        template.declare(&scalar.tag, &scalar.name, attribute);
                    }
                }
                Some(object) => {
                    let member = |member: &AttributeDefinition| {
                        // Legacy objects tumble as a whole; in 2.1 every member has its own window.
                        let window = if group.window.is_empty() { &member.window } else { &group.window };
                        let path = format!("{object}.{}", member.name);
                        (member.name.clone(), self.scalar(member, window, rounding, &path))
                    };
                    let members = group.attributes.iter().map(member).collect();
                    template.declare(&group.tag, object, Attribute::Object(members));
                }
            }
        }
        template
    }

    /// What plugins see.
    #[must_use]
    pub fn model(&self) -> DeviceModel {
        DeviceModel {
            attributes: self.groups.iter().flat_map(|group| self.attributes(group)).collect(),
            // The first is the device itself.
            children: self
                .devices
                .iter()
                .skip(1)
                .map(|device| model::Child { unique_id: device.id.clone(), tag: device.tag.clone() })
                .collect(),
            settings: self
                .settings
                .iter()
                .map(|setting| model::Setting {
                    name: setting.name.clone(),
                    kind: self.kind(setting.data_type),
                    validity: setting.validity.clone(),
                })
                .collect(),
            frequency_s: u32::try_from(self.frequency_s).unwrap_or(u32::MAX),
            edge: self.edge,
        }
    }

    /// Type and allowed values of a twin setting.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<Scalar> {
        let setting = self.settings.iter().find(|setting| setting.name == name)?;
        Some(Scalar {
            data_type: DataType::from_wire(self.version, setting.data_type),
            valid: ValidValues::parse(&setting.validity),
            ..Scalar::default()
        })
    }

    fn scalar(&self, definition: &AttributeDefinition, window: &str, rounding: &Rounding, path: &str) -> Scalar {
        Scalar {
            data_type: DataType::from_wire(self.version, definition.data_type),
            valid: ValidValues::parse(&definition.validity),
            aggregates: definition.aggregates.map_or(Aggregates::ALL, Aggregates),
            window: parse_window(window),
            decimals: rounding.get(path).copied(),
        }
    }

    fn attributes(&self, group: &Group) -> Vec<model::Attribute> {
        match &group.object {
            None => group
                .attributes
                .iter()
                .map(|scalar| model::Attribute {
                    name: scalar.name.clone(),
                    kind: self.kind(scalar.data_type),
                    validity: scalar.validity.clone(),
                    tag: scalar.tag.clone(),
                    members: Vec::new(),
                })
                .collect(),
            Some(object) => {
                let member = |member: &AttributeDefinition| model::Member {
                    name: member.name.clone(),
                    kind: self.kind(member.data_type),
                    validity: member.validity.clone(),
                };
                vec![model::Attribute {
                    name: object.clone(),
                    kind: model::Kind::Object,
                    validity: String::new(),
                    tag: group.tag.clone(),
                    members: group.attributes.iter().map(member).collect(),
                }]
            }
        }
    }

    fn kind(&self, data_type: i64) -> model::Kind {
        DataType::from_wire(self.version, data_type).kind()
    }
}

/// `tw`: an integer followed by `s`, `m` or `h`; `None` where it is none, or of no length.
#[must_use]
pub fn parse_window(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit_s) = [('s', 1), ('m', 60), ('h', 3_600)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let seconds = number.trim().parse::<u32>().ok().filter(|number| *number > 0)?;
    Some(Duration::from_secs(u64::from(seconds) * unit_s))
}

#[cfg(test)]
mod tests;
