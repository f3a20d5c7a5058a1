use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn a_twin_is_read_without_the_hubs_own_members() {
    let body = json!({
        "desired": {"fan": {"left": 1}, "fw_version": "1.2", "$version": 3, "$metadata": {"fan": {}}},
        "reported": {"$version": 2},
        "uniqueId": "GW",
    });
    let document = Document::parse(body.to_string().as_bytes()).unwrap();
    assert_eq!((document.desired.version, document.reported.version), (Some(3), Some(2)));
    let texts = document.into_texts();
    assert_eq!((texts.desired.as_str(), texts.reported.as_str()), (r#"{"fan":{"left":1},"fw_version":"1.2"}"#, "{}"));
}

#[test]
fn what_is_missing_is_empty_and_what_is_no_twin_is_said() {
    for empty in ["{}", r#"{"desired":null}"#, r#"{"desired":{"$version":-1},"reported":{"$version":"2"}}"#] {
        assert_eq!(Document::parse(empty.as_bytes()), Ok(Document::default()), "{empty}");
    }
    for bad in ["", "[]", "null", "x", r#"{"desired":[]}"#, r#"{"reported":1}"#, &"[".repeat(10_000)] {
        assert!(Document::parse(bad.as_bytes()).is_err_and(|error| error.contains("cannot be read")), "{bad}");
    }
}

#[test]
fn a_patch_is_merged_as_the_hub_does() {
    for (before, patch, after) in [
        (json!({"a": 1}), json!({"a": 2, "b": 3}), json!({"a": 2, "b": 3})),
        (json!({"a": 1}), json!({"a": null, "b": null}), json!({})),
        (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"x": null, "z": 3}}), json!({"a": {"y": 2, "z": 3}})),
        (json!({"a": 1}), json!({"a": {"x": {"y": null}}}), json!({"a": {"x": {}}})),
        (json!({"a": {"x": 1}}), json!({"a": [1]}), json!({"a": [1]})),
    ] {
        let mut members = before.as_object().unwrap().clone();
        merge(&mut members, patch.as_object().unwrap());
        assert_eq!(Value::Object(members), after, "{before} with {patch}");
    }
}

proptest! {
    #[test]
    fn no_bytes_of_a_hub_are_too_odd_to_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Document::parse(&bytes), Properties::parse(&bytes));
    }
}
