use super::*;

/// The operator's directory alone.
fn alone(directory: &Path) -> Places {
    Places { operator: directory.to_owned(), ota: None }
}

fn look(files: &[(&str, &str)]) -> Look {
    let directory = tempfile::tempdir().expect("directory");
    for (name, content) in files {
        fs::write(directory.path().join(name), content).expect("write");
    }
    Scanner::default().look(&alone(directory.path()), &Limits::default()).expect("look")
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
    let look = Scanner::default().look(&alone(directory.path()), &Limits::default()).expect("look");
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
    let mut look = || scanner.look(&alone(directory.path()), &Limits::default()).expect("look");
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
    let mut look = || scanner.look(&alone(directory.path()), &Limits::default()).expect("look");
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
    let stamp = || Stamp::at(&path).expect("looked at").expect("stamp");
    let before = stamp();
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    // The kernel's clock for files is coarse; it moves within some milliseconds.
    while stamp() == before {
        assert!(std::time::Instant::now() < limit, "the change is not noticed");
        fs::write(&path, "two").expect("write");
        File::options().write(true).open(&path).expect("open").set_modified(before.modified).expect("time");
    }
    assert_eq!(stamp().modified, before.modified);
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

/// Both directories; the files of the second are named `ota/…`.
struct Both {
    directory: tempfile::TempDir,
    places: Places,
    scanner: Scanner,
}

impl Both {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let (operator, ota) = (directory.path().join("operator"), directory.path().join("ota"));
        fs::create_dir(&operator).expect("directory");
        let both = Self { directory, places: Places { operator, ota: Some(ota) }, scanner: Scanner::default() };
        for (name, content) in files {
            both.write(name, content);
        }
        both
    }

    fn path(&self, name: &str) -> PathBuf {
        match name.starts_with("ota/") {
            true => self.directory.path().join(name),
            false => self.places.operator.join(name),
        }
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("directory")).expect("directory");
        fs::write(path, content).expect("write");
    }

    fn look(&mut self) -> Look {
        self.scanner.look(&self.places, &Limits::default()).expect("look")
    }

    /// Each plugin with its component and, if it has one, its manifest, as paths below the directory of both.
    fn seen(&mut self) -> Vec<String> {
        let root = self.directory.path().to_owned();
        let below = |path: &Path| path.strip_prefix(&root).expect("below").display().to_string();
        let candidates = self.look().candidates;
        let line = |(name, candidate): (&String, &Candidate)| {
            let manifest = candidate.manifest_stamp.map(|_| below(&candidate.manifest));
            let origin = candidate.origin();
            assert_eq!(origin.component == Source::Ota, candidate.component.starts_with(root.join("ota")));
            assert_eq!(
                origin.manifest == Some(Source::Ota),
                manifest.as_ref().is_some_and(|path| path.starts_with("ota"))
            );
            format!("{name}: {} {}", below(&candidate.component), manifest.unwrap_or_default()).trim_end().to_owned()
        };
        candidates.iter().map(line).collect()
    }
}

#[test]
fn what_came_over_the_air_goes_first_and_the_operators_manifest_counts() {
    let pointing = "component = \"shared.wasm\"";
    type Files<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Files<'_>, &[&str]); 10] = [
        (&[("a.wasm", "")], &["a: operator/a.wasm"]),
        (&[("a.wasm", ""), ("ota/a.wasm", "")], &["a: ota/a.wasm"]),
        (&[("a.wasm", ""), ("a.toml", ""), ("ota/a.wasm", "")], &["a: ota/a.wasm operator/a.toml"]),
        (&[("a.toml", ""), ("ota/a.wasm", "")], &["a: ota/a.wasm operator/a.toml"]),
        (&[("a.wasm", ""), ("a.toml", ""), ("ota/a.wasm", ""), ("ota/a.toml", "")], &["a: ota/a.wasm ota/a.toml"]),
        // A manifest alone means nothing.
        (&[("a.wasm", ""), ("a.toml", ""), ("ota/a.toml", "")], &["a: operator/a.wasm operator/a.toml"]),
        (&[("ota/a.toml", "")], &[]),
        // A component goes first for whoever runs it.
        (
            &[("shared.wasm", ""), ("in.toml", pointing), ("out.toml", pointing), ("ota/shared.wasm", "")],
            &["in: ota/shared.wasm operator/in.toml", "out: ota/shared.wasm operator/out.toml"],
        ),
        // What a manifest names does not run by itself, also while another manifest counts in its place.
        (
            &[("shared.wasm", ""), ("in.toml", pointing), ("ota/in.wasm", ""), ("ota/in.toml", "")],
            &["in: ota/in.wasm ota/in.toml"],
        ),
        // Files written aside, and what was there before.
        (&[("a.wasm", ""), ("ota/.a.wasm", ""), ("ota/.before/a.wasm", "")], &["a: operator/a.wasm"]),
    ];
    for (files, expected) in cases {
        assert_eq!(Both::new(files).seen(), expected, "{files:?}");
    }
}

#[test]
fn what_is_removed_again_brings_the_operators_back() {
    let mut both = Both::new(&[("a.wasm", ""), ("a.toml", ""), ("ota/a.wasm", ""), ("ota/a.toml", "")]);
    both.seen();
    fs::remove_file(both.path("ota/a.wasm")).expect("remove");
    assert_eq!(both.seen(), ["a: operator/a.wasm operator/a.toml"]);
    fs::remove_dir_all(both.directory.path().join("ota")).expect("remove");
    assert_eq!(both.seen(), ["a: operator/a.wasm operator/a.toml"]);
}

#[test]
fn a_component_under_a_name_that_the_operator_gave_to_another_one_is_refused() {
    let pointing = ("in.toml", "component = \"shared.wasm\"");
    let mut both = Both::new(&[("shared.wasm", ""), pointing, ("ota/in.wasm", "")]);
    let look = both.look();
    assert_eq!(names(&look), [("in", "shared.wasm".to_owned())]);
    let reason = &look.refused[&both.path("ota/in.wasm")];
    assert!(reason.contains("send shared.wasm instead"), "{reason}");
}

#[test]
fn a_broken_manifest_of_the_operator_is_not_passed_over() {
    let mut both = Both::new(&[("a.toml", "nonsense"), ("ota/a.wasm", "")]);
    assert_eq!(both.seen(), ["a: ota/a.wasm operator/a.toml"]);
}

#[test]
fn plugins_of_both_directories_are_counted_together() {
    let mut both = Both::new(&[]);
    for number in 0..PLUGINS_MAX {
        both.write(&format!("p{number:03}.wasm"), "");
    }
    both.look();
    both.write("ota/p000.wasm", "");
    both.write("ota/a.wasm", "");
    let look = both.look();
    assert_eq!(look.candidates.len(), PLUGINS_MAX);
    assert_eq!(look.candidates["p000"].origin().component, Source::Ota, "it takes nobody's place");
    assert!(look.refused[&both.path("ota/a.wasm")].contains("one plugin too many"));
}

#[test]
fn half_of_the_files_is_not_looked_at() {
    let mut both = Both::new(&[("ota/a.wasm", "")]);
    fs::remove_dir(&both.places.operator).expect("remove");
    let blind = both.scanner.look(&both.places, &Limits::default()).expect_err("the manifests are missing");
    assert_eq!(blind.path, both.places.operator);
    let mut both = Both::new(&[("a.wasm", "")]);
    fs::write(both.directory.path().join("ota"), "").expect("a file in its place");
    let blind = both.scanner.look(&both.places, &Limits::default()).expect_err("not readable");
    assert_eq!(blind.path, both.directory.path().join("ota"));
}

#[test]
fn only_what_says_that_nothing_is_there_is_a_removal() {
    use rustix::io::Errno;
    for (errno, absent) in [
        (Errno::NOENT, true),
        (Errno::NOTDIR, true),
        (Errno::ACCESS, true),
        (Errno::PERM, true),
        (Errno::LOOP, true),
        (Errno::NAMETOOLONG, true),
        (Errno::IO, false),
        (Errno::STALE, false),
        (Errno::TIMEDOUT, false),
        (Errno::NOMEM, false),
        (Errno::NOTCONN, false),
    ] {
        assert_eq!(is_absence(&errno.into()), absent, "{errno}");
    }
    assert!(!is_absence(&io::Error::other("without a number")));
}

#[test]
fn a_link_to_nowhere_and_a_link_to_itself_blind_nobody() {
    let mut both = Both::new(&[("a.wasm", "")]);
    for (name, target) in [("nowhere.wasm", "missing"), ("itself.wasm", "itself.wasm")] {
        std::os::unix::fs::symlink(target, both.places.operator.join(name)).expect("link");
    }
    assert_eq!(both.look().candidates.keys().collect::<Vec<_>>(), ["a"]);
}
