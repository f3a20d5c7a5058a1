use super::*;

const EVERY: [Language; 6] =
    [Language::Rust, Language::C, Language::Tinygo, Language::Go, Language::Python, Language::Javascript];

#[test]
fn a_project_appears_whole_in_every_language() {
    let directory = tempfile::tempdir().unwrap();
    for language in EVERY {
        let place = directory.path().join("deep").join(language.name());
        new(language, "roof-station", Some(&place)).unwrap();
        let manifest = fs::read_to_string(place.join("roof-station.toml")).unwrap();
        assert!(manifest.contains("roof-station.wasm"), "{language:?}");
        for file in ["Makefile", "README.md", ".gitignore", "sdk/README.md"] {
            assert!(place.join(file).is_file(), "{language:?} has no {file}");
        }
        let makefile = fs::read_to_string(place.join("Makefile")).unwrap();
        for target in ["all", "test", "try", "clean"] {
            assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "{language:?}: {target}");
        }
        // Only the project itself, nothing half made beside it.
        assert!(
            fs::read_dir(place.parent().unwrap())
                .unwrap()
                .all(|entry| { !entry.unwrap().file_name().to_string_lossy().contains(".part-") })
        );
    }
}

#[test]
fn what_exists_is_never_written_over() {
    let directory = tempfile::tempdir().unwrap();
    for there in ["empty", "file", "dangling"] {
        let place = directory.path().join(there);
        match there {
            "empty" => fs::create_dir(&place).unwrap(),
            "file" => fs::write(&place, "mine").unwrap(),
            _ => std::os::unix::fs::symlink("/nowhere", &place).unwrap(),
        }
        let problem = new(Language::Rust, "load", Some(&place)).unwrap_err();
        assert_eq!(problem.exit, Exit::OutputExists);
        assert!(problem.text.contains("--dir"), "{}", problem.text);
    }
    assert_eq!(fs::read_to_string(directory.path().join("file")).unwrap(), "mine");
}

#[test]
fn a_name_that_would_trip_a_tool_is_refused() {
    for name in ["a", "roof-station", "bme280"] {
        assert_eq!(check_name(name), Ok(()));
    }
    let long = "a".repeat(NAME_BYTES_MAX + 1);
    for name in ["", "Roof", "9lives", "-a", "a-", "a--b", "a_b", "../x", "a b", "é", "sdk", "edgeplug-guest", &long] {
        assert!(check_name(name).is_err(), "{name:?}");
    }
}
