//! Valid values as typed at the portal, and values against them: the first byte is the type, then come the `dv` to the end
//! of the line, and a value, as JSON or as a text.

#![no_main]

use std::collections::HashMap;

use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry::{encode, encode_edge};
use edgeplug_protocol::template::{Attribute, DataType, Device, Scalar, Template};
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::validation::ValidValues;
use edgeplug_protocol::version::Version;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let Some((line, value)) = text.split_once('\n') else { return };
    let Some(number) = line.chars().next() else { return };
    let dv = &line[number.len_utf8()..];
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    for version in [Version::Legacy, Version::V21] {
        let scalar = Scalar {
            data_type: DataType::from_wire(version, i64::from(u32::from(number)) - i64::from(b'0')),
            valid: ValidValues::parse(dv),
            decimals: number.is_uppercase().then_some(2),
            ..Scalar::default()
        };
        let mut template = Template::new(version, "CP", "D", vec![Device { id: "GW".into(), tag: String::new() }]);
        template.declare("", "v", Attribute::Scalar(scalar.clone()));
        template.declare("", "o", Attribute::Object(HashMap::from([("v".to_owned(), scalar)])));
        let object: Value = [("v".to_owned(), value.clone())].into_iter().collect::<serde_json::Map<_, _>>().into();
        let values = vec![("v".to_owned(), value.clone()), ("o".to_owned(), object)];
        let samples = [Sample { device: None, time: None, values }];
        let (sdk, now) = (Sdk::new("M_PYTHON", "poc"), Timestamp::from_unix_ms(1_795_392_000_000));
        let encoded = encode(&template, &sdk, &samples, &now);
        let bodies = usize::from(encoded.report.is_some()) + usize::from(encoded.fault.is_some());
        assert!(bodies + encoded.dropped.len() > 0, "lost silently");
        encoded.report.iter().chain(&encoded.fault).for_each(edgeplug_fuzz::check);
        let edge = encode_edge(&template, &sdk, &samples, &now);
        let valid = edge.valid.iter().map(|sample| sample.values.len()).sum::<usize>();
        assert!(valid + usize::from(edge.fault.is_some()) + edge.dropped.len() > 0, "lost silently");
        edge.fault.iter().for_each(edgeplug_fuzz::check);
    }
});
