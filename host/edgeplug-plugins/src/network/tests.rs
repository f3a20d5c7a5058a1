use super::*;

fn address(number: usize) -> IpAddr {
    Ipv4Addr::from_bits(u32::try_from(number).expect("small")).into()
}

#[test]
fn what_was_learned_last_is_remembered_longest() {
    let (one, other) = (Name::parse("one.example").expect("name"), Name::parse("other.example").expect("name"));
    let mut learned = Learned::default();
    learned.learn(&one, &[address(1)]);
    learned.learn(&other, &[address(1)]);
    assert_eq!(learned.names(address(1)), [&one, &other]);
    for number in 2..=LEARNED_MAX {
        learned.learn(&one, &[address(1), address(number)]);
    }
    assert_eq!(learned.0.len(), LEARNED_MAX);
    learned.learn(&one, &[address(1000)]);
    assert_eq!(learned.names(address(1)), [&one], "the other name is the oldest");
    assert_eq!(learned.names(address(1000)), [&one]);
}
