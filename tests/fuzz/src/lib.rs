//! What several targets ask of what they were given.
//!
//! A target panics where a promise is broken; that the parsers themselves neither panic nor hang, libFuzzer sees.

use edgeplug_protocol::definition::{Definition, Rounding};
use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::rules::Condition;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry::{Body, encode, encode_edge};
use edgeplug_protocol::time::Timestamp;
use serde_json::{Value, json};

/// A definition the cloud made: it survives the disk, and everything that is built from it can be built and used.
pub fn try_out(definition: &Definition) {
    let kept = serde_json::to_vec(definition).expect("a definition is JSON");
    let read: Definition = serde_json::from_slice(&kept).expect("what was kept can be read");
    assert_eq!(read, *definition, "a definition changes on disk");

    let model = definition.model();
    assert!(model.attributes.len() <= definition.groups.iter().map(|group| group.attributes.len().max(1)).sum());
    for setting in &definition.settings {
        assert!(definition.setting(&setting.name).is_some());
    }
    for rule in &definition.rules {
        let _ = Condition::parse(&rule.condition).map_err(|error| error.to_string());
    }

    let template = definition.template(&Rounding::new());
    let values: Vec<_> = model
        .attributes
        .iter()
        .flat_map(|attribute| {
            [json!(1), json!("x"), json!({"x": 1.5}), Value::Null].map(|value| (attribute.name.clone(), value))
        })
        .collect();
    let samples: Vec<_> = template
        .devices
        .iter()
        .take(3)
        .map(|device| Sample { device: Some(device.id.clone()), time: None, values: values.clone() })
        .collect();
    let (sdk, now) = (Sdk::new("M_PYTHON", "poc"), Timestamp::from_unix_ms(1_795_392_000_000));
    let encoded = encode(&template, &sdk, &samples, &now);
    encoded.report.iter().chain(&encoded.fault).for_each(check);
    encode_edge(&template, &sdk, &samples, &now).fault.iter().for_each(check);
}

/// A body of ours: JSON of its kind that can be read back from the store.
pub fn check(body: &Body) {
    let parsed: Value = serde_json::from_slice(body.bytes()).expect("a body is JSON");
    assert!(parsed["d"].as_array().is_some_and(|entries| !entries.is_empty()));
    if body.bytes().len() <= edgeplug_protocol::azure::hub::D2C_BYTES_MAX {
        let read = Body::read(body.version(), body.kind(), body.bytes().clone());
        assert_eq!(read.as_ref(), Some(body), "a body is not what was stored");
    }
}
