//! What it costs to make messages of one sample of ten values, in both protocols, and to evaluate a rule on it, beside
//! `serde_json::to_vec` of the very same bodies. A body of ours comes out of a judged sample; `serde_json` is given the
//! finished tree.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context as _;
use edgeplug_protocol::definition::Rule;
use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::rules::Condition;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry::{Body, encode, encode_edge, rule_match};
use edgeplug_protocol::template::{Attribute, DataType, Device, Scalar, Template};
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::validation::ValidValues;
use edgeplug_protocol::version::Version;
use serde_json::{Value, json};

use crate::figures::median;
use crate::message::{CPID, ENVIRONMENT, LANGUAGE, UNIQUE_ID};

pub(crate) const ROUNDS: usize = 15;
pub(crate) const CALLS: u32 = 20_000;
/// Four terms of four attributes; true of the sample, so that all of it is evaluated.
const CONDITION: &str = "r0 > 20 AND (r1 <= 1 OR r2 != 7) AND r3 < 1000";

/// Nanoseconds each.
#[derive(Default)]
pub(crate) struct Protocol {
    pub(crate) legacy: Figures,
    pub(crate) v21: Figures,
    /// A condition of four terms on a judged sample.
    pub(crate) rule_ns: f64,
}

#[derive(Default)]
pub(crate) struct Figures {
    /// Bytes of the report.
    pub(crate) bytes: usize,
    pub(crate) encode_ns: f64,
    pub(crate) serde_json_ns: f64,
    /// The middle of the rounds' ratios.
    pub(crate) encode_ratio: f64,
    /// An edge device's sample: judged, a rule evaluated, the match's body made.
    pub(crate) rule_match_ns: f64,
    pub(crate) rule_match_serde_json_ns: f64,
}

pub(crate) fn measure() -> anyhow::Result<Protocol> {
    let mut rule_ns = f64::NAN;
    let mut figures = |version| -> anyhow::Result<Figures> {
        let (figures, rule) = of(version)?;
        rule_ns = rule;
        Ok(figures)
    };
    Ok(Protocol { legacy: figures(Version::Legacy)?, v21: figures(Version::V21)?, rule_ns })
}

/// All in turn, round by round, so that noise hits them alike.
fn of(version: Version) -> anyhow::Result<(Figures, f64)> {
    let data_type = if version == Version::Legacy { DataType::Number } else { DataType::Decimal };
    let mut template = Template::new(
        version,
        CPID,
        "891ed197-9621-44ea-819c-e7b2d40afafe",
        vec![Device { id: UNIQUE_ID.to_owned(), tag: String::new() }],
    );
    let values: Vec<(String, Value)> =
        (0..crate::guest::READINGS).map(|n| (format!("r{n}"), json!(20.01 + n as f64))).collect();
    for (name, _) in &values {
        let scalar = Scalar { data_type, valid: ValidValues::parse("-40 to 125"), ..Scalar::default() };
        template.declare("", name, Attribute::Scalar(scalar));
    }
    let sdk = Sdk::new(LANGUAGE, ENVIRONMENT);
    let now = Timestamp::from_unix_ms(1_795_392_000_123);
    let samples = [Sample { device: None, time: Some(now.clone()), values }];
    let rule =
        Rule { guid: "R1".into(), event_subscription: Some("E1".into()), condition: CONDITION.into(), command: None };
    let condition = Condition::parse(CONDITION)?;

    let matched = || -> Option<Body> {
        let encoded = encode_edge(&template, &sdk, &samples, &now);
        let sample = encoded.valid.first()?;
        let matched = condition.evaluate(sample)?;
        rule_match(&template, &sdk, &rule, sample, &matched, &now)
    };
    let report = encode(&template, &sdk, &samples, &now).report.context("the sample makes no report")?;
    let report_tree: Value = serde_json::from_slice(report.bytes())?;
    let match_tree: Value = serde_json::from_slice(matched().context("the rule does not match")?.bytes())?;
    let judged = encode_edge(&template, &sdk, &samples, &now);
    let judged = judged.valid.first().context("the sample is not valid")?;

    let (mut encode_ns, mut serde_json_ns, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut match_ns, mut match_serde_json_ns, mut rule_ns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let ours = per_call_ns(|| drop(black_box(encode(&template, &sdk, black_box(&samples), &now))));
        let theirs = per_call_ns(|| drop(black_box(serde_json::to_vec(black_box(&report_tree)))));
        encode_ns.push(ours);
        serde_json_ns.push(theirs);
        ratios.push(ours / theirs);
        match_ns.push(per_call_ns(|| drop(black_box(matched()))));
        match_serde_json_ns.push(per_call_ns(|| drop(black_box(serde_json::to_vec(black_box(&match_tree))))));
        rule_ns.push(per_call_ns(|| drop(black_box(condition.evaluate(black_box(judged))))));
    }
    let figures = Figures {
        bytes: report.bytes().len(),
        encode_ns: median(encode_ns),
        serde_json_ns: median(serde_json_ns),
        encode_ratio: median(ratios),
        rule_match_ns: median(match_ns),
        rule_match_serde_json_ns: median(match_serde_json_ns),
    };
    Ok((figures, median(rule_ns)))
}

fn per_call_ns(mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}
