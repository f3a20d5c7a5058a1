//! Versions of the component, and the ways in which one takes the place of another.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use edgeplug_test_support::versions::Versions;

use crate::random::Random;

/// What it is called in the plugin directory.
pub(super) const PLUGIN: &str = "reload";

/// Longer than the daemon lets files settle in this run.
const SETTLED: Duration = Duration::from_millis(60);

/// What a version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    Good,
    TrapsAtStart,
    RefusesStart,
    RefusesState,
    TrapsLater,
    FailsLater,
    LoopsLater,
    /// No component at all.
    Garbage,
    /// Half a component, for good.
    Truncated,
}

/// How a new version gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// Written beside and renamed, as a careful program does.
    Rename,
    /// Over the old one.
    InPlace,
    /// A link that points to another file.
    Symlink,
    /// Block by block, with pauses.
    Slowly,
    /// Half of it, for so long that it seems to be whole; then all.
    HalfFirst,
    RemoveAndBack,
    /// No new version, only a new time.
    Touch,
}

/// The file of a version with this habit.
pub(super) fn component(versions: &Versions, version: u32, habit: Habit) -> Vec<u8> {
    match habit {
        Habit::Garbage => format!("version {version} is no component").into_bytes(),
        Habit::Truncated => {
            let mut bytes = versions.version(version, habit.letter());
            bytes.truncate(bytes.len() / 3 * 2);
            bytes
        }
        habit => versions.version(version, habit.letter()),
    }
}

impl Habit {
    pub(super) fn any_bad(random: &mut Random) -> Self {
        const ALL: [Habit; 8] = [
            Habit::TrapsAtStart,
            Habit::RefusesStart,
            Habit::RefusesState,
            Habit::TrapsLater,
            Habit::FailsLater,
            Habit::LoopsLater,
            Habit::Garbage,
            Habit::Truncated,
        ];
        random.pick(&ALL).copied().unwrap_or(Habit::Garbage)
    }

    /// It takes over before it shows what it is.
    pub(super) fn shows_later(self) -> bool {
        matches!(self, Self::TrapsLater | Self::FailsLater | Self::LoopsLater)
    }

    fn letter(self) -> char {
        match self {
            Self::Good | Self::Garbage | Self::Truncated => 'G',
            Self::TrapsAtStart => 'S',
            Self::RefusesStart => 'F',
            Self::RefusesState => 'R',
            Self::TrapsLater => 'T',
            Self::FailsLater => 'E',
            Self::LoopsLater => 'L',
        }
    }
}

impl Put {
    pub(super) fn any(random: &mut Random) -> Self {
        match random.between(0, 20) {
            0..=8 => Self::Rename,
            9..=12 => Self::InPlace,
            13..=14 => Self::Symlink,
            15 => Self::Slowly,
            16 => Self::HalfFirst,
            17 => Self::RemoveAndBack,
            _ => Self::Touch,
        }
    }
}

/// The place in the plugin directory.
pub(super) struct Site {
    file: PathBuf,
    aside: PathBuf,
    /// Where links lead to, outside the plugin directory.
    elsewhere: PathBuf,
    links: u64,
}

impl Site {
    pub(super) fn new(plugins: &Path, scratch: &Path) -> anyhow::Result<Self> {
        let elsewhere = scratch.join("elsewhere");
        fs::create_dir_all(&elsewhere)?;
        Ok(Self {
            file: plugins.join(format!("{PLUGIN}.wasm")),
            aside: plugins.join(format!(".{PLUGIN}.arriving")),
            elsewhere,
            links: 0,
        })
    }

    pub(super) async fn put(&mut self, bytes: &[u8], put: Put) -> anyhow::Result<()> {
        let is_link = fs::symlink_metadata(&self.file).is_ok_and(|metadata| metadata.is_symlink());
        match put {
            // What is written through a link is not announced in this directory.
            Put::InPlace | Put::Slowly | Put::HalfFirst if is_link => self.rename(bytes)?,
            Put::Rename | Put::RemoveAndBack | Put::Touch => self.rename(bytes)?,
            Put::InPlace => fs::write(&self.file, bytes)?,
            Put::Symlink => self.link(bytes)?,
            Put::Slowly => {
                let mut file = File::create(&self.file)?;
                for piece in bytes.chunks(bytes.len() / 4 + 1) {
                    file.write_all(piece)?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Put::HalfFirst => {
                let (half, rest) = bytes.split_at(bytes.len() / 2);
                let mut file = File::create(&self.file)?;
                file.write_all(half)?;
                tokio::time::sleep(SETTLED).await;
                file.write_all(rest)?;
            }
        }
        Ok(())
    }

    pub(super) fn remove(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(&self.file)?)
    }

    pub(super) fn touch(&self) -> anyhow::Result<()> {
        Ok(File::options().append(true).open(&self.file)?.set_modified(SystemTime::now())?)
    }

    fn rename(&self, bytes: &[u8]) -> anyhow::Result<()> {
        fs::write(&self.aside, bytes)?;
        Ok(fs::rename(&self.aside, &self.file)?)
    }

    fn link(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let old = self.elsewhere.join(format!("{}.wasm", self.links));
        self.links += 1;
        let target = self.elsewhere.join(format!("{}.wasm", self.links));
        fs::write(&target, bytes)?;
        std::os::unix::fs::symlink(&target, &self.aside)?;
        fs::rename(&self.aside, &self.file)?;
        let _ = fs::remove_file(old);
        Ok(())
    }
}
