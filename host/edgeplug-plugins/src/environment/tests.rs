use super::*;

#[test]
fn a_variable_has_a_plain_name() {
    for name in ["TZ", "http_proxy", "_", "A1"] {
        assert_eq!(Variable::parse(name).expect(name).as_str(), name);
    }
    for name in ["", "1A", "A=B", "A B", "A\0", "Ä", &"A".repeat(129)] {
        Variable::parse(name).expect_err(name);
    }
}

#[test]
fn what_is_not_set_is_not_shown() {
    assert_eq!(Variable::parse("EDGEPLUG_NOBODY_SETS_THIS").expect("name").value(), None);
    assert!(Variable::parse("PATH").expect("name").value().is_some());
}
