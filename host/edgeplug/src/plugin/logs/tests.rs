use serde_json::json;

use super::*;

#[test]
fn a_line_says_when_how_bad_and_where_from() {
    let time = "2026-11-23T12:00:00.000Z";
    for (stream, shown) in [("log", "hello"), ("stderr", "stderr: hello"), ("panic", "panic: hello")] {
        let line = json!({"number": 1, "time": time, "level": "info", "stream": stream, "text": "hello"});
        assert_eq!(words(&line), format!("{time} info  {shown}"));
    }
}

#[test]
fn a_backtrace_has_a_line_for_each_frame() {
    let line = json!({"level": "error", "stream": "panic", "time": "t", "text": "it trapped; 0: f; 1: g"});
    assert_eq!(words(&line), "t error panic: it trapped\n    0: f\n    1: g");
}
