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

#[test]
fn a_typing_error_in_a_manifest_sets_no_component_free() {
    for manifest in [
        "component = \"shared.wasm\"\nfilez = []",
        "component = \"shared.wasm\"\ninterval_s = = 1",
        "component = 'shared.wasm'\n[limits]\nmemory_mb = 0",
    ] {
        let look = look(&[("shared.wasm", ""), ("in.toml", manifest)]);
        assert_eq!(names(&look), [("in", "shared.wasm".to_owned())], "{manifest}");
    }
}

#[test]
fn a_manifest_that_breaks_is_still_for_its_component() {
    let directory = tempfile::tempdir().expect("directory");
    let write = |name: &str, content: &[u8]| fs::write(directory.path().join(name), content).expect("write");
    let mut scanner = Scanner::default();
    let mut look = || scanner.look(directory.path(), &Limits::default()).expect("look");
    write("shared.wasm", b"");
    write("in.toml", b"component = \"shared.wasm\"");
    let whole = look();
    for broken in [&b"component"[..], b"\xff", b"componentt = \"shared.wasm\" # longer"] {
        write("in.toml", broken);
        assert_eq!(names(&look()), names(&whole), "{broken:?}");
    }
    write("in.toml", b"");
    assert_eq!(names(&look()), [("shared", "shared.wasm".to_owned())], "now it says so");
}

#[test]
fn a_newcomer_takes_nobodys_place() {
    let directory = tempfile::tempdir().expect("directory");
    for number in 0..PLUGINS_MAX {
        fs::write(directory.path().join(format!("p{number:03}.wasm")), "").expect("write");
    }
    let mut scanner = Scanner::default();
    let mut look = || scanner.look(directory.path(), &Limits::default()).expect("look");
    let before = look();
    fs::write(directory.path().join("aaa.wasm"), "").expect("write");
    let after = look();
    assert_eq!(names(&after), names(&before));
    assert!(after.refused.contains_key(&directory.path().join("aaa.wasm")));
}

#[test]
fn other_content_of_the_same_length_and_time_is_a_change() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("a.wasm");
    fs::write(&path, "one").expect("write");
    let before = Stamp::at(&path).expect("stamp");
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    // The kernel's clock for files is coarse; it moves within some milliseconds.
    while Stamp::at(&path) == Some(before) {
        assert!(std::time::Instant::now() < limit, "the change is not noticed");
        fs::write(&path, "two").expect("write");
        File::options().write(true).open(&path).expect("open").set_modified(before.modified).expect("time");
    }
    assert_eq!(Stamp::at(&path).expect("stamp").modified, before.modified);
}

#[test]
fn a_failure_of_the_machine_is_told_from_one_of_the_manifest() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("a.toml");
    assert!(matches!(read_manifest(&path), Err(ManifestFailure::Missing)));
    fs::write(&path, b"\xff").expect("write");
    assert!(matches!(read_manifest(&path), Err(ManifestFailure::Refused(_))));
    // Stands in for a disk that fails: reading a directory does.
    assert!(matches!(read_manifest(directory.path()), Err(ManifestFailure::Io(_))));
}
