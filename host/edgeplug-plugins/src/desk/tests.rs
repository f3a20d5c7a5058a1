use super::*;

#[test]
fn desks_that_nobody_sits_at_make_room() {
    let desks = Desks::new(Clock::system());
    let held: Vec<_> = (0..DESKS_MAX - 1).map(|number| desks.open(&number.to_string())).collect();
    desks.open("left");
    desks.open("new");
    assert_eq!(desks.log_tail("left", 0, 1), None);
    assert!(desks.log_tail("new", 0, 1).is_some() && desks.log_tail("0", 0, 1).is_some());
    assert!(Arc::ptr_eq(&held[0], &desks.open("0")), "a desk is the plugin's for as long as it is there");
}

#[test]
fn updates_under_way_are_bounded_and_one_of_the_same_id_takes_its_place() {
    let desk = Desk::new(Clock::system());
    for number in 0..=UPDATES_MAX {
        desk.begin_update(&number.to_string(), PathBuf::from("/a"));
    }
    assert_eq!(desk.update("0"), None);
    desk.begin_update("1", PathBuf::from("/b"));
    assert_eq!(desk.update("1"), Some(PathBuf::from("/b")));
    desk.end_update("1");
    assert_eq!(desk.update("1"), None);
    assert_eq!(desk.update("2"), Some(PathBuf::from("/a")));
}
