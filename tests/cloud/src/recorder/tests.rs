use serde_json::json;

use super::*;

fn arrival(connection: u64, body: &Value) -> Arrival {
    raw(connection, Bytes::from(body.to_string()))
}

/// A 2.1 message of this kind, such as `mt=0`.
fn arrival21(kind: &str, body: &Value) -> Arrival {
    let topic = format!("devices/CP-GW/messages/events/cd=X&v=2.1&{kind}&$.ct=application%2Fjson&$.ce=utf-8");
    Arrival { topic, ..arrival(1, body) }
}

fn raw(connection: u64, body: Bytes) -> Arrival {
    Arrival {
        device: "CP-GW".into(),
        connection,
        topic: "devices/CP-GW/messages/events/".into(),
        body,
        dup: false,
        retain: false,
        qos: 1,
        will: false,
    }
}

fn recorder() -> Recorder {
    Recorder::new(Changes::new(), None).unwrap()
}

#[test]
fn readings_come_out_of_reports_only() {
    let recorder = recorder();
    let entry = |id: &str, values: Value| json!({"id": id, "dt": "2021-01-24T10:06:17.857Z", "d": [values], "tg": ""});
    recorder.add(arrival(
        1,
        &json!({"mt": 0, "d": [entry("GW", json!({"temp": 1, "gyro": {"x": 2}})), entry("C1", json!({"temp": 3}))]}),
    ));
    recorder.add(arrival(1, &json!({"mt": 1, "d": [entry("GW", json!({"temp": "99"}))]})));
    recorder.add(arrival(1, &json!({"mt": 0, "od": 1, "d": [entry("GW", json!({"temp": 4}))]})));
    recorder.add(raw(1, Bytes::from_static(b"not json")));
    recorder.add(arrival(1, &json!({"mt": 0, "d": {"id": "GW"}})));

    let temps: Vec<_> =
        recorder.readings("temp").into_iter().map(|reading| (reading.device, reading.value, reading.offline)).collect();
    assert_eq!(
        temps,
        [("GW".to_owned(), json!(1), false), ("C1".to_owned(), json!(3), false), ("GW".to_owned(), json!(4), true)]
    );
    assert_eq!(recorder.readings("gyro.x").first().unwrap().value, json!(2));
    assert_eq!(recorder.readings("gyro").first().unwrap().value, json!({"x": 2}));
    assert_eq!(recorder.readings("gyr").len(), 0);
    assert_eq!(recorder.all_readings().len(), 4);
    assert_eq!(recorder.len(), 5);
}

#[test]
fn acks_are_found_by_id() {
    let recorder = recorder();
    let ack = |id: &str, status: i64| json!({"mt": 5, "uniqueId": "GW", "d": {"ackId": id, "st": status, "msg": "m", "childId": ""}});
    recorder.add(arrival(1, &ack("a", 6)));
    recorder.add(arrival(1, &ack("b", 4)));
    recorder.add(arrival(1, &ack("a", 6)));
    assert_eq!(recorder.acks("a").len(), 2);
    assert_eq!(recorder.duplicates(), 1);
    let failed = recorder.acks("b").remove(0);
    assert_eq!((failed.status, failed.message.as_str(), failed.child), (4, "m", None));
}

#[test]
fn what_got_no_puback_is_counted_by_connection() {
    let recorder = recorder();
    for connection in [1, 1, 1, 2] {
        recorder.add(arrival(connection, &json!({"n": connection})));
    }
    recorder.acknowledged(&[0, 3, 99]);
    assert_eq!(recorder.unacknowledged_at_disconnect(1), 2);
    assert_eq!(recorder.unacknowledged_at_disconnect(2), 0);
}

#[tokio::test]
async fn a_wait_ends_with_the_message_or_in_time() {
    let recorder = recorder();
    let waiter = tokio::spawn({
        let recorder = recorder.clone();
        async move { recorder.wait_for(|records| records.len() == 2, Duration::from_secs(10)).await }
    });
    recorder.add(arrival(1, &json!(1)));
    recorder.add(arrival(1, &json!(2)));
    waiter.await.unwrap().unwrap();
    let late = recorder.wait_for_ack("never", Duration::from_millis(1)).await.unwrap_err();
    assert!(late.to_string().contains("an ack of never"));
}

#[test]
fn the_record_file_holds_one_line_each() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("records.jsonl");
    for _ in 0..2 {
        let recorder = Recorder::new(Changes::new(), Some(&file)).unwrap();
        recorder.add(arrival(1, &json!({"mt": 0})));
    }
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 2);
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["json"]["mt"], 0);
        assert_eq!(record["device"], "CP-GW");
    }
}

#[test]
fn readings_of_2_1_come_out_of_reports_and_of_what_was_stored() {
    let recorder = recorder();
    let entry = |values: Value| json!([{"id": "C1", "dt": "2021-01-24T10:06:17.857Z", "tg": "c", "d": values}]);
    recorder.add(arrival21("mt=0", &json!({"d": entry(json!({"sequence": 1, "gyro": {"x": 5}, "at": [1.5, 2.5]}))})));
    recorder.add(arrival21("mt=3", &json!({"d": entry(json!({"sequence": "bad"}))})));
    recorder
        .add(arrival21("mt=4", &json!({"od": 1, "d": entry(json!({"sequence": 2, "temp": [1, 2, 3, 1.5, 2, 2]}))})));
    recorder.add(arrival21("mt=0", &json!({"d": [{"d": {"sequence": 3}}]})));
    // Malformed: not a reading, whatever it holds.
    recorder.add(arrival21("mt=9", &json!({"d": entry(json!({"sequence": 4}))})));
    recorder.add(arrival21("mt=4", &json!({"d": entry(json!({"sequence": 5}))})));

    let numbers: Vec<_> = recorder.readings("sequence");
    let told: Vec<_> = numbers.iter().map(|r| (r.device.as_str(), r.value.clone(), r.offline)).collect();
    assert_eq!(told, [("C1", json!(1), false), ("C1", json!(2), true), ("", json!(3), false)]);
    assert_eq!(recorder.readings("gyro.x").first().unwrap().value, json!(5));
    assert_eq!(recorder.readings("at").len(), 1);
    assert_eq!(recorder.faults("sequence").first().unwrap().value, json!("bad"));
    assert_eq!(recorder.windows("temp").len(), 1);
    assert!(recorder.windows("at").is_empty());
    assert_eq!(recorder.of_kind(MessageKind::Malformed).len(), 2);
}

#[test]
fn windows_and_rule_matches_are_read_in_both_protocols() {
    let recorder = recorder();
    let legacy = |kind: i64, entry: Value| arrival(1, &json!({"mt": kind, "d": [entry]}));
    let common = json!({"rg": "R1", "ct": "temp > 20", "sg": "E1", "cv": {"temp": 30}, "id": "GW", "dt": "t"});
    let with = |key: &str, value: Value| {
        let mut entry = common.clone();
        entry[key] = value;
        entry
    };
    recorder.add(legacy(2, json!({"id": "GW", "dt": "t", "tg": "", "d": [{"temp": [10, 30], "gyro": {"y": [6.5]}}]})));
    recorder.add(legacy(3, with("d", json!([{"temp": 30, "hum": 7}]))));
    recorder.add(arrival21("mt=1", &json!({"d": [{"dt": "t", "d": {"temp": [10, 30, 40, 20.0, 2, 30]}}]})));
    recorder.add(arrival21("mt=2", &json!({"d": [with("d", json!({"temp": 30}))]})));
    recorder.add(arrival21("mt=4", &json!({"od": 1, "d": [with("d", json!({"temp": 31}))]})));

    let windows: Vec<_> = recorder.windows("temp").into_iter().map(|window| window.values).collect();
    assert_eq!(
        windows,
        [vec![json!(10), json!(30)], vec![json!(10), json!(30), json!(40), json!(20.0), json!(2), json!(30)]]
    );
    assert_eq!(recorder.windows("gyro.y").first().unwrap().values, [json!(6.5)]);
    let matches = recorder.rule_matches("R1");
    let told: Vec<_> = matches.iter().map(|m| (m.sample.clone(), m.offline)).collect();
    assert_eq!(
        told,
        [(json!({"temp": 30, "hum": 7}), false), (json!({"temp": 30}), false), (json!({"temp": 31}), true)]
    );
    assert!(matches.iter().all(|m| m.condition == "temp > 20" && m.subscription == "E1"));
    assert!(recorder.readings("temp").is_empty() && recorder.rule_matches("R2").is_empty());
}

#[test]
fn acks_of_2_1_say_what_they_acknowledge() {
    let recorder = recorder();
    recorder.add(arrival21("mt=6", &json!({"d": {"ack": "a", "type": 0, "st": 2, "msg": "ok"}})));
    recorder.add(arrival21("mt=6", &json!({"d": {"ack": "f", "type": 1, "st": 2, "msg": "", "cid": "C1"}})));
    recorder.add(arrival21("mt=6", &json!({"d": {"ack": "f", "type": 1, "st": 3, "msg": "", "cid": "C1"}})));
    recorder.add(arrival21("mt=5", &json!({})));
    recorder.add(arrival21("di=1", &json!({"mt": 201})));
    let command = recorder.acks("a").remove(0);
    assert_eq!((command.protocol, command.kind, command.status), (Protocol::V21, AckKind::Command, 2));
    let firmware: Vec<_> = recorder.acks("f").into_iter().map(|ack| (ack.child.clone(), ack.is_terminal())).collect();
    assert_eq!(firmware, [(Some("C1".to_owned()), false), (Some("C1".to_owned()), true)]);
    assert_eq!(recorder.of_kind(MessageKind::Heartbeat).len(), 1);
    assert_eq!(recorder.of_kind(MessageKind::Identity).len(), 1);
}
