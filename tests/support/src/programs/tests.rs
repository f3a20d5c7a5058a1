use super::*;

#[test]
fn what_is_not_built_is_named_with_the_target_that_builds_it() {
    let error = program("no-such-program").unwrap_err().to_string();
    assert!(error.contains("no-such-program") && error.ends_with("run `make build`"), "{error}");
    let error = guest("no-such-guest").unwrap_err().to_string();
    assert!(error.contains("guests/no-such-guest.wasm") && error.ends_with("run `make guests`"), "{error}");
}
