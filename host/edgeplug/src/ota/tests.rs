//! Updates on a real disk, from a server on this machine.

mod server;
mod unit;

use std::path::Path;
use std::time::Duration;

use edgeplug_link::{HttpOptions, LinkClock, tls_config};
use edgeplug_plugins::{SignatureMode, SignaturePolicy};
use edgeplug_session::action::{FetchFile, SecretUrl};
use edgeplug_session::event::VerifiedFile;
use sha2::{Digest as _, Sha256};

use self::server::{Reply, Server};
use super::*;
use crate::config::Config;

/// Far above what anything here takes.
const WAIT: Duration = Duration::from_secs(20);
const JOB: &str = "0123456789abcdef0123456789abcdef";

fn config(state: &Path, more: &str) -> OtaConfig {
    let file = state.join("edgeplug.toml");
    let text = format!(
        "state_dir = {state:?}\n[cloud]\ncpid = \"CP\"\nenv = \"poc\"\nunique_id = \"GW\"\n[ota]\nfree_mb_min = 0\n{more}"
    );
    std::fs::write(&file, text).unwrap();
    Config::load_ota(&file).unwrap_or_else(|problem| panic!("{}", problem.text))
}

async fn ota(config: &OtaConfig) -> Ota {
    let tls = tls_config(None, &LinkClock::new()).unwrap();
    let options = HttpOptions {
        proxy: None,
        connect_timeout: WAIT,
        request_timeout: WAIT,
        user_agent: "edgeplug-test".to_owned(),
    };
    Ota::start(config, HttpClient::new(&tls, options).unwrap()).await
}

async fn told(ota: &mut Ota) -> Told {
    tokio::time::timeout(WAIT, ota.told.recv()).await.expect("an answer in time").expect("a worker that lives")
}

/// The answer to a fetch, past its progress.
async fn fetched(ota: &mut Ota) -> Result<Vec<VerifiedFile>, FetchFailure> {
    loop {
        match told(ota).await {
            Told::Event(Event::Fetched { ticket: Ticket(1), result }) => return result,
            Told::Event(Event::FetchProgress { ticket: Ticket(1), .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn fetch(ota: &mut Ota, server: &Server, names: &[&str]) {
    let files = names.iter().map(|name| FetchFile { url: SecretUrl::new(server.url(name)), name: (*name).to_owned() });
    act(ota, Action::Fetch { ticket: Ticket(1), job: JOB.to_owned(), files: files.collect() });
}

fn act(ota: &mut Ota, action: Action) {
    assert!(matches!(ota.act(action), Ok(None)));
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn a_file_that_breaks_off_is_gone_on_with_and_verified() {
    let state = tempfile::tempdir().unwrap();
    let firmware = content(300_000);
    let server = Server::start(vec![
        ("fw.bin.sha256", Reply::whole(sha256(&firmware).into_bytes())),
        ("fw.bin", Reply::cut(firmware.clone(), 100_000)),
        ("fw.bin", Reply::whole(firmware.clone())),
    ])
    .await;
    let config = config(state.path(), "signature = \"off\"\n");
    let mut ota = ota(&config).await;
    fetch(&mut ota, &server, &["fw.bin", "fw.bin.sha256"]);
    let failure = fetched(&mut ota).await.unwrap_err();
    assert_eq!(failure.kind, FetchFailureKind::Transient, "{failure:?}");
    assert!(failure.text.starts_with("fw.bin: ") && !failure.text.contains("sig="), "{}", failure.text);

    fetch(&mut ota, &server, &["fw.bin", "fw.bin.sha256"]);
    let files = fetched(&mut ota).await.unwrap();
    let [file] = &files[..] else { panic!("only what is handed over is named: {files:?}") };
    assert_eq!((&file.name[..], file.size, &file.sha256), ("fw.bin", 300_000, &sha256(&firmware)));
    assert_eq!(server.ranges("fw.bin"), [None, Some("bytes=100000-".to_owned())]);
    assert_eq!(server.ranges("fw.bin.sha256").len(), 1, "what is there is not fetched again");

    let update = edgeplug_session::action::FirmwareUpdate {
        id: "a1".into(),
        job: JOB.into(),
        name: "fw.bin".into(),
        version: "1.5".into(),
        size: 300_000,
        sha256: file.sha256.clone(),
        child: Some("C1".into()),
    };
    act(&mut ota, Action::Update { plugin: "pump".into(), call: CallId(7), update: update.clone() });
    let Told::HandOver { plugin, call: CallId(7), update: handed } = told(&mut ota).await else {
        panic!("not handed over")
    };
    assert_eq!((&plugin[..], &handed.id[..], handed.device.as_deref()), ("pump", "a1", Some("C1")));
    assert_eq!(std::fs::read(&handed.file).unwrap(), firmware);

    act(&mut ota, Action::DiscardJob { job: JOB.into() });
    act(&mut ota, Action::Update { plugin: "pump".into(), call: CallId(8), update });
    let Told::Event(Event::Replied { call: CallId(8), result: Err(failure), .. }) = told(&mut ota).await else {
        panic!("handed over after it was thrown away")
    };
    assert!(failure.0.contains("send the update again"), "{failure}");
    assert!(!handed.file.exists());
}

#[tokio::test]
async fn what_goes_wrong_is_sorted_by_what_to_do_about_it() {
    for (reply, more, kind) in [
        (Reply::status(403), "", FetchFailureKind::Expired),
        (Reply::status(503), "", FetchFailureKind::Transient),
        (Reply::status(404), "", FetchFailureKind::Refused),
        (Reply::whole(content(2 << 20)), "file_mb_max = 1\n", FetchFailureKind::Refused),
        // Nobody says its SHA-256.
        (Reply::whole(content(10)), "", FetchFailureKind::Refused),
    ] {
        let state = tempfile::tempdir().unwrap();
        let shown = format!("{reply:?}");
        let server = Server::start(vec![("fw.bin", reply)]).await;
        let config = config(state.path(), &format!("signature = \"off\"\n{more}"));
        let mut ota = ota(&config).await;
        fetch(&mut ota, &server, &["fw.bin"]);
        let failure = fetched(&mut ota).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{shown}: {failure:?}");
        assert!(!failure.text.contains("sig="), "{failure:?}");
    }
}

#[tokio::test]
async fn a_disk_that_cannot_be_used_is_no_end() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("ota"), "in the way").unwrap();
    let server = Server::start(vec![("fw.bin", Reply::whole(content(10)))]).await;
    let config = config(state.path(), "signature = \"off\"\ndigest = \"if-given\"\n");
    let mut ota = ota(&config).await;
    // Nor does what is to be thrown away hold up what comes behind it.
    act(&mut ota, Action::KeepJobs { jobs: Vec::new() });
    act(&mut ota, Action::DiscardJob { job: JOB.into() });
    fetch(&mut ota, &server, &["fw.bin"]);
    assert_eq!(fetched(&mut ota).await.unwrap_err().kind, FetchFailureKind::Disk);
    std::fs::remove_file(state.path().join("ota")).unwrap();
    fetch(&mut ota, &server, &["fw.bin"]);
    assert_eq!(fetched(&mut ota).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_fetch_that_is_not_wanted_any_more_ends_without_a_word() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(vec![
        ("fw.bin", Reply::stalled(content(100_000), 50_000)),
        ("fw.bin", Reply::whole(content(100_000))),
    ])
    .await;
    let config = config(state.path(), "signature = \"off\"\ndigest = \"if-given\"\n");
    let mut ota = ota(&config).await;
    fetch(&mut ota, &server, &["fw.bin"]);
    server.asked("fw.bin").await;
    act(&mut ota, Action::CancelFetch { ticket: Ticket(9) });
    act(&mut ota, Action::CancelFetch { ticket: Ticket(1) });
    // Behind it in the queue: what it answered would have come first.
    act(&mut ota, Action::Deploy { ticket: Ticket(2), job: JOB.into(), name: "no.wasm".into() });
    let Told::Event(Event::Deployed { ticket: Ticket(2), result: Err(_) }) = told(&mut ota).await else {
        panic!("it went on")
    };
    // And nothing of it stands in the way of the next.
    fetch(&mut ota, &server, &["fw.bin"]);
    assert_eq!(fetched(&mut ota).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_for_a_plugin_does_not_wait_for_another_fetch_or_for_the_installer() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(vec![
        ("fw.bin", Reply::whole(content(10))),
        ("slow.bin", Reply::stalled(content(100_000), 50_000)),
    ])
    .await;
    let more = "signature = \"off\"\ndigest = \"if-given\"\ninstaller_by = \"daemon\"\n\
         installer = [\"/bin/sleep\", \"600\"]\n";
    let config = config(state.path(), more);
    let mut ota = ota(&config).await;
    fetch(&mut ota, &server, &["fw.bin"]);
    let file = fetched(&mut ota).await.unwrap().remove(0);
    let files = vec![FetchFile { url: SecretUrl::new(server.url("slow.bin")), name: "slow.bin".to_owned() }];
    act(&mut ota, Action::Fetch { ticket: Ticket(2), job: JOB.replace('0', "f"), files });
    server.asked("slow.bin").await;
    let (names, version) = (vec!["fw.bin".to_owned()], "1.5".to_owned());
    act(&mut ota, Action::Install { ticket: Ticket(3), job: JOB.into(), names, version, attempt: 1 });
    let update = edgeplug_session::action::FirmwareUpdate {
        id: "a1".into(),
        job: JOB.into(),
        name: file.name,
        version: "1.5".into(),
        size: file.size,
        sha256: file.sha256,
        child: None,
    };
    act(&mut ota, Action::Update { plugin: "pump".into(), call: CallId(7), update });
    loop {
        match told(&mut ota).await {
            Told::HandOver { call: CallId(7), .. } => return,
            Told::Event(Event::FetchProgress { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn without_a_key_every_update_is_refused_with_the_remedy() {
    let state = tempfile::tempdir().unwrap();
    let config = config(state.path(), "");
    let mut ota = ota(&config).await;
    let fetch = Action::Fetch { ticket: Ticket(1), job: JOB.to_owned(), files: Vec::new() };
    let Ok(Some(Event::Fetched { result: Err(failure), .. })) = ota.act(fetch) else { panic!("not refused") };
    assert_eq!(failure.kind, FetchFailureKind::Refused);
    assert!(failure.text.contains("ota.keys"), "{}", failure.text);
    let install = Action::Install {
        ticket: Ticket(1),
        job: JOB.to_owned(),
        names: vec!["fw.bin".into()],
        version: String::new(),
        attempt: 1,
    };
    assert!(matches!(ota.act(install), Ok(Some(Event::Installed { result: Err(_), .. }))));
    // What has nothing to do with updates is somebody else's.
    assert!(matches!(ota.act(Action::Wipe), Err(Action::Wipe)));
}

#[tokio::test]
async fn a_session_that_begins_anew_hears_nothing_of_the_one_before() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(vec![("fw.bin", Reply::stalled(content(100_000), 50_000))]).await;
    let config = config(state.path(), "signature = \"off\"\ndigest = \"if-given\"\n");
    let mut ota = ota(&config).await;
    fetch(&mut ota, &server, &["fw.bin"]);
    server.asked("fw.bin").await;
    ota.begin_anew();
    act(&mut ota, Action::KeepJobs { jobs: Vec::new() });
    act(&mut ota, Action::Deploy { ticket: Ticket(1), job: JOB.into(), name: "no.wasm".into() });
    assert!(matches!(told(&mut ota).await, Told::Event(Event::Deployed { .. })));
    let part = config.staging().join(JOB).join(".parts/fw.bin");
    assert!(!part.exists(), "what nobody wants any more is gone");
}

#[tokio::test]
async fn a_component_is_deployed_and_taken_back() {
    let state = tempfile::tempdir().unwrap();
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    let server = Server::start(vec![("weather.wasm", Reply::whole(component.clone()))]).await;
    let config = config(state.path(), "signature = \"off\"\ndigest = \"if-given\"\n");
    let mut ota = ota(&config).await;
    fetch(&mut ota, &server, &["weather.wasm"]);
    fetched(&mut ota).await.unwrap();
    act(&mut ota, Action::Deploy { ticket: Ticket(3), job: JOB.into(), name: "weather.wasm".into() });
    let Told::Deployed { ticket: Ticket(3), deployment } = told(&mut ota).await else { panic!("not deployed") };
    assert_eq!((&deployment.plugin[..], &deployment.sha256), ("weather", &sha256(&component)));
    let file = config.plugins().join("weather.wasm");
    assert_eq!(std::fs::read(&file).unwrap(), component);
    act(&mut ota, Action::Withdraw { plugin: deployment.plugin, sha256: deployment.sha256 });
    assert!(matches!(told(&mut ota).await, Told::Withdrawn));
    assert!(!file.exists());
}

/// A policy that wants what nobody has.
fn unsigned() -> SignaturePolicy {
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".to_owned();
    SignaturePolicy::new(SignatureMode::Require, &[key]).unwrap()
}
