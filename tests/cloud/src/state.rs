//! What a simulator with a directory remembers over a restart: enrolled EKs, hub keys, twins.
//!
//! Without it a restarted simulator would send every TPM device back to DPS. The file holds device keys: owner only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::changes::Changes;
use crate::device::Identity;
use crate::files;
use crate::hub::{Hub, Registration};
use crate::key::Key;
use crate::portal::Portal;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// Unique id to EK, base64.
    endorsement_keys: BTreeMap<String, String>,
    /// By hub device id.
    hub: BTreeMap<String, Kept>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    unique_id: String,
    host: String,
    keys: Vec<String>,
    twin: Value,
}

/// Writes the state file whenever something in it changes.
pub(crate) struct Keeper {
    file: PathBuf,
    portal: Portal,
    hub: Hub,
    task: JoinHandle<()>,
}

/// Changes come in bursts; one write for all of a burst.
const KEEP_EVERY: Duration = Duration::from_millis(500);

impl Keeper {
    pub(crate) fn start(file: PathBuf, portal: Portal, hub: Hub, changes: Changes) -> Self {
        let task = tokio::spawn({
            let (file, portal, hub) = (file.clone(), portal.clone(), hub.clone());
            async move {
                let mut bell = changes.subscribe();
                let mut last = String::new();
                loop {
                    let snapshot = snapshot(&portal, &hub);
                    if snapshot != last {
                        report(save(&file, &snapshot));
                        last = snapshot;
                    }
                    tokio::time::sleep(KEEP_EVERY).await;
                    if bell.changed().await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { file, portal, hub, task }
    }

    /// Writes it a last time.
    pub(crate) fn end(&self) {
        self.task.abort();
        report(save(&self.file, &snapshot(&self.portal, &self.hub)));
    }
}

fn report(saved: anyhow::Result<()>) {
    if let Err(error) = saved {
        tracing::error!(error = format!("{error:#}"), "cannot keep the state");
    }
}

/// Everything worth keeping, as text.
fn snapshot(portal: &Portal, hub: &Hub) -> String {
    let mut state = State::default();
    for device in portal.all() {
        if let Identity::Tpm { endorsement_key: Some(key) } = &device.identity {
            state.endorsement_keys.insert(device.unique_id.clone(), STANDARD.encode(key));
        }
    }
    for (id, registration, twin) in hub.registrations() {
        let keys = registration.keys.iter().map(Key::to_base64).collect();
        let (unique_id, host) = (registration.unique_id, registration.host);
        state.hub.insert(id, Kept { unique_id, host, keys, twin });
    }
    serde_json::to_string_pretty(&state).unwrap_or_default()
}

fn save(file: &Path, snapshot: &str) -> anyhow::Result<()> {
    files::replace_private(file, snapshot.as_bytes())
}

/// Gives the portal's devices back what was kept of them. What the options say wins: an EK given there, a symmetric
/// key.
pub(crate) fn restore(file: &Path, portal: &Portal, hub: &Hub) -> anyhow::Result<()> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let state: State = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a state file of the simulator; delete it to begin anew", file.display()))?;
    for device in portal.all() {
        let id = portal.hub_id(&device);
        let kept_key = state.endorsement_keys.get(&device.unique_id);
        let kept_key = kept_key.map(|text| STANDARD.decode(text).context("a kept EK is not base64")).transpose()?;
        let same_tpm = match (&device.identity, &kept_key) {
            (Identity::Tpm { endorsement_key: Some(given) }, Some(kept)) => given == kept,
            (Identity::Tpm { endorsement_key: None }, Some(kept)) => {
                portal.enrol(&device.unique_id, Some(kept.clone()))?;
                true
            }
            _ => false,
        };
        let Some(kept) = state.hub.get(&id) else { continue };
        if same_tpm {
            let keys = kept.keys.iter().map(|text| Key::from_base64(text)).collect::<anyhow::Result<_>>()?;
            let (cpid, unique_id) = (portal.cpid.to_string(), device.unique_id.clone());
            hub.register(&id, Registration { cpid, unique_id, host: kept.host.clone(), keys })?;
        }
        if hub.knows(&id) {
            hub.restore_twin(&id, &kept.twin)?;
        }
    }
    Ok(())
}
