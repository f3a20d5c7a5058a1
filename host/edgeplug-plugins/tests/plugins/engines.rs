//! The interpreter in place of native code.

use std::process::Command;

use edgeplug_plugins::{CallFailure, EngineKind};

use crate::rig::{Rig, Setup, guest, told};

/// Set where the test runs itself once more, in a process that cannot make memory executable.
const CONFINED: &str = "EDGEPLUG_TEST_CONFINED";
/// `PR_SET_MDWE` with `PR_MDWE_REFUSE_EXEC_GAIN` (prctl(2), Linux 6.3), kept across exec, by the interpreter that every
/// Debian has: Rust would call this an unsafe function.
const CONFINE: &str = r#"
    my $prctl = shift @ARGV;
    syscall($prctl + 0, 65, 1, 0, 0, 0) == 0 or die "prctl(PR_SET_MDWE) needs Linux 6.3: $!";
    exec @ARGV or die "exec: $!";
"#;

fn setup(engine: EngineKind) -> Setup {
    let mut setup = Setup::new();
    setup.options.engine = engine;
    setup
}

#[tokio::test]
async fn where_memory_cannot_be_made_executable_the_interpreter_runs() {
    if std::env::var_os(CONFINED).is_none() {
        let test = std::env::current_exe().expect("path of this test");
        let output = Command::new("perl")
            .args(["-e", CONFINE, &libc::SYS_prctl.to_string()])
            .arg(test)
            .args(["--exact", "engines::where_memory_cannot_be_made_executable_the_interpreter_runs"])
            .env(CONFINED, "1")
            .output()
            .expect("perl of the package perl-base");
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        assert!(output.status.success() && words.contains("1 passed"), "{words}");
        return;
    }
    let setup_native = setup(EngineKind::Native);
    setup_native.put("traps.wasm", &guest("traps"));
    let mut rig: Rig = setup_native.start();
    let reason = rig.refused("traps").await;
    assert!(reason.contains("forbids executable memory"), "{reason}");
    assert!(reason.contains("`plugins.engine = \"interpreter\"`"), "{reason}");

    let setup_interpreter = setup(EngineKind::Interpreter);
    setup_interpreter.put("traps.wasm", &guest("traps"));
    let mut rig: Rig = setup_interpreter.start();
    rig.up("traps").await;
    rig.sample("traps").await.expect("samples");
}

#[tokio::test]
async fn the_interpreter_keeps_the_same_walls() {
    let mut setup = setup(EngineKind::Interpreter);
    // What computes takes its time in a debug build.
    setup.options.limits.deadline = std::time::Duration::from_secs(2);
    let mut rig = setup.start();
    rig.put_and_up("loops", &guest("loops")).await;
    assert!(matches!(rig.sample("loops").await, Err(CallFailure::TimedOut)), "a loop without end is ended");
    rig.put_and_up("hog", &guest("hog")).await;
    assert!(rig.sample("hog").await.is_err(), "memory has its cap");
    rig.put_and_up("echo-commands", &guest("echo-commands")).await;
    assert!(told(rig.command("echo-commands", "ok hello").await).expect("an answer").contains("hello"));
}

#[tokio::test]
async fn each_engine_has_its_own_artefacts_in_one_cache() {
    let mut setup = Setup::new();
    setup.put("traps.wasm", &guest("traps"));
    for engine in [EngineKind::Native, EngineKind::Interpreter, EngineKind::Native] {
        setup.options.engine = engine;
        let mut rig = setup.start();
        rig.up("traps").await;
        setup = Setup::after(rig.stop().await);
    }
    let cache = &setup.options.cache_directory;
    let names = std::fs::read_dir(cache).expect("cache").map(|entry| entry.expect("entry").file_name());
    let artefacts: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".cwasm")).collect();
    assert_eq!(artefacts.len(), 2, "{artefacts:?}");
}
