use super::*;

#[test]
fn rights_are_read_from_what_is_called() {
    let mut found = Inspection::default();
    assert_eq!(rights(&found), Vec::<&str>::new());
    found.calls =
        vec!["log.log".to_owned(), "files.read".to_owned(), "files.find".to_owned(), "i2c.transaction".to_owned()];
    let words = rights(&found).join("\n");
    assert!(words.contains("reads files") && words.contains("I2C") && words.lines().count() == 2, "{words}");
}

#[test]
fn what_is_no_plugin_is_told_by_its_problem() {
    let found = Inspection { problem: Some("it is not WebAssembly".to_owned()), ..Inspection::default() };
    assert!(words(Path::new("x.wasm"), &found).contains("no WebAssembly"));
    let problem = verdict(Path::new("x.wasm"), &found).unwrap_err();
    assert_eq!(problem.exit, Exit::PluginUnfit);
    assert_eq!(problem.text, "x.wasm: it is not WebAssembly");
}

#[test]
fn a_producer_without_a_version_is_its_name() {
    let producers = [("Rust", ""), ("clang", "22.1")].map(|(name, version)| (name.into(), version.into()));
    let found = Inspection { producers: producers.into(), ..Inspection::default() };
    let words = words(Path::new("x.wasm"), &found);
    assert!(words.ends_with("  made by  Rust\n           clang: 22.1\n"), "{words}");
}
