//! A TPM, a place for files and an identity on both.

use std::path::PathBuf;

use edgeplug_identity::{Identity, IdentityConfig, KeySlot, Registration, TpmConfig};
use edgeplug_test_support::swtpm::Swtpm;
use tempfile::TempDir;

use crate::blob::{challenge, software_hmac};

pub(crate) struct Rig {
    /// First, so that the identity is gone before its TPM.
    pub(crate) identity: Identity,
    pub(crate) config: TpmConfig,
    pub(crate) swtpm: Swtpm,
    _files: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut TpmConfig)) -> Self {
        let swtpm = Swtpm::start().unwrap();
        let files = tempfile::tempdir().unwrap();
        let mut config = TpmConfig::new(swtpm.tcti().parse().unwrap(), files.path().join("hub-key.json"));
        change(&mut config);
        Self { identity: open(&config), config, swtpm, _files: files }
    }

    /// What a restart of the daemon does.
    pub(crate) async fn reopen(&mut self) {
        self.identity.close().await;
        self.identity = open(&self.config);
    }

    pub(crate) fn wrapped_key_file(&self) -> &PathBuf {
        &self.config.wrapped_key_file
    }

    /// Registers and takes a hub key, as a finished DPS run does; returns the key.
    pub(crate) async fn provisioned(&self) -> (Registration, [u8; 32]) {
        let registration = self.identity.registration().await.unwrap();
        let (key, blob) = challenge(&registration);
        self.identity.activate(KeySlot::Hub, &blob).await.unwrap();
        (registration, key)
    }

    pub(crate) async fn assert_signs(&self, slot: KeySlot, key: &[u8]) {
        let text = b"example.azure-devices.net%2Fdevices%2Fdev1\n1700000000";
        let signature = self.identity.sign(slot, text).await.unwrap();
        assert_eq!(signature.as_bytes(), &software_hmac(key, text));
    }

    /// Removes what lies at a persistent handle.
    pub(crate) fn evict(&self, handle: u32) {
        self.swtpm.tool("tpm2_evictcontrol", ["-C", "o", "-c", &format!("{handle:#x}")]).unwrap();
    }

    pub(crate) fn persistent_handles(&self) -> String {
        self.swtpm.tool("tpm2_getcap", ["handles-persistent"]).unwrap()
    }

    /// Nothing of ours is left in the TPM's few slots.
    pub(crate) fn assert_clean(&self) {
        for kind in ["handles-transient", "handles-loaded-session", "handles-saved-session"] {
            assert_eq!(self.swtpm.tool("tpm2_getcap", [kind]).unwrap().trim(), "", "{kind}");
        }
    }
}

pub(crate) fn open(config: &TpmConfig) -> Identity {
    Identity::open(IdentityConfig::Tpm(config.clone()))
}
