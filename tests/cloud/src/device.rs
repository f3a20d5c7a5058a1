//! What the simulated portal knows of a device: its names, its template, how it proves itself.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::key::Key;

/// A device as an operator would create it in the portal.
///
/// ```
/// use edgeplug_cloud::{Attribute, Device};
/// let device = Device::symmetric("GW")
///     .tag("gw")
///     .attribute(Attribute::number("temp").tag("gw").valid("1to15"))
///     .child("C1", "c");
/// ```
#[derive(Clone, Debug)]
pub struct Device {
    /// The device's name in IoTConnect.
    pub unique_id: String,
    /// The device's name in the hub; `{cpId}-{uniqueId}` when absent, as on a shared hub.
    pub hub_device_id: Option<String>,
    /// How it proves itself.
    pub identity: Identity,
    /// Its template.
    pub template: Template,
}

/// How a device proves itself.
#[derive(Clone, Debug)]
pub enum Identity {
    /// By its TPM (`at` 4): it gets its key from DPS.
    Tpm {
        /// The enrolled EK, as the whole TPM2B_PUBLIC; without one, whichever comes first if the cloud trusts first EKs.
        endorsement_key: Option<Vec<u8>>,
    },
    /// By a symmetric key (`at` 5).
    SymmetricKey {
        /// The key of both enrolment and hub.
        key: Key,
        /// Whether the hub knows the device already; otherwise it must go through DPS first.
        in_hub: bool,
    },
}

/// A device template: what `sync` tells the device of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Template {
    /// The template's guid (`dtg`).
    pub guid: String,
    /// The gateway's own tag; empty for a device that is no gateway.
    pub tag: String,
    /// Data frequency (`sc.df`) in seconds; 0 is unlimited.
    pub data_frequency_s: u32,
    /// Whether it is an edge device (`ee`).
    pub edge: bool,
    /// Attributes of all tags.
    pub attributes: Vec<Attribute>,
    /// Twin settings.
    pub settings: Vec<Attribute>,
    /// Child devices, without the gateway.
    pub children: Vec<Child>,
}

/// A child device of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    /// Its unique id.
    pub id: String,
    /// Its tag, which picks its attributes.
    pub tag: String,
}

/// One attribute of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Local name (`ln`).
    pub name: String,
    /// Data type (`dt`).
    #[serde(rename = "type", default)]
    pub kind: Kind,
    /// Data validation (`dv`), such as `1to15` or `red, gray`; empty allows everything.
    #[serde(default)]
    pub dv: String,
    /// The tag of the devices that have it.
    #[serde(default)]
    pub tag: String,
    /// The members of an OBJECT, one level.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Attribute>,
    /// Aggregates of an edge device, as the bit mask of `agt` (1 min, 2 max, 4 sum, 8 average, 16 count, 32 latest).
    #[serde(default)]
    pub aggregate: u8,
    /// Tumbling window of an edge device, such as `10s`.
    #[serde(default)]
    pub window: String,
}

/// The legacy data types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// `dt` 0
    #[default]
    Number,
    /// `dt` 1
    String,
    /// `dt` 2
    Object,
}

impl Device {
    /// A device with a random symmetric key that the hub knows already.
    #[must_use]
    pub fn symmetric(unique_id: &str) -> Self {
        Self::new(unique_id, Identity::SymmetricKey { key: Key::random(), in_hub: true })
    }

    /// A TPM device that is in the portal but not yet in the hub; enrol its EK with [`Device::endorsement_key`] or
    /// `Dps::enrol`, or let the cloud trust the first one it sees.
    #[must_use]
    pub fn tpm(unique_id: &str) -> Self {
        Self::new(unique_id, Identity::Tpm { endorsement_key: None })
    }

    fn new(unique_id: &str, identity: Identity) -> Self {
        Self { unique_id: unique_id.to_owned(), hub_device_id: None, identity, template: Template::default() }
    }

    /// Sets the symmetric key.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        let in_hub = !matches!(self.identity, Identity::SymmetricKey { in_hub: false, .. });
        self.identity = Identity::SymmetricKey { key, in_hub };
        self
    }

    /// A symmetric key device that must go through DPS before the hub knows it.
    #[must_use]
    pub fn via_dps(mut self) -> Self {
        if let Identity::SymmetricKey { in_hub, .. } = &mut self.identity {
            *in_hub = false;
        }
        self
    }

    /// Enrols the EK: the bytes of the whole TPM2B_PUBLIC.
    #[must_use]
    pub fn endorsement_key(mut self, public: Vec<u8>) -> Self {
        self.identity = Identity::Tpm { endorsement_key: Some(public) };
        self
    }

    /// Gives it another name in the hub than `{cpId}-{uniqueId}`.
    #[must_use]
    pub fn hub_device_id(mut self, id: &str) -> Self {
        self.hub_device_id = Some(id.to_owned());
        self
    }

    /// Replaces the whole template.
    #[must_use]
    pub fn template(mut self, template: Template) -> Self {
        self.template = template;
        self
    }

    /// Sets the template's guid.
    #[must_use]
    pub fn guid(mut self, guid: &str) -> Self {
        self.template.guid = guid.to_owned();
        self
    }

    /// Sets the gateway's own tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.template.tag = tag.to_owned();
        self
    }

    /// Sets the data frequency in seconds.
    #[must_use]
    pub fn data_frequency_s(mut self, seconds: u32) -> Self {
        self.template.data_frequency_s = seconds;
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, attribute: Attribute) -> Self {
        self.template.attributes.push(attribute);
        self
    }

    /// Adds attributes.
    #[must_use]
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = Attribute>) -> Self {
        self.template.attributes.extend(attributes);
        self
    }

    /// Adds a child device.
    #[must_use]
    pub fn child(mut self, id: &str, tag: &str) -> Self {
        self.template.children.push(Child { id: id.to_owned(), tag: tag.to_owned() });
        self
    }
}

impl Default for Template {
    fn default() -> Self {
        Self {
            guid: "ad4a5b15-35f0-4ab9-815e-c0b584bc9ea4".to_owned(),
            tag: String::new(),
            data_frequency_s: 0,
            edge: false,
            attributes: Vec::new(),
            settings: Vec::new(),
            children: Vec::new(),
        }
    }
}

impl Template {
    /// A small weather station: what the program uses when it is given no template.
    #[must_use]
    pub fn weather_station() -> Self {
        Self {
            attributes: vec![
                Attribute::number("temp").valid("-40 to 85"),
                Attribute::number("humidity").valid("0 to 100"),
                Attribute::string("color").valid("red, gray, blue"),
                Attribute::object("gyro", [Attribute::number("x"), Attribute::number("y"), Attribute::number("z")]),
            ],
            ..Self::default()
        }
    }

    /// The `att` of a sync answer: one group of all scalars (`p` empty), then one group per object.
    pub(crate) fn att(&self) -> Value {
        let scalars: Vec<_> = self
            .attributes
            .iter()
            .filter(|attribute| attribute.kind != Kind::Object)
            .zip(1..)
            .map(Attribute::sync)
            .collect();
        let mut groups = Vec::new();
        if !scalars.is_empty() {
            groups.push(json!({"p": "", "dt": null, "agt": 0, "tw": "", "tg": "", "d": scalars}));
        }
        for object in self.attributes.iter().filter(|attribute| attribute.kind == Kind::Object) {
            let members: Vec<_> = object
                .children
                .iter()
                .map(|member| Attribute { tag: object.tag.clone(), ..member.clone() })
                .zip(1..)
                .map(|(member, sequence)| Attribute::sync((&member, sequence)))
                .collect();
            groups.push(json!({
                "p": object.name, "dt": 2, "agt": object.aggregate, "tw": object.window, "tg": object.tag, "d": members
            }));
        }
        Value::Array(groups)
    }

    pub(crate) fn set(&self) -> Value {
        if self.settings.is_empty() {
            return Value::Null;
        }
        self.settings
            .iter()
            .map(|setting| json!({"ln": setting.name, "dt": setting.kind.number(), "dv": setting.dv}))
            .collect()
    }

    /// The `d` of a sync answer: the gateway first, then its children.
    pub(crate) fn devices(&self, unique_id: &str) -> Value {
        std::iter::once((unique_id, self.tag.as_str()))
            .chain(self.children.iter().map(|child| (child.id.as_str(), child.tag.as_str())))
            .map(|(id, tag)| json!({"tg": tag, "id": id, "s": 0}))
            .collect()
    }
}

impl Attribute {
    /// A NUMBER.
    #[must_use]
    pub fn number(name: &str) -> Self {
        Self::new(name, Kind::Number)
    }

    /// A STRING.
    #[must_use]
    pub fn string(name: &str) -> Self {
        Self::new(name, Kind::String)
    }

    /// An OBJECT with its members.
    #[must_use]
    pub fn object(name: &str, members: impl IntoIterator<Item = Self>) -> Self {
        Self { children: members.into_iter().collect(), ..Self::new(name, Kind::Object) }
    }

    fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            dv: String::new(),
            tag: String::new(),
            children: Vec::new(),
            aggregate: 0,
            window: String::new(),
        }
    }

    /// Sets the validation text.
    #[must_use]
    pub fn valid(mut self, dv: &str) -> Self {
        self.dv = dv.to_owned();
        self
    }

    /// Sets the tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = tag.to_owned();
        self
    }

    fn sync((attribute, sequence): (&Self, u32)) -> Value {
        json!({
            "ln": attribute.name, "dt": attribute.kind.number(), "dv": attribute.dv, "tg": attribute.tag, "sq": sequence,
            "agt": attribute.aggregate, "tw": attribute.window
        })
    }
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Number => 0,
            Self::String => 1,
            Self::Object => 2,
        }
    }
}
