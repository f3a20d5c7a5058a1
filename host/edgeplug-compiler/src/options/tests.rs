use super::*;

fn parse(arguments: &[&str]) -> Result<Option<Options>, UsageError> {
    Options::parse(arguments.iter().map(|argument| (*argument).to_owned()))
}

fn job(arguments: &[&str]) -> Job {
    parse(arguments).unwrap().unwrap().job
}

#[test]
fn limits_have_defaults_and_can_be_set() {
    let compile = Job::Compile { engine: EngineKind::Native, portable: false };
    let defaults = Limits { cpu_s: CPU_S_DEFAULT, memory_mb: MEMORY_MB_DEFAULT };
    assert_eq!(parse(&[]), Ok(Some(Options { job: compile.clone(), limits: defaults })));
    let limits = Limits { cpu_s: 3, memory_mb: 200 };
    assert_eq!(parse(&["--cpu-s", "3", "--memory-mb", "200"]), Ok(Some(Options { job: compile, limits })));
    assert_eq!(parse(&["--help"]), Ok(None));
    assert_eq!(parse(&["bindings", "-h"]), Ok(None));
}

#[test]
fn every_job_has_its_own_arguments() {
    assert_eq!(
        job(&["--portable", "--engine", "interpreter"]),
        Job::Compile { engine: EngineKind::Interpreter, portable: true }
    );
    assert_eq!(parse(&["componentize", "--portable"]), Err(UsageError::Unknown("--portable".to_owned())));
    assert_eq!(job(&["inspect"]), Job::Inspect);
    assert_eq!(job(&["componentize"]), Job::Componentize { world: "plugin".to_owned() });
    assert_eq!(job(&["componentize", "--cpu-s", "3", "--world", "w"]), Job::Componentize { world: "w".to_owned() });
    assert_eq!(
        job(&["bindings", "--lang", "c", "--out", "gen", "--world", "sensor"]),
        Job::Bindings { language: Language::C, world: "sensor".to_owned(), directory: "gen".into(), package: None }
    );
    assert_eq!(parse(&["--world", "w"]), Err(UsageError::Unknown("--world".to_owned())));
    assert_eq!(parse(&["componentize", "--lang", "c"]), Err(UsageError::Unknown("--lang".to_owned())));
}

#[test]
fn a_wrong_argument_is_named() {
    assert_eq!(parse(&["--fast"]), Err(UsageError::Unknown("--fast".to_owned())));
    assert_eq!(parse(&["--cpu-s", "1", "bindings"]), Err(UsageError::Unknown("bindings".to_owned())));
    for wrong in [&["--cpu-s"][..], &["--cpu-s", "0"], &["--cpu-s", "-1"], &["--cpu-s", "lots"]] {
        assert_eq!(parse(wrong), Err(UsageError::Number("--cpu-s".to_owned())));
    }
    assert_eq!(parse(&["componentize", "--world"]), Err(UsageError::Value("--world".to_owned())));
    assert_eq!(parse(&["bindings", "--out", "x"]), Err(UsageError::Missing("lang")));
    assert_eq!(parse(&["bindings", "--lang", "c"]), Err(UsageError::Missing("out")));
    assert_eq!(parse(&["--engine", "winch"]), Err(UsageError::Engine("winch".to_owned())));
    let cobol = ["bindings", "--lang", "cobol", "--out", "x"];
    assert_eq!(parse(&cobol), Err(UsageError::Language("cobol".to_owned())));
}
