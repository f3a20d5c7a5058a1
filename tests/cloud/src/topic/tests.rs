use super::*;

#[test]
fn the_events_topic_is_read_with_and_without_a_bag() {
    for topic in ["devices/CP-GW/messages/events", "devices/CP-GW/messages/events/"] {
        assert_eq!(publication("CP-GW", topic), Ok(Publication::Telemetry(Properties::new())));
    }
    let topic = "devices/CP-GW/messages/events/cd=X&%24.ct=application%2Fjson&$.ce=utf-8&null&empty=";
    let Ok(Publication::Telemetry(properties)) = publication("CP-GW", topic) else { panic!("not telemetry") };
    let expected: Properties = [
        ("$.ce", Some("utf-8")),
        ("$.ct", Some("application/json")),
        ("cd", Some("X")),
        ("empty", Some("")),
        ("null", None),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
    .collect();
    assert_eq!(properties, expected);
}

#[test]
fn foreign_and_unknown_topics_are_refused() {
    let many =
        format!("devices/CP-GW/messages/events/{}", (0..300).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join("&"));
    let topics = [
        "devices/CP-OTHER/messages/events/",
        "devices/CP-GW2/messages/events/",
        "devices/CP-GW/messages/eventsx",
        "devices/CP-GW/messages/devicebound/",
        "devices/CP-GW/messages/events/a/b",
        "devices/CP-GW/messages/events/a=%ff",
        "$iothub/twin/GET/",
        "$iothub/twin/GET/?$rid=",
        "$iothub/methods/res/abc/?$rid=1",
        "hello",
        &many,
    ];
    for topic in topics {
        assert!(publication("CP-GW", topic).is_err(), "{topic}");
    }
}

#[test]
fn twin_and_method_topics_carry_their_request_id() {
    assert_eq!(publication("d", "$iothub/twin/GET/?$rid=7"), Ok(Publication::TwinGet { request: "7".into() }));
    assert_eq!(
        publication("d", "$iothub/twin/PATCH/properties/reported/?$rid=a1"),
        Ok(Publication::TwinReport { request: "a1".into() })
    );
    assert_eq!(
        publication("d", "$iothub/methods/res/200/?$rid=3"),
        Ok(Publication::MethodAnswer { status: 200, request: "3".into() })
    );
}

#[test]
fn only_documented_filters_are_known() {
    assert_eq!(filter("CP-GW", "devices/CP-GW/messages/devicebound/#"), Some(Filter::CloudToDevice));
    assert_eq!(filter("CP-GW", "$iothub/methods/POST/#"), Some(Filter::Methods));
    for text in ["#", "devices/#", "devices/CP-OTHER/messages/devicebound/#", "$iothub/twin/#"] {
        assert_eq!(filter("CP-GW", text), None, "{text}");
    }
}

#[test]
fn the_cloud_to_device_topic_has_the_live_form() {
    assert_eq!(
        cloud_to_device("avtds-justatoken", &Properties::new()),
        "devices/avtds-justatoken/messages/devicebound/%24.to=%2Fdevices%2Favtds-justatoken%2Fmessages%2FdeviceBound"
    );
    let properties = [("a b".to_owned(), Some("c/d".to_owned())), ("n".to_owned(), None)].into();
    assert!(cloud_to_device("d", &properties).ends_with("%2FdeviceBound&a%20b=c%2Fd&n"));
}
