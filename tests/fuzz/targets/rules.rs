//! Conditions of edge rules.

#![no_main]

use edgeplug_protocol::definition::Rule;
use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::rules::Condition;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry::{encode_edge, rule_match};
use edgeplug_protocol::template::{Attribute, DataType, Device, Scalar, Template};
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::version::Version;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let condition = match Condition::parse(text) {
        Ok(condition) => condition,
        Err(error) => {
            assert!(error.at >= 1 && error.at <= text.chars().count() + 1, "{error}");
            return drop(error.to_string());
        }
    };
    let scalar = |data_type| Scalar { data_type, ..Scalar::default() };
    let mut template = Template::new(Version::V21, "CP", "D", vec![Device { id: "GW".into(), tag: "gw".into() }]);
    for (name, data_type) in [("temp", DataType::Decimal), ("mode", DataType::String), ("on", DataType::Boolean)] {
        template.declare("gw", name, Attribute::Scalar(scalar(data_type)));
    }
    template.declare("gw", "gyro", Attribute::Object([("x".to_owned(), scalar(DataType::Integer))].into()));
    let values = json!({"temp": 21.5, "mode": "fast", "on": true, "gyro": {"x": 3}});
    let values = values.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    let samples = [Sample { device: None, time: None, values }];
    let (sdk, now) = (Sdk::new("M_PYTHON", "poc"), Timestamp::from_unix_ms(1_795_392_000_000));
    let encoded = encode_edge(&template, &sdk, &samples, &now);
    let [sample] = encoded.valid.as_slice() else { panic!("the sample is valid") };
    if let Some(matched) = condition.evaluate(sample) {
        assert!(!matched.named.is_empty(), "true of nothing");
        let rule = Rule { guid: "R".into(), event_subscription: Some("E".into()), condition: text.into(), command: None };
        edgeplug_fuzz::check(
            &rule_match(&template, &sdk, &rule, sample, &matched, &now).expect("a match makes a body"),
        );
    }
});
