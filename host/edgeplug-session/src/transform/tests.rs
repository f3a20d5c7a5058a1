use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::Transforms;
use crate::event::Event;
use crate::rig::{Filtered, LATENCY, Rig, cases, reading};

const SECOND: Duration = Duration::from_secs(1);

/// A connected device with these filters, all of them running.
fn wired(filters: &[(&str, &[&str])], failure: TransformFailure) -> Rig {
    let mut rig = loading(filters, failure);
    let names: BTreeSet<_> = filters.iter().flat_map(|(_, names)| names.iter()).collect();
    for name in names {
        rig.plugin_up(name, None, false);
    }
    rig.handle(Event::PluginsScanned);
    rig
}

/// The same before any plugin runs.
fn loading(filters: &[(&str, &[&str])], failure: TransformFailure) -> Rig {
    let mut rig = Rig::new();
    let chain = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let filters = filters.iter().map(|(source, names)| ((*source).to_owned(), chain(names))).collect();
    rig.config.transforms = Transforms { filters, failure };
    rig.session = crate::Session::new(rig.config.clone(), 7);
    rig.boot();
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig
}

fn offered_by(rig: &mut Rig, plugin: &str, offer: u64, samples: Vec<Sample>) {
    rig.handle(Event::Offered { plugin: plugin.into(), offer: OfferId(offer), samples });
}

fn numbers(samples: Vec<Sample>, change: impl Fn(i64) -> i64) -> Vec<Sample> {
    let numbers = samples.iter().map(|sample| sample.values[0].1.as_i64().unwrap());
    numbers.map(|number| reading("n", change(number))).collect()
}

fn doubled(_: &str, samples: Vec<Sample>) -> Filtered {
    Some(Ok(numbers(samples, |number| number * 2)))
}

fn broken(_: &str, _: Vec<Sample>) -> Filtered {
    Some(Err(CallFailure("the plugin trapped: unreachable".to_owned())))
}

fn silent(_: &str, _: Vec<Sample>) -> Filtered {
    None
}

fn status(rig: &Rig) -> TransformStatus {
    rig.session.status(rig.now()).transform
}

#[test]
fn the_cloud_gets_what_the_filter_made_of_a_wired_plugins_readings_and_nothing_else_is_touched() {
    let mut rig = wired(&[("p", &["double"])], TransformFailure::Pass);
    rig.transform = doubled;
    rig.offer(1, vec![reading("n", 1), reading("n", 2)]);
    offered_by(&mut rig, "other", 2, vec![reading("n", 3)]);
    rig.pass(SECOND);
    // The other plugin's reading did not wait for the filter.
    assert_eq!(rig.delivered("n"), [3, 2, 4]);
    let accepted = |n| vec![Outcome::Accepted; n];
    assert_eq!(rig.outcomes, [(OfferId(2), accepted(1)), (OfferId(1), accepted(2))]);
    rig.handle(Event::Sampled { plugin: "p".into(), call: CallId(999), result: Ok(vec![reading("n", 10)]) });
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n").last(), Some(&20));
    let status = status(&rig);
    assert_eq!((status.filtered, status.waiting, status.unfiltered, status.dropped), (3, 0, 0, 0));
}

#[test]
fn filters_stand_in_a_row_and_none_filters_itself() {
    let mut rig = wired(&[("p", &["double", "increment"]), ("*", &["increment"])], TransformFailure::Pass);
    rig.transform = |filter, samples| Some(Ok(numbers(samples, |n| if filter == "double" { n * 2 } else { n + 1 })));
    offered_by(&mut rig, "p", 1, vec![reading("n", 10)]);
    rig.pass(SECOND);
    offered_by(&mut rig, "q", 2, vec![reading("n", 10)]);
    rig.pass(SECOND);
    offered_by(&mut rig, "increment", 3, vec![reading("n", 10)]);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), [21, 11, 10]);
}

#[test]
fn what_was_offered_is_answered_by_the_worst_of_what_came_of_it() {
    for (result, expected) in [
        (vec![], Outcome::HeldBack),
        (vec![reading("n", 1)], Outcome::Accepted),
        (vec![reading("n", 1), reading("n", 2), reading("n", 3)], Outcome::Accepted),
    ] {
        let mut rig = wired(&[("p", &["f"])], TransformFailure::Pass);
        rig.transform = |_, _| None;
        rig.offer(1, vec![reading("n", 1), reading("n", 2)]);
        // The first call's number is the last ticket given out.
        let call = *rig.session.transform.calls.keys().next().unwrap();
        rig.handle(Event::Transformed { plugin: "f".into(), call, result: Ok(result) });
        rig.pass(SECOND);
        assert_eq!(rig.outcomes, [(OfferId(1), vec![expected; 2])]);
        assert!(rig.session.transform.offers.is_empty());
    }
    let mut rig = wired(&[("p", &["f"])], TransformFailure::Pass);
    rig.transform = |_, samples| Some(Ok(samples.into_iter().chain([reading("nope", 1)]).collect()));
    rig.offer(1, vec![reading("n", 1), reading("n", 2), reading("n", 3)]);
    rig.pass(SECOND);
    let [(OfferId(1), outcomes)] = rig.outcomes.as_slice() else { panic!("one answer") };
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Rejected(_))), "{outcomes:?}");
    assert_eq!(rig.delivered("n"), [1, 2, 3], "the others were taken all the same");
}

#[test]
fn an_offer_is_answered_only_when_what_the_filter_made_is_on_disk() {
    let mut rig = wired(&[("p", &["f"])], TransformFailure::Pass);
    rig.commit_delay = 5 * SECOND;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    assert!(rig.outcomes.is_empty());
    rig.pass(5 * SECOND);
    assert_eq!(rig.outcomes.len(), 1);
}

#[test]
fn a_failing_or_missing_filter_lets_readings_pass_or_has_them_dropped() {
    for is_missing in [true, false] {
        for (failure, delivered) in [(TransformFailure::Pass, vec![1, 2]), (TransformFailure::Drop, vec![])] {
            let mut rig = wired(&[("p", &["f"])], failure);
            rig.transform = broken;
            if is_missing {
                rig.handle(Event::PluginDown { plugin: "f".into(), gone: true });
            }
            rig.offer(1, vec![reading("n", 1)]);
            let sampled = vec![reading("n", 2)];
            rig.handle(Event::Sampled { plugin: "p".into(), call: CallId(999), result: Ok(sampled) });
            rig.pass(SECOND);
            assert_eq!(rig.delivered("n"), delivered);
            let [(OfferId(1), outcomes)] = rig.outcomes.as_slice() else { panic!("one answer") };
            let status = status(&rig);
            let reason = if is_missing { "not running" } else { "trapped" };
            assert!(status.trouble[0].reason.contains(reason), "{status:?}");
            match (failure, &outcomes[..]) {
                (TransformFailure::Pass, [Outcome::Accepted]) => {
                    assert_eq!((status.unfiltered, status.dropped), (2, 0))
                }
                (TransformFailure::Drop, [Outcome::Rejected(why)]) => {
                    assert!(why.contains(reason) && why.contains("filter f"), "{why}");
                    assert_eq!((status.unfiltered, status.dropped), (0, 2));
                    assert_eq!(rig.session.status(rig.now()).uplink.rejected, 2);
                }
                other => panic!("{other:?}"),
            }
            rig.transform = doubled;
            rig.plugin_up("f", None, false);
            rig.offer(2, vec![reading("n", 10)]);
            rig.pass(SECOND);
            assert_eq!(rig.delivered("n").last(), Some(&20));
            assert!(self::status(&rig).trouble.is_empty(), "it works again");
        }
    }
}

#[test]
fn a_filter_that_fails_is_passed_by_and_the_next_one_is_not() {
    let mut rig = wired(&[("p", &["bad", "double"])], TransformFailure::Pass);
    rig.transform = |filter, samples| if filter == "bad" { broken(filter, samples) } else { doubled(filter, samples) };
    rig.offer(1, vec![reading("n", 4)]);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), [8]);
}

#[test]
fn readings_wait_for_a_filter_that_is_still_being_loaded() {
    let mut rig = loading(&[("p", &["double"])], TransformFailure::Drop);
    rig.transform = doubled;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(10 * SECOND);
    assert!(rig.outcomes.is_empty());
    rig.plugin_up("double", None, false);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), [2]);
}

#[test]
fn readings_do_not_wait_for_a_filter_that_is_not_there_when_all_are_loaded() {
    let mut rig = loading(&[("p", &["double"])], TransformFailure::Pass);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    assert!(rig.outcomes.is_empty());
    rig.handle(Event::PluginsScanned);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), [1]);
    let mut slow = loading(&[("p", &["double"])], TransformFailure::Pass);
    slow.offer(1, vec![reading("n", 1)]);
    slow.pass(29 * SECOND);
    assert!(slow.outcomes.is_empty());
    slow.pass(2 * SECOND);
    assert_eq!(slow.delivered("n"), [1], "nobody waits for ever");
}

#[test]
fn a_silent_filter_costs_half_a_minute_once_and_is_asked_again_later() {
    let mut rig = wired(&[("p", &["f"])], TransformFailure::Pass);
    rig.transform = silent;
    for n in 1..=10 {
        rig.offer(n, vec![reading("n", n)]);
    }
    rig.pass(29 * SECOND);
    assert!(rig.outcomes.is_empty());
    rig.pass(2 * SECOND);
    assert_eq!(rig.delivered("n"), (1..=10).collect::<Vec<_>>());
    rig.offer(11, vec![reading("n", 11)]);
    rig.pass(SECOND);
    assert_eq!(rig.outcomes.len(), 11, "it is left alone");
    rig.pass(30 * SECOND);
    rig.transform = doubled;
    rig.offer(12, vec![reading("n", 12)]);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n").last(), Some(&24));
    assert_eq!(rig.transformed.len(), 2);
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut rig = wired(&[("p", &["f"])], TransformFailure::Pass);
    rig.transform = doubled;
    rig.transform_delay = 40 * SECOND;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(100 * SECOND);
    assert_eq!(rig.delivered("n"), [1]);
    assert_eq!(rig.outcomes.len(), 1);
}

#[test]
fn what_waits_for_a_slow_filter_is_bounded_and_keeps_its_order() {
    let mut rig = wired(&[("p", &["f"])], TransformFailure::Pass);
    rig.transform_delay = 100 * LATENCY;
    for n in 0..100 {
        rig.offer(n, vec![reading("n", n)]);
    }
    let refused = |rig: &Rig| -> Vec<u64> {
        let rejected = rig.outcomes.iter().filter(|(_, outcomes)| matches!(&outcomes[..], [Outcome::Rejected(_)]));
        rejected.map(|(OfferId(offer), _)| *offer).collect()
    };
    assert_eq!(refused(&rig), (64..100).collect::<Vec<_>>());
    let [.., (_, outcomes)] = rig.outcomes.as_slice() else { panic!("refused at once") };
    assert!(matches!(&outcomes[..], [Outcome::Rejected(why)] if why.contains("behind")), "{outcomes:?}");
    offered_by(&mut rig, "other", 100, vec![reading("n", 100)]);
    rig.pass(200 * SECOND);
    assert_eq!(rig.delivered("n"), [100].into_iter().chain(0..64).collect::<Vec<_>>());
    assert_eq!(status(&rig).behind, 36);
}

#[test]
fn the_bytes_of_all_that_waits_are_bounded() {
    let names: Vec<_> = (0..100).map(|n| format!("p{n}")).collect();
    let mut rig = wired(&[("*", &["f"])], TransformFailure::Pass);
    rig.transform = silent;
    for (name, n) in names.iter().zip(0..) {
        offered_by(&mut rig, name, n, vec![reading("text", "x".repeat(200_000))]);
    }
    assert!(rig.session.transform.bytes <= WAITING_BYTES_MAX);
    assert_eq!(status(&rig).behind, 100 - 41);
    rig.pass(100 * SECOND);
    assert_eq!(rig.session.transform.bytes, 0);
}

#[test]
fn many_sources_share_a_filter_in_turn_and_it_is_never_flooded() {
    let mut rig = wired(&[("*", &["f"])], TransformFailure::Pass);
    for n in 0..50 {
        offered_by(&mut rig, &format!("p{n}"), n, vec![reading("n", n)]);
        offered_by(&mut rig, &format!("p{n}"), 100 + n, vec![reading("n", 100 + n)]);
        assert!(rig.session.transform.calls.len() <= CALLS_MAX);
    }
    rig.pass(10 * SECOND);
    assert_eq!(rig.delivered("n"), (0..50).chain(100..150).collect::<Vec<_>>());
}

#[test]
fn a_sample_without_a_time_is_of_the_moment_it_was_taken() {
    let mut rig = wired(&[("p", &["f"])], TransformFailure::Pass);
    rig.transform_delay = 20 * SECOND;
    let taken = Timestamp::from_unix_ms(rig.real_unix_ms);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(30 * SECOND);
    let body = rig.cloud.received.iter().find(|body| body["mt"] == 0).unwrap();
    assert_eq!(body["d"][0]["dt"].as_str().unwrap(), taken.as_str());
}

#[test]
fn a_stop_answers_everybody_who_waits() {
    for (failure, delivered) in [(TransformFailure::Pass, vec![1, 2]), (TransformFailure::Drop, vec![])] {
        let mut rig = wired(&[("p", &["f"]), ("q", &["f"])], failure);
        rig.transform = silent;
        rig.offer(1, vec![reading("n", 1)]);
        rig.offer(2, vec![reading("n", 2)]);
        rig.handle(Event::PluginsStopping);
        rig.handle(Event::Stop);
        rig.offer(3, vec![]);
        rig.pass(8 * SECOND);
        assert!(rig.stopped);
        assert_eq!(rig.outcomes.len(), 3);
        assert_eq!(rig.delivered("n"), delivered);
    }
}

#[test]
fn a_hard_stop_takes_nothing_more_filtered_or_not() {
    let mut rig = wired(&[("p", &["f"])], TransformFailure::Pass);
    rig.transform_delay = 5 * SECOND;
    rig.offer(1, vec![reading("n", 1)]);
    rig.send_c2d(r#"{"cmdType": "0x99"}"#);
    rig.pass(SECOND);
    rig.offer(2, vec![reading("n", 2)]);
    rig.pass(20 * SECOND);
    assert_eq!(rig.transformed.len(), 1, "nobody is asked for nothing");
    assert_eq!(rig.outcomes.len(), 2);
    assert!(rig.outcomes.iter().all(|(_, outcomes)| matches!(&outcomes[..], [Outcome::Rejected(_)])));
}

#[derive(Debug, Clone)]
enum Fate {
    /// Source and samples.
    Offer(u8, u8),
    Pass(u16),
    /// Filter, and whether it runs.
    Up(u8, bool),
    Answers(u8),
    Delay(u16),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (0_u8..4, 0_u8..4).prop_map(|(source, samples)| Fate::Offer(source, samples)),
        3 => (1_u16..3_000).prop_map(Fate::Pass),
        1 => (20_000_u16..60_000).prop_map(Fate::Pass),
        1 => (0_u8..3, any::<bool>()).prop_map(|(filter, up)| Fate::Up(filter, up)),
        1 => (0_u8..4).prop_map(Fate::Answers),
        1 => (0_u16..2_000).prop_map(Fate::Delay),
    ]
}

proptest! {
    #![proptest_config(cases(128))]
    /// Whatever filters do: each offer is answered once and for every sample, what is accepted arrives, each source's
    /// readings in their order, and at the end nothing waits.
    #[test]
    fn no_filter_loses_reorders_or_withholds(fates in proptest::collection::vec(fate(), 1..80), drops in any::<bool>()) {
        let failure = if drops { TransformFailure::Drop } else { TransformFailure::Pass };
        let mut rig = loading(&[("s0", &["f0"]), ("s1", &["f0", "f1"]), ("*", &["f2", "f0"])], failure);
        let mut offered = Vec::new();
        for fate in fates {
            match fate {
                Fate::Offer(source, samples) => {
                    let offer = offered.len() as u64;
                    let number = |n| i64::from(source) * 1_000_000 + i64::try_from(offer).unwrap() * 10 + i64::from(n);
                    let samples: Vec<_> = (0..samples).map(|n| reading("n", number(n))).collect();
                    offered.push(samples.len());
                    // A source that is a filter as well.
                    let name = if source == 3 { "f2".to_owned() } else { format!("s{source}") };
                    offered_by(&mut rig, &name, offer, samples);
                }
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Up(filter, true) => rig.plugin_up(&format!("f{filter}"), None, false),
                Fate::Up(filter, false) => rig.handle(Event::PluginDown { plugin: format!("f{filter}"), gone: false }),
                Fate::Answers(how) => rig.transform = match how {
                    0 => broken,
                    1 => silent,
                    2 => |_, mut samples| { samples.truncate(1); Some(Ok(samples)) },
                    _ => |_, samples| Some(Ok(samples)),
                },
                Fate::Delay(ms) => rig.transform_delay = Duration::from_millis(ms.into()),
            }
            prop_assert!(rig.session.transform.calls.len() <= 3 * CALLS_MAX);
        }
        // No batch waits longer than for each filter of its row to be silent, one after the other.
        rig.pass(Duration::from_secs(600));
        prop_assert_eq!(rig.outcomes.len(), offered.len());
        let answered: BTreeSet<_> = rig.outcomes.iter().map(|(offer, _)| *offer).collect();
        prop_assert_eq!(answered.len(), offered.len(), "each once");
        for (OfferId(offer), outcomes) in &rig.outcomes {
            prop_assert_eq!(outcomes.len(), offered[usize::try_from(*offer).unwrap()]);
        }
        let delivered = rig.delivered("n");
        for source in 0..4 {
            let of_source: Vec<_> = delivered.iter().filter(|number| **number / 1_000_000 == source).collect();
            prop_assert!(of_source.is_sorted_by(|one, other| one < other), "{:?}", of_source);
        }
        for (OfferId(offer), outcomes) in &rig.outcomes {
            if outcomes.contains(&Outcome::Accepted) {
                let arrived = delivered.iter().any(|number| number % 1_000_000 / 10 == i64::try_from(*offer).unwrap());
                prop_assert!(arrived, "lost {}", offer);
            }
        }
        let transform = &rig.session.transform;
        prop_assert!(transform.sources.is_empty() && transform.calls.is_empty() && transform.offers.is_empty());
        prop_assert_eq!(transform.bytes, 0);
    }
}
