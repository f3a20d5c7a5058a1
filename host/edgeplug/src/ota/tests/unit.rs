//! The daemon and the root side of `edgeplug-install.service`, each in its own directory.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use edgeplug_firmware::Firmware;
use edgeplug_session::event::Installation;

use super::*;
use crate::exit::Problem;
use crate::ota::handover::{Unit, confirm};
use crate::ota::paper::{Answer, LOCK, Outcome, REQUEST, Request};
use crate::ota::work::options;

const INSTALLER: &str = "signature = \"off\"\ninstaller_by = \"unit\"\ninstaller = [\"/bin/sh\", \"-c\", \
     \"echo attempt $EDGEPLUG_ATTEMPT of $EDGEPLUG_VERSION: $(cat \\\"$1\\\")\", \"installer\"]\n";

/// Before it is asked again.
const AGAIN: Duration = Duration::from_millis(1);

/// A daemon with a verified file, and a root with a directory of its own.
struct Stage {
    state: tempfile::TempDir,
    root: tempfile::TempDir,
    config: OtaConfig,
    firmware: Firmware,
}

impl Stage {
    fn new(more: &str) -> Self {
        let (state, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = config(state.path(), more);
        std::fs::create_dir(&config.directory).unwrap();
        let firmware = Firmware::open(options(&config)).unwrap();
        let stage = Self { state, root, config, firmware };
        stage.add("fw.bin", b"firmware");
        stage
    }

    fn add(&self, name: &str, content: &[u8]) {
        let digest = Some(Sha256::digest(content).into());
        let part = self.firmware.part(JOB, name).unwrap();
        let mut writer = part.begin(0, Some(content.len() as u64), None, digest).unwrap();
        writer.write(content).unwrap();
        writer.finish().unwrap();
        self.firmware.verify(JOB, &[name.to_owned()]).unwrap();
    }

    fn unit(&self) -> Unit {
        Unit::new(&self.config, WAIT)
    }

    fn install(&self, attempt: u32) -> tokio::task::JoinHandle<Result<Installation, String>> {
        let names = vec!["fw.bin".to_owned()];
        tokio::spawn(self.unit().install(self.firmware.clone(), JOB.to_owned(), names, "1.5".to_owned(), attempt))
    }

    /// Asks through the unit, until there is an answer.
    fn confirm(&self, version: &str) -> tokio::task::JoinHandle<Result<String, String>> {
        let (firmware, unit, version) = (self.firmware.clone(), self.unit(), version.to_owned());
        tokio::spawn(async move { confirm(&firmware, Some(&unit), JOB, &version, AGAIN).await })
    }

    fn request_file(&self) -> PathBuf {
        self.config.requests().join(REQUEST)
    }

    /// What systemd does: waits for the request and starts the unit.
    async fn serve(&self) -> Result<(), Problem> {
        self.requested().await;
        self.serve_now().await
    }

    async fn serve_now(&self) -> Result<(), Problem> {
        install_request(Ok(self.config.clone()), &self.request_file(), &self.root.path().join("work")).await
    }

    async fn requested(&self) {
        let there = async {
            while !self.request_file().exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT, there).await.expect("a request in time");
    }

    fn answer(&self) -> Answer {
        let file = self.config.requests().join(format!("{JOB}.install.json"));
        Answer::parse(&std::fs::read(file).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn the_installer_gets_copies_and_its_words_come_back() {
    let stage = Stage::new(INSTALLER);
    let asked = stage.install(2);
    stage.serve().await.unwrap();
    let done = asked.await.unwrap();
    assert_eq!(done, Ok(Installation::Done("attempt 2 of 1.5: firmware".to_owned())));
    assert!(!stage.request_file().exists(), "a request that was taken is gone");
    assert!(!stage.root.path().join("work/staging").join(JOB).exists(), "the copies are gone");

    // The daemon died before it wrote the end down: nothing is installed a second time.
    assert_eq!(stage.install(3).await.unwrap(), done);
    stage.unit().forget(|job| job == JOB);
    let asked = stage.install(1);
    stage.serve().await.unwrap();
    assert_eq!(asked.await.unwrap(), Ok(Installation::Done("attempt 1 of 1.5: firmware".to_owned())));
}

#[tokio::test]
async fn a_restart_is_confirmed_through_the_unit() {
    let more = "signature = \"off\"\ninstaller_by = \"unit\"\ninstaller = [\"/bin/true\"]\nrestart = true\n\
         confirm = [\"/bin/sh\", \"-c\", \"echo runs $EDGEPLUG_VERSION\"]\n";
    let stage = Stage::new(more);
    let asked = stage.install(1);
    stage.serve().await.unwrap();
    assert!(matches!(asked.await.unwrap(), Ok(Installation::NeedsRestart(_))));
    let asked = stage.confirm("1.5");
    stage.serve().await.unwrap();
    assert_eq!(asked.await.unwrap(), Ok("runs 1.5".to_owned()));
}

#[tokio::test]
async fn a_confirmation_is_never_that_of_an_earlier_boot() {
    let more = "signature = \"off\"\ninstaller_by = \"unit\"\ninstaller = [\"/bin/true\"]\nrestart = true\n\
         confirm = [\"/bin/sh\", \"-c\", \"echo runs $EDGEPLUG_VERSION\"]\n";
    let stage = Stage::new(more);
    let asked = stage.install(1);
    stage.serve().await.unwrap();
    asked.await.unwrap().unwrap();
    // A daemon that died before it wrote the answer down left this.
    let stale = stage.config.requests().join(format!("{JOB}.confirm.json"));
    let text = serde_json::to_vec(&Answer::new(Err("the old one runs".to_owned()))).unwrap();
    std::fs::write(&stale, text).unwrap();
    for version in ["1.5", "1.6"] {
        let asked = stage.confirm(version);
        stage.serve().await.unwrap();
        assert_eq!(asked.await.unwrap(), Ok(format!("runs {version}")));
        assert!(!stale.exists() && !stage.config.requests().join(format!("{JOB}.install.json")).exists());
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_asked_again_and_a_refused_configuration_confirms_all_the_same() {
    let more =
        "installer_by = \"unit\"\ninstaller = [\"/bin/true\"]\nrestart = true\nconfirm = [\"/bin/echo\", \"up\"]\n";
    let stage = Stage::new(&format!("signature = \"off\"\n{more}"));
    let asked = stage.confirm("1.5");
    // The unit died with the request.
    stage.requested().await;
    std::fs::remove_file(stage.request_file()).unwrap();
    // Its configuration could not be read.
    stage.requested().await;
    let broken = Problem::new(crate::exit::Exit::Failed, "a comma is missing");
    let work = stage.root.path().join("work");
    assert!(install_request(Err(broken), &stage.request_file(), &work).await.is_err());
    stage.requested().await;
    let refused = config(stage.state.path(), more);
    assert!(refused.refused.is_some());
    install_request(Ok(refused), &stage.request_file(), &work).await.unwrap();
    assert_eq!(asked.await.unwrap(), Ok("up".to_owned()));
}

#[tokio::test]
async fn a_confirmation_that_was_killed_says_nothing_about_the_device() {
    let told = tempfile::tempdir().unwrap();
    let flag = told.path().join("asked");
    let script = format!("test -e {flag} && echo up && exit; touch {flag}; kill -9 $$", flag = flag.display());
    let more = format!(
        "signature = \"off\"\ninstaller = [\"/bin/true\"]\nrestart = true\nconfirm = [\"/bin/sh\", \"-c\", \"{script}\"]\n"
    );
    let stage = Stage::new(&more);
    assert_eq!(confirm(&stage.firmware, None, JOB, "1.5", AGAIN).await, Ok("up".to_owned()));
    std::fs::remove_file(&flag).unwrap();
    let stage = Stage::new(&format!("installer_by = \"unit\"\n{more}"));
    let asked = stage.confirm("1.5");
    assert!(stage.serve().await.is_err(), "killed");
    stage.serve().await.unwrap();
    assert_eq!(asked.await.unwrap(), Ok("up".to_owned()));
}

#[tokio::test]
async fn an_installer_that_fails_is_a_failure_in_its_words() {
    let more = "signature = \"off\"\ninstaller_by = \"unit\"\ninstaller = [\"/bin/sh\", \"-c\", \"echo no such slot; exit 3\"]\n";
    let stage = Stage::new(more);
    let asked = stage.install(1);
    assert!(stage.serve().await.is_err());
    let reason = asked.await.unwrap().unwrap_err();
    assert!(reason.contains("no such slot"), "{reason}");
}

#[tokio::test]
async fn where_nobody_takes_a_request_the_remedy_is_said() {
    let stage = Stage::new(INSTALLER);
    let mut unit = stage.unit();
    unit.taken_max = Duration::from_millis(1);
    let names = vec!["fw.bin".to_owned()];
    let reason = unit.install(stage.firmware.clone(), JOB.to_owned(), names, String::new(), 1).await.unwrap_err();
    assert!(reason.contains("systemctl enable --now edgeplug-install.path"), "{reason}");
    assert!(!stage.request_file().exists(), "and nothing is installed later behind everybody's back");
}

#[tokio::test]
async fn a_unit_that_dies_is_no_success() {
    let stage = Stage::new(INSTALLER);
    let asked = stage.install(1);
    stage.requested().await;
    std::fs::remove_file(stage.request_file()).unwrap();
    let reason = asked.await.unwrap().unwrap_err();
    assert!(reason.contains("journalctl -u edgeplug-install"), "{reason}");
}

#[tokio::test]
async fn roots_own_policy_decides_whatever_the_daemon_verified() {
    let mut stage = Stage::new(INSTALLER);
    let asked = stage.install(1);
    stage.config.signature = unsigned();
    assert!(stage.serve().await.is_err());
    let reason = asked.await.unwrap().unwrap_err();
    assert!(reason.contains("signed") || reason.contains("signature"), "{reason}");
}

#[tokio::test]
async fn a_file_that_is_not_what_was_asked_for_is_not_installed() {
    // Other content, other length, a way out of the directory.
    let staged = |stage: &Stage| stage.config.staging().join(JOB).join("fw.bin");
    let replace = |stage: &Stage, content: &[u8]| {
        std::fs::remove_file(staged(stage)).unwrap();
        std::fs::write(staged(stage), content).unwrap();
    };
    type Tamper<'a> = (&'a str, &'a dyn Fn(&Stage));
    let tamper: [Tamper<'_>; 3] = [
        ("SHA-256", &|stage| replace(stage, b"firmwarE")),
        ("bytes long", &|stage| replace(stage, b"firmware and more")),
        ("fw.bin", &|stage| {
            let elsewhere = stage.state.path().join("elsewhere");
            std::fs::rename(staged(stage), &elsewhere).unwrap();
            symlink(elsewhere, staged(stage)).unwrap();
        }),
    ];
    for (word, tamper) in tamper {
        let stage = Stage::new(INSTALLER);
        let asked = stage.install(1);
        stage.requested().await;
        tamper(&stage);
        assert!(stage.serve_now().await.is_err());
        let reason = asked.await.unwrap().unwrap_err();
        assert!(reason.contains(word), "{word}: {reason}");
        assert_eq!(stage.answer().outcome, Outcome::Failed);
    }
}

#[tokio::test]
async fn a_request_that_is_none_is_removed_and_not_carried_out() {
    let good = Request {
        format: 1,
        what: crate::ota::paper::What::Install,
        job: JOB.to_owned(),
        version: "1".to_owned(),
        attempt: 1,
        files: vec![crate::ota::paper::RequestedFile {
            name: "fw.bin".to_owned(),
            size: 8,
            sha256: sha256(b"firmware"),
        }],
        sidecars: Vec::new(),
    };
    let text = |change: &dyn Fn(&mut Request)| {
        let mut request = good.clone();
        change(&mut request);
        serde_json::to_vec(&request).unwrap()
    };
    let files = |name: &str| {
        let name = name.to_owned();
        move |request: &mut Request| request.files[0].name = name.clone()
    };
    let hostile = [
        b"no JSON".to_vec(),
        vec![b' '; 300 << 10],
        text(&|request| request.format = 2),
        text(&|request| request.job = "../../../../etc/passwd/0123456789".to_owned()),
        text(&|request| request.files.clear()),
        text(&files("../fw.bin")),
        text(&files("/etc/passwd")),
        text(&files("")),
        text(&files("SHA256SUMS")),
        text(&|request| request.files[0].sha256 = "00".to_owned()),
        text(&|request| request.sidecars = vec!["fw.bin".to_owned()]),
        text(&|request| request.version = "v".repeat(2_000)),
    ];
    for text in hostile {
        let stage = Stage::new(INSTALLER);
        std::fs::create_dir(stage.config.requests()).unwrap();
        std::fs::write(stage.config.requests().join(LOCK), "").unwrap();
        std::fs::write(stage.request_file(), &text).unwrap();
        let problem = stage.serve_now().await.unwrap_err();
        assert!(!stage.request_file().exists(), "systemd would start it again: {}", problem.text);
        let answered = std::fs::read_dir(stage.config.requests()).unwrap().count() > 1;
        assert!(!answered || stage.answer().outcome == Outcome::Failed, "{}", String::from_utf8_lossy(&text));
    }
}

#[tokio::test]
async fn a_request_without_a_lock_is_removed_and_not_carried_out() {
    let stage = Stage::new(INSTALLER);
    let asked = stage.install(1);
    stage.requested().await;
    std::fs::remove_file(stage.config.requests().join(LOCK)).unwrap();
    assert!(stage.serve_now().await.is_err());
    assert!(!stage.request_file().exists(), "systemd would start it again");
    assert!(asked.await.unwrap().is_err());
}

#[test]
fn an_answer_that_is_none_is_a_failure() {
    for text in
        ["", "{}", r#"{"format":2,"outcome":"done","words":""}"#, r#"{"format":1,"outcome":"perhaps","words":""}"#]
    {
        assert!(Answer::parse(text.as_bytes()).is_err(), "{text}");
    }
}
