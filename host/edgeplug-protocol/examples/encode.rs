//! What it costs to make messages: `cargo run --release -p edgeplug-protocol --example encode`.

use std::hint::black_box;

use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry::{Body, encode, merge};
use edgeplug_protocol::template::{Attribute, DataType, Device, Scalar, Template};
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::validation::ValidValues;
use edgeplug_protocol::version::Version;

const ROUNDS: u32 = 200_000;

fn main() {
    let mut template = Template::new(Version::Legacy, "CP", "D", vec![Device { id: "GW".into(), tag: String::new() }]);
    for n in 0..10 {
        let scalar = Scalar { data_type: DataType::Number, valid: ValidValues::parse(""), ..Scalar::default() };
        template.declare("", &format!("reading{n}"), Attribute::Scalar(scalar));
    }
    let sdk = Sdk::new("M_PYTHON", "poc");
    let now = Timestamp::from_unix_ms(1_795_392_000_000);
    let values =
        |range: std::ops::Range<u32>| range.map(|n| (format!("reading{n}"), (20.5 + f64::from(n)).into())).collect();
    let one_sample = [Sample { device: None, time: None, values: values(0..10) }];
    let ten_samples: Vec<_> = (0..10).map(|n| Sample { device: None, time: None, values: values(n..n + 1) }).collect();
    measure("encode one sample of ten values", || drop(black_box(encode(&template, &sdk, &one_sample, &now))));
    measure("encode ten samples of one value", || drop(black_box(encode(&template, &sdk, &ten_samples, &now))));
    let Some(body) = encode(&template, &sdk, &one_sample, &now).report else { return };
    println!("{} bytes", body.bytes().len());
    measure("find the parts of a stored body", || {
        drop(black_box(Body::read(body.version(), body.kind(), body.bytes().clone())))
    });
    let bodies = vec![body; 10];
    measure("merge ten bodies", || drop(black_box(merge(bodies.iter(), false))));
    measure("write a time", || drop(black_box(Timestamp::from_unix_ms(black_box(1_795_392_000_123)))));
}

fn measure(what: &str, mut round: impl FnMut()) {
    let started = cpu_ns();
    for _ in 0..ROUNDS {
        round();
    }
    println!("{what}: {} ns of processor time", (cpu_ns() - started) / u64::from(ROUNDS));
}

/// What this thread has used of the processor, whatever else runs on it.
fn cpu_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
}
