//! Compiled plugins that a system image ships, and daemons that have no cache of their own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use edgeplug_plugins::{EngineKind, compile_for_image};

use crate::rig::{Setup, compiler, guest};

/// What was done to an artefact, and how.
type Tamper<'a> = (&'a str, &'a dyn Fn(&Path));

fn nowhere() -> PathBuf {
    "/nowhere/edgeplug-compiler".into()
}

/// A setup with `traps` in its directory and in its image; the answer is where its artefact lies.
async fn with_image(engine: EngineKind) -> (Setup, PathBuf) {
    let mut setup = Setup::new();
    let image = setup.directory.path().join("image/plugins");
    setup.put("traps.wasm", &guest("traps"));
    let made = compile_for_image(&compiler(), engine, &guest("traps"), &image).await.expect("an artefact");
    assert_eq!(fs::metadata(&made.path).expect("artefact").len(), made.bytes);
    setup.options.cache_images = vec![image];
    (setup, made.path)
}

fn compiled_here(cache: &Path) -> usize {
    let entries = fs::read_dir(cache).expect("cache").map(|entry| entry.expect("entry").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).count()
}

#[tokio::test]
async fn what_an_image_ships_needs_no_compiler() {
    for engine in [EngineKind::Native, EngineKind::Interpreter] {
        let (mut setup, _) = with_image(engine).await;
        setup.options.engine = engine;
        setup.options.compiler = nowhere();
        let cache = setup.options.cache_directory.clone();
        let mut rig = setup.start();
        rig.up("traps").await;
        rig.sample("traps").await.expect("samples");
        assert_eq!(compiled_here(&cache), 0, "nothing is copied");
    }
}

#[tokio::test]
async fn what_others_may_have_changed_is_passed_over_and_left_alone() {
    let chmod = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).expect("mode");
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("write");
    };
    let tampers: [Tamper<'_>; 7] = [
        ("a directory open to all", &|path| chmod(path.parent().expect("directory"), 0o777)),
        ("a directory open to a group", &|path| chmod(path.parent().expect("directory"), 0o775)),
        ("a file open to a group", &|path| chmod(path, 0o664)),
        ("another content", &flip),
        ("no hash", &|path| fs::remove_file(path.with_extension("cwasm.sha256")).expect("remove")),
        ("a hash without end", &|path| {
            fs::remove_file(path.with_extension("cwasm.sha256")).expect("remove");
            symlink("/dev/zero", path.with_extension("cwasm.sha256")).expect("link");
        }),
        ("a link", &|path| {
            fs::rename(path, path.with_extension("elsewhere")).expect("rename");
            symlink(path.with_extension("elsewhere"), path).expect("link");
        }),
    ];
    for (what, tamper) in tampers {
        let (setup, artefact) = with_image(EngineKind::Native).await;
        tamper(&artefact);
        let before = fs::read(&artefact).expect("artefact");
        let cache = setup.options.cache_directory.clone();
        let mut rig = setup.start();
        rig.up("traps").await;
        assert_eq!(compiled_here(&cache), 1, "{what}");
        assert_eq!(fs::read(&artefact).expect("artefact"), before, "{what}");
    }
}

#[tokio::test]
async fn an_image_for_the_other_engine_is_no_image() {
    let (setup, _) = with_image(EngineKind::Interpreter).await;
    let cache = setup.options.cache_directory.clone();
    let mut rig = setup.start();
    rig.up("traps").await;
    assert_eq!(compiled_here(&cache), 1);
}

#[tokio::test]
async fn without_a_cache_images_run_and_the_rest_waits_until_there_is_one() {
    let (mut setup, _) = with_image(EngineKind::Native).await;
    let in_the_way = setup.directory.path().join("state");
    fs::write(&in_the_way, "no directory").expect("write");
    setup.options.cache_directory = in_the_way.join("cache");
    let mut rig = setup.start();
    rig.up("traps").await;
    rig.put("hog.wasm", &guest("hog"));
    let reason = rig.refused("hog").await;
    assert!(reason.contains("cannot use the plugin cache") && reason.contains("state/cache"), "{reason}");
    fs::remove_file(&in_the_way).expect("remove");
    rig.plugins.rescan();
    rig.up("hog").await;
    rig.sample("traps").await.expect("samples");
}
