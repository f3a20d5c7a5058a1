//! A firmware update made of files of the store: its URLs are signed when it is sent, or each time a device asks for
//! it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Dialect, Firmware, FirmwareFile};
use crate::firmware::{FirmwareStore, URL_LIFE};
use crate::protocol::Protocol;

/// An update for a device, its children, or both.
///
/// As JSON: `{"ack_id":"f-1","software":"1.5","files":[{"stored":"fw.bin"},{"stored":"c.bin","to":{"tag":"c"}}]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// What an acknowledgement must name. A pending one of the legacy protocol says it as `guid`.
    pub ack_id: String,
    /// Software version.
    pub software: String,
    /// Hardware version.
    #[serde(default = "hardware")]
    pub hardware: String,
    /// What of the store, and whom it is for.
    pub files: Vec<UpdateFile>,
    /// How long its URLs are good, in seconds; below zero they were, until then.
    #[serde(default = "url_life_s")]
    pub url_life_s: i64,
    /// Legacy only: the first form of the message, plain URLs, which are for the device itself.
    #[serde(default)]
    pub plain_urls: bool,
    /// Whether its URLs end in `#sha256=` and the hash of the file.
    #[serde(default)]
    pub sha256_in_urls: bool,
    /// Whether it stays pending although every acknowledgement has come, as when the portal is late.
    #[serde(default)]
    pub offered_after_ack: bool,
}

/// One file of an [`Update`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateFile {
    /// Its name in the store; there need not be such a file.
    pub stored: String,
    /// 2.1: the name it is sent under; that in the store when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Whom it is for.
    #[serde(default)]
    pub to: UpdateTarget,
}

/// Whom a file of an update is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateTarget {
    /// The device itself.
    #[default]
    Device,
    /// This child, in a legacy message; all others know children by tag only.
    Child(String),
    /// All devices of this tag.
    Tag(String),
}

fn hardware() -> String {
    "1.0".to_owned()
}

fn url_life_s() -> i64 {
    i64::try_from(URL_LIFE.as_secs()).unwrap_or(i64::MAX)
}

impl Update {
    /// An update to this software version, without files yet, hardware version 1.0.
    #[must_use]
    pub fn new(ack_id: &str, software: &str) -> Self {
        Self {
            ack_id: ack_id.to_owned(),
            software: software.to_owned(),
            hardware: hardware(),
            files: Vec::new(),
            url_life_s: url_life_s(),
            plain_urls: false,
            sha256_in_urls: false,
            offered_after_ack: false,
        }
    }

    /// Adds a file of the store for the device itself.
    #[must_use]
    pub fn file(self, stored: &str) -> Self {
        self.file_for(stored, UpdateTarget::Device)
    }

    /// Legacy only: adds a file of the store for a child.
    #[must_use]
    pub fn file_for_child(self, stored: &str, child: &str) -> Self {
        self.file_for(stored, UpdateTarget::Child(child.to_owned()))
    }

    /// Adds a file of the store for all devices of a tag.
    #[must_use]
    pub fn file_for_tag(self, stored: &str, tag: &str) -> Self {
        self.file_for(stored, UpdateTarget::Tag(tag.to_owned()))
    }

    /// Adds a file of the store.
    #[must_use]
    pub fn file_for(mut self, stored: &str, to: UpdateTarget) -> Self {
        self.files.push(UpdateFile { stored: stored.to_owned(), name: None, to });
        self
    }

    /// How long its URLs are good.
    #[must_use]
    pub fn url_life(self, life: Duration) -> Self {
        Self { url_life_s: i64::try_from(life.as_secs()).unwrap_or(i64::MAX), ..self }
    }

    /// Its URLs were good until an hour ago.
    #[must_use]
    pub fn expired_urls(self) -> Self {
        Self { url_life_s: -3600, ..self }
    }

    /// Legacy only: the first form of the message.
    #[must_use]
    pub fn plain_urls(self) -> Self {
        Self { plain_urls: true, ..self }
    }

    /// Ends its URLs in `#sha256=` and the hash of the file.
    #[must_use]
    pub fn sha256_in_urls(self) -> Self {
        Self { sha256_in_urls: true, ..self }
    }

    /// Leaves it pending although every acknowledgement has come.
    #[must_use]
    pub fn offered_after_ack(self) -> Self {
        Self { offered_after_ack: true, ..self }
    }

    /// With freshly signed URLs.
    ///
    /// # Errors
    /// When `dialect` cannot say whom a file is for.
    pub(super) fn signed(&self, store: &FirmwareStore, dialect: Dialect) -> anyhow::Result<Firmware> {
        let legacy = dialect.protocol() == Protocol::Legacy;
        anyhow::ensure!(legacy || !self.plain_urls, "plain URLs are a legacy form");
        let file = |file: &UpdateFile| {
            let mut url = store.url_for_s(&file.stored, self.url_life_s);
            if self.sha256_in_urls {
                let sha256 = store.sha256(&file.stored).unwrap_or_default();
                url = format!("{url}#sha256={sha256}");
            }
            // What a legacy file is called is the last part of its URL.
            let name = if legacy { None } else { Some(file.name.as_ref().unwrap_or(&file.stored).clone()) };
            let (tag, child) = match &file.to {
                UpdateTarget::Device => (None, None),
                _ if self.plain_urls => anyhow::bail!("plain URLs are for the device itself"),
                UpdateTarget::Child(child) if legacy => (None, Some(child.clone())),
                UpdateTarget::Child(child) => anyhow::bail!("2.1 knows children by tag only, not {child}"),
                UpdateTarget::Tag(tag) => (Some(tag.clone()), None),
            };
            Ok(FirmwareFile { url, name, tag, child })
        };
        Ok(Firmware {
            software: self.software.clone(),
            hardware: self.hardware.clone(),
            ack_id: self.ack_id.clone(),
            files: self.files.iter().map(file).collect::<anyhow::Result<_>>()?,
            plain_urls: self.plain_urls,
        })
    }
}
