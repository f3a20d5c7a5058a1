use serde_json::json;

use super::*;

#[test]
fn a_plugin_is_listed_by_what_is_known_of_it() {
    let list = plugins(&json!([
        { "plugin": "load", "state": "running", "sha256": "0123456789abcdef", "calls": 8, "errors": 2, "faults": 1,
            "restarts": 1, "interval_ms": 500, "grants": ["may read /proc/loadavg"] },
        { "plugin": "new", "state": "loading", "sha256": "", "calls": 0, "errors": 0, "faults": 0, "restarts": 0,
            "interval_ms": 0, "problem": "it does not start" },
    ]));
    insta::assert_snapshot!(list, @r"
    load  running  0123456789ab
      calls 8, errors 2, faults 1, restarts 1, every 500 ms
      may read /proc/loadavg
    new  loading
      calls 0, faults 0, restarts 0
      problem: it does not start
    ");
}
