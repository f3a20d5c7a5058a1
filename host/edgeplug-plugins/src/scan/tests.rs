use super::*;

fn look(files: &[(&str, &str)]) -> Look {
    let directory = tempfile::tempdir().expect("directory");
    for (name, content) in files {
        fs::write(directory.path().join(name), content).expect("write");
    }
    Scanner::default().look(directory.path(), &Limits::default()).expect("look")
}

fn names(look: &Look) -> Vec<(&str, String)> {
    let file = |candidate: &Candidate| candidate.component.file_name().expect("name").to_string_lossy().into_owned();
    look.candidates.iter().map(|(name, candidate)| (name.as_str(), file(candidate))).collect()
}

#[test]
fn one_component_may_run_under_several_names() {
    let look = look(&[
        ("plain.wasm", ""),
        ("shared.wasm", ""),
        ("in.toml", "component = \"shared.wasm\""),
        ("out.toml", "component = \"shared.wasm\""),
        ("own.wasm", ""),
        ("own.toml", ""),
        ("other.toml", "component = \"own.wasm\""),
    ]);
    let expected = [
        ("in", "shared.wasm"),
        ("other", "own.wasm"),
        ("out", "shared.wasm"),
        ("own", "own.wasm"),
        ("plain", "plain.wasm"),
    ];
    assert_eq!(names(&look), expected.map(|(name, file)| (name, file.to_owned())));
}

#[test]
fn files_written_aside_are_nothing() {
    let look = look(&[(".a.wasm.swp", ""), (".b.wasm", ""), ("c.wasm~", ""), ("d.wasm.part", ""), ("README", "")]);
    assert!(look.candidates.is_empty() && look.refused.is_empty());
}

#[test]
fn a_bad_name_is_refused_with_the_rule() {
    let look = look(&[("a b.wasm", ""), (&format!("{}.wasm", "x".repeat(65)), ""), ("fine.wasm", "")]);
    assert_eq!(look.candidates.len(), 1);
    assert_eq!(look.refused.len(), 2);
}

#[test]
fn a_broken_manifest_is_still_a_candidate() {
    let look = look(&[("a.toml", "nonsense")]);
    let candidate = &look.candidates["a"];
    assert!(candidate.manifest_stamp.is_some() && candidate.component_stamp.is_none());
}

#[test]
fn too_many_plugins_are_refused_not_run() {
    let directory = tempfile::tempdir().expect("directory");
    for number in 0..PLUGINS_MAX + 2 {
        fs::write(directory.path().join(format!("p{number:03}.wasm")), "").expect("write");
    }
    let look = Scanner::default().look(directory.path(), &Limits::default()).expect("look");
    assert_eq!(look.candidates.len(), PLUGINS_MAX);
    assert_eq!(look.refused.len(), 2);
}
