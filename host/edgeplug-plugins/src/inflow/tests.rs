use super::*;

fn sample(text_len: usize) -> Sample {
    Sample { device: None, time: None, values: vec![("a".to_owned(), "x".repeat(text_len).into())] }
}

#[test]
fn many_small_samples_are_bounded_by_their_number() {
    let (inflow, small) = (Inflow::default(), sample(1));
    let admitted = |now| (0..10_000).filter(|_| inflow.admit(&small, now).is_ok()).count();
    assert_eq!(admitted(Duration::ZERO), SAMPLES_AT_ONCE as usize);
    assert_eq!(admitted(Duration::from_secs(1)), SAMPLES_PER_SECOND as usize);
    let reason = inflow.admit(&small, Duration::from_secs(1)).expect_err("too many");
    assert!(reason.contains("1000 samples a second"), "{reason}");
}

#[test]
fn few_large_samples_are_bounded_by_their_bytes() {
    let (inflow, large) = (Inflow::default(), sample((64 << 10) - 1));
    let admitted = |now| (0..1000).filter(|_| inflow.admit(&large, now).is_ok()).count();
    assert_eq!(admitted(Duration::ZERO), 40);
    assert_eq!(admitted(Duration::from_secs(1)), 4);
    let reason = inflow.admit(&large, Duration::from_secs(1)).expect_err("too much");
    assert!(reason.contains("256 KiB of readings a second"), "{reason}");
}
