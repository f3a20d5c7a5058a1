use super::*;

#[test]
fn interfaces_are_read_from_names_of_exports() {
    for (export, interface) in [
        ("edgeplug:plugin/sensor@0.2.0#sample", Some("sensor")),
        ("edgeplug:plugin/twin-events@0.2.0#desired-changed", Some("twin-events")),
        ("cm32p2|edgeplug:plugin/sensor@0.2|sample", Some("sensor")),
        ("cabi_post_edgeplug:plugin/sensor@0.2.0#sample", None),
        ("memory", None),
        ("", None),
    ] {
        assert_eq!(interface_of(export), interface, "{export}");
    }
}
