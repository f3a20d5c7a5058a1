//! Bundles: a component with its manifest in one signed file, `NAME.edgeplug`, an uncompressed tar.
//!
//! What must stay true: nothing is unpacked to the disk by names out of the archive; entries are what they are expected
//! to be or the bundle is refused, extensions of the format included.

use std::io::Read;

use tar::{Archive, EntryType};

/// As large as a component may be (`edgeplug-plugins`).
pub(crate) const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// As large as a manifest may be there.
const MANIFEST_BYTES_MAX: u64 = 64 << 10;
const SIGNATURE_BYTES_MAX: u64 = edgeplug_signature::SIGNATURE_BYTES_MAX;

/// What lies in a plugin directory of one plugin.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) component: Vec<u8>,
    pub(crate) signature: Option<Vec<u8>>,
    pub(crate) manifest: Option<Vec<u8>>,
}

impl Release {
    /// Reads the bundle of this plugin.
    pub(crate) fn of_bundle(plugin: &str, bundle: impl Read) -> Result<Self, String> {
        let failed = |error| format!("{plugin}.edgeplug is no tar archive: {error}");
        let (mut component, mut signature, mut manifest) = (None, None, None);
        let mut archive = Archive::new(bundle);
        // Raw: without the extensions that hold names of any length.
        for entry in archive.entries().map_err(failed)?.raw(true) {
            let mut entry = entry.map_err(failed)?;
            let path = entry.path_bytes().into_owned();
            let ending =
                path.strip_prefix(plugin.as_bytes()).filter(|_| entry.header().entry_type() == EntryType::Regular);
            let (place, bytes_max) = match ending {
                Some(b".wasm") => (&mut component, COMPONENT_BYTES_MAX),
                Some(b".wasm.minisig") => (&mut signature, SIGNATURE_BYTES_MAX),
                Some(b".toml") => (&mut manifest, MANIFEST_BYTES_MAX),
                _ => return Err(format!("{} is none of its files; {}", shown(&path), remedy(plugin))),
            };
            if entry.size() > bytes_max {
                return Err(format!("{} is larger than {bytes_max} bytes", shown(&path)));
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(failed)?;
            if u64::try_from(content.len()).ok() != Some(entry.size()) {
                return Err(format!("{} is cut short", shown(&path)));
            }
            if place.replace(content).is_some() {
                return Err(format!("{} is in it twice", shown(&path)));
            }
        }
        match (component, manifest) {
            (Some(component), Some(manifest)) => Ok(Self { component, signature, manifest: Some(manifest) }),
            (None, _) => Err(format!("{plugin}.wasm is not in it; {}", remedy(plugin))),
            (_, None) => Err(format!("{plugin}.toml is not in it; {}", remedy(plugin))),
        }
    }
}

fn shown(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

fn remedy(plugin: &str) -> String {
    format!("pack it with `tar --format=ustar -cf {plugin}.edgeplug {plugin}.wasm {plugin}.toml`")
}

#[cfg(test)]
mod tests;
