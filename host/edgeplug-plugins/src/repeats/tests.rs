use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_text_is_said_once_in_a_minute_and_then_with_how_often_it_was_not() {
    let mut repeats = Repeats::default();
    assert_eq!(repeats.say("no", at(5)).as_deref(), Some("no"));
    for second in 6..65 {
        assert_eq!(repeats.say("no", at(second)), None);
    }
    assert_eq!(repeats.say("no", at(65)).as_deref(), Some("no (and 59 times more since this was last said)"));
    assert_eq!(repeats.say("no", at(66)), None);
    assert_eq!(repeats.say("no", at(125)).as_deref(), Some("no (and once more since this was last said)"));
    assert_eq!(repeats.say("no", at(185)).as_deref(), Some("no"));
}

#[test]
fn different_texts_do_not_silence_each_other() {
    let mut repeats = Repeats::default();
    assert!(repeats.say("no /a", at(0)).is_some() && repeats.say("no /b", at(0)).is_some());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut repeats = Repeats::default();
    for number in 0..10 * TEXTS_MAX as u64 {
        assert!(repeats.say(&number.to_string(), at(number)).is_some());
    }
    assert_eq!(repeats.0.len(), TEXTS_MAX);
}
