use serde_json::json;

use super::*;

fn arrival(connection: u64, body: &Value) -> Arrival {
    raw(connection, Bytes::from(body.to_string()))
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
