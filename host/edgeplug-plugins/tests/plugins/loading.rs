//! Manifests, the cache, and the compiler child.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edgeplug_plugins::{PluginEvent, PluginState, Plugins, StartError};

use crate::rig::{Rig, Setup, guest, variant};

#[tokio::test]
async fn a_wrong_manifest_is_refused_by_file_and_key() {
    let mut rig = Rig::start();
    rig.put("typo.toml", b"interval_s = 1\nfilez = [\"/proc/stat\"]");
    rig.put("typo.wasm", &guest("traps"));
    let (file, reason) = rig
        .until(|event| match event {
            PluginEvent::Refused { file, reason, .. } => Some((file.clone(), reason.clone())),
            _ => None,
        })
        .await;
    assert_eq!(file, rig.path("typo.toml"));
    assert!(reason.contains("filez") && reason.contains("line 2"), "{reason}");
    rig.put("typo.toml", b"interval_s = 1\nfiles = [\"/proc/stat\"]");
    rig.up("typo").await;
}

#[tokio::test]
async fn a_typing_error_starts_no_phantom() {
    let mut rig = Rig::start();
    rig.put("shared.wasm", &guest("traps"));
    rig.put("inside.toml", b"component = \"shared.wasm\"");
    rig.up("inside").await;
    for broken in ["component = \"shared.wasm\"\nfilez = []", "compo"] {
        rig.put("inside.toml", broken.as_bytes());
        rig.refused("inside").await;
    }
    rig.put("inside.toml", b"component = \"shared.wasm\"\ninterval_s = 1");
    let reloaded = |event: &PluginEvent| match event {
        PluginEvent::Up { plugin, .. } => Some(plugin.clone()),
        _ => None,
    };
    assert_eq!(rig.until(reloaded).await, "inside");
    let names: Vec<_> = rig.plugins.list().into_iter().map(|status| status.plugin).collect();
    assert_eq!(names, ["inside"]);
}

#[tokio::test]
async fn an_old_component_waits_for_the_manifest_that_takes_it() {
    let mut rig = Rig::start();
    assert!(matches!(rig.next().await, PluginEvent::ScanDone));
    std::fs::write(rig.path(".moved"), guest("traps")).expect("write");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options()
        .write(true)
        .open(rig.path(".moved"))
        .and_then(|file| file.set_modified(long_ago))
        .expect("time");
    std::fs::rename(rig.path(".moved"), rig.path("shared.wasm")).expect("rename");
    while rig.plugins.list().is_empty() {
        tokio::task::yield_now().await;
    }
    rig.put("inside.toml", b"component = \"shared.wasm\"");
    let up = rig.until(|event| if let PluginEvent::Up { plugin, .. } = event { Some(plugin.clone()) } else { None });
    assert_eq!(up.await, "inside");
}

#[tokio::test]
async fn a_plugin_is_loading_until_it_is_up_or_refused() {
    let mut setup = Setup::new();
    let go = setup.directory.path().join("go");
    let real = setup.options.compiler.display().to_string();
    stand_in(&mut setup, &format!("while [ ! -e {} ]; do /bin/sleep 0.01; done; exec {real}", go.display()));
    setup.put("traps.wasm", &guest("traps"));
    setup.put("broken.wasm", &guest("traps"));
    setup.put("broken.toml", b"no manifest");
    let mut rig = setup.start();
    rig.refused("broken").await;
    let states: Vec<_> = rig.plugins.list().into_iter().map(|status| status.state).collect();
    assert_eq!(states, [PluginState::Refused, PluginState::Loading]);
    std::fs::write(go, "").expect("write");
    rig.up("traps").await;
    assert_eq!(rig.plugins.list()[1].state, PluginState::Running);
}

#[tokio::test]
async fn a_load_that_ends_late_says_nothing_about_who_came_under_its_name() {
    let mut setup = Setup::new();
    let file = |name: &str| setup.directory.path().join(name).display().to_string();
    let (begun, go, real) = (file("begun"), file("go"), setup.options.compiler.display().to_string());
    let script = format!(
        "if [ -e {begun} ]; then exec {real}; fi; : > {begun}; while [ ! -e {go} ]; do /bin/sleep 0.01; done; exit 5"
    );
    stand_in(&mut setup, &script);
    setup.put("late.wasm", &guest("traps"));
    let mut rig = setup.start();
    while !Path::new(&begun).exists() {
        tokio::task::yield_now().await;
    }
    std::fs::remove_file(rig.path("late.wasm")).expect("remove");
    while !rig.plugins.list().is_empty() {
        tokio::task::yield_now().await;
    }
    rig.put("late.wasm", &variant(&guest("traps"), 1));
    while rig.plugins.list().is_empty() {
        tokio::task::yield_now().await;
    }
    std::fs::write(go, "").expect("write");
    // `up` fails on any refusal.
    rig.up("late").await;
}

#[tokio::test]
async fn a_manifest_alone_is_no_plugin_yet() {
    let setup = Setup::new();
    setup.put("alone.toml", b"");
    let mut rig = setup.start();
    rig.until(|event| match event {
        PluginEvent::Refused { reason, .. } => panic!("refused: {reason}"),
        event => matches!(event, PluginEvent::ScanDone).then_some(()),
    })
    .await;
    assert!(rig.plugins.list().is_empty());
    rig.put("alone.wasm", &guest("traps"));
    rig.up("alone").await;
}

#[tokio::test]
async fn a_manifest_that_points_at_nothing_is_refused() {
    let mut rig = Rig::start();
    rig.put("pointing.toml", b"component = \"nowhere.wasm\"");
    assert!(rig.refused("pointing").await.contains("nowhere.wasm"));
    rig.put("nowhere.wasm", &guest("traps"));
    rig.up("pointing").await;
}

#[tokio::test]
async fn one_component_runs_several_times() {
    let setup = Setup::new();
    setup.put("shared.wasm", &guest("sequence"));
    for name in ["inside", "outside"] {
        let manifest = format!("component = \"shared.wasm\"\n[config]\nrun = \"{name}\"");
        setup.put(&format!("{name}.toml"), manifest.as_bytes());
    }
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    let names: Vec<_> = rig.plugins.list().into_iter().map(|status| status.plugin).collect();
    assert_eq!(names, ["inside", "outside"]);
    for name in names {
        rig.sample(&name).await.expect("sample");
    }
    let runs: Vec<_> =
        rig.offered.iter().map(|(plugin, sample)| (plugin.as_str(), sample.values[0].1.as_str())).collect();
    assert_eq!(runs, [("inside", Some("inside")), ("outside", Some("outside"))]);
}

#[tokio::test]
async fn a_core_module_and_a_stranger_are_told_apart_from_a_plugin() {
    let mut rig = Rig::start();
    rig.put("module.wasm", b"\0asm\x01\0\0\0");
    assert!(rig.refused("module").await.contains("core module"));
    // The empty component compiles, but it is no plugin.
    rig.put("stranger.wasm", b"\0asm\x0d\0\x01\0");
    assert!(rig.refused("stranger").await.contains("it exports nothing"));
}

fn artefacts(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).expect("cache").map(|entry| entry.expect("entry").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

/// Runs one plugin once and says how its artefact looks.
async fn run_once(setup: Setup) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    setup.put("traps.wasm", &guest("traps"));
    let mut rig = setup.start();
    rig.up("traps").await;
    rig.plugins.stop(Duration::from_secs(5)).await;
    let path = artefacts(&rig.directory.path().join("cache")).pop().expect("an artefact");
    let content = std::fs::read(&path).expect("artefact");
    (rig.directory, path, content)
}

fn again(directory: tempfile::TempDir, compiler: Option<PathBuf>) -> Setup {
    let mut setup = Setup::after(directory);
    setup.options.compiler = compiler.unwrap_or(setup.options.compiler);
    setup
}

#[tokio::test]
async fn a_warm_cache_needs_no_compiler() {
    let (directory, path, _) = run_once(Setup::new()).await;
    for private in [path.parent().expect("cache"), &path] {
        let mode = std::fs::metadata(private).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", private.display());
    }
    let mut rig = again(directory, Some("/nowhere/edgeplug-compiler".into())).start();
    rig.up("traps").await;
}

#[tokio::test]
async fn a_cache_that_was_tampered_with_is_compiled_anew() {
    let (mut directory, path, content) = run_once(Setup::new()).await;
    let vouched = path.with_extension("cwasm.sha256");
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).expect("write");
    };
    let truncate = |path: &Path| std::fs::write(path, &content[..content.len() / 2]).expect("write");
    let open_up = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).expect("mode");
    };
    let unvouch = |_: &Path| std::fs::remove_file(&vouched).expect("remove");
    let tampers: [&dyn Fn(&Path); 4] = [&flip, &truncate, &open_up, &unvouch];
    for tamper in tampers {
        tamper(&path);
        let mut rig = again(directory, None).start();
        rig.up("traps").await;
        rig.sample("traps").await.expect("samples");
        rig.plugins.stop(Duration::from_secs(5)).await;
        assert_eq!(std::fs::read(&path).expect("artefact"), content, "made anew");
        assert_eq!(std::fs::metadata(&path).expect("metadata").permissions().mode() & 0o077, 0);
        directory = rig.directory;
    }
}

#[tokio::test]
async fn a_cache_open_to_others_is_refused() {
    let setup = Setup::new();
    let cache = &setup.options.cache_directory;
    std::fs::create_dir(cache).expect("directory");
    std::fs::set_permissions(cache, std::fs::Permissions::from_mode(0o755)).expect("mode");
    match Plugins::start(setup.options.clone()) {
        Err(StartError::Cache(error)) => assert!(error.to_string().contains("chmod 700"), "{error}"),
        _ => panic!("the cache was taken"),
    }
}

/// A program that stands in for the compiler.
fn stand_in(setup: &mut Setup, script: &str) {
    let path = setup.directory.path().join("compiler.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    setup.options.compiler = path;
}

#[tokio::test]
async fn a_compiler_that_takes_too_long_is_killed() {
    let mut setup = Setup::new();
    setup.options.limits.compile_wall = Duration::from_millis(300);
    let pid_file = setup.directory.path().join("pid");
    stand_in(&mut setup, &format!("echo $$ > {}; exec /bin/sleep 1000", pid_file.display()));
    setup.put("traps.wasm", &guest("traps"));
    let mut rig = setup.start();
    let reason = rig.refused("traps").await;
    assert!(reason.contains("took longer than 0.3 s"), "{reason}");
    let pid = std::fs::read_to_string(pid_file).expect("pid");
    let gone = Instant::now() + Duration::from_secs(10);
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // Killed at once; the runtime reaps it a moment later.
    while state().contains("sleep") && !state().contains(" Z ") {
        assert!(Instant::now() < gone, "the child still runs");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_compiler_that_writes_too_much_is_killed() {
    let mut setup = Setup::new();
    setup.options.limits.artefact_bytes = 1 << 20;
    stand_in(&mut setup, "exec /bin/cat /dev/zero");
    setup.put("traps.wasm", &guest("traps"));
    let mut rig = setup.start();
    let reason = rig.refused("traps").await;
    assert!(reason.contains("more than 1 MiB"), "{reason}");
    assert!(artefacts(&rig.directory.path().join("cache")).is_empty());
}

#[tokio::test]
async fn a_component_that_is_too_big_is_refused_unread() {
    let mut rig = Rig::start();
    let file = std::fs::File::create(rig.path("big.wasm")).expect("file");
    file.set_len((64 << 20) + 1).expect("length");
    assert!(rig.refused("big").await.contains("larger than 64 MiB"));
}

#[tokio::test]
async fn a_missing_compiler_is_told_and_tried_again() {
    let mut setup = Setup::new();
    let real = std::mem::replace(&mut setup.options.compiler, setup.directory.path().join("not-yet"));
    let late = setup.options.compiler.clone();
    setup.put("traps.wasm", &guest("traps"));
    let mut rig = setup.start();
    let reason = rig.refused("traps").await;
    assert!(reason.contains("cannot start the compiler"), "{reason}");
    std::os::unix::fs::symlink(real, late).expect("link");
    rig.up("traps").await;
}

#[tokio::test]
async fn a_directory_that_comes_later_is_found() {
    let mut setup = Setup::new();
    setup.options.limits.rescan = Duration::from_millis(50);
    std::fs::remove_dir(&setup.options.directory).expect("remove");
    let mut rig = setup.start();
    assert!(matches!(rig.next().await, PluginEvent::ScanDone));
    std::fs::create_dir(rig.path("")).expect("directory");
    rig.put("traps.wasm", &guest("traps"));
    rig.up("traps").await;
}
