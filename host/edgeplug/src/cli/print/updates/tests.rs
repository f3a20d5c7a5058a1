use serde_json::json;

use super::*;

#[test]
fn an_update_has_a_line_and_its_trouble_another() {
    let updates = json!([
        { "id": "a1", "target": null, "version": "1.5", "phase": "fetching", "file": "fw.bin", "percent": 42,
            "attempts": 3, "trouble": "fw.bin: the connection broke off" },
        { "id": "a1", "target": "C1", "version": "", "phase": "awaiting-restart", "file": null, "percent": null,
            "attempts": 1, "trouble": null },
    ]);
    insta::assert_snapshot!(list(&updates), @r"
    a1  1.5 for this device: fetching fw.bin, 42 %, attempt 3
      fw.bin: the connection broke off
    a1  a version without a name for C1: awaiting restart
    ");
    let mut lines = String::new();
    status(&json!({ "ota_refused": "no key", "updates": updates }), &mut lines);
    assert!(lines.starts_with("updates   are refused: no key\nupdates   2 under way\n          a1  1.5"), "{lines}");
}

#[test]
fn nothing_is_a_list_too() {
    assert_eq!(list(&json!([])), "no updates under way\n");
    let mut lines = String::new();
    status(&json!({ "ota_refused": null, "updates": [] }), &mut lines);
    assert_eq!(lines, "");
}
