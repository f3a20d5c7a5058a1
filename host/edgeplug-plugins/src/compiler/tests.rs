use super::*;

fn judged(raw: i32) -> Result<(), CompileFailure> {
    judge(ExitStatus::from_raw(raw), "edgeplug-compiler: words")
}

#[test]
fn only_the_compilers_own_limits_are_the_components_fault() {
    for signal in [libc::SIGXCPU, libc::SIGABRT] {
        assert!(matches!(judged(signal), Err(CompileFailure::Component(_))), "{signal}");
    }
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, libc::SIGBUS] {
        assert!(matches!(judged(signal), Err(CompileFailure::Machine(_))), "{signal}");
    }
}

#[test]
fn an_exit_code_says_whose_fault_it_is() {
    assert!(judged(0).is_ok());
    for code in COMPONENT_EXIT_CODES {
        match judged(code << 8) {
            Err(CompileFailure::Component(words)) => assert_eq!(words, "words"),
            other => panic!("{code}: {other:?}"),
        }
    }
    for code in [1, 2, 6, 7, 101] {
        assert!(matches!(judged(code << 8), Err(CompileFailure::Machine(_))), "{code}");
    }
}
