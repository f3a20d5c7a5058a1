//! Values from a guest, checked and capped, become the protocol's own.
//!
//! What must stay true: no count, name or text from a guest passes without a limit, and a sample that breaks one is
//! refused alone, with a reason that names it.

pub(crate) mod to_guest;

use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;
use serde_json::{Map, Number, Value};

use crate::bindings::types;

/// Samples in one list. At a hundred samples a second that is ten seconds' worth.
const SAMPLES_MAX: usize = 1000;
/// Attributes of one sample; the cloud's templates are far smaller.
const VALUES_MAX: usize = 256;
const MEMBERS_MAX: usize = 256;
const NAME_LEN_MAX: usize = 128;
const TEXT_LEN_MAX: usize = 64 << 10;
/// Names, texts and values of one list: with envelope it still fits the largest message that the cloud takes, which is
/// 256 KB (Azure IoT Hub quotas, device-to-cloud messaging).
const LIST_LEN_MAX: usize = 240_000;
/// What a value counts beside its texts.
const VALUE_LEN: usize = 16;

/// Whether a list of samples is small enough to be looked at one by one.
pub(crate) fn check_list(samples: &[types::Sample]) -> Result<(), String> {
    if samples.len() > SAMPLES_MAX {
        return Err(format!("{} samples at once; at most {SAMPLES_MAX} are taken", samples.len()));
    }
    let len = samples.iter().map(sample_len).fold(0, usize::saturating_add);
    if len > LIST_LEN_MAX {
        return Err(format!("{} KB at once are larger than one message; send fewer at once", len / 1000));
    }
    Ok(())
}

fn sample_len(sample: &types::Sample) -> usize {
    let value_len = |value: &types::Value| match value {
        types::Value::Text(text) => text.len(),
        types::Value::Object(members) => members
            .iter()
            .map(|(member, held)| {
                let text_len = if let types::Scalar::Text(text) = held { text.len() } else { 0 };
                member.len() + VALUE_LEN + text_len
            })
            .fold(0, usize::saturating_add),
        types::Value::LatLong(_) => VALUE_LEN,
        types::Value::Boolean(_) | types::Value::Integer(_) | types::Value::Number(_) => 0,
    };
    let device_len = sample.device.as_ref().map_or(0, String::len);
    sample
        .values
        .iter()
        .map(|(name, value)| name.len() + VALUE_LEN + value_len(value))
        .fold(device_len, usize::saturating_add)
}

/// Takes one sample of a list that was checked, or says in words why not.
pub(crate) fn sample(sample: types::Sample) -> Result<Sample, String> {
    let types::Sample { device, time, values } = sample;
    let device = device.map(|device| name("the device's unique id", device)).transpose()?;
    let time = time
        .map(|moment| Timestamp::from_unix(moment.seconds, moment.nanoseconds))
        .transpose()
        .map_err(|error| error.to_string())?;
    if values.is_empty() {
        return Err("a sample needs at least one value".to_owned());
    }
    if values.len() > VALUES_MAX {
        return Err(format!("a sample holds at most {VALUES_MAX} values, not {}", values.len()));
    }
    let values = values
        .into_iter()
        .map(|(attribute, held)| {
            let attribute = name("an attribute's name", attribute)?;
            let held = value(&attribute, held)?;
            Ok((attribute, held))
        })
        .collect::<Result<_, String>>()?;
    Ok(Sample { device, time, values })
}

fn name(what: &str, name: String) -> Result<String, String> {
    match name.len() {
        0 => Err(format!("{what} is empty")),
        1..=NAME_LEN_MAX if !name.chars().any(char::is_control) => Ok(name),
        1..=NAME_LEN_MAX => Err(format!("{what} holds control characters: {name:?}")),
        len => Err(format!("{what} has {len} bytes; at most {NAME_LEN_MAX} are taken")),
    }
}

fn value(attribute: &str, value: types::Value) -> Result<Value, String> {
    Ok(match value {
        types::Value::Boolean(held) => Value::Bool(held),
        types::Value::Integer(held) => Value::from(held),
        types::Value::Number(held) => number(held),
        types::Value::Text(held) => text(attribute, held)?,
        types::Value::LatLong(place) => Value::Array(vec![number(place.latitude), number(place.longitude)]),
        types::Value::Object(members) => object(attribute, members)?,
    })
}

fn object(attribute: &str, members: Vec<(String, types::Scalar)>) -> Result<Value, String> {
    if members.len() > MEMBERS_MAX {
        return Err(format!("{attribute:?} has {} members; at most {MEMBERS_MAX} are taken", members.len()));
    }
    let mut object = Map::with_capacity(members.len());
    for (member, held) in members {
        let member = name("a member's name", member)?;
        let held = match held {
            types::Scalar::Boolean(held) => Value::Bool(held),
            types::Scalar::Integer(held) => Value::from(held),
            types::Scalar::Number(held) => number(held),
            types::Scalar::Text(held) => text(attribute, held)?,
        };
        if object.contains_key(&member) {
            return Err(format!("{attribute:?} has the member {member:?} twice"));
        }
        object.insert(member, held);
    }
    Ok(Value::Object(object))
}

fn text(attribute: &str, text: String) -> Result<Value, String> {
    if text.len() > TEXT_LEN_MAX {
        return Err(format!("{attribute:?} has {} bytes of text; at most {TEXT_LEN_MAX} are taken", text.len()));
    }
    Ok(Value::String(text))
}

/// JSON has no way to write what is no number; these texts are taken by no numeric attribute, so the template turns
/// them into faults that a person can read.
fn number(number: f64) -> Value {
    let unwritable = || {
        if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "inf"
        } else {
            "-inf"
        }
    };
    Number::from_f64(number).map_or_else(|| Value::from(unwritable()), Value::Number)
}

#[cfg(test)]
mod tests;
