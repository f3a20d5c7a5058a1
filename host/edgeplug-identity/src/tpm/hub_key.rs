//! The key that signs for IoT Hub, in its two places: a persistent handle, and a file that only this TPM can open.
//!
//! The handle is looked at first; a gateway that ran another client has its key there. The file covers a kill between
//! removing the old key and storing the new one, and TPMs without room for another persistent object.

use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::{Private, Public};
use tss_esapi::traits::{Marshall as _, UnMarshall as _};

use crate::config::TpmConfig;
use crate::error::IdentityError;
use crate::tpm::activation::{self, Imported};
use crate::tpm::fault::{Fault, Step};
use crate::tpm::roots::{self, Root};
use crate::tpm::scope::{Hide, Object, Scope};
use crate::tpm::template;
use crate::tpm::wrapped_key::WrappedKey;

const ROLE: &str = "hub key";

const EVICT: Step = Step::new("remove the earlier hub key").with_password_of("owner hierarchy");
const PERSIST: Step = Step::new("make the hub key persistent").with_password_of("owner hierarchy");
const ENCODE: Step = Step::new("encode the hub key");

/// A hub key that can sign in this call.
pub(super) enum HubKey {
    Persistent(KeyHandle),
    FromFile(KeyHandle),
}

impl HubKey {
    pub(super) fn handle(&self) -> KeyHandle {
        match self {
            Self::Persistent(handle) | Self::FromFile(handle) => *handle,
        }
    }
}

/// The key at the handle, else the one in the file. `srk` saves looking for it again.
pub(super) fn find(scope: &mut Scope<'_>, config: &TpmConfig, srk: Option<&Root>) -> Result<Option<HubKey>, Fault> {
    if let Some(object) = persistent(scope, config)? {
        return Ok(Some(HubKey::Persistent(object.handle)));
    }
    let Some(wrapped) = WrappedKey::read(&config.wrapped_key_file)? else { return Ok(None) };
    let found;
    let srk = match srk {
        Some(srk) => srk,
        None => {
            found = roots::find_srk(scope, config)?;
            let Some(srk) = &found else { return Ok(None) };
            srk
        }
    };
    load_from_file(scope, &srk.object, &wrapped)
}

/// The key at the handle, checked; nothing else may lie there.
pub(super) fn persistent(scope: &mut Scope<'_>, config: &TpmConfig) -> Result<Option<Object>, Fault> {
    let handle = config.identity_handle;
    let Some(object) = scope.persistent(handle, ROLE)? else { return Ok(None) };
    template::check_signing_key(&object.public).map_err(|problem| IdentityError::BadHandle {
        handle,
        role: ROLE,
        problem,
    })?;
    Ok(Some(object))
}

/// Puts a loaded key in the place of the earlier one: first on disk, then at the handle.
pub(super) fn replace(
    scope: &mut Scope<'_>,
    config: &TpmConfig,
    srk: &Root,
    earlier: Option<Object>,
    imported: &Imported,
) -> Result<(), Fault> {
    let wrapped = WrappedKey {
        storage_root_key: srk.object.name.value().to_vec(),
        public: imported.public.marshall().map_err(|error| Fault::tss(ENCODE, error))?,
        private: imported.private.value().to_vec(),
    };
    wrapped.write(&config.wrapped_key_file)?;

    if earlier.as_ref().is_some_and(|earlier| earlier.public == imported.public) {
        // The same key again: its public area holds a hash of it. Spares the TPM's memory two writes.
        return Ok(());
    }
    let session = scope.session(Some(srk.object.handle), Hide::Nothing)?;
    if let Some(earlier) = earlier {
        scope.evict(EVICT, &earlier, config.identity_handle, session)?;
    }
    match scope.persist(PERSIST, imported.handle, config.identity_handle, session) {
        Err(fault) if fault.is_out_of_persistent_space() => {
            tracing::warn!(
                file = %config.wrapped_key_file.display(),
                "the TPM has no room for a persistent hub key; using the wrapped copy on disk"
            );
            Ok(())
        }
        other => other,
    }
}

/// A file that does not fit is as good as none: DPS can send the key again.
fn load_from_file(scope: &mut Scope<'_>, srk: &Object, wrapped: &WrappedKey) -> Result<Option<HubKey>, Fault> {
    if wrapped.storage_root_key != srk.name.value() {
        tracing::debug!("the wrapped hub key belongs to another storage root key; the TPM was cleared since");
        return Ok(None);
    }
    let parts = Public::unmarshall(&wrapped.public)
        .and_then(|public| Ok((public, Private::try_from(wrapped.private.as_slice())?)))
        .ok()
        .filter(|(public, _)| template::check_signing_key(public).is_ok());
    let Some((public, private)) = parts else {
        tracing::warn!("the wrapped hub key is damaged");
        return Ok(None);
    };
    let session = scope.session(Some(srk.handle), Hide::Parameters)?;
    let loaded = activation::load(scope, srk.handle, session, public, private);
    scope.end(session)?;
    match loaded {
        Ok(handle) => Ok(Some(HubKey::FromFile(handle))),
        Err(fault) if fault.is_foreign_key() => {
            tracing::warn!("the TPM refuses the wrapped hub key; it is damaged");
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}
