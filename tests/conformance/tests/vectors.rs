//! Every vector file of this crate passes, and what is no case is said.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use edgeplug_conformance::{Counts, Verdict, run_file, run_line};

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn passes(file: &Path) -> Counts {
    let mut counts = Counts::default();
    let mut failures = String::new();
    for outcome in run_file(file).unwrap() {
        counts.add(&outcome.verdict);
        if let Verdict::Failed(differences) = &outcome.verdict {
            failures.push_str(&format!("{}\n{}\n", outcome.id, differences.join("\n")));
        }
    }
    assert!(counts.failed == 0, "{counts}\n{failures}");
    counts
}

fn reason(line: &str) -> String {
    match run_line(line, "file:1").verdict {
        Verdict::Failed(differences) => differences.join("\n"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn recorded_cases_pass() {
    let counts: Vec<_> = files("vectors").iter().map(|file| passes(file)).collect();
    let (passed, skipped) = counts.iter().fold((0, 0), |(p, s), counts| (p + counts.passed, s + counts.skipped));
    // A file that shrinks by mistake would pass as well.
    assert_eq!((passed, skipped), (186, 16));
}

#[test]
fn our_own_cases_pass() {
    for file in files("cases") {
        assert!(passes(&file).passed > 0, "{}", file.display());
    }
}

#[test]
fn a_line_that_is_no_case_says_why() {
    assert!(reason("{").contains("not a JSON object"));
    assert!(reason("[]").contains("not a JSON object"));
    assert!(reason("{}").contains("no text \"id\""));
    assert!(
        reason(r#"{"id":"x","config":{"cpId":"CP","uniqueId":"GW"}}"#).contains("neither \"sync\" nor \"identity\"")
    );
    assert!(reason(r#"{"id":"x","sync":{},"config":{}}"#).contains("no text \"uniqueId\""));
    let with =
        |rest: &str| reason(&format!(r#"{{"id":"x","sync":{{}},"config":{{"cpId":"CP","uniqueId":"GW"}},{rest}}}"#));
    assert!(with(r#""steps":[{"op":"dance"}]"#).contains("unknown op \"dance\""));
    assert!(with(r#""steps":[{"op":"c2d"}]"#).contains("neither \"payload\" nor"));
    assert!(
        with(r#""steps":[{"op":"window","events":[{"kind":"smoke"}]}]"#).contains("unknown kind of event \"smoke\"")
    );
    assert!(with(r#""loose":["everything"],"steps":[]"#).contains("unknown value of \"loose\""));
    assert!(with(r#""quirk":"q","sane_things":[],"steps":[]"#).contains("unknown member \"sane_things\""));
    assert!(with(r#""steps":[{"op":"window"}],"sane_steps":[]"#).contains("another length"));
}

#[test]
fn a_quirk_without_a_sane_result_is_left_out() {
    let line = r#"{"id":"x","sync":{},"config":{"cpId":"CP","uniqueId":"GW"},"quirk":"q","steps":[]}"#;
    assert!(matches!(run_line(line, "file:1").verdict, Verdict::Skipped(_)));
}
