//! Every way a plugin's files change, as far as `swapping` and `loading` have not got it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use edgeplug_plugins::{Change, PluginEvent, PluginState};
use serde_json::json;

use crate::rig::{Rig, Setup, guest, value, variant};

#[tokio::test]
async fn a_directory_behind_a_link_is_swapped_as_a_whole() {
    let mut rig = Rig::start();
    let plugins = rig.path("");
    // As a volume of configuration files is mounted into a container: `..data` names the release, all else points there.
    let release = |name: &str, component: &[u8], manifest: &[u8]| {
        let directory = plugins.join(name);
        std::fs::create_dir(&directory).expect("directory");
        std::fs::write(directory.join("p.wasm"), component).expect("write");
        std::fs::write(directory.join("p.toml"), manifest).expect("write");
        symlink(name, plugins.join("..new")).expect("link");
        std::fs::rename(plugins.join("..new"), plugins.join("..data")).expect("rename");
    };
    release("..1", &guest("sequence"), b"interval_s = 1");
    for name in ["p.wasm", "p.toml"] {
        symlink(Path::new("..data").join(name), plugins.join(name)).expect("link");
    }
    assert_eq!(rig.up("p").await, Change::First);
    release("..2", &variant(&guest("sequence"), 1), b"interval_s = 2");
    assert_eq!(rig.up("p").await, Change::Replaced);
    assert_eq!(rig.status("p").interval_ms, 2000);
}

#[tokio::test]
async fn a_change_that_nobody_announces_is_seen() {
    let mut setup = Setup::new();
    setup.options.limits.rescan = Duration::from_millis(50);
    let mut rig = setup.start();
    // Nothing happens in the directory that is watched.
    let elsewhere = rig.directory.path().join("elsewhere.wasm");
    std::fs::write(&elsewhere, guest("sequence")).expect("write");
    symlink(&elsewhere, rig.path("p.wasm")).expect("link");
    rig.up("p").await;
    std::fs::write(&elsewhere, variant(&guest("sequence"), 1)).expect("write");
    assert_eq!(rig.up("p").await, Change::Replaced);
}

#[tokio::test]
async fn a_file_truncated_in_place_leaves_the_old_version_running() {
    let mut rig = Rig::start();
    rig.put_and_up("p", &guest("traps")).await;
    let file = std::fs::File::options().write(true).open(rig.path("p.wasm")).expect("open");
    file.set_len(1000).expect("truncate");
    rig.refused("p").await;
    let samples = rig.sample("p").await.expect("the old version");
    assert_eq!(value(&samples, "calls"), Some(&json!(1)));
    file.set_len(0).expect("truncate");
    rig.refused("p").await;
    std::fs::write(rig.path("p.wasm"), guest("traps")).expect("write in place");
    while rig.status("p").problem.is_some() {
        tokio::task::yield_now().await;
    }
    let samples = rig.sample("p").await;
    assert!(samples.expect_err("its second call, as it never went").to_string().contains("trapping as configured"));
}

#[tokio::test]
async fn a_file_that_is_gone_for_a_moment_is_not_gone() {
    let mut rig = Rig::start();
    rig.put_and_up("p", &guest("traps")).await;
    std::fs::rename(rig.path("p.wasm"), rig.path("p.wasm.old")).expect("rename");
    rig.put("p.wasm", &variant(&guest("traps"), 1));
    assert_eq!(rig.up("p").await, Change::Replaced);
}

#[tokio::test]
async fn a_renamed_plugin_is_another_one() {
    let mut rig = Rig::start();
    rig.put_and_up("one", &guest("sequence")).await;
    std::fs::rename(rig.path("one.wasm"), rig.path("two.wasm")).expect("rename");
    let (mut is_up, mut is_gone) = (false, false);
    while !(is_up && is_gone) {
        match rig.next().await {
            PluginEvent::Up { plugin, change, .. } => {
                is_up = (plugin.as_str(), change) == ("two", Change::First);
            }
            PluginEvent::Down { plugin, gone, .. } => is_gone = (plugin.as_str(), gone) == ("one", true),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_touched_file_is_neither_compiled_nor_started_again() {
    let mut rig = Rig::start();
    rig.put_and_up("p", &guest("traps")).await;
    rig.sample("p").await.expect("sample");
    let file = std::fs::File::options().write(true).open(rig.path("p.wasm")).expect("open");
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(10)).expect("touch");
    rig.put_and_up("other", &guest("sequence")).await;
    rig.sample("p").await.expect_err("the second call of the same instance");
}

#[tokio::test]
async fn a_manifest_changes_without_a_compiler() {
    let mut setup = Setup::new();
    let real = std::mem::replace(&mut setup.options.compiler, setup.directory.path().join("compiler"));
    symlink(real, &setup.options.compiler).expect("link");
    let compiler = setup.options.compiler.clone();
    setup.put("p.wasm", &guest("probe"));
    setup.put("p.toml", b"interval_s = 1\n[config]\nsaved = \"a\"");
    let mut rig = setup.start();
    rig.up("p").await;
    std::fs::remove_file(compiler).expect("remove");
    rig.put("p.toml", b"interval_s = 2");
    assert_eq!(rig.up("p").await, Change::Replaced);
    let samples = rig.sample("p").await.expect("sample");
    assert_eq!(value(&samples, "restored"), Some(&json!("a")), "the state is handed over");
    // A comment is no change.
    rig.put("p.toml", b"interval_s = 2 # seconds");
    rig.put("other.wasm", &guest("probe"));
    rig.until(|event| match event {
        PluginEvent::Up { plugin, .. } if plugin == "other" => Some(()),
        PluginEvent::Up { plugin, .. } => panic!("{plugin} was swapped"),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_slow_compilation_keeps_no_other_plugin_waiting() {
    let setup = Setup::new();
    setup.put("known.wasm", &guest("sequence"));
    let mut rig = setup.start();
    rig.up("known").await;
    let directory = rig.stop().await;
    let mut setup = Setup::after(directory);
    let script = setup.directory.path().join("compiler.sh");
    std::fs::write(&script, "#!/bin/sh\nexec /bin/sleep 1000\n").expect("script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
    setup.options.compiler = script;
    setup.put("a-new.wasm", &guest("probe"));
    let mut rig = setup.start();
    rig.up("known").await;
    rig.put("known.toml", b"interval_s = 1");
    assert_eq!(rig.up("known").await, Change::Replaced);
    assert_eq!(rig.status("a-new").state, PluginState::Loading);
}
