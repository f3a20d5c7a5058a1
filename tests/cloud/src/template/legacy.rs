//! A template in the words of sync (IoTConnect device message 1.0, "sync").

use serde_json::{Value, json};

use super::{Attribute, Kind, Template};

/// Stands for every attribute's own guid, which devices do not use.
const ATTRIBUTE_GUID: &str = "5b2fd7a4-6b57-4a43-a4cd-40c2a7d3e9d1";

impl Template {
    /// `att`: one group of all scalars (`p` empty), then one group per object.
    pub(crate) fn att(&self) -> Value {
        let scalars: Vec<_> = self.scalars().zip(1..).map(attribute).collect();
        let mut groups = Vec::new();
        if !scalars.is_empty() {
            groups.push(json!({"p": "", "dt": null, "agt": 0, "tw": "", "tg": "", "d": scalars}));
        }
        for object in self.objects() {
            let members: Vec<_> = object
                .children
                .iter()
                .map(|member| Attribute { tag: object.tag.clone(), ..member.clone() })
                .zip(1..)
                .map(|(member, sequence)| attribute((&member, sequence)))
                .collect();
            groups.push(json!({
                "p": object.name, "dt": 2, "agt": object.aggregate, "tw": object.window, "tg": object.tag, "d": members
            }));
        }
        Value::Array(groups)
    }

    /// `set`; null when there is none, as in every sample seen.
    pub(crate) fn set(&self) -> Value {
        if self.settings.is_empty() {
            return Value::Null;
        }
        let setting = |setting: &Attribute| json!({"ln": setting.name, "dt": setting.kind.legacy(), "dv": setting.dv});
        self.settings.iter().map(setting).collect()
    }

    /// `r`.
    pub(crate) fn r(&self) -> Value {
        let rules = self.rules.iter().map(|rule| {
            json!({
                "g": rule.guid, "es": rule.subscription, "con": rule.condition, "att": [{"g": [ATTRIBUTE_GUID]}],
                "cmd": rule.command
            })
        });
        rules.collect()
    }

    /// `d`: the gateway first, then its children.
    pub(crate) fn devices(&self, unique_id: &str) -> Value {
        std::iter::once((unique_id, self.tag.as_str()))
            .chain(self.children.iter().map(|child| (child.id.as_str(), child.tag.as_str())))
            .map(|(id, tag)| json!({"tg": tag, "id": id, "s": 0}))
            .collect()
    }
}

impl Kind {
    pub(super) fn legacy(self) -> u8 {
        match self {
            Self::Number | Self::Integer | Self::Long | Self::Decimal | Self::Bit | Self::Boolean => 0,
            Self::String | Self::Time | Self::Date | Self::DateTime | Self::LatLong => 1,
            Self::Object => 2,
        }
    }
}

fn attribute((attribute, sequence): (&Attribute, u32)) -> Value {
    json!({
        "ln": attribute.name, "dt": attribute.kind.legacy(), "dv": attribute.dv, "tg": attribute.tag, "sq": sequence,
        "agt": attribute.aggregate, "tw": attribute.window
    })
}
