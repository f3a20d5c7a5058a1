use super::*;

const KINDS: [EngineKind; 2] = [EngineKind::Native, EngineKind::Interpreter];

#[test]
fn the_configuration_makes_an_engine() {
    for kind in KINDS {
        engine(kind).expect("engine");
        portable_engine(kind).expect("engine");
    }
}

#[test]
fn the_fingerprint_is_stable_and_fits_a_file_name() {
    for kind in KINDS {
        assert_eq!(fingerprint(kind), fingerprint(kind));
        assert_eq!(fingerprint(kind).len(), 16);
        assert!(fingerprint(kind).chars().all(|c| c.is_ascii_hexdigit()));
    }
    assert_ne!(fingerprint(EngineKind::Native), fingerprint(EngineKind::Interpreter));
}

#[test]
fn an_engine_is_known_by_its_name() {
    for kind in KINDS {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!("winch".parse::<EngineKind>(), Err(NotAnEngine));
}

#[test]
fn the_exact_wasmtime_version_is_known() {
    let parts: Vec<u32> = WASMTIME_VERSION.split('.').map(|part| part.parse().expect("a number")).collect();
    assert_eq!(parts.len(), 3, "{WASMTIME_VERSION}");
}
