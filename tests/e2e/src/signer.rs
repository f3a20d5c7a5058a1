//! Who signs updates, on some other machine than the device.

use std::io::Cursor;

use anyhow::Context as _;
use edgeplug_cloud::FirmwareStore;
use minisign::KeyPair;

/// A key pair of minisign's.
pub struct Signer(KeyPair);

impl Signer {
    /// A new pair.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(KeyPair::generate_unencrypted_keypair().context("a pair of keys")?))
    }

    /// The `[ota]` table of a device that takes what this pair has signed and nothing else; more lines may follow.
    #[must_use]
    pub fn table(&self) -> String {
        format!("[ota]\nkeys = [{:?}]\n", self.0.pk.to_base64())
    }

    /// Puts a file of this version and its signature into the store, over what is there of the same names.
    ///
    /// # Errors
    /// When the store takes no more.
    pub fn put(&self, store: &FirmwareStore, name: &str, version: &str, content: &[u8]) -> anyhow::Result<()> {
        let comment = format!("file:{name} version:{version}");
        let signature = minisign::sign(Some(&self.0.pk), &self.0.sk, Cursor::new(content), Some(&comment), None)?;
        for (name, content) in
            [(signature_of(name), signature.into_string().into_bytes()), (name.to_owned(), content.to_vec())]
        {
            match store.sha256(&name) {
                Some(_) => store.replace(&name, content)?,
                None => store.add(&name, content)?,
            }
        }
        Ok(())
    }
}

/// What the signature of a file is called.
fn signature_of(name: &str) -> String {
    format!("{name}.minisig")
}
