use super::*;

/// A Rust panic without debug information, shortened where it repeats itself.
const PANIC: &str = "error while executing at wasm backtrace:
    0:   0x5b03 - traps.wasm!abort
    1:   0x4036 - traps.wasm!std[d123b7a1a2ed1472]::sys::pal::wasi::helpers::abort_internal
    2:   0x382b - traps.wasm!__rustc[b7974e8690430dd9]::__rust_abort
    3:   0x2640 - traps.wasm!std[d1]::sys::backtrace::__rust_end_short_backtrace::<std[d1]::panicking::{closure#0}, !>
    4:   0xa559 - traps.wasm!core[6d9e98711c484d2e]::panicking::panic_fmt
    5:   0x1597 - traps.wasm!load::parsed
    6:   0x1500 - traps.wasm!<alloc::boxed::Box<F> as core::ops::FnOnce<()>>::call_once
   10:   0x1400 - traps.wasm!edgeplug:plugin/sensor@0.2.0#sample";

/// With debug information and inlined functions.
const DETAILED: &str = "error while executing at wasm backtrace:
    0:   0x5b04 - abort
    1:   0x325a - std[d123b7a1a2ed1472]::process::abort
                    at /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/process.rs:2533:5
    2:   0x1598 - sample
                    at src/lib.rs:14:9
                - call_once<fn(&mut load::Load) -> !>
                    at /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/ops/function.rs:250:5
                - export_sample
                    at src/lib.rs:19:1";

#[test]
fn what_the_author_wrote_is_shown_and_the_runtime_is_not() {
    let shown = ["0: 0x1597 - traps.wasm!load::parsed", "1: 0x1400 - traps.wasm!edgeplug:plugin/sensor@0.2.0#sample"];
    assert_eq!(lines(PANIC), shown);
    assert_eq!(lines(DETAILED), ["0: 0x1598 - sample at src/lib.rs:14:9", "1: export_sample at src/lib.rs:19:1"]);
}

#[test]
fn a_name_that_only_begins_alike_is_the_authors() {
    for name in ["rust_sensor::read", "abort_pump", "exit_code", "stdio::read", "main.init$3", "<wasm function 7>"] {
        let trace = format!("heading\n    0:   0x10 - abort\n    1:   0x20 - core.wasm!{name}\n");
        assert_eq!(lines(&trace), [format!("0: 0x20 - core.wasm!{name}")]);
    }
}

#[test]
fn a_trace_of_nothing_else_is_shown_as_it_is() {
    assert_eq!(lines("heading\n    0: 0x10 - core.wasm!abort\n"), ["0: 0x10 - core.wasm!abort"]);
    assert_eq!(lines(""), Vec::<String>::new());
}

#[test]
fn names_and_calls_are_bounded() {
    let frame = format!("  0: 0x10 - m!{}\n      at src/lib.rs:1:2\n", "ä".repeat(10_000));
    let shown = lines(&format!("heading\n{}", frame.repeat(50)));
    assert_eq!(shown.len(), CALLS_MAX);
    assert!(shown.iter().all(|line| line.len() < CALL_LEN_MAX + 30 && line.ends_with("… at src/lib.rs:1:2")));
}

#[test]
fn names_of_rust_are_made_readable_and_others_stay() {
    for (mangled, readable) in [
        ("_RNvCs1234_4load6parsed", "load::parsed"),
        ("_ZN4load6parsed17h0123456789abcdefE", "load::parsed"),
        ("_ZN3foo3barEv", "_ZN3foo3barEv"),
        ("_Znwm", "_Znwm"),
        ("main.init$3", "main.init$3"),
    ] {
        let trace = format!("heading\n    0:   0x20 - core.wasm!{mangled}\n");
        let [line] = &lines(&trace)[..] else { panic!("one line") };
        assert!(line.starts_with(&format!("0: 0x20 - core.wasm!{readable}")), "{line}");
    }
}

#[test]
fn a_name_that_unfolds_to_megabytes_is_cut() {
    // A tuple of tuples of tuples: each level names the one before it twice, by back references.
    let mut name = "_RINvC1a1bTuuE".to_owned();
    for _ in 0..30 {
        let before = name.rfind('T').expect("a tuple") - 2;
        let reference = format!("B{}_", base_62(before));
        name.push_str(&format!("T{reference}{reference}E"));
    }
    name.push('E');
    let begun = std::time::Instant::now();
    for name in [name, format!("_RNvC{}{}", 100_000, "a".repeat(100_000))] {
        let shown = lines(&format!("heading\n    0:   0x20 - core.wasm!{name}\n"));
        assert!(shown.iter().all(|line| line.len() < CALL_LEN_MAX + 30), "{shown:?}");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// As v0 mangling writes the number in a back reference: 0 is nothing, others are one less.
fn base_62(number: usize) -> String {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let Some(mut rest) = number.checked_sub(1) else { return String::new() };
    let mut text = String::new();
    loop {
        text.insert(0, char::from(DIGITS[rest % 62]));
        rest /= 62;
        if rest == 0 {
            return text;
        }
    }
}
