use super::*;

#[test]
fn the_configuration_makes_an_engine() {
    engine().expect("engine");
}

#[test]
fn the_fingerprint_is_stable_and_fits_a_file_name() {
    assert_eq!(fingerprint(), fingerprint());
    assert_eq!(fingerprint().len(), 16);
    assert!(fingerprint().chars().all(|c| c.is_ascii_hexdigit()));
}

#[test]
fn the_exact_wasmtime_version_is_known() {
    let parts: Vec<u32> = WASMTIME_VERSION.split('.').map(|part| part.parse().expect("a number")).collect();
    assert_eq!(parts.len(), 3, "{WASMTIME_VERSION}");
}
