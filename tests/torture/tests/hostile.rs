//! The short form of `make torture-hostile`: the same code, one wall of each kind, and no judgement of latencies, which mean
//! little in a program that is not optimised on a machine that runs other tests beside this one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;

use edgeplug_torture::hostile::{Options, Verdict, Which, run};

fn hostile(which: Which) -> Verdict {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_edgeplug-torture"));
    let verdict = run(&Options { program, which, alone_ms: 100, attack_ms: 200, judge_latency: false }).unwrap();
    println!("{verdict}");
    verdict
}

#[test]
fn hostile_components_get_nowhere() {
    let verdict = hostile(Which::Short);
    assert!(verdict.complaints.is_empty(), "{verdict}\n{}", verdict.complaints.join("\n"));
    assert!(verdict.quarantined > 5, "{verdict}");
}

#[test]
fn a_wall_with_a_hole_is_found() {
    let verdict = hostile(Which::Open);
    assert_eq!(
        verdict.breached,
        verdict.walls,
        "the judge proves nothing: {verdict}\n{}",
        verdict.complaints.join("\n")
    );
}
