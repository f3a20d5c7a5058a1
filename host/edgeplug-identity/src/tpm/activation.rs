//! From a key that DPS sent to a key that is loaded: TPM 2.0 Part 3, TPM2_ActivateCredential, TPM2_Import, TPM2_Load.
//!
//! The steps in order and nothing else. The session is salted to the storage root key and hides the credential's
//! secret on its way out of the TPM and back in.

use edgeplug_protocol::azure::challenge::ChallengeBlob;
use secrecy::zeroize::Zeroizing;
use tss_esapi::handles::{AuthHandle, KeyHandle};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Data, Digest, EncryptedSecret, IdObject, Nonce, Private, Public, SymmetricDefinitionObject,
};
use tss_esapi::traits::UnMarshall as _;

use crate::error::IdentityError;
use crate::tpm::fault::{Fault, Step};
use crate::tpm::roots::Roots;
use crate::tpm::scope::{Hide, Scope};
use crate::tpm::template;

const READ: Step = Step::new("read the key").judging_the_blob();
const PROVE: Step = Step::new("prove the endorsement password").with_password_of("endorsement hierarchy");
const ACTIVATE: Step = Step::new("activate the credential").with_password_of("storage root key").judging_the_blob();
const IMPORT: Step = Step::new("import the key").with_password_of("storage root key").judging_the_blob();
const LOAD: Step = Step::new("load the key").with_password_of("storage root key").judging_the_blob();

/// A key that is loaded for this call, and what it takes to load it again.
pub(super) struct Imported {
    pub(super) handle: KeyHandle,
    pub(super) public: Public,
    /// Encrypted by the storage root key.
    pub(super) private: Private,
}

/// Opens the credential, imports the key and loads it.
pub(super) fn import(scope: &mut Scope<'_>, roots: &Roots, blob: &ChallengeBlob) -> Result<Imported, Fault> {
    let parts = Parts::of(blob)?;
    let (ek, srk) = (roots.ek.object.handle, roots.srk.object.handle);

    let session = scope.session(Some(srk), Hide::Parameters)?;
    let under = (Some(session), None, None);

    let policy = scope.policy_session()?;
    scope.run(PROVE, under, |context| {
        let (nonce, command, reference) = (Nonce::default(), Digest::default(), Nonce::default());
        context.policy_secret(policy, AuthHandle::Endorsement, nonce, command, reference, None)
    })?;
    let policy = AuthSession::from(policy);
    let inner_key = scope.run(ACTIVATE, (Some(session), Some(policy), None), |context| {
        context.activate_credential(srk, ek, parts.credential, parts.credential_secret)
    })?;
    scope.end(policy)?;

    let (cipher, inner_key) = cipher_of(inner_key)?;
    let (public, duplicate, seed) = (parts.public.clone(), parts.duplicate, parts.import_seed);
    let private = scope
        .run(IMPORT, under, |context| context.import(srk.into(), Some(inner_key), public, duplicate, seed, cipher))?;

    let handle = load(scope, srk, session, parts.public.clone(), private.clone())?;
    scope.end(session)?;
    Ok(Imported { handle, public: parts.public, private })
}

/// Loads a key that this TPM wrapped, for this call.
pub(super) fn load(
    scope: &mut Scope<'_>,
    srk: KeyHandle,
    session: AuthSession,
    public: Public,
    private: Private,
) -> Result<KeyHandle, Fault> {
    let handle = scope.run(LOAD, (Some(session), None, None), |context| context.load(srk, private, public))?;
    scope.flush_later(handle.into());
    Ok(handle)
}

/// The blob's parts as the TPM takes them; lengths are checked, and the kind of key.
struct Parts {
    credential: IdObject,
    credential_secret: EncryptedSecret,
    duplicate: Private,
    import_seed: EncryptedSecret,
    public: Public,
}

impl Parts {
    fn of(blob: &ChallengeBlob) -> Result<Self, Fault> {
        let read = || {
            Ok(Self {
                credential: IdObject::try_from(blob.id_object.as_slice())?,
                credential_secret: EncryptedSecret::try_from(blob.encrypted_secret.as_slice())?,
                duplicate: Private::try_from(blob.duplicate.as_slice())?,
                import_seed: EncryptedSecret::try_from(blob.import_seed.as_slice())?,
                public: Public::unmarshall(&blob.public)?,
            })
        };
        // Whatever the library says here, it is the blob it talks about.
        let parts: Self = read().map_err(|error: tss_esapi::Error| IdentityError::BlobRefused {
            doing: "read the key",
            hint: format!("a part of it is malformed ({error})"),
        })?;
        template::check_signing_key(&parts.public)
            .map_err(|problem| IdentityError::BlobRefused { doing: "check the key", hint: problem })?;
        Ok(parts)
    }
}

/// The inner key's length says which AES it is for.
fn cipher_of(inner_key: Digest) -> Result<(SymmetricDefinitionObject, Data), Fault> {
    let inner_key = Zeroizing::new(inner_key.value().to_vec());
    let cipher = match inner_key.len() {
        16 => SymmetricDefinitionObject::AES_128_CFB,
        32 => SymmetricDefinitionObject::AES_256_CFB,
        length => {
            return Err(IdentityError::BlobRefused {
                doing: "activate the credential",
                hint: format!("its inner key has {length} bytes, where AES has 16 or 32"),
            }
            .into());
        }
    };
    let key = Data::try_from(inner_key.as_slice()).map_err(|error| Fault::tss(READ, error))?;
    Ok((cipher, key))
}
