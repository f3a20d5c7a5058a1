//! The installer: what it is given, how it ends, how it is ended.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use edgeplug_firmware::{Firmware, FirmwareError, Installation, Installer, RunFailure};

use crate::rig::{JOB, Rig, names, verify};

async fn install(firmware: &Firmware) -> Result<Installation, String> {
    firmware.install(JOB, &names(&["fw.bin"]), "1.2.3", 2).await
}

fn rig(script: &str) -> (Rig, Firmware) {
    let mut rig = Rig::new();
    rig.script(script);
    let firmware = rig.open();
    verify(&firmware, &[("fw.bin", b"firmware"), ("boot.bin", b"boot")]).expect("good");
    (rig, firmware)
}

async fn wait_for(path: &Path) -> String {
    let begin = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => assert!(begin.elapsed() < Duration::from_secs(20), "{} never came", path.display()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_alive(pid: &str) -> bool {
    // A killed process that nobody waits for is a zombie.
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn it_gets_its_own_arguments_the_files_and_nothing_of_our_environment() {
    let (rig, firmware) = rig("printf '%s\\n' \"$@\"; pwd; env | sort | cut -d= -f1 | tr '\\n' ' '; \
                               echo; echo $EDGEPLUG_VERSION $EDGEPLUG_ATTEMPT $EDGEPLUG_JOB");
    let words = match firmware.install(JOB, &names(&["boot.bin", "fw.bin"]), "1.2.3", 2).await.expect("done") {
        Installation::Done(words) => words,
        other => panic!("{other:?}"),
    };
    let lines: Vec<&str> = words.split("; ").collect();
    let (boot, fw) = (rig.staged("boot.bin"), rig.staged("fw.bin"));
    // Of the first argument, "two words; $(reboot)", the last five lines hold nothing any more.
    assert_eq!(lines[0], boot.to_str().expect("text"), "{words}");
    assert_eq!(lines[1], fw.to_str().expect("text"));
    assert_eq!(lines[2], rig.options.directory.join(JOB).canonicalize().expect("path").to_str().expect("text"));
    assert_eq!(lines[3], "EDGEPLUG_ATTEMPT EDGEPLUG_JOB EDGEPLUG_VERSION LANG PATH PWD");
    assert_eq!(lines[4], format!("1.2.3 2 {JOB}"));
}

#[tokio::test]
async fn no_shell_reads_what_the_operator_or_the_cloud_wrote() {
    let (_rig, firmware) = rig("echo \"$1|$EDGEPLUG_VERSION\"");
    let hostile = "$(touch /tmp/x)`id`\n\0;";
    let words = firmware.install(JOB, &names(&["fw.bin"]), hostile, 1).await.expect("done");
    assert_eq!(words, Installation::Done("two words; $(reboot)|$(touch /tmp/x)`id`;".to_owned()));
}

#[tokio::test]
async fn its_last_words_and_its_code_are_the_reason() {
    let (_rig, firmware) = rig("echo begins; echo 'slot b: write error' >&2; exit 3");
    let reason = install(&firmware).await.expect_err("failed");
    assert!(reason.ends_with("install.sh failed with exit code 3: begins; slot b: write error"), "{reason}");
    let (_rig, firmware) = rig("kill -9 $$");
    assert!(install(&firmware).await.expect_err("killed").ends_with("was killed by signal 9"));
    let (_rig, firmware) = rig("");
    let Ok(Installation::Done(words)) = install(&firmware).await else { panic!("it ended well") };
    assert!(words.ends_with("install.sh ended well"), "{words}");
}

#[tokio::test]
async fn a_restart_is_needed_where_the_operator_says_so() {
    let (mut rig, _) = rig("case $1 in confirm) echo runs $EDGEPLUG_VERSION;; *) echo written;; esac");
    rig.options.installer.as_mut().expect("installer").restart = true;
    let firmware = rig.open();
    assert_eq!(install(&firmware).await, Ok(Installation::NeedsRestart("written".to_owned())));
    assert_eq!(firmware.confirm(JOB, "1.2.3").await, Ok("runs 1.2.3".to_owned()));
    let (_rig, firmware) = self::rig("echo slot a runs; exit 1");
    let denied = firmware.confirm(JOB, "1.2.3").await.expect_err("rolled back");
    assert!(matches!(&denied, RunFailure::Failed(words) if words.ends_with("failed with exit code 1: slot a runs")));
}

#[tokio::test]
async fn who_was_not_asked_or_killed_has_not_answered() {
    let (mut rig, _) = rig("kill -9 $$");
    let killed = rig.open().confirm(JOB, "1.2.3").await.expect_err("killed");
    assert!(matches!(&killed, RunFailure::NoAnswer(words) if words.ends_with("killed by signal 9")), "{killed:?}");
    rig.options.installer.as_mut().expect("installer").confirm = Some(vec!["/nowhere/confirm".to_owned()]);
    let missing = rig.open().confirm(JOB, "1.2.3").await.expect_err("it is not there");
    assert!(matches!(&missing, RunFailure::NoAnswer(words) if words.starts_with("cannot start")), "{missing:?}");
}

#[tokio::test]
async fn at_the_time_limit_the_whole_group_ends() {
    let (mut rig, _) =
        rig("(trap '' TERM; echo $$ > ../../group; while :; do sleep 1; done) & trap '' TERM; echo waits; wait");
    rig.options.installer.as_mut().expect("installer").timeout = Duration::from_secs(1);
    let reason = install(&rig.open()).await.expect_err("too long");
    assert!(reason.ends_with("install.sh was stopped after 1 s: waits"), "{reason}");
    let pid = wait_for(&rig.directory.path().join("group")).await;
    assert!(!is_alive(&pid), "{pid} is still there");
}

#[tokio::test]
async fn an_installer_that_nobody_waits_for_ends() {
    let (rig, firmware) = rig("sleep 1000 & echo $! > ../../child; echo $$ > ../../leader; wait");
    let running = tokio::spawn(async move { install(&firmware).await });
    let leader = wait_for(&rig.directory.path().join("leader")).await;
    let child = wait_for(&rig.directory.path().join("child")).await;
    assert!(is_alive(&child));
    running.abort();
    let _ = running.await;
    let begin = Instant::now();
    while is_alive(&leader) || is_alive(&child) {
        assert!(begin.elapsed() < Duration::from_secs(10), "it runs on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_floods_or_never_closes_its_output_is_no_burden() {
    let (_rig, firmware) =
        rig("head -c 30000000 /dev/zero | tr '\\0' x; printf '\\033[31m\\nlast\\rwords\\377\\n'; sleep 60 &");
    let begin = Instant::now();
    let Ok(Installation::Done(words)) = install(&firmware).await else { panic!("it ended well") };
    assert!(begin.elapsed() < Duration::from_secs(30), "the sleeper is not waited for");
    assert!(words.ends_with("last; words\u{fffd}"), "{words}");
    assert!(words.chars().count() <= 400 && !words.contains('\u{1b}'), "{words}");
}

#[tokio::test]
async fn two_never_run_at_once_not_even_one_of_a_process_before() {
    let (mut rig, firmware) = rig("echo $$ > ../../started; while [ ! -e ../../end ]; do sleep 0.1; done; echo done");
    let first = tokio::spawn(async move { install(&firmware).await });
    wait_for(&rig.directory.path().join("started")).await;
    rig.options.installer.as_mut().expect("installer").timeout = Duration::from_millis(300);
    let reason = install(&rig.open()).await.expect_err("locked");
    assert_eq!(reason, "an installer that was started earlier still runs; end it");
    fs::write(rig.directory.path().join("end"), "").expect("end");
    assert_eq!(first.await.expect("task"), Ok(Installation::Done("done".to_owned())));
}

#[tokio::test]
async fn only_verified_files_are_installed() {
    let (rig, firmware) = rig("echo $$ > ../../started");
    let reason = firmware.install(JOB, &names(&["fw.bin", "other.bin"]), "", 1).await.expect_err("unverified");
    assert_eq!(reason, "other.bin was not verified");
    let reason = firmware.install(JOB, &names(&["../../install.sh"]), "", 1).await.expect_err("hostile");
    assert_eq!(reason, "../../install.sh was not verified");
    assert!(!rig.directory.path().join("started").exists());
}

#[tokio::test]
async fn an_installer_that_is_missing_is_named() {
    let (mut rig, _) = rig("");
    rig.options.installer.as_mut().expect("installer").command = vec!["/nowhere/install".to_owned()];
    let reason = install(&rig.open()).await.expect_err("missing");
    assert!(reason.starts_with("cannot start /nowhere/install: "), "{reason}");
    rig.options.installer = None;
    assert_eq!(install(&rig.open()).await.expect_err("none"), "no installer is configured; set `ota.installer`");
}

#[test]
fn what_cannot_be_an_installer_is_refused_at_the_start() {
    let good = Installer {
        command: vec!["/bin/true".to_owned()],
        confirm: None,
        timeout: Duration::from_secs(1),
        restart: false,
    };
    let opened = |installer: Installer| {
        let mut rig = Rig::new();
        rig.options.installer = Some(installer);
        Firmware::open(rig.options.clone())
    };
    assert!(opened(good.clone()).is_ok());
    let empty = Installer { command: Vec::new(), ..good.clone() };
    assert!(matches!(opened(empty), Err(FirmwareError::Program("installer"))));
    let relative = Installer { confirm: Some(vec!["true".to_owned()]), ..good.clone() };
    assert!(matches!(opened(relative), Err(FirmwareError::Program("confirm"))));
    assert!(matches!(opened(Installer { restart: true, ..good }), Err(FirmwareError::NoConfirm)));
}
