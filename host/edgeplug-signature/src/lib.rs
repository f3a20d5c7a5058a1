//! Whose files count: minisign signatures beside them, `name.minisig`, and what their makers say in them.
//!
//! minisign (<https://jedisct1.github.io/minisign/>) signs the file and, with a second signature, the first one
//! together with a *trusted comment*. Of that comment the words `version:1.2.3`, `file:name.wasm` and `plugin:name`
//! count here.
//!
//! What must stay true: nothing a signature says is believed before both of its signatures are checked; a signature
//! that names another file is none, because a file's name is what its rights hang on; in mode `require` a release is
//! never followed by an older one, nor by one that does not say which it is.
//!
//! Deliberately absent: signing, which nobody should do on the device; expiry, for which a device without a clock has
//! no answer. Files that do not fit into memory are checked piece by piece ([`SignatureCheck`]), which needs signatures
//! that are made over a hash: those of `minisign -l` are taken for what is in memory only.

pub use key::{KeyError, SigningKey};
pub use policy::{Provenance, SignatureMode, SignaturePolicy};
pub use read::{SIGNATURE_BYTES_MAX, read_signature};
pub use signed::{FileSignature, NotSigned, SignatureCheck, Signed};
pub use version::{NotAVersion, ReleaseVersion};

mod claims;
mod key;
mod policy;
mod read;
mod signed;
mod version;

#[cfg(test)]
mod tests;
