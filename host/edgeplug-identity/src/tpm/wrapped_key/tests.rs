use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn key() -> WrappedKey {
    WrappedKey { storage_root_key: vec![0, 11, 1], public: vec![2; 48], private: vec![3; 158] }
}

#[test]
fn a_key_is_read_as_it_was_written_and_by_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub-key.json");
    assert_eq!(WrappedKey::read(&path).unwrap(), None);
    key().write(&path).unwrap();
    let longer = WrappedKey { private: vec![4; 300], ..key() };
    longer.write(&path).unwrap();
    assert_eq!(WrappedKey::read(&path).unwrap(), Some(longer));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_damaged_file_is_as_good_as_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub-key.json");
    key().write(&path).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    for text in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("AgIC", "????"),
        "\0".repeat(100_000),
        "[".repeat(10_000),
    ] {
        std::fs::write(&path, &text).unwrap();
        assert_eq!(WrappedKey::read(&path).unwrap(), None, "{:.40}", text);
    }
}

#[test]
fn a_file_that_cannot_be_written_says_that_nothing_changed() {
    let error = key().write(Path::new("/nonexistent/hub-key.json")).unwrap_err();
    assert!(error.to_string().contains("hub key was not changed"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
