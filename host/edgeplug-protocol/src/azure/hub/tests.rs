use proptest::prelude::*;

use super::*;

#[test]
fn the_live_form_of_a_command_topic_is_read() {
    let topic =
        "devices/avtds-justatoken/messages/devicebound/%24.to=%2Fdevices%2Favtds-justatoken%2Fmessages%2FdeviceBound";
    let Inbound::CloudToDevice(bag) = Inbound::parse(topic, "avtds-justatoken") else { panic!("not a command") };
    assert_eq!(bag.get("$.to"), Some("/devices/avtds-justatoken/messages/deviceBound"));
    assert_eq!(Inbound::parse(topic, "avtds"), Inbound::Unknown);
}

#[test]
fn twin_topics_are_told_apart() {
    assert_eq!(
        Inbound::parse("$iothub/twin/res/204/?$rid=7&$version=3", "d"),
        Inbound::TwinAnswer { status: 204, request_id: "7".into(), version: Some(3) }
    );
    assert_eq!(
        Inbound::parse("$iothub/twin/PATCH/properties/desired/?$version=12", "d"),
        Inbound::DesiredChanged { version: Some(12) }
    );
    assert_eq!(Inbound::parse("$iothub/twin/res/abc/?$rid=7", "d"), Inbound::Unknown);
    assert_eq!(Inbound::parse("$iothub/methods/POST/x/?$rid=1", "d"), Inbound::Unknown);
}

#[test]
fn what_is_asked_of_the_twin_carries_its_number() {
    assert_eq!(twin_get_topic(0), "$iothub/twin/GET/?$rid=0");
    assert_eq!(twin_report_topic(17), "$iothub/twin/PATCH/properties/reported/?$rid=17");
}

#[test]
fn absent_and_empty_values_differ() {
    let bag = PropertyBag::parse("a&b=&c=1%2F2");
    assert_eq!((bag.get("a"), bag.get("b"), bag.get("c")), (None, Some(""), Some("1/2")));
}

proptest! {
    #[test]
    fn a_bag_survives_its_encoding(pairs in proptest::collection::vec((".{1,12}", ".{0,12}"), 0..8)) {
        let mut bag = PropertyBag::default();
        for (key, value) in pairs {
            bag.push(key, value);
        }
        prop_assert_eq!(PropertyBag::parse(&bag.encode()), bag);
    }

    #[test]
    fn no_topic_panics(topic in ".{0,200}") {
        let _ = Inbound::parse(&topic, "d");
    }
}
