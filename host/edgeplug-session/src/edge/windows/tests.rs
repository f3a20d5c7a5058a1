use super::*;

fn fold(attribute: &str, device: &str, number: i64) -> Fold {
    let key = Key { tag: String::new(), attribute: attribute.into(), length_ms: 10_000 };
    Fold { key, device: device.into(), member: None, number: Number::Integer(number) }
}

fn template(names: &[&str]) -> Template {
    use edgeplug_protocol::version::Version;
    let devices = vec![Device { id: "GW".into(), tag: String::new() }];
    let mut template = Template::new(Version::Legacy, "CP", "D", devices);
    for name in names {
        let scalar = Scalar { window: Some(Duration::from_secs(10)), ..Scalar::default() };
        template.declare("", name, Attribute::Scalar(scalar));
    }
    template
}

#[test]
fn windows_keep_the_rhythm_they_began_with() {
    let mut windows = Windows::default();
    assert!(windows.define(Some(&template(&["a"])), Duration::from_secs(3)).is_empty());
    for (at_s, ends_s) in [(3, 13), (12, 13), (13, 23), (104, 113)] {
        windows.fold(fold("a", "GW", 1), Duration::from_secs(at_s));
        let [window] = windows.open.values().collect::<Vec<_>>()[..] else { panic!("one window") };
        assert_eq!(window.ends, End::At(Duration::from_secs(ends_s)), "begun at {at_s}");
        if at_s != 3 {
            windows.end_all();
        }
    }
}

#[test]
fn a_definition_takes_windows_away_and_leaves_the_others_their_rhythm() {
    let mut windows = Windows::default();
    windows.define(Some(&template(&["a", "b"])), Duration::from_secs(0));
    windows.fold(fold("a", "GW", 1), Duration::from_secs(1));
    windows.fold(fold("b", "GW", 2), Duration::from_secs(1));
    windows.fold(fold("b", "gone", 3), Duration::from_secs(1));
    let over = windows.define(Some(&template(&["b", "c"])), Duration::from_secs(7));
    let over: Vec<_> = over.iter().map(|over| format!("{} {:?}", over.key.attribute, over.devices.keys())).collect();
    assert_eq!(over, [r#"a ["GW"]"#, r#"b ["gone"]"#]);
    let [window] = windows.open.values().collect::<Vec<_>>()[..] else { panic!("one window") };
    assert_eq!(window.ends, End::At(Duration::from_secs(10)));
    windows.end_all();
    windows.fold(fold("c", "GW", 1), Duration::from_secs(8));
    let [window] = windows.open.values().collect::<Vec<_>>()[..] else { panic!("one window") };
    assert_eq!(window.ends, End::At(Duration::from_secs(17)), "c is defined since 7");
}

#[test]
fn a_length_that_nobody_named_is_a_minute() {
    let key = Key::new("", "a", &Scalar::default());
    assert_eq!(key.length(), Duration::from_secs(60));
}
