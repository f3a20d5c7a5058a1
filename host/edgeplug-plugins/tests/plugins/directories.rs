//! The right to have directories, by the standard library of a guest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use edgeplug_plugins::{DirectoryGrant, PluginEvent, PluginPolicy};

use crate::rig::{Rig, Setup, guest, told};

const PLUGIN: &str = "probe";

struct Ground {
    setup: Setup,
    /// The directory that is granted, by its real path.
    data: PathBuf,
    /// A file beside it.
    secret: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let setup = Setup::new();
        let here = setup.directory.path().canonicalize().expect("path");
        let (data, secret) = (here.join("data"), here.join("secret"));
        fs::create_dir(&data).expect("directory");
        fs::write(&secret, "secret").expect("write");
        fs::write(data.join("a"), "granted").expect("write");
        Self { setup, data, secret }
    }

    fn allow(&mut self, path: &Path, write: bool) {
        let path = path.to_str().expect("utf-8").to_owned();
        let entry = self.setup.options.policy.plugins.entry(PLUGIN.to_owned()).or_default();
        entry.directories.push(DirectoryGrant { path, write });
        entry.deadline_ms = Some(50_000);
    }

    fn start(self, directories: &str) -> Rig {
        let manifest = format!("directories = [{directories}]\n[limits]\ndeadline_ms = 5000");
        self.setup.put(&format!("{PLUGIN}.wasm"), &guest("rights-probe"));
        self.setup.put(&format!("{PLUGIN}.toml"), manifest.as_bytes());
        self.setup.start()
    }

    /// Asked and allowed, at `/data`.
    async fn granted(mut self, write: bool) -> (Rig, PathBuf) {
        let data = self.data.clone();
        self.allow(&data, write);
        let mut rig = self.start(&request(&data, write));
        rig.up(PLUGIN).await;
        (rig, data)
    }
}

fn request(path: &Path, write: bool) -> String {
    format!("{{ path = {path:?}, guest = \"/data\", write = {write} }}")
}

async fn does(rig: &mut Rig, command: &str) -> Result<String, String> {
    told(rig.command(PLUGIN, command).await)
}

/// Whether the plugin's log holds a line with all of these.
fn said(rig: &Rig, parts: &[&str]) -> bool {
    rig.log(PLUGIN).iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

#[tokio::test]
async fn a_granted_directory_is_read_and_written() {
    let (mut rig, data) = Ground::new().granted(true).await;
    for (command, answer) in [
        ("read /data/a", "granted"),
        ("write /data/b one", "written"),
        ("append /data/b two", "appended"),
        ("read /data/b", "onetwo"),
        ("write /data/b short", "written"),
        ("read /data/b", "short"),
        ("new /data/c", "made"),
        ("make /data/d", "made"),
        ("rename /data/b /data/d/b", "renamed"),
        ("list /data", "a c d"),
        ("link /data/a /data/e", "linked"),
        ("remove /data/c", "removed"),
        ("list /data/d", "b"),
    ] {
        assert_eq!(does(&mut rig, command).await.as_deref(), Ok(answer), "{command}");
    }
    assert_eq!(fs::read_to_string(data.join("d/b")).expect("read"), "short");
    does(&mut rig, "new /data/a").await.expect_err("is there already");
    assert!(does(&mut rig, "read /data/nothing").await.expect_err("missing").starts_with("NotFound"));
}

#[tokio::test]
async fn a_directory_for_reading_is_not_written_and_the_log_says_why() {
    let (mut rig, data) = Ground::new().granted(false).await;
    assert_eq!(does(&mut rig, "read /data/a").await.as_deref(), Ok("granted"));
    for command in [
        "write /data/a x",
        "append /data/a x",
        "new /data/b",
        "make /data/b",
        "remove /data/a",
        "rename /data/a /data/b",
        "link /data/a /data/b",
    ] {
        does(&mut rig, command).await.expect_err(command);
    }
    assert_eq!(fs::read_dir(&data).expect("list").count(), 1);
    assert_eq!(fs::read_to_string(data.join("a")).expect("read"), "granted");
    assert!(
        said(&rig, &["\"probe\" may not change \"a\"", "probe.toml", "[plugins.allow.probe]"]),
        "{:?}",
        rig.log(PLUGIN)
    );
}

#[tokio::test]
async fn nothing_leads_out_of_a_granted_directory() {
    let ground = Ground::new();
    let secret = ground.secret.clone();
    symlink(&secret, ground.data.join("absolute")).expect("link");
    symlink("../secret", ground.data.join("relative")).expect("link");
    symlink("..", ground.data.join("up")).expect("link");
    symlink("a", ground.data.join("inside")).expect("link");
    symlink("/proc/self/mem", ground.data.join("memory")).expect("link");
    let (mut rig, data) = ground.granted(true).await;
    assert_eq!(does(&mut rig, "read /data/inside").await.as_deref(), Ok("granted"));
    for path in
        ["/data/../secret", "/data/absolute", "/data/relative", "/data/up/secret", "/data/memory", "/etc/hostname"]
    {
        does(&mut rig, &format!("read {path}")).await.expect_err(path);
        does(&mut rig, &format!("write {path} x")).await.expect_err(path);
    }
    let secret_path = secret.display().to_string();
    for command in [
        "rename /data/../secret /data/b".to_owned(),
        "rename /data/a /data/up/b".to_owned(),
        "link /data/../secret /data/b".to_owned(),
        "link /data/up/secret /data/b".to_owned(),
        "symlink a /data/mine".to_owned(),
        "symlink ../secret /data/mine".to_owned(),
        format!("read {secret_path}"),
        format!("symlink {secret_path} /data/mine"),
    ] {
        does(&mut rig, &command).await.expect_err(&command);
    }
    assert_eq!(fs::read_to_string(&secret).expect("read"), "secret");
    assert!(!data.join("mine").exists() && !data.join("b").exists());
    assert!(said(&rig, &["\"relative\"", "leads out of the granted directory"]), "{:?}", rig.log(PLUGIN));
    assert!(said(&rig, &["may not make the symbolic link"]));
}

#[tokio::test]
async fn a_link_that_changes_under_the_guests_eyes_never_leads_out() {
    let ground = Ground::new();
    let (secret, data) = (ground.secret.clone(), ground.data.clone());
    let (mut rig, _) = ground.granted(false).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let stop = std::sync::Arc::clone(&stop);
        move || {
            let (there, aside) = (data.join("swapped"), data.join(".aside"));
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for target in [Path::new("a"), &secret] {
                    symlink(target, &aside).expect("link");
                    fs::rename(&aside, &there).expect("rename");
                }
            }
        }
    });
    for _ in 0..300 {
        if let Ok(text) = does(&mut rig, "read /data/swapped").await {
            assert_eq!(text, "granted");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapping.join().expect("swaps");
}

#[tokio::test]
async fn a_pipe_or_a_device_is_refused_without_waiting() {
    let ground = Ground::new();
    let pipe = ground.data.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo (package coreutils)");
    assert!(made.success());
    std::os::unix::net::UnixListener::bind(ground.data.join("socket")).expect("socket");
    symlink("pipe", ground.data.join("to-pipe")).expect("link");
    let (mut rig, _) = ground.granted(true).await;
    let started = Instant::now();
    for command in ["read /data/pipe", "append /data/pipe x", "read /data/to-pipe", "read /data/socket"] {
        does(&mut rig, command).await.expect_err(command);
    }
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(said(&rig, &["\"pipe\"", "only regular files and directories"]), "{:?}", rig.log(PLUGIN));
}

#[tokio::test]
async fn a_directory_needs_both_sides_and_its_real_name() {
    let mut ground = Ground::new();
    let (data, here) = (ground.data.clone(), ground.setup.directory.path().canonicalize().expect("path"));
    fs::create_dir(here.join("other")).expect("directory");
    symlink(here.join("other"), here.join("elsewhere")).expect("link");
    symlink("../secret", data.join("x")).expect("link");
    ground.allow(&data, false);
    ground.allow(&here.join("elsewhere"), true);
    ground.allow(&here.join("missing"), true);
    let directories = [
        format!("{{ path = {:?}, guest = \"/not-allowed\" }}", here.join("other")),
        format!("{{ path = {data:?}, guest = \"/write-not-allowed\", write = true }}"),
        format!("{{ path = {:?}, guest = \"/a-link\" }}", here.join("elsewhere")),
        format!("{{ path = {:?}, guest = \"/missing\" }}", here.join("missing")),
        format!("{{ path = {:?}, guest = \"/a-file\" }}", data.join("a")),
    ];
    let mut rig = ground.start(&directories.join(", "));
    rig.up(PLUGIN).await;
    for path in ["/not-allowed", "/write-not-allowed", "/a-link", "/missing", "/a-file"] {
        does(&mut rig, &format!("list {path}")).await.expect_err(path);
    }
    let (other, missing) = (here.join("other").display().to_string(), here.join("missing").display().to_string());
    for parts in [
        ["may not read below", other.as_str(), "add it to `directories` of [plugins.allow.probe]"],
        ["may not write below", "data", "the operator does not allow it"],
        ["elsewhere, which leads to", other.as_str(), "the operator does not allow it"],
        ["has no directory", missing.as_str(), "create it"],
        ["has no directory", "data/a", "`files`"],
    ] {
        assert!(said(&rig, &parts), "{parts:?}: {:?}", rig.log(PLUGIN));
    }
    let problem = rig.plugins.list().remove(0).problem.expect("a problem");
    assert!(problem.contains("has no directory") && problem.contains(&missing), "{problem}");
}

#[tokio::test]
async fn no_grant_reaches_the_daemons_own_directories() {
    let mut ground = Ground::new();
    let here = ground.setup.directory.path().canonicalize().expect("path");
    let private = here.join("private");
    fs::create_dir(&private).expect("directory");
    ground.setup.options.private_directories.push(private.clone());
    ground.allow(&here, true);
    let asked = ["", "plugins", "cache", "shelf", "private"].map(|name| {
        fs::create_dir_all(here.join(name)).expect("directory");
        format!(
            "{{ path = {:?}, guest = \"/{name}x\" }}",
            here.join(name).to_str().expect("utf-8").trim_end_matches('/')
        )
    });
    for closed in ["cache", "shelf"] {
        let closed = here.join(closed);
        fs::set_permissions(closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("mode");
    }
    let mut rig = ground.start(&asked.join(", "));
    rig.up(PLUGIN).await;
    for name in ["", "plugins", "cache", "shelf", "private"] {
        does(&mut rig, &format!("list /{name}x")).await.expect_err(name);
    }
    assert!(said(&rig, &["private", "a directory of the daemon itself"]), "{:?}", rig.log(PLUGIN));
}

#[tokio::test]
async fn what_one_instance_holds_and_lists_is_bounded() {
    let ground = Ground::new();
    let many = ground.data.join("many");
    fs::create_dir(&many).expect("directory");
    for number in 0..10_001 {
        fs::write(many.join(number.to_string()), "").expect("write");
    }
    let (mut rig, _) = ground.granted(false).await;
    let held = does(&mut rig, "hold /data/a 5000").await.expect("answers");
    let count: usize = held.split(' ').next().and_then(|count| count.parse().ok()).expect("a number");
    assert!((32..=96).contains(&count) && held.contains("then"), "{held}");
    assert!(said(&rig, &["holds too many files"]), "{:?}", rig.log(PLUGIN));
    does(&mut rig, "list /data/many").await.expect_err("too many");
    assert!(said(&rig, &["may not list a directory of more than 10000"]), "{:?}", rig.log(PLUGIN));
    assert_eq!(does(&mut rig, "read /data/many/7").await.as_deref(), Ok(""));
}

#[tokio::test]
async fn what_was_granted_is_told_with_the_plugin() {
    let mut ground = Ground::new();
    let data = ground.data.clone();
    ground.allow(&data, false);
    let mut rig = ground.start(&format!("{}, {{ path = \"/srv\", write = true }}", request(&data, false)));
    let grants = rig
        .until(|event| match event {
            PluginEvent::Up { grants, .. } => Some(grants.clone()),
            _ => None,
        })
        .await;
    assert_eq!(
        &grants[..2],
        [
            format!("may read below {}, as /data", data.display()),
            "asks to read and write below /srv, which [plugins.allow.probe] in /etc/edgeplug.toml does not allow \
             (`directories`)"
                .to_owned(),
        ]
    );
}

#[tokio::test]
async fn instances_of_one_component_have_rights_and_state_of_their_own() {
    let mut ground = Ground::new();
    let data = ground.data.clone();
    let allowed = DirectoryGrant { path: data.to_str().expect("utf-8").to_owned(), write: false };
    let entry = PluginPolicy { directories: vec![allowed], deadline_ms: Some(50_000), ..PluginPolicy::default() };
    ground.setup.options.policy.plugins.insert("one".to_owned(), entry);
    ground.setup.put("shared.wasm", &guest("rights-probe"));
    for name in ["one", "two"] {
        let manifest = format!("component = \"shared.wasm\"\ndirectories = [{}]", request(&data, false));
        ground.setup.put(&format!("{name}.toml"), manifest.as_bytes());
    }
    let mut rig = ground.setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    assert_eq!(told(rig.command("one", "read /data/a").await).as_deref(), Ok("granted"));
    told(rig.command("two", "read /data/a").await).expect_err("nobody allows it");
}
