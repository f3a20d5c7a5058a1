//! Files that arrive: in parts, too large, under hostile names, among planted things.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use edgeplug_firmware::{FailureKind, Firmware};

use crate::rig::{JOB, OTHER_JOB, Rig, bytes_of, names, sha256_of, stage, stage_with};

#[test]
fn a_download_that_is_cut_off_goes_on_where_it_was() {
    let rig = Rig::new();
    let content: Vec<u8> = (0_u32..500_000).flat_map(u32::to_le_bytes).collect();
    let total = u64::try_from(content.len()).ok();
    let mut offset = 0;
    let pieces: Vec<&[u8]> = content.chunks(123_457).collect();
    for (number, piece) in pieces.iter().enumerate() {
        // Each time another process.
        let firmware = rig.open();
        let part = firmware.part(JOB, "fw.bin").expect("part");
        assert_eq!((part.offset(), part.is_complete()), (offset, false));
        assert_eq!(part.validator(), (number > 0).then_some("\"etag\""));
        let mut writer = part.begin(offset, total, Some("\"etag\"".to_owned()), None).expect("begin");
        writer.write(piece).expect("write");
        offset += u64::try_from(piece.len()).expect("len");
        assert_eq!(writer.written(), offset);
        if number + 1 == pieces.len() {
            writer.finish().expect("finish");
        }
    }
    let firmware = rig.open();
    let part = firmware.part(JOB, "fw.bin").expect("part");
    assert!(part.is_complete());
    assert_eq!(part.offset(), total.expect("total"));
    assert_eq!(firmware.verify(JOB, &names(&["fw.bin"])).expect("good")[0].sha256, sha256_of(&content));
}

#[test]
fn a_file_that_ends_early_or_late_is_none() {
    let rig = Rig::new();
    let firmware = rig.open();
    let mut writer = firmware.part(JOB, "fw.bin").expect("part").begin(0, Some(10), None, None).expect("begin");
    writer.write(b"12345").expect("write");
    let error = writer.finish().expect_err("short");
    assert_eq!(error.kind(), FailureKind::Transient);
    assert_eq!(error.to_string(), "fw.bin was cut short: 5 of 10 bytes are here");
    let part = firmware.part(JOB, "fw.bin").expect("part");
    assert_eq!(part.offset(), 5, "what is here stays");
    let mut writer = part.begin(5, Some(10), None, None).expect("begin");
    let error = writer.write(b"678901").expect_err("long");
    assert_eq!((error.kind(), error.to_string().as_str()), (FailureKind::Refused, "fw.bin goes on after its 10 bytes"));
}

#[test]
fn another_file_is_never_appended() {
    let rig = Rig::new();
    let firmware = rig.open();
    let digest = |byte| Some([byte; 32]);
    for (total, told) in [(Some(11), digest(1)), (Some(10), digest(2))] {
        let begun = firmware.part(JOB, "fw.bin").expect("part").begin(0, Some(10), None, digest(1));
        begun.expect("begin").write(b"12345").expect("write");
        let error = firmware.part(JOB, "fw.bin").expect("part").begin(5, total, None, told).expect_err("another");
        assert_eq!(error.kind(), FailureKind::Transient);
        assert_eq!(firmware.part(JOB, "fw.bin").expect("part").offset(), 0, "it begins anew");
    }
    let error = firmware.part(JOB, "fw.bin").expect("part").begin(3, None, None, None).expect_err("a hole");
    assert_eq!(error.kind(), FailureKind::Transient);
}

#[test]
fn one_writes_at_a_time() {
    let rig = Rig::new();
    let firmware = rig.open();
    let begin = || firmware.part(JOB, "fw.bin").expect("part").begin(0, Some(4), None, None);
    let writer = begin().expect("begin");
    let error = begin().expect_err("busy");
    assert_eq!(error.kind(), FailureKind::Transient);
    drop(writer);
    begin().expect("free");
}

#[test]
fn sizes_are_capped_when_they_are_told_and_when_they_are_not() {
    let mut rig = Rig::new();
    rig.options.file_bytes_max = 1000;
    rig.options.update_bytes_max = 1500;
    let firmware = rig.open();
    let begin = |name: &str, total| firmware.part(JOB, name).expect("part").begin(0, total, None, None);
    let error = begin("a.bin", Some(1001)).expect_err("file");
    assert_eq!(error.kind(), FailureKind::Refused);
    assert_eq!(error.to_string(), "a.bin is larger than 1000 bytes, which is what `ota.file_mb_max` allows");
    let mut writer = begin("a.bin", None).expect("begin");
    writer.write(&[0; 1000]).expect("write");
    assert_eq!(writer.write(&[0]).expect_err("file").kind(), FailureKind::Refused);
    writer.finish().expect("finish");
    let error = begin("b.bin", Some(501)).expect_err("update");
    assert!(error.to_string().contains("`ota.update_mb_max`"), "{error}");
    begin("b.bin", Some(500)).expect("begin");
    let error = begin("b.bin", None).expect("begin").write(&[0; 501]).expect_err("update");
    assert_eq!(error.kind(), FailureKind::Refused);
    firmware.part(OTHER_JOB, "b.bin").expect("part").begin(0, Some(1000), None, None).expect("each for itself");
}

#[test]
fn a_disk_without_room_is_said_before_it_is_full_and_keeps_what_is_here() {
    let mut rig = Rig::new();
    let begun = rig.open().part(JOB, "fw.bin").expect("part").begin(0, Some(10), None, None);
    begun.expect("begin").write(b"12345").expect("write");
    rig.options.free_bytes_min = u64::MAX / 2;
    let firmware = rig.open();
    let error = firmware.part(JOB, "fw.bin").expect("part").begin(5, Some(10), None, None).expect_err("no room");
    assert_eq!(error.kind(), FailureKind::Disk);
    assert!(error.to_string().contains("no room for fw.bin: 5 bytes are to come"), "{error}");
    rig.options.free_bytes_min = 0;
    let part = rig.open().part(JOB, "fw.bin").expect("part");
    assert_eq!(part.offset(), 5);
    let mut writer = part.begin(5, Some(10), None, None).expect("room again");
    writer.write(b"67890").expect("write");
    writer.finish().expect("finish");
}

/// A limit of the system on the size of files stands for the full disk: it fails the same call in the same way.
#[test]
fn a_write_that_fails_keeps_what_is_here() {
    const VARIABLE: &str = "EDGEPLUG_TEST_STAGING";
    if let Some(directory) = std::env::var_os(VARIABLE) {
        let mut rig = Rig::new();
        rig.options.directory = directory.into();
        let firmware = rig.open();
        let mut writer = firmware.part(JOB, "fw.bin").expect("part").begin(0, None, None, None).expect("begin");
        let failed = (0..100).find_map(|_| writer.write(&[7; 16 << 10]).err()).expect("a limit");
        assert_eq!(failed.kind(), FailureKind::Disk, "{failed:?}");
        return;
    }
    let rig = Rig::new();
    let itself = std::env::current_exe().expect("path");
    // `ulimit -f` counts in units of 512 bytes; the signal that goes with it is ignored.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" --exact staging::a_write_that_fails_keeps_what_is_here"])
        .arg(itself)
        .env(VARIABLE, &rig.options.directory)
        .output()
        .expect("sh");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    let part = rig.open().part(JOB, "fw.bin").expect("part");
    assert!((90_000..=102_400).contains(&part.offset()), "{}", part.offset());
    let staged = fs::read(rig.staged(".parts/fw.bin")).expect("part");
    assert!(staged.iter().all(|byte| *byte == 7));
}

#[test]
fn hostile_names_reach_nothing() {
    let rig = Rig::new();
    let firmware = rig.open();
    let long = "x".repeat(256);
    for name in
        ["", ".", "..", "../x", "/etc/passwd", "a/b", ".verified", ".parts", "a\0b", "a\nb", "a\u{202e}b", &long]
    {
        let error = firmware.part(JOB, name).expect_err(name);
        assert_eq!(error.kind(), FailureKind::Refused, "{name:?}");
        assert_eq!(firmware.verify(JOB, &names(&[name])).expect_err(name).kind, FailureKind::Refused);
        assert_eq!(firmware.path(JOB, name), None);
    }
    for job in ["", "..", "../0123456789abcdef0123456789abc", &"/".repeat(32), ".install.lock"] {
        assert_eq!(firmware.part(job, "fw.bin").expect_err(job).kind(), FailureKind::Refused, "{job:?}");
        firmware.discard(job);
    }
    let longest = "x".repeat(255);
    stage(&firmware, &longest, b"content");
    assert!(firmware.verify(JOB, &names(&[&longest])).is_ok());
    assert!(rig.directory.path().join("ota").exists());
}

#[test]
fn what_is_planted_in_the_staging_directory_leads_nowhere() {
    let rig = Rig::new();
    let firmware = rig.open();
    let outside = rig.directory.path().join("outside");
    fs::create_dir(&outside).expect("outside");
    let victim = outside.join("victim");
    let restore = || fs::write(&victim, "untouched").expect("victim");
    restore();
    firmware.part(JOB, "fw.bin").expect("makes the directories");
    for planted in [".parts/fw.bin", ".notes/fw.bin", "fw.bin", ".verified"] {
        let path = rig.staged(planted);
        for kind in ["link to a file", "link to nothing", "link to a directory", "hard link", "pipe", "directory"] {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            match kind {
                "link to a file" => symlink(&victim, &path).expect("link"),
                "link to nothing" => symlink(outside.join("new"), &path).expect("link"),
                "link to a directory" => symlink(&outside, &path).expect("link"),
                "hard link" => fs::hard_link(&victim, &path).expect("link"),
                "pipe" => assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success()),
                _ => fs::create_dir_all(path.join("deep")).expect("directory"),
            }
            if let Some(path) = firmware.path(JOB, "fw.bin") {
                assert_eq!(fs::read(path).expect("read"), b"firmware", "{planted}: {kind}: that of the round before");
            }
            stage(&firmware, "fw.bin", b"firmware");
            let verified = firmware.verify(JOB, &names(&["fw.bin"]));
            assert_eq!(verified.unwrap_or_else(|refusal| panic!("{planted}: {kind}: {refusal}")).len(), 1);
            assert_eq!(fs::read(firmware.path(JOB, "fw.bin").expect("path")).expect("read"), b"firmware");
            assert_eq!(fs::read_to_string(&victim).expect("victim"), "untouched", "{planted}: {kind}");
            assert_eq!(fs::read_dir(&outside).expect("outside").count(), 1, "{planted}: {kind}");
        }
    }
    firmware.discard(JOB);
    symlink(&outside, rig.options.directory.join(JOB)).expect("link");
    stage(&firmware, "fw.bin", b"firmware");
    assert_eq!(fs::read_dir(&outside).expect("outside").count(), 1, "the job itself as a link");
    symlink(&outside, rig.staged("link")).expect("link");
    firmware.discard(JOB);
    assert_eq!(fs::read_to_string(&victim).expect("victim"), "untouched");
}

#[test]
fn the_staging_directory_is_ours_alone() {
    let rig = Rig::new();
    let firmware = rig.open();
    stage(&firmware, "fw.bin", b"firmware");
    let mode = |name: &str| fs::metadata(rig.staged(name)).expect(name).permissions().mode() & 0o777;
    assert_eq!((mode(""), mode(".parts"), mode("fw.bin")), (0o700, 0o700, 0o600));
    firmware.verify(JOB, &names(&["fw.bin"])).expect("good");
    assert_eq!(mode("fw.bin"), 0o400);
    for directory in [&rig.options.directory, &rig.options.plugins] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o750)).expect("mode");
        let error = Firmware::open(rig.options.clone()).expect_err("open to others");
        assert!(std::error::Error::source(&error).expect("source").to_string().contains("chmod 700"), "{error:?}");
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("mode");
    }
}

#[test]
fn only_the_jobs_that_are_kept_stay() {
    let rig = Rig::new();
    let firmware = rig.open();
    for job in [JOB, OTHER_JOB] {
        firmware.part(job, "fw.bin").expect("part").begin(0, Some(1), None, None).expect("begin");
    }
    fs::create_dir(rig.options.directory.join("requests")).expect("somebody else's");
    firmware.keep_jobs(&names(&[OTHER_JOB]));
    let mut left: Vec<_> = fs::read_dir(&rig.options.directory).expect("read").flatten().collect();
    left.sort_by_key(fs::DirEntry::file_name);
    let left: Vec<_> = left.iter().map(|entry| entry.file_name().into_string().expect("text")).collect();
    assert_eq!(left, [OTHER_JOB, "requests"]);
    firmware.discard(OTHER_JOB);
    firmware.discard(OTHER_JOB);
    assert_eq!(fs::read_dir(&rig.options.directory).expect("read").count(), 1);
}

#[test]
fn what_was_discarded_stays_away_whoever_asks_for_it() {
    let rig = Rig::new();
    let firmware = rig.open();
    stage(&firmware, "a.wasm", b"component");
    firmware.verify(JOB, &names(&["a.wasm"])).expect("good");
    firmware.discard(JOB);
    assert_eq!(firmware.path(JOB, "a.wasm"), None);
    assert_eq!(firmware.deploy(JOB, "a.wasm").expect_err("gone"), "a.wasm was not verified");
    assert!(!rig.staged("").exists());
}

#[test]
fn a_digest_of_the_server_is_kept_with_the_part() {
    let rig = Rig::new();
    let digest = bytes_of(&sha256_of(b"firmware"));
    stage_with(&rig.open(), "fw.bin", b"firmware", Some(digest)).expect("staged");
    let mut rig = rig;
    rig.options.digest = edgeplug_firmware::DigestPolicy::Require;
    assert!(rig.open().verify(JOB, &names(&["fw.bin"])).is_ok());
}
