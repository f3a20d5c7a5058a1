//! One artefact on disk, `<sha256 of the component>-<engine fingerprint>.cwasm`, and beside it a `.sha256` with the
//! hash of its name and content, which vouches for it.
//!
//! Artefacts are written aside and renamed, so a reader never sees half of one. Deliberately absent: fsync. A torn
//! artefact fails its hash.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use edgeplug_engine::EngineKind;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::cache::hex;
use crate::compiler::{CompileFailure, Compiler};

/// A hash is 64 digits; whoever wrote more wrote no hash.
const HASH_BYTES_MAX: u64 = 128;
const ROOT: u32 = 0;

/// Whom the files of a directory may belong to, and who else may do what with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Us, and closed to everybody else: the daemon's cache.
    UsAlone,
    /// Root or us, and written by nobody else: what came with a system image.
    Image,
}

impl Owner {
    pub(crate) fn accepts(self, metadata: &Metadata) -> bool {
        let (ours, mode) = (metadata.uid() == rustix::process::geteuid().as_raw(), metadata.mode());
        match self {
            Self::UsAlone => ours && mode & 0o077 == 0,
            Self::Image => (ours || metadata.uid() == ROOT) && mode & 0o022 == 0,
        }
    }

    /// What is wrong with a file that is not accepted.
    fn complaint(self) -> &'static str {
        match self {
            Self::UsAlone => "it does not belong to us alone",
            Self::Image => "it does not belong to root or the daemon's user, or others may write to it",
        }
    }

    fn mode(self) -> u32 {
        match self {
            Self::UsAlone => 0o600,
            Self::Image => 0o644,
        }
    }
}

/// Where the artefact of the component with this hash lies.
pub(crate) fn path(directory: &Path, sha256: &str, engine: EngineKind) -> PathBuf {
    directory.join(format!("{sha256}-{}.cwasm", edgeplug_engine::fingerprint(engine)))
}

/// Where the hash lies that vouches for an artefact.
pub(crate) fn voucher(artefact: &Path) -> PathBuf {
    artefact.with_extension("cwasm.sha256")
}

/// Whether an artefact belongs to whom it should and is what was compiled; the directory is the caller's to check.
pub(crate) fn check(artefact: &Path, owner: Owner) -> Result<(), String> {
    // Not through a link: what it leads to belongs to somebody, but so does the way there.
    let metadata = fs::symlink_metadata(artefact).map_err(|error| error.to_string())?;
    if !metadata.is_file() || !owner.accepts(&metadata) {
        return Err(owner.complaint().to_owned());
    }
    let mut vouched_for = String::new();
    File::open(voucher(artefact))
        .and_then(|file| file.take(HASH_BYTES_MAX).read_to_string(&mut vouched_for))
        .map_err(|error| format!("its hash is missing: {error}"))?;
    let mut hash = seed(artefact);
    let mut file = File::open(artefact).map_err(|error| error.to_string())?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer).map_err(|error| error.to_string())?;
        match buffer.get(..count) {
            Some(piece) if !piece.is_empty() => hash.update(piece),
            _ => break,
        }
    }
    if hex(&hash.finalize()) == vouched_for.trim_end() {
        Ok(())
    } else {
        Err("its content is not what was compiled".to_owned())
    }
}

/// Compiles a component into the place of its artefact; the answer is how many bytes it has.
pub(crate) async fn write(
    artefact: &Path,
    owner: Owner,
    compiler: &Compiler,
    component: &[u8],
) -> Result<u64, CompileFailure> {
    let directory = artefact.parent().unwrap_or(Path::new("."));
    let machine =
        |error: io::Error| CompileFailure::Machine(format!("cannot write to {}: {error}", directory.display()));
    let aside = || -> io::Result<NamedTempFile> {
        let permissions = Permissions::from_mode(owner.mode());
        tempfile::Builder::new().prefix(".").permissions(permissions).tempfile_in(directory)
    };
    let part = aside().map_err(machine)?;
    let mut output = tokio::fs::File::from_std(part.reopen().map_err(machine)?);
    let hash = compiler.compile(component, seed(artefact), &mut output).await?;
    let bytes = output.metadata().await.map_err(machine)?.len();
    drop(output);
    // First the content, then the hash that vouches for it.
    part.persist(artefact).map_err(|error| machine(error.error))?;
    let mut vouch = aside().map_err(machine)?;
    vouch.write_all(hex(&hash.finalize()).as_bytes()).map_err(machine)?;
    vouch.persist(voucher(artefact)).map_err(|error| machine(error.error))?;
    Ok(bytes)
}

/// The name goes into the hash, so that no artefact passes for another one.
fn seed(artefact: &Path) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(artefact.file_name().unwrap_or_default().as_encoded_bytes());
    hash.update([0]);
    hash
}
