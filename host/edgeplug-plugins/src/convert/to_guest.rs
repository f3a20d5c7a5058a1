//! The protocol's own values on their way back to a guest, for `transform` and `device.template`.

use edgeplug_protocol::model::{DeviceModel, Kind};
use edgeplug_protocol::sample::Sample;
use serde_json::Value;

use crate::bindings::{device, types};

/// The sample as a guest sees it, or why it cannot: samples of local programs may hold values that the interface has no
/// type for. A number that is none came in as a text and goes out as one.
pub(crate) fn sample(sample: &Sample) -> Result<types::Sample, String> {
    let time = sample.time.as_ref().map(|time| {
        let unix_ms = time.unix_ms();
        let nanoseconds = u32::try_from(unix_ms.rem_euclid(1000) * 1_000_000).unwrap_or(0);
        types::Moment { seconds: unix_ms.div_euclid(1000), nanoseconds }
    });
    let values = sample
        .values
        .iter()
        .map(|(name, held)| match value(held) {
            Some(value) => Ok((name.clone(), value)),
            None => Err(format!("{name:?} holds a value that plugins have no type for")),
        })
        .collect::<Result<_, String>>()?;
    Ok(types::Sample { device: sample.device.clone(), time, values })
}

fn value(value: &Value) -> Option<types::Value> {
    Some(match value {
        Value::Array(place) => match place.as_slice() {
            [latitude, longitude] => {
                types::Value::LatLong(types::LatLong { latitude: latitude.as_f64()?, longitude: longitude.as_f64()? })
            }
            _ => return None,
        },
        Value::Object(members) => types::Value::Object(
            members.iter().map(|(name, held)| Some((name.clone(), scalar(held)?))).collect::<Option<_>>()?,
        ),
        held => match scalar(held)? {
            types::Scalar::Boolean(held) => types::Value::Boolean(held),
            types::Scalar::Integer(held) => types::Value::Integer(held),
            types::Scalar::Number(held) => types::Value::Number(held),
            types::Scalar::Text(held) => types::Value::Text(held),
        },
    })
}

fn scalar(value: &Value) -> Option<types::Scalar> {
    Some(match value {
        Value::Bool(held) => types::Scalar::Boolean(*held),
        Value::Number(held) => match held.as_i64() {
            Some(held) => types::Scalar::Integer(held),
            // Past 63 bits: nearer as a number than not at all would be a lie.
            None if held.is_u64() => return None,
            None => types::Scalar::Number(held.as_f64()?),
        },
        Value::String(held) => types::Scalar::Text(held.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    })
}

/// The device template as a guest sees it.
pub(crate) fn model(model: &DeviceModel) -> device::Model {
    let DeviceModel { attributes, children, settings, frequency_s, edge } = model;
    let member = |member: &edgeplug_protocol::model::Member| device::Member {
        name: member.name.clone(),
        kind: kind(member.kind),
        validity: member.validity.clone(),
    };
    let attribute = |attribute: &edgeplug_protocol::model::Attribute| device::Attribute {
        name: attribute.name.clone(),
        kind: kind(attribute.kind),
        validity: attribute.validity.clone(),
        tag: attribute.tag.clone(),
        members: attribute.members.iter().map(member).collect(),
    };
    let setting = |setting: &edgeplug_protocol::model::Setting| device::Setting {
        name: setting.name.clone(),
        kind: kind(setting.kind),
        validity: setting.validity.clone(),
    };
    let child = |child: &edgeplug_protocol::model::Child| device::Child {
        unique_id: child.unique_id.clone(),
        tag: child.tag.clone(),
    };
    device::Model {
        attributes: attributes.iter().map(attribute).collect(),
        children: children.iter().map(child).collect(),
        settings: settings.iter().map(setting).collect(),
        frequency_s: *frequency_s,
        edge: *edge,
    }
}

fn kind(kind: Kind) -> device::Kind {
    match kind {
        Kind::Boolean => device::Kind::Boolean,
        Kind::Bit => device::Kind::Bit,
        Kind::Integer => device::Kind::Integer,
        Kind::Long => device::Kind::Long,
        Kind::Number => device::Kind::Number,
        Kind::Text => device::Kind::Text,
        Kind::Date => device::Kind::Date,
        Kind::Time => device::Kind::Time,
        Kind::DateTime => device::Kind::DateTime,
        Kind::LatLong => device::Kind::LatLong,
        Kind::Object => device::Kind::Object,
    }
}
