use super::*;

fn line(body: &[u8]) -> serde_json::Value {
    let row = StoredRow {
        id: RowId(7),
        lane: Lane::Live,
        kind: 1,
        link_down: true,
        created_unix_ms: 5,
        body: bytes::Bytes::copy_from_slice(body),
    };
    let mut text = Vec::new();
    write_line(&mut text, &row).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "one row is one line: {text:?}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_body_is_one_line_whatever_it_holds() {
    assert_eq!(line(br#"{"d":[1]}"#)["body"], json!({"d": [1]}));
    assert_eq!(line(b"{\"d\":\n[1]}")["body_base64"], STANDARD.encode("{\"d\":\n[1]}"));
    assert_eq!(line(&[0xff, 0x00])["body_base64"], STANDARD.encode([0xff, 0x00]));
    assert_eq!(line(b"")["id"], 7);
}

#[test]
fn an_export_writes_over_nothing_unless_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rows.ndjson");
    drop(create(&file, false).unwrap());
    assert_eq!(create(&file, false).unwrap_err().exit, Exit::OutputExists);
    drop(create(&file, true).unwrap());
}
