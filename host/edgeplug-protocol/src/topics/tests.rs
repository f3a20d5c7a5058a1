use super::*;

#[test]
fn the_kind_of_a_message_of_2_1_stands_in_its_topic() {
    let topics = Topics::v21("CP-GW", "XG4E2CA");
    let topic = |kind: &str| {
        format!("devices/CP-GW/messages/events/cd=XG4E2CA&v=2.1&{kind}&$.ct=application%2Fjson&$.ce=utf-8")
    };
    for (lane, online, offline) in [
        (Lane::Report, "mt=0", "mt=4"),
        (Lane::EdgeReport, "mt=1", "mt=4"),
        (Lane::RuleMatch, "mt=2", "mt=4"),
        (Lane::Fault, "mt=3", "mt=4"),
        (Lane::Heartbeat, "mt=5", "mt=5"),
        (Lane::Ack, "mt=6", "mt=6"),
        (Lane::DeviceInfo, "di=1", "di=1"),
    ] {
        assert_eq!(topics.topic(lane, false), topic(online));
        assert_eq!(topics.topic(lane, true), topic(offline));
    }
    assert_eq!(topics.devicebound, "devices/CP-GW/messages/devicebound/#");
}

#[test]
fn legacy_has_one_topic_for_everything() {
    let topics = Topics::legacy("devices/CP-GW/messages/events/", "devices/CP-GW/messages/devicebound/#");
    for lane in [Lane::Report, Lane::Fault, Lane::EdgeReport, Lane::RuleMatch, Lane::Ack] {
        assert_eq!(topics.topic(lane, false), "devices/CP-GW/messages/events/");
        assert_eq!(topics.topic(lane, true), "devices/CP-GW/messages/events/");
    }
}

#[test]
fn another_device_id_changes_every_topic_and_nothing_else() {
    assert_eq!(Topics::v21("CP-GW", "X").of_device("CP-GW", "other"), Topics::v21("other", "X"));
    assert_eq!(Topics::v21("CP-GW", "X").of_device("stranger", "other"), Topics::v21("CP-GW", "X"));
}

#[test]
fn a_code_cannot_leave_its_property() {
    assert!(Topics::v21("d", "a&mt=9/+#").report.contains("/cd=a%26mt%3D9%2F%2B%23&v=2.1&mt=0&"));
}
