use super::*;

fn parse(arguments: &[&str]) -> Result<Option<Options>, UsageError> {
    Options::parse(arguments.iter().map(|argument| (*argument).to_owned()))
}

#[test]
fn limits_have_defaults_and_can_be_set() {
    assert_eq!(parse(&[]), Ok(Some(Options { cpu_s: CPU_S_DEFAULT, memory_mb: MEMORY_MB_DEFAULT })));
    assert_eq!(parse(&["--cpu-s", "3", "--memory-mb", "200"]), Ok(Some(Options { cpu_s: 3, memory_mb: 200 })));
    assert_eq!(parse(&["--help"]), Ok(None));
}

#[test]
fn a_wrong_argument_is_named() {
    assert_eq!(parse(&["--fast"]), Err(UsageError::Unknown("--fast".to_owned())));
    for wrong in [&["--cpu-s"][..], &["--cpu-s", "0"], &["--cpu-s", "-1"], &["--cpu-s", "lots"]] {
        assert_eq!(parse(wrong), Err(UsageError::Number("--cpu-s".to_owned())));
    }
}
