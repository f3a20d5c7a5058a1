//! Components that came over the air, in the plugin directory of their own, and what lay there before them.
//!
//! Beside the files of plugins lies `.before/NAME/`: what was there before the last deployment (by hard links, which
//! need no room), and a record of it.
//!
//! What must stay true: the record is on disk before the first file changes, so that a crash in the middle is undone
//! at the next start and no component ever runs with another one's manifest for longer than the next look at the
//! directory; deploying what lies there already changes nothing, above all not what was before it.

use std::io;

use serde::{Deserialize, Serialize};

use crate::bundle::Release;
use crate::directory::Directory;
use crate::hash::{hex, sha256};
use crate::name;

const BEFORE: &str = ".before";
const RECORD: &str = "record.json";
const RECORD_BYTES_MAX: u64 = 4 << 10;
/// Larger than any file that is deployed.
const FILE_BYTES_MAX: u64 = crate::bundle::COMPONENT_BYTES_MAX;

/// A component that lies in the plugin directory now; the plugins take it from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub plugin: String,
    /// Of the component, in hexadecimal.
    pub sha256: String,
}

/// The files of a plugin, by what follows its name; in the order in which they change, because the component is what a
/// look at the directory begins with.
const ENDINGS: [&str; 3] = [".wasm.minisig", ".toml", ".wasm"];
const COMPONENT: &str = ".wasm";

#[derive(Debug)]
pub(crate) struct Shelf {
    plugins: Directory,
    before: Directory,
}

/// What is known of the last deployment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Of the component that was deployed.
    sha256: String,
    /// False until all of its files are there, and again once they are taken away.
    is_whole: bool,
    /// The endings of the files that were there before.
    had: Vec<String>,
}

impl Shelf {
    /// Undoes what a crash interrupted.
    pub(crate) fn open(plugins: Directory) -> io::Result<Self> {
        plugins.sweep()?;
        let before = plugins.make_child(BEFORE)?;
        let shelf = Self { plugins, before };
        for plugin in shelf.before.names()? {
            let Some(kept) = shelf.before.child(&plugin)? else { continue };
            kept.sweep()?;
            match read_record(&kept)? {
                Some(record) if record.is_whole => {}
                Some(record) => {
                    tracing::warn!(plugin, "the deployment of a component was interrupted and is undone");
                    shelf.put_back(&plugin, &kept, &record)?;
                }
                None => shelf.before.remove_directory(&plugin)?,
            }
        }
        Ok(shelf)
    }

    pub(crate) fn deploy(&self, plugin: &str, release: &Release) -> io::Result<Deployment> {
        let digest = hex(&sha256(&release.component));
        let deployment = Deployment { plugin: plugin.to_owned(), sha256: digest.clone() };
        if self.lies_there(plugin, release)? {
            return Ok(deployment);
        }
        let had = self.endings(plugin)?;
        let kept = self.keep(plugin, &had)?;
        let mut record = Record { sha256: digest, is_whole: false, had };
        write_record(&kept, &record)?;
        if let Err(error) = self.switch(plugin, release) {
            self.put_back(plugin, &kept, &record)?;
            return Err(error);
        }
        record.is_whole = true;
        write_record(&kept, &record)?;
        Ok(deployment)
    }

    pub(crate) fn withdraw(&self, plugin: &str, digest: &str) -> io::Result<()> {
        let component = self.plugins.read(&file(plugin, COMPONENT), FILE_BYTES_MAX)?;
        let is_there = component.is_some_and(|component| hex(&sha256(&component)) == digest);
        let kept = self.before.make_child(plugin)?;
        let record = read_record(&kept)?.filter(|record| record.sha256 == digest);
        match record {
            // A crash may have taken away the component and left its manifest.
            Some(record) if is_there || !record.is_whole => {
                let record = Record { is_whole: false, ..record };
                write_record(&kept, &record)?;
                self.put_back(plugin, &kept, &record)
            }
            // Whatever was before it is not known any more; the operator's own counts again.
            None if is_there => {
                let record = Record { sha256: digest.to_owned(), is_whole: false, had: Vec::new() };
                write_record(&kept, &record)?;
                self.put_back(plugin, &kept, &record)
            }
            _ => Ok(()),
        }
    }

    fn lies_there(&self, plugin: &str, release: &Release) -> io::Result<bool> {
        for (ending, content) in release.files() {
            if self.plugins.read(&file(plugin, ending), FILE_BYTES_MAX)?.as_deref() != content {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn endings(&self, plugin: &str) -> io::Result<Vec<String>> {
        let mut had = Vec::new();
        for ending in ENDINGS {
            if self.plugins.open(&file(plugin, ending))?.is_some() {
                had.push(ending.to_owned());
            }
        }
        Ok(had)
    }

    /// Keeps the files that are there.
    fn keep(&self, plugin: &str, had: &[String]) -> io::Result<Directory> {
        if let Some(older) = self.before.child(plugin)? {
            // Without its record nothing in it counts.
            older.remove(RECORD)?;
            older.sync()?;
            self.before.remove_directory(plugin)?;
        }
        let kept = self.before.make_child(plugin)?;
        for ending in had {
            self.plugins.link(&file(plugin, ending), &kept, ending_name(ending))?;
        }
        kept.sync()?;
        Ok(kept)
    }

    /// The new files, one right after the other.
    fn switch(&self, plugin: &str, release: &Release) -> io::Result<()> {
        let mut written = Vec::new();
        for (ending, content) in release.files() {
            let aside = content.map(|content| self.plugins.write_aside(content)).transpose();
            match aside {
                Ok(aside) => written.push((ending, aside)),
                Err(error) => {
                    let _ = self.plugins.sweep();
                    return Err(error);
                }
            }
        }
        for (ending, aside) in written {
            let name = file(plugin, ending);
            match aside {
                Some(aside) => self.plugins.settle(aside, &name)?,
                None => self.plugins.remove(&name)?,
            }
        }
        self.plugins.sync()
    }

    /// Can be begun again after a crash at any step.
    fn put_back(&self, plugin: &str, kept: &Directory, record: &Record) -> io::Result<()> {
        for ending in ENDINGS {
            let name = file(plugin, ending);
            if !record.had.iter().any(|had| had == ending) {
                self.plugins.remove(&name)?;
            } else if kept.open(ending_name(ending))?.is_some() {
                kept.rename(ending_name(ending), &self.plugins, &name)?;
            }
        }
        self.plugins.sync()?;
        kept.remove(RECORD)?;
        kept.sync()?;
        self.before.remove_directory(plugin)
    }
}

impl Release {
    fn files(&self) -> [(&'static str, Option<&[u8]>); 3] {
        let [signature, manifest, component] = ENDINGS;
        [
            (signature, self.signature.as_deref()),
            (manifest, self.manifest.as_deref()),
            (component, Some(&self.component)),
        ]
    }
}

fn file(plugin: &str, ending: &str) -> String {
    format!("{plugin}{ending}")
}

/// In `.before/NAME/` there is no name to begin with.
fn ending_name(ending: &str) -> &str {
    ending.trim_start_matches('.')
}

fn read_record(kept: &Directory) -> io::Result<Option<Record>> {
    let text = kept.read(RECORD, RECORD_BYTES_MAX)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

fn write_record(kept: &Directory, record: &Record) -> io::Result<()> {
    kept.put(RECORD, &serde_json::to_vec(record)?)
}

/// Whose component a file is, if a plugin can be called so.
pub(crate) fn plugin_of(component: name::Component<'_>) -> Result<&str, String> {
    let (name::Component::Bare(plugin) | name::Component::Bundle(plugin)) = component;
    if name::is_plugin(plugin) {
        Ok(plugin)
    } else {
        Err(format!("{plugin:?} is no name of a plugin: 1 to 64 letters, digits, `-`, `_` and `.`"))
    }
}
