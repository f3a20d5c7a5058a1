use super::*;

#[test]
fn only_objects_within_the_limits_pass() {
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert_eq!(check_object("{\"a\":[1,{\"b\":null}]}"), Ok(()));
    assert_eq!(check_object(&nested(10)), Ok(()));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(TEXT_LEN_MAX));
    let hostile: [(&str, &str); 7] = [
        ("", "line 1 column 0"),
        ("{\"a\":}", "line 1 column 6"),
        ("[1]", "not a JSON object"),
        ("{} {}", "trailing characters"),
        (&nested(11), "nested more than 10 deep, at a.a.a.a.a.a.a.a.a.a"),
        (&nested(2000), "recursion limit"),
        (&long, "32776 bytes; at most 32768"),
    ];
    for (text, reason) in hostile {
        let refused = check_object(text).expect_err(text);
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn a_list_counts_as_a_level() {
    let text = format!("{{\"a\":{}{}}}", "[".repeat(10), "]".repeat(10));
    assert!(check_object(&text).is_err_and(|reason| reason.ends_with("at a.0.0.0.0.0.0.0.0.0")));
}
