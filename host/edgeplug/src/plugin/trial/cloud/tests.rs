use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[test]
fn the_twin_merges_as_the_hub_does() {
    let mut cloud = Cloud { connected: true, ..Cloud::default() };
    let change = cloud.desire(&object(json!({"a": 1, "b": {"c": 2, "d": 3}})));
    assert_eq!((change.version, change.complete), (2, false));
    cloud.desire(&object(json!({"a": null, "b": {"c": null, "e": {"f": null}}})));
    let all = cloud.all_desired();
    assert_eq!((all.version, all.complete, all.desired.as_str()), (3, true, r#"{"b":{"d":3,"e":{}}}"#));
    assert_eq!(cloud.answer(&Ask::TwinReport { patch: r#"{"x":1}"#.to_owned() }), Answer::Reported(Ok(2)));
    assert!(matches!(cloud.answer(&Ask::TwinGet), Answer::Twin(Ok(twin)) if twin.reported == r#"{"x":1}"#));
}

#[test]
fn without_a_connection_there_is_no_twin() {
    let mut cloud = Cloud { connected: true, ..Cloud::default() };
    assert_eq!(cloud.answer(&Ask::Disconnect), Answer::Link(Ok(())));
    assert!(matches!(cloud.answer(&Ask::TwinGet), Answer::Twin(Err(TwinFailure::Unavailable(_)))));
    assert_eq!(cloud.answer(&Ask::Reconnect), Answer::Link(Ok(())));
    assert!(matches!(cloud.answer(&Ask::TwinGet), Answer::Twin(Ok(_))));
}

#[test]
fn what_was_given_ends_once() {
    let mut cloud = Cloud::default();
    let finish = |id: &str| Ask::Finish { id: id.to_owned(), ending: Ending::Done(String::new()) };
    assert_eq!(cloud.answer(&finish("command-1")), Answer::Finished(Err(FinishFailure::Unknown)));
    cloud.give("command-1");
    cloud.give("command-2");
    assert_eq!(cloud.open(), ["command-1", "command-2"]);
    assert_eq!(cloud.answer(&finish("command-1")), Answer::Finished(Ok(())));
    assert_eq!(cloud.answer(&finish("command-1")), Answer::Finished(Err(FinishFailure::Unknown)));
    assert!(!cloud.end("command-1"));
    assert!(cloud.end("command-2"));
    assert_eq!(cloud.open(), Vec::<String>::new());
}
