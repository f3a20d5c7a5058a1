//! What the crates are made of.

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn the_daemons_side_links_no_code_generator() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--package", "edgeplug-plugins", "--edges", "normal", "--prefix", "none", "--format", "{p} {f}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree");
    let tree = String::from_utf8(output.stdout).expect("utf-8");
    assert!(output.status.success() && tree.contains("wasmtime v"), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["cranelift-codegen", "wasmtime-internal-cranelift", "wasmtime-internal-winch", "regalloc2"] {
        assert!(!tree.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} is linked");
    }
}

#[test]
fn only_one_file_is_unsafe() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = ["edgeplug-compiler", "edgeplug-engine", "edgeplug-plugins"];
    let is_unsafe = |line: &str| line.trim_start().starts_with("unsafe ") || line.contains(" unsafe {");
    let with_unsafe: Vec<_> = crates
        .iter()
        .flat_map(|name| sources(&host.join(name).join("src")))
        .filter(|(_, text)| text.lines().any(is_unsafe))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(with_unsafe, ["artefact.rs"]);
}

#[test]
fn the_rust_sdk_has_the_same_interface_as_the_host() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = |directory: &str| -> BTreeMap<String, String> { sources(&root.join(directory)).into_iter().collect() };
    assert_eq!(files("wit"), files("guests/rust/wit"), "copy wit/ to guests/rust/wit");
}

fn sources(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            found.push((name, std::fs::read_to_string(&path).expect("text")));
        }
    }
    found
}
