//! `edgeplug-conformance FILE...`: runs vector files, prints what differs, and last of all
//! `N passed, N failed, N skipped` on a line of its own. Exit code 0 only if nothing failed.

use std::path::Path;
use std::process::ExitCode;

use edgeplug_conformance::{Counts, Verdict, run_file};

/// Wrong usage, as in `sysexits.h`'s spirit: not a failed case.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        eprintln!(
            "usage: edgeplug-conformance FILE...\n\nFILE holds one recorded case a line; see tests/conformance/README.md"
        );
        return ExitCode::from(USAGE);
    }
    let mut counts = Counts::default();
    for file in files {
        match run_file(Path::new(&file)) {
            Ok(outcomes) => {
                for outcome in outcomes {
                    counts.add(&outcome.verdict);
                    if let Verdict::Failed(differences) = &outcome.verdict {
                        println!("FAILED {}", outcome.id);
                        differences.iter().flat_map(|text| text.lines()).for_each(|line| println!("  {line}"));
                    }
                }
            }
            Err(error) => {
                counts.failed += 1;
                println!("FAILED {error:#}");
            }
        }
    }
    println!("{counts}");
    if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
