//! A template in the words of the identity messages (IoTConnect device message 2.1, message types 201 to 204).

use serde_json::{Value, json};

use super::{Attribute, Kind, Template};

impl Template {
    /// `att` of 201: one group of all scalars (`p` empty), then one group per object. The window stands at each member.
    pub(crate) fn att21(&self) -> Value {
        let scalars: Vec<_> =
            self.scalars().zip(1..).map(|(scalar, number)| attribute(scalar, scalar, number)).collect();
        let mut groups = Vec::new();
        if !scalars.is_empty() {
            groups.push(json!({"p": "", "dt": 0, "d": scalars}));
        }
        for object in self.objects() {
            let members = object.children.iter().zip(1..);
            let members: Vec<_> = members.map(|(member, number)| attribute(member, object, number)).collect();
            groups.push(json!({"p": object.name, "dt": Kind::Object.v21(), "tg": object.tag, "d": members}));
        }
        Value::Array(groups)
    }

    /// `set` of 202.
    pub(crate) fn set21(&self) -> Value {
        let setting = |setting: &Attribute| json!({"ln": setting.name, "dt": setting.kind.v21(), "dv": setting.dv});
        self.settings.iter().map(setting).collect()
    }

    /// `r` of 203.
    pub(crate) fn r21(&self) -> Value {
        let rules = self
            .rules
            .iter()
            .map(|rule| json!({"g": rule.guid, "es": rule.subscription, "con": rule.condition, "cmd": rule.command}));
        rules.collect()
    }

    /// `d` of 204: the children only.
    pub(crate) fn children21(&self) -> Value {
        self.children.iter().map(|child| json!({"tg": child.tag, "id": child.id})).collect()
    }
}

impl Kind {
    pub(super) fn v21(self) -> u8 {
        match self {
            Self::Integer => 1,
            Self::Long => 2,
            Self::Number | Self::Decimal => 3,
            Self::String => 4,
            Self::Time => 5,
            Self::Date => 6,
            Self::DateTime => 7,
            Self::Bit => 8,
            Self::Boolean => 9,
            Self::LatLong => 10,
            Self::Object => 11,
        }
    }
}

/// `group` is the attribute itself or the object it is a member of.
fn attribute(attribute: &Attribute, group: &Attribute, number: u32) -> Value {
    let window = if attribute.window.is_empty() { &group.window } else { &attribute.window };
    json!({
        "ln": attribute.name, "dt": attribute.kind.v21(), "dv": attribute.dv, "sq": number, "tg": group.tag, "tw": window
    })
}
