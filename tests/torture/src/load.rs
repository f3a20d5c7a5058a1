//! The load that all modes of the daemon share: guests that number their readings, and one that answers commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use edgeplug_cloud::{Attribute, Template};
use edgeplug_e2e::{PluginFiles, World, WorldOptions};

/// Name of the plugin that answers commands.
const ACTOR: &str = "actor";

/// A device with a symmetric key whose template knows what the guests send.
pub(crate) fn world(disk: Option<PathBuf>, tables: &str, environment: Vec<(String, String)>) -> WorldOptions {
    let attributes = vec![Attribute::string("run"), Attribute::number("sequence")];
    WorldOptions {
        template: Template { attributes, ..Template::default() },
        symmetric_key: true,
        tables: tables.to_owned(),
        environment,
        disk,
        ..WorldOptions::default()
    }
}

/// Names of so many plugins.
pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("p{number}")).collect()
}

/// Drops `names`, each sending one reading every `interval_ms`, and the actor.
pub(crate) fn drop_plugins(world: &World, names: &[String], interval_ms: u64) -> anyhow::Result<()> {
    for name in names {
        let manifest = format!("interval_ms = {interval_ms}\n[config]\nname = \"{name}\"\n");
        world.drop_plugin(PluginFiles { name, guest: "sequence", manifest: Some(&manifest) })?;
    }
    world.drop_plugin(PluginFiles { name: ACTOR, guest: "echo-commands", manifest: None })
}

/// Takes the sending plugins away.
pub(crate) fn remove_plugins(world: &World, names: &[String]) -> anyhow::Result<()> {
    for name in names {
        std::fs::remove_file(world.plugins_directory().join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// Compiling a guest takes a second or more, and is none of what is tested here.
const COMPILE_MAX: Duration = Duration::from_secs(120);

/// Plugins compiled once, for many worlds.
pub(crate) struct Compiled(tempfile::TempDir);

impl Compiled {
    /// Lets a daemon compile them.
    pub(crate) async fn make() -> anyhow::Result<Self> {
        let first = World::new(world(None, "", Vec::new())).await?;
        drop_plugins(&first, &names(1), 1_000)?;
        let edgeplug = first.start()?;
        let mut seen = 0;
        for _ in 0..2 {
            first.log().wait_for("plugin loaded", seen, COMPILE_MAX).await?;
            let lines = first.log().lines()?;
            let next = lines.iter().skip(seen).position(|line| line.message() == "plugin loaded");
            seen += next.map_or(0, |next| next + 1);
        }
        let cache = tempfile::tempdir()?;
        edgeplug.terminate().await?;
        copy(&first.state_directory().join("cache"), cache.path())?;
        Ok(Self(cache))
    }

    /// Puts them where the daemon of `world` looks.
    pub(crate) fn give(&self, world: &World) -> anyhow::Result<()> {
        copy(self.0.path(), &world.state_directory().join("cache"))
    }
}

/// With the rights of every file: the daemon loads nothing that others could have written.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from).with_context(|| format!("no {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
