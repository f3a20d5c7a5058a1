use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;

use super::*;
use crate::status::{Origin, Source};

fn id(name: &str) -> VersionId {
    VersionId { component: Hash::of(name.as_bytes()), manifest: Hash::of(b"") }
}

fn good(name: &str) -> Good {
    Good {
        id: id(name),
        manifest: Some("interval_s = 1".to_owned()),
        file_name: format!("{name}.wasm"),
        signature: None,
        release: "1.2.3".parse().ok(),
        state: None,
        origin: None,
    }
}

fn disk(directory: &tempfile::TempDir) -> Disk {
    Disk::open(base(directory).join("p")).expect("a disk")
}

fn base(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("shelf")
}

fn shelf(directory: &tempfile::TempDir) -> Arc<Shelf> {
    Shelves::open(base(directory)).shelf("p", Handle::current())
}

/// One change of a shelf, as it goes to the disk.
enum Step {
    Component(&'static str),
    State(&'static str),
    Record(Box<Record>),
}

/// A plugin's life: a first version is confirmed, a second one comes, is confirmed, a third one comes and fails.
fn life() -> Vec<Step> {
    let mut steps = Vec::new();
    let mut record = Record::default();
    let mut now = |steps: &mut Vec<Step>, change: &dyn Fn(&mut Record)| {
        change(&mut record);
        steps.push(Step::Record(Box::new(record.clone())));
    };
    steps.push(Step::Component("one"));
    now(&mut steps, &|record| record.begin_trial(&id("one"), true));
    now(&mut steps, &|record| record.confirm(good("one")));
    steps.push(Step::Component("two"));
    now(&mut steps, &|record| record.begin_trial(&id("two"), false));
    steps.push(Step::State("of one"));
    now(&mut steps, &|record| record.keep_state(&id("one"), Some(Hash::of(b"of one"))));
    now(&mut steps, &|record| record.confirm(good("two")));
    steps.push(Step::Component("three"));
    now(&mut steps, &|record| record.begin_trial(&id("three"), false));
    steps.push(Step::State("of two"));
    now(&mut steps, &|record| record.keep_state(&id("two"), Some(Hash::of(b"of two"))));
    now(&mut steps, &|record| record.set_aside(Failure::now(id("three"), "it trapped")));
    now(&mut steps, &Record::strip);
    steps
}

fn carry_out(disk: &Disk, step: &Step) -> Result<(), String> {
    match step {
        Step::Component(name) => disk.write_blob(&Hash::of(name.as_bytes()), Kind::Component, name.as_bytes()),
        Step::State(name) => disk.write_blob(&Hash::of(name.as_bytes()), Kind::State, name.as_bytes()),
        Step::Record(record) => {
            let coming: BTreeSet<_> = ["one", "two", "three"].map(|name| Hash::of(name.as_bytes())).into();
            disk.write_record(record, &coming)
        }
    }
}

#[test]
fn a_kill_at_any_moment_leaves_a_record_that_once_held_and_all_it_names() {
    let steps = life();
    let records: Vec<_> = std::iter::once(Record::default())
        .chain(
            steps
                .iter()
                .filter_map(|step| if let Step::Record(record) = step { Some((**record).clone()) } else { None }),
        )
        .collect();
    let mut newest = 0;
    for moment in 0.. {
        let directory = tempfile::tempdir().expect("directory");
        let dying = disk(&directory);
        dying.fate.0.store(moment, Ordering::Relaxed);
        let survived = steps.iter().all(|step| carry_out(&dying, step).is_ok());
        let disk = disk(&directory);
        let (record, problem) = disk.read_record().expect("read");
        assert_eq!(problem, None, "killed after step {moment}");
        let at = records.iter().rposition(|known| *known == record).expect("a record that once held");
        assert!(at >= newest, "killed after step {moment}: an older record than after step {}", moment - 1);
        newest = at;
        if let Some(good) = &record.good {
            disk.read_blob(&good.id.component, Kind::Component).expect("the component to go back to");
            if let Some(state) = &good.state {
                disk.read_blob(state, Kind::State).expect("the state to go back to");
            }
        }
        let halves = disk_files(&directory).into_iter().filter(|name| name.ends_with(".part"));
        assert_eq!(halves.count(), 0, "killed after step {moment}");
        if survived {
            assert!(moment > 60, "{moment} moments are not all there are");
            return;
        }
    }
}

fn disk_files(directory: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(base(directory).join("p")).expect("directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_confirmed_is_there_after_a_restart_and_nothing_else() {
    let directory = tempfile::tempdir().expect("directory");
    let first = shelf(&directory);
    for name in ["one", "two"] {
        first.stock(&Hash::of(name.as_bytes()), Arc::new(name.as_bytes().to_vec())).await;
        first.begin_trial(&id(name)).await;
        let number = first.confirm(good(name)).expect("its component is there");
        first.release(&Hash::of(name.as_bytes()));
        first.written(number).await.expect("written");
    }
    first.keep_state(id("two"), Some(Arc::new(b"state".to_vec()))).await;
    first.keep_state(id("one"), Some(Arc::new(b"of one that is gone".to_vec()))).await;
    first.changed(|record| record.disabled = true).await.expect("written");
    let second = shelf(&directory);
    assert_eq!(second.record(), first.record());
    let (component, state) = second.fetch(second.record().good.as_ref().expect("good")).await.expect("kept");
    assert_eq!((component, state), (b"two".to_vec(), Some(b"state".to_vec())));
    let names = disk_files(&directory);
    assert_eq!(names.len(), 3, "record, component and state: {names:?}");
    let mode = fs::metadata(base(&directory).join("p")).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[tokio::test]
async fn a_removed_plugin_leaves_its_release_and_its_switch() {
    let directory = tempfile::tempdir().expect("directory");
    let shelf_before = shelf(&directory);
    shelf_before.stock(&Hash::of(b"one"), Arc::new(b"one".to_vec())).await;
    shelf_before.confirm(good("one"));
    shelf_before.release(&Hash::of(b"one"));
    shelf_before.change(|record| record.disabled = true);
    shelf_before.close().await;
    assert_eq!(shelf_before.change(|record| record.disabled = false), 0, "a load that comes too late changes nothing");
    let record = shelf(&directory).record();
    let mut left = Record::default();
    (left.highest, left.disabled) = ("1.2.3".parse().ok(), true);
    assert_eq!(record, left);
    assert_eq!(disk_files(&directory), ["record.json"]);
}

#[tokio::test]
async fn a_broken_record_is_put_aside_and_said() {
    let hash = "0".repeat(64);
    let trial = format!(r#"{{"schema":1,"trial":{{"id":{{"component":"{hash}","manifest":"{hash}"}}"#);
    let long = format!(r#"{{"schema":1,"highest":"{}"}}"#, "1".repeat(2 << 20));
    for broken in [
        "",
        "{",
        "[]",
        "\0\0\0\0",
        r#"{"schema":2}"#,
        r#"{"schema":1,"more":1}"#,
        r#"{"schema":1,"disabled":"no"}"#,
        r#"{"schema":1,"highest":"-1"}"#,
        &trial,
        &trial.replace(&hash, "../../../etc/passwd"),
        &trial.replace(&hash, &"A".repeat(64)),
        &long,
    ] {
        let directory = tempfile::tempdir().expect("directory");
        drop(disk(&directory));
        fs::write(base(&directory).join("p/record.json"), broken).expect("write");
        let shelf = shelf(&directory);
        let words = shelf.problem().expect("a problem");
        assert!(words.contains("record.broken"), "{words}");
        assert_eq!(shelf.record(), Record::default());
        shelf.retry();
        shelf.changed(|record| record.disabled = true).await.expect("a new record");
        assert_eq!(disk_files(&directory), ["record.broken", "record.json"]);
    }
}

#[tokio::test]
async fn a_link_in_place_of_a_record_is_not_followed() {
    let directory = tempfile::tempdir().expect("directory");
    drop(disk(&directory));
    fs::write(base(&directory).join("elsewhere"), r#"{"schema":1,"disabled":true}"#).expect("write");
    std::os::unix::fs::symlink("../elsewhere", base(&directory).join("p/record.json")).expect("link");
    let shelf = shelf(&directory);
    assert!(shelf.problem().is_some() && !shelf.is_disabled());
}

#[tokio::test]
async fn a_component_that_is_not_what_was_written_is_not_run() {
    let directory = tempfile::tempdir().expect("directory");
    let before = shelf(&directory);
    before.stock(&Hash::of(b"one"), Arc::new(b"one".to_vec())).await;
    let number = before.confirm(good("one")).expect("its component is there");
    before.written(number).await.expect("written");
    let path = base(&directory).join("p").join(format!("{}.wasm", Hash::of(b"one").as_str()));
    fs::write(&path, b"two").expect("write");
    let reason = before.fetch(&good("one")).await.expect_err("spoiled");
    assert!(reason.contains("is not what was written"), "{reason}");
    fs::remove_file(&path).expect("remove");
    assert!(before.fetch(&good("one")).await.expect_err("missing").contains("is missing"));
}

#[tokio::test]
async fn a_disk_that_fails_is_said_and_tried_again() {
    let directory = tempfile::tempdir().expect("directory");
    let shelf = shelf(&directory);
    let fate = |left: usize| {
        let disk = shelf.disk.as_ref().expect("a disk");
        disk.lock().expect("lock").fate.0.store(left, Ordering::Relaxed);
    };
    fate(0);
    shelf.stock(&Hash::of(b"one"), Arc::new(b"one".to_vec())).await;
    assert!(shelf.problem().is_some_and(|problem| problem.contains("cannot write to")));
    assert_eq!(shelf.confirm(good("one")), None);
    assert_eq!(shelf.record().good, None, "nothing is named that is not there");
    assert!(shelf.changed(|record| record.disabled = true).await.is_err());
    assert!(shelf.is_disabled(), "it counts all the same");
    fate(usize::MAX);
    shelf.stock(&Hash::of(b"one"), Arc::new(b"one".to_vec())).await;
    shelf.retry();
    shelf.changed(|record| record.confirm(good("one"))).await.expect("written");
    assert_eq!(shelf.problem(), None);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_just_now_stays() {
    let directory = tempfile::tempdir().expect("directory");
    shelf(&directory).changed(|record| record.disabled = true).await.expect("written");
    let disk = disk(&directory);
    disk.fate.0.store(0, Ordering::Relaxed);
    let unread = Shelf::on(disk, &Handle::current()).err().expect("an error");
    assert!(unread.contains("cannot read") && unread.contains("record.json"), "{unread}");
    assert!(shelf(&directory).is_disabled());
}

#[test]
fn a_directory_open_to_others_is_not_used() {
    let directory = tempfile::tempdir().expect("directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    let Shelves::Nowhere(Some(reason)) = Shelves::open(directory.path().to_owned()) else {
        panic!("it is used");
    };
    assert!(reason.contains("chmod 700"), "{reason}");
    assert!(matches!(Shelves::open(PathBuf::new()), Shelves::Nowhere(None)));
}

#[test]
fn only_the_last_failures_are_remembered() {
    let mut record = Record::default();
    for number in 0..20 {
        record.set_aside(Failure::now(id(&number.to_string()), &"x".repeat(5000)));
    }
    record.set_aside(Failure::now(id("19"), "again"));
    assert!(record.failure(&id("3")).is_none() && record.failure(&id("4")).is_some());
    assert_eq!(record.failure(&id("19")).expect("known").reason, "again");
    assert!(record.text().expect("text").len() < 64 << 10);
}

#[test]
fn what_this_build_cannot_run_another_one_may() {
    let mut record = Record::default();
    record.set_aside(Failure::now(id("one"), "unknown instruction").of_this_build());
    assert!(record.failure(&id("one")).is_some());
    let other = record.text().expect("text").replace(env!("CARGO_PKG_VERSION"), "999.0.0");
    assert!(Record::parse(other.as_bytes()).expect("record").failure(&id("one")).is_none());
}

#[test]
fn a_version_that_may_end_the_daemon_has_three_starts() {
    let mut record = Record::default();
    record.confirm(good("one"));
    record.begin_trial(&id("two"), false);
    for start in 1..=4 {
        let hopeless = record.trial.as_ref().expect("trial").is_hopeless();
        assert!(!hopeless, "before start {start}");
        record.begin_trial(&id("two"), true);
    }
    assert!(record.trial.as_ref().expect("trial").is_hopeless());
    record.begin_trial(&id("one"), true);
    assert_eq!(record.trial, None, "the good one again");
}

#[test]
fn the_highest_release_only_rises() {
    let mut record = Record::default();
    record.confirm(good("one"));
    record.confirm(Good { release: "0.9".parse().ok(), ..good("two") });
    record.confirm(Good { release: None, ..good("three") });
    assert_eq!(record.highest, "1.2.3".parse().ok());
}

#[test]
fn a_version_kept_before_updates_came_over_the_air_is_the_operators() {
    let mut record = Record::default();
    record.confirm(good("one"));
    let mut text: serde_json::Value = serde_json::from_str(&record.text().expect("text")).expect("json");
    text["good"].as_object_mut().expect("a good one").remove("origin").expect("it was written");
    let old = Record::parse(text.to_string().as_bytes()).expect("record").good.expect("a good one");
    assert_eq!(old.origin(), Origin { component: Source::Operator, manifest: Some(Source::Operator) });
    let origin = Origin { component: Source::Ota, manifest: None };
    record.confirm(Good { origin: Some(origin), ..good("two") });
    let new = Record::parse(record.text().expect("text").as_bytes()).expect("record").good.expect("a good one");
    assert_eq!(new.origin(), origin);
}
