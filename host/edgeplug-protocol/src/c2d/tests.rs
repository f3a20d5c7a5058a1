use proptest::prelude::*;
use serde_json::json;

use super::*;

fn device(id: &str, tag: &str) -> Device {
    Device { id: id.into(), tag: tag.into() }
}

fn family() -> Vec<Device> {
    vec![device("GW", "gw"), device("C1", "c"), device("C2", "c"), device("CP-X", "x")]
}

fn file(url: &str, tag: Option<&str>, unique_id: Option<&str>) -> OtaFile {
    OtaFile { url: url.into(), name: None, tag: tag.map(Into::into), unique_id: unique_id.map(Into::into) }
}

fn update(files: Vec<OtaFile>) -> Ota {
    Ota {
        text: "ota".into(),
        ack_id: Some("a".into()),
        guid: None,
        software: String::new(),
        hardware: String::new(),
        files,
    }
}

#[test]
fn a_command_finds_its_device_in_every_spelling() {
    let addressed =
        |id: Option<&str>| Command { text: "x".into(), unique_id: id.map(Into::into), ack_id: None, ack_wanted: false };
    let devices = family();
    for (id, target) in [
        (None, Target::Device),
        (Some("GW"), Target::Device),
        (Some("CP-GW"), Target::Device),
        (Some("cp-GW"), Target::Device),
        (Some("C1"), Target::Child("C1")),
        (Some("CP-C1"), Target::Child("C1")),
        (Some("CP-X"), Target::Child("CP-X")),
        (Some("CP-CP-X"), Target::Child("CP-X")),
        (Some("X"), Target::Unknown("X")),
        (Some("CPGW"), Target::Unknown("CPGW")),
        (Some("CP-"), Target::Unknown("CP-")),
        (Some("CP-C"), Target::Unknown("CP-C")),
        (Some("C"), Target::Unknown("C")),
        (Some("\u{1f980}"), Target::Unknown("\u{1f980}")),
    ] {
        assert_eq!(addressed(id).target("CP", "GW", &devices), target, "{id:?}");
    }
    assert_eq!(addressed(Some("GW")).target("CP", "GW", &[]), Target::Device, "before the first definition");
}

#[test]
fn every_target_of_an_update_is_owed_one_acknowledgement() {
    let devices = family();
    for (files, targets) in [
        (vec![file("u", None, None)], vec![Target::Device]),
        (
            vec![file("u", Some("gw"), None), file("v", Some("c"), Some("C1"))],
            vec![Target::Device, Target::Child("C1")],
        ),
        (
            vec![file("u", Some("c"), None), file("v", Some("c"), None), file("u", Some("gw"), None)],
            vec![Target::Child("C1"), Target::Child("C2"), Target::Device],
        ),
        (vec![file("u", Some("no such tag"), None)], vec![Target::Device]),
        (vec![file("u", None, Some("stranger"))], vec![Target::Unknown("stranger")]),
    ] {
        let update = update(files.clone());
        let owed: Vec<_> = update.targets("CP", "GW", &devices).into_iter().map(|(target, _)| target).collect();
        assert_eq!(owed, targets, "{files:?}");
    }
}

#[test]
fn every_target_has_its_own_files_in_the_clouds_order() {
    let devices = family();
    let update = update(vec![
        file("c1", Some("c"), None),
        file("own", None, None),
        file("c2", Some("c"), Some("C2")),
        file("nobody", Some("no such tag"), None),
        file("c3", Some("c"), None),
    ]);
    let files: Vec<_> = update
        .targets("CP", "GW", &devices)
        .into_iter()
        .map(|(target, files)| (target, files.iter().map(|file| file.url.as_str()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(
        files,
        [
            (Target::Child("C1"), vec!["c1", "c3"]),
            (Target::Child("C2"), vec!["c1", "c2", "c3"]),
            (Target::Device, vec!["own"]),
        ]
    );
}

#[test]
fn an_update_for_tags_that_no_device_has_brings_nobody_a_file() {
    let update = update(vec![file("u", Some("no such tag"), None)]);
    assert_eq!(update.targets("CP", "GW", &family()), [(Target::Device, vec![])]);
}

#[test]
fn an_update_that_waits_is_read_in_both_protocols() {
    let legacy = json!({"force": false, "guid": "87E9", "urls": ["https://x/fw.bin?sig=1"], "ver": {"sw": "01.00.00", "hw": "1.0"}});
    let ota = Ota::waiting(Version::Legacy, &legacy).unwrap();
    assert_eq!(
        (ota.ack_id.as_deref(), ota.guid.as_deref(), ota.software.as_str()),
        (Some("87E9"), Some("87E9"), "01.00.00")
    );
    let v21 = json!({"cmd": "ota", "ack": "a", "ver": {"sw": "1.1", "hw": "1.0"}, "urls": [{"url": "https://x/y", "fileName": "f.bin", "tg": "c"}]});
    let ota = Ota::waiting(Version::V21, &v21).unwrap();
    assert_eq!((ota.ack_id.as_deref(), ota.software.as_str(), ota.hardware.as_str()), (Some("a"), "1.1", "1.0"));
    assert_eq!(ota.files[0].file_name().as_deref(), Some("f.bin"));
    for (version, said) in [
        (Version::Legacy, json!({"urls": ["https://x/y"]})),
        (Version::Legacy, json!({"guid": "g", "urls": []})),
        (Version::V21, json!({"guid": "g", "urls": [{"url": "u", "fileName": "f"}]})),
        (Version::V21, json!([1])),
        (Version::V21, json!("x")),
    ] {
        assert!(Ota::waiting(version, &said).is_err(), "{said}");
    }
}

#[test]
fn a_file_is_named_by_the_cloud_or_by_its_url_and_never_by_a_path() {
    let named =
        |url: &str, name: Option<&str>| OtaFile { name: name.map(Into::into), ..file(url, None, None) }.file_name();
    for (url, name, expected) in [
        ("https://x/y.bin?sig=1", None, Some("y.bin")),
        ("https://fw.example.net/a/fw%20v1.bin?sig=x%2By&se=2030", None, Some("fw v1.bin")),
        ("https://x/y.bin", Some("fw.bin"), Some("fw.bin")),
        ("u1", None, Some("u1")),
        ("https://host", None, None),
        ("https://host/", None, None),
        ("https://host/..", None, None),
        ("https://host/%2e%2e%2fetc%2fpasswd", None, None),
        ("https://host/a%5Cb", None, None),
        ("https://host/a%00b", None, None),
        ("https://host/%FF", None, None),
        ("https://host/y.bin", Some("../../etc/passwd"), None),
        ("https://host/y.bin", Some(".."), None),
    ] {
        assert_eq!(named(url, name).as_deref(), expected, "{url} {name:?}");
    }
    assert_eq!(named("https://x/y", Some(&"n".repeat(FILE_NAME_BYTES_MAX + 1))), None);
}

#[test]
fn a_signed_url_is_not_printed() {
    let printed = format!("{:?}", update(vec![file("https://x/y.bin?sig=secret&se=1", None, None)]));
    assert!(printed.contains("https://x/y.bin?…") && !printed.contains("secret"), "{printed}");
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = CloudMessage::parse(Version::Legacy, &body);
        let _ = CloudMessage::parse(Version::V21, &body);
    }

    /// Members of both protocols, holding anything.
    #[test]
    fn no_message_panics(
        kind in prop_oneof![Just("0x01"), Just("0x02"), Just("0x03"), Just("0x17"), Just("0x99"), Just("sync")],
        number in prop_oneof![0_i64..3, 100_i64..117, 200_i64..223, any::<i64>()],
        values in proptest::collection::vec(hostile(), 12),
    ) {
        let names =
            ["command", "ack", "ackId", "uniqueId", "urls", "ver", "df", "cmd", "id", "f", "att", "d"];
        let mut data: Map<String, Value> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
        let legacy = serde_json::json!({ "cmdType": kind, "data": data });
        let _ = CloudMessage::parse(Version::Legacy, legacy.to_string().as_bytes());
        data.insert("ct".into(), number.into());
        let answer = serde_json::json!({ "d": data });
        let _ = CloudMessage::parse(Version::V21, answer.to_string().as_bytes());
        data.remove("d");
        let data = Value::Object(data);
        for version in [Version::Legacy, Version::V21] {
            let _ = Ota::waiting(version, &data);
        }
        let message = CloudMessage::parse(Version::V21, data.to_string().as_bytes());
        if let CloudMessage::Ota(ota) = message {
            prop_assert!(!ota.targets("CP", "GW", &family()).is_empty());
            ota.files.iter().for_each(|file| drop(file.file_name()));
        }
    }
}

/// Any JSON value, three levels deep.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(String::new()), Just("https://x/y".into()), ".{0,20}"].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(
                prop_oneof![Just("url".to_owned()), Just("tag".into()), Just("sw".into()), Just("ln".into()), ".{0,4}"],
                inner,
                0..4
            )
            .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
