//! `SECTION9.md` names a test for every wire vector, those tests exist, and what neither a vector file nor another test
//! says is said here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use edgeplug_protocol::definition::Rounding;
use edgeplug_protocol::legacy::sync::SyncReply;
use edgeplug_protocol::time::Timestamp;
use serde_json::{Value, json};

/// The vectors this device owes: L1 to L38, and of 2.1 those that are not about another library's interface.
fn owed() -> Vec<String> {
    let v21 = (1..=8).chain(10..=13).chain(16..=26);
    (1..=38).map(|number| format!("L{number}")).chain(v21.map(|number| format!("N{number}"))).collect()
}

/// The table: for each vector what stands in backticks in its row.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECTION9.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| L") || line.starts_with("| N")) {
        let (number, rest) = line.trim_start_matches("| ").split_once(" |").unwrap();
        let named = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(rows.insert(number.to_owned(), named), None, "{number} has two rows");
    }
    rows
}

/// Ids of every case of ours, and of those in `section9.jsonl`.
fn case_ids() -> (BTreeSet<String>, BTreeSet<String>) {
    let ids = |path: &Path| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let id = |line: &str| {
            let case: Value = serde_json::from_str(line).unwrap();
            case.get("id").and_then(Value::as_str).unwrap().to_owned()
        };
        text.lines().map(id).collect()
    };
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let all = fs::read_dir(&cases).unwrap().flat_map(|entry| ids(&entry.unwrap().path())).collect();
    (all, ids(&cases.join("section9.jsonl")).into_iter().collect())
}

#[test]
fn every_vector_has_a_row_and_every_row_a_proof() {
    let rows = table();
    let owed = owed();
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), owed.into_iter().collect());
    for (number, named) in rows {
        assert!(!named.is_empty(), "{number} names no test");
    }
}

#[test]
fn every_case_of_the_table_exists_and_every_case_is_in_the_table() {
    let (all, of_section) = case_ids();
    let mut named = BTreeSet::new();
    for (number, tests) in table() {
        for id in tests.into_iter().filter(|test| !test.contains("::")) {
            assert!(all.contains(&id), "{number} names the case {id}, which is nowhere");
            let begins_with_number = id == number || id.starts_with(&format!("{number}-"));
            assert!(begins_with_number, "{number} names the case {id} of another vector");
            named.insert(id);
        }
    }
    assert_eq!(named, of_section);
}

#[test]
fn every_test_of_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (number, tests) in table() {
        for test in tests.iter().filter(|test| test.contains("::")) {
            let (file, name) = test.rsplit_once("::").unwrap();
            let text = fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{number}: {file}: {e}"));
            assert!(text.contains(&format!("#[test]\nfn {name}() {{")), "{number}: no test {name} in {file}");
        }
    }
}

/// Vector L5.
#[test]
fn a_good_sync_without_devices_and_attributes_is_read() {
    let reply = json!({"d": {
        "sc": {"hb": null, "log": null, "sf": 5, "df": 30},
        "p": {"n": "mqtt", "h": "poc-iotconnect-iothub-eu.azure-devices.net", "p": 8883, "id": "CP-GW",
              "un": "poc-iotconnect-iothub-eu.azure-devices.net/CP-GW/?api-version=2018-06-30", "pwd": "",
              "pub": "devices/CP-GW/messages/events/", "sub": "devices/CP-GW/messages/devicebound/#"},
        "d": null, "att": null, "set": null, "r": null, "ota": null,
        "dtg": "891ed197-9621-44ea-819c-e7b2d40afafe", "cpId": "CP", "rc": 0, "ee": 0, "at": 2, "ds": 0,
    }});
    let Ok(SyncReply::Ready(sync)) = SyncReply::parse(200, reply.to_string().as_bytes()) else { panic!("not ready") };
    let hub = &sync.hub;
    assert_eq!((hub.host.as_str(), hub.port), ("poc-iotconnect-iothub-eu.azure-devices.net", 8883));
    assert_eq!(hub.client_id, "CP-GW");
    assert_eq!(hub.topics.report, "devices/CP-GW/messages/events/");
    assert_eq!(hub.topics.devicebound, "devices/CP-GW/messages/devicebound/#");
    assert_eq!(sync.frequency_s, 30);
    assert_eq!(sync.template(&Rounding::new()).id, "891ed197-9621-44ea-819c-e7b2d40afafe");
    assert!(sync.devices.is_empty() && sync.groups.is_empty());
    assert!(sync.settings.is_empty() && sync.rules.is_empty() && sync.pending_ota.is_none());
}

/// Vector N10. The library of the vector cuts the fraction off (`.000Z`); ours keeps milliseconds, as in the bodies of
/// the SDKs, so that the moment to the second is compared.
#[test]
fn a_moment_in_unix_seconds_is_written_in_utc() {
    let whole = Timestamp::from_unix(1_744_830_740, 0).unwrap();
    assert_eq!(whole.as_str(), "2025-04-16T19:12:20.000Z");
    let with_fraction = Timestamp::from_unix(1_744_830_740, 478_986_000).unwrap();
    assert_eq!(with_fraction.as_str(), "2025-04-16T19:12:20.478Z");
}
