//! Device templates: attributes, settings, children and rules as an operator lays them out in the portal. The two protocols
//! say the same template in different words: `template/legacy.rs` and `template/v21.rs`.

use serde::{Deserialize, Serialize};

mod legacy;
mod v21;

/// A device template: what the device is told of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Template {
    /// The template's guid (legacy `dtg`).
    pub guid: String,
    /// The template's code (2.1 `cd`).
    pub code: String,
    /// The gateway's own tag; empty for a device that is no gateway.
    pub tag: String,
    /// Data frequency (`df`) in seconds; 0 is unlimited.
    pub data_frequency_s: u32,
    /// Whether it is an edge device (`ee`, `edge`).
    pub edge: bool,
    /// Attributes of all tags.
    pub attributes: Vec<Attribute>,
    /// Twin settings.
    pub settings: Vec<Attribute>,
    /// Child devices, without the gateway.
    pub children: Vec<Child>,
    /// Rules of an edge device.
    pub rules: Vec<Rule>,
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

/// A rule that an edge device evaluates by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its guid (`g`), which a match carries as `rg`.
    pub guid: String,
    /// Its event subscription's guid (`es`), which a match carries as `sg`.
    pub subscription: String,
    /// The condition (`con`), such as `temp > 20 AND gyro.x = 1`.
    pub condition: String,
    /// The command it triggers on the device itself; empty for none.
    #[serde(default)]
    pub command: String,
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
    /// Aggregates of a legacy edge device, as the bit mask of `agt` (1 min, 2 max, 4 sum, 8 average, 16 count, 32 latest).
    #[serde(default)]
    pub aggregate: u8,
    /// Tumbling window of an edge device, such as `10s`. Members of an OBJECT without one have the object's.
    #[serde(default)]
    pub window: String,
}

/// Data types of both protocols. The legacy one knows three; it gets the one that takes the same values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// Legacy 0; DECIMAL in 2.1.
    #[default]
    Number,
    /// Legacy 1, 2.1 4.
    String,
    /// Legacy 2, 2.1 11.
    Object,
    /// 2.1 1.
    Integer,
    /// 2.1 2.
    Long,
    /// 2.1 3.
    Decimal,
    /// 2.1 5, `HH:MM:SS`.
    Time,
    /// 2.1 6, `YYYY-MM-DD`.
    Date,
    /// 2.1 7, `YYYY-MM-DDTHH:MM:SS.000Z`.
    DateTime,
    /// 2.1 8, 0 or 1.
    Bit,
    /// 2.1 9.
    Boolean,
    /// 2.1 10, `[latitude, longitude]`.
    LatLong,
}

impl Default for Template {
    fn default() -> Self {
        Self {
            guid: "ad4a5b15-35f0-4ab9-815e-c0b584bc9ea4".to_owned(),
            code: "XG4E2CA".to_owned(),
            tag: String::new(),
            data_frequency_s: 0,
            edge: false,
            attributes: Vec::new(),
            settings: Vec::new(),
            children: Vec::new(),
            rules: Vec::new(),
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

    /// The tag of `id`: the gateway's own, or a child's; `None` for a stranger.
    pub(crate) fn tag_of(&self, unique_id: &str, id: &str) -> Option<&str> {
        let child = self.children.iter().find(|child| child.id == id).map(|child| child.tag.as_str());
        child.or((id == unique_id).then_some(self.tag.as_str()))
    }

    /// The attribute `name` of the devices of `tag`.
    pub(crate) fn attribute(&self, tag: &str, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name && attribute.tag == tag)
    }

    fn scalars(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| attribute.kind != Kind::Object)
    }

    fn objects(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| attribute.kind == Kind::Object)
    }
}

impl Kind {
    /// Whether a legacy report has a number for it.
    pub(crate) fn is_number(self) -> bool {
        self.legacy() == 0
    }
}

impl Rule {
    /// A rule whose match carries `guid` and a subscription made of it.
    #[must_use]
    pub fn new(guid: &str, condition: &str) -> Self {
        Self {
            guid: guid.to_owned(),
            subscription: format!("{guid}-subscription"),
            condition: condition.to_owned(),
            command: String::new(),
        }
    }

    /// Sets the command it triggers on the device.
    #[must_use]
    pub fn command(mut self, command: &str) -> Self {
        self.command = command.to_owned();
        self
    }
}

impl Attribute {
    /// A NUMBER.
    #[must_use]
    pub fn number(name: &str) -> Self {
        Self::of(Kind::Number, name)
    }

    /// A STRING.
    #[must_use]
    pub fn string(name: &str) -> Self {
        Self::of(Kind::String, name)
    }

    /// An OBJECT with its members.
    #[must_use]
    pub fn object(name: &str, members: impl IntoIterator<Item = Self>) -> Self {
        Self { children: members.into_iter().collect(), ..Self::of(Kind::Object, name) }
    }

    /// An attribute of any type.
    #[must_use]
    pub fn of(kind: Kind, name: &str) -> Self {
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

    /// Sets the tumbling window, such as `2s`.
    #[must_use]
    pub fn window(mut self, window: &str) -> Self {
        self.window = window.to_owned();
        self
    }

    /// Sets the aggregates of a legacy edge device, a bit mask.
    #[must_use]
    pub fn aggregate(mut self, mask: u8) -> Self {
        self.aggregate = mask;
        self
    }
}
