use serde_json::json;

use super::*;

#[test]
fn filters_have_a_line_where_there_are_any() {
    let lines = |status: &Value| {
        let mut lines = String::new();
        filters(status, &mut lines);
        lines
    };
    assert_eq!(lines(&json!({ "transform": { "filtered": 0, "trouble": [] } })), "");
    let said = lines(&json!({ "transform": {
        "waiting": 2, "filtered": 1042, "left_nothing": 0, "unfiltered": 3, "dropped": 4, "behind": 5,
        "trouble": [{ "plugin": "clamp", "reason": "it is not running" }],
    } }));
    insta::assert_snapshot!(said, @r"
    filters   1042 samples through, 3 past a failed filter, 2 batches waiting
              not taken: 4 for want of a filter, 5 because too many waited
              filter clamp failed: it is not running
    ");
}
