use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{TICK, Ticker};

/// Long enough for a tick on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One that counts.
fn ticker() -> (Ticker, Arc<AtomicU64>) {
    let ticks = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&ticks);
    let count = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    (Ticker::with(count).expect("a thread"), ticks)
}

fn wait_for_ticks(ticks: &AtomicU64, more: u64) {
    let (begun, wanted) = (Instant::now(), ticks.load(Ordering::SeqCst) + more);
    while ticks.load(Ordering::SeqCst) < wanted {
        assert!(begun.elapsed() < PATIENCE, "no tick");
        std::thread::sleep(TICK / 4);
    }
}

fn wait_until_asleep(ticker: &Ticker) {
    let begun = Instant::now();
    while !ticker.shared.asleep.load(Ordering::SeqCst) {
        assert!(begun.elapsed() < PATIENCE, "it does not go to sleep");
        std::thread::sleep(TICK / 4);
    }
}

#[test]
fn it_ticks_while_a_guest_computes_and_sleeps_otherwise() {
    let (ticker, ticks) = ticker();
    for _ in 0..10 {
        wait_until_asleep(&ticker);
        let before = ticks.load(Ordering::SeqCst);
        std::thread::sleep(TICK * 5);
        assert_eq!(ticks.load(Ordering::SeqCst), before, "nobody computes");
        let one = ticker.run();
        let other = ticker.run();
        wait_for_ticks(&ticks, 3);
        drop(one);
        wait_for_ticks(&ticks, 3);
        drop(other);
    }
}

#[test]
fn no_wake_up_is_missed_however_short_the_calls_are() {
    let (ticker, ticks) = ticker();
    let guests: Vec<_> = (0..4)
        .map(|_| {
            let ticker = ticker.clone();
            std::thread::spawn(move || (0..20_000).for_each(|_| drop(ticker.run())))
        })
        .collect();
    guests.into_iter().for_each(|guest| guest.join().expect("a guest"));
    let _running = ticker.run();
    wait_for_ticks(&ticks, 1);
}

#[test]
fn its_thread_ends_with_the_last_clone() {
    let (ticker, _) = ticker();
    let shared = Arc::downgrade(&ticker.shared);
    let clone = ticker.clone();
    drop(ticker);
    wait_until_asleep(&clone);
    drop(clone);
    let begun = Instant::now();
    while shared.strong_count() > 0 {
        assert!(begun.elapsed() < PATIENCE, "the thread still runs");
        std::thread::sleep(TICK);
    }
}
