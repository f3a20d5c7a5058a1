use super::*;

#[test]
fn names_that_were_escaped_get_their_own() {
    for (path, laid) in [
        ("Cargo.toml.in", "Cargo.toml"),
        ("gitignore", ".gitignore"),
        ("web/gitignore", "web/.gitignore"),
        ("src/lib.rs", "src/lib.rs"),
        ("main.in.py", "main.in.py"),
    ] {
        assert_eq!(laid_name(path), laid);
    }
}

#[test]
fn go_is_tinygo_but_for_what_it_has_of_its_own() {
    let [tinygo, go] = ["tinygo", "go"].map(|language| project("tinygo", language, str::to_owned));
    let paths = |files: &[Laid]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&tinygo), paths(&go));
    assert_ne!(tinygo, go);
}

#[test]
fn no_template_folder_and_no_placeholder_is_laid() {
    for sdk in ["rust", "c", "tinygo", "python", "javascript"] {
        for file in project(sdk, sdk, |text| {
            text.replace("{{name}}", "n").replace("{{ident}}", "n").replace("{{version}}", "1")
        }) {
            assert!(!file.path.contains("template") && !file.path.contains("{{"), "{}", file.path);
            let template = !file.path.starts_with("sdk/");
            assert!(!template || !String::from_utf8_lossy(&file.content).contains("{{"), "{}", file.path);
        }
    }
}

#[test]
fn an_unknown_sdk_has_nothing() {
    assert_eq!(project("cobol", "cobol", str::to_owned), []);
}
