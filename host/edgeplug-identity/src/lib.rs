//! Device keys behind one interface: a TPM 2.0, or a symmetric key in a file.
//!
//! What is configured is what signs: there is no fall-back from one kind to the other, and a key never leaves the TPM.
//! One owner thread per [`Identity`] talks to the device, because the TPM library blocks; callers wait no longer than
//! the configured time-out, and a device that hangs costs them an answer, never a stall.
//!
//! Deliberately absent: changing hierarchy passwords, clearing a TPM, the lockout and platform hierarchies, X.509, the
//! choice of a registration id (a label; see `edgeplug_protocol::azure::registration`) and every network protocol.
//!
//! The signing path uses a password session with the key's empty password: what crosses the bus is the signature, which
//! lives as long as its token. Activation and import, where a secret crosses, run in sessions salted to the storage
//! root key with both directions encrypted. Nothing here compares the root keys with an earlier enrolment, so a device
//! between host and chip that was there from the first day is not found out.

mod config;
mod error;
mod identity;
mod keys;
mod symmetric_key;
#[cfg(feature = "tpm")]
mod tpm;

pub use config::{EkTemplate, IdentityConfig, InvalidTcti, SymmetricKeyConfig, TSS2_LOG_ENV, Tcti, TpmConfig};
pub use error::{IdentityError, Retry};
pub use identity::Identity;
pub use keys::{IdentityKind, KeySlot, Origin, Registration, SIGNED_BYTES_MAX, Signature, TpmDetails};
