//! A staging directory of its own for each test, and a maker who signs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use edgeplug_firmware::{DigestPolicy, Firmware, FirmwareOptions, Installer, Refusal, StageError, VerifiedFile};
use edgeplug_signature::{SignatureMode, SignaturePolicy};
use minisign::KeyPair;
use tempfile::TempDir;

pub(crate) const JOB: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const OTHER_JOB: &str = "fedcba9876543210fedcba9876543210";

pub(crate) struct Rig {
    pub(crate) directory: TempDir,
    pub(crate) options: FirmwareOptions,
}

pub(crate) struct Maker(KeyPair);

impl Rig {
    /// With signatures off and digests only where they are given.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let options = FirmwareOptions {
            directory: directory.path().join("ota"),
            plugins: directory.path().join("plugins"),
            signature: SignaturePolicy::default(),
            digest: DigestPolicy::IfGiven,
            file_bytes_max: 32 << 20,
            update_bytes_max: 64 << 20,
            free_bytes_min: 0,
            installer: None,
        };
        Self { directory, options }
    }

    /// Signatures of this maker, by this policy.
    pub(crate) fn signed(mode: SignatureMode, maker: &Maker) -> Self {
        let mut rig = Self::new();
        rig.options.signature = maker.policy(mode);
        rig
    }

    pub(crate) fn open(&self) -> Firmware {
        Firmware::open(self.options.clone()).expect("open")
    }

    pub(crate) fn staged(&self, name: &str) -> PathBuf {
        self.options.directory.join(JOB).join(name)
    }

    /// An executable script, and the installer that runs it with one argument of the operator.
    pub(crate) fn script(&mut self, text: &str) -> Installer {
        let path = self.directory.path().join("install.sh");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("mode");
        let program = path.to_str().expect("text").to_owned();
        let command = vec![program.clone(), "two words; $(reboot)".to_owned()];
        let confirm = Some(vec![program, "confirm".to_owned()]);
        let installer = Installer { command, confirm, timeout: Duration::from_secs(30), restart: false };
        self.options.installer = Some(installer.clone());
        installer
    }
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().expect("keys"))
    }

    pub(crate) fn policy(&self, mode: SignatureMode) -> SignaturePolicy {
        SignaturePolicy::new(mode, &[self.0.pk.to_base64()]).expect("policy")
    }

    pub(crate) fn sign(&self, content: &[u8], comment: &str) -> Vec<u8> {
        let signed = minisign::sign(Some(&self.0.pk), &self.0.sk, content, Some(comment), None);
        signed.expect("signature").into_string().into_bytes()
    }
}

/// Downloads a file in one go.
pub(crate) fn stage(firmware: &Firmware, name: &str, content: &[u8]) {
    stage_with(firmware, name, content, None).expect(name);
}

pub(crate) fn stage_with(
    firmware: &Firmware,
    name: &str,
    content: &[u8],
    digest: Option<[u8; 32]>,
) -> Result<(), StageError> {
    let total = u64::try_from(content.len()).ok();
    let mut writer = firmware.part(JOB, name)?.begin(0, total, None, digest)?;
    for piece in content.chunks(64 << 10) {
        writer.write(piece)?;
    }
    writer.finish()
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Stages all of these and verifies them.
pub(crate) fn verify(firmware: &Firmware, files: &[(&str, &[u8])]) -> Result<Vec<VerifiedFile>, Refusal> {
    for (name, content) in files {
        stage(firmware, name, content);
    }
    firmware.verify(JOB, &files.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>())
}

/// As another program says it.
pub(crate) fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().expect("sha256sum of the package coreutils");
    String::from_utf8(output.stdout).expect("text").split(' ').next().expect("digest").to_owned()
}

pub(crate) fn sha256_of(content: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("file");
    fs::write(file.path(), content).expect("write");
    sha256sum(file.path())
}

pub(crate) fn bytes_of(digest: &str) -> [u8; 32] {
    let byte = |at: usize| u8::from_str_radix(&digest[2 * at..2 * at + 2], 16).expect("hex");
    std::array::from_fn(byte)
}
