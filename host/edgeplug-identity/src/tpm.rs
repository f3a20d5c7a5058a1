//! A device's keys in a TPM 2.0.
//!
//! Must stay true: every session and transient object of a call is flushed when the call ends, whichever way it ends
//! ([`scope`]); the challenge key alone is kept, and dropped with the connection at the latest. Nothing persistent is
//! removed but the hub key, and that only when its successor is loaded and on disk. Every call looks at the handles
//! anew, so a TPM that was cleared or used by someone else in between is seen as it is.

mod activation;
mod device;
mod fault;
mod hub_key;
mod roots;
mod scope;
mod template;
mod wrapped_key;

use edgeplug_protocol::azure::challenge::ChallengeBlob;
use tss_esapi::Context;
use tss_esapi::handles::KeyHandle;

use crate::config::{EkTemplate, TpmConfig};
use crate::error::IdentityError;
use crate::keys::{IdentityKind, KeySlot, Keys, Registration, Signature, TpmDetails};
use fault::Fault;
use scope::Scope;

pub(crate) struct TpmKeys {
    config: TpmConfig,
    /// Kept between calls; dropped after a fault that leaves its state in doubt.
    connection: Option<Connection>,
}

/// An open way to the TPM.
struct Connection {
    context: Context,
    /// The transient key of the registration in progress. The context flushes it when it is dropped.
    challenge: Option<KeyHandle>,
}

impl TpmKeys {
    pub(crate) fn new(config: TpmConfig) -> Self {
        Self { config, connection: None }
    }

    /// Opens the TPM if it is not open, runs one call's commands and cleans up after them.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Scope<'_>, &TpmConfig, &mut Option<KeyHandle>) -> Result<T, Fault>,
    ) -> Result<T, IdentityError> {
        let config = &self.config;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection { context: device::open(config)?, challenge: None }),
        };
        let mut scope = Scope::new(&mut connection.context);
        let result = work(&mut scope, config, &mut connection.challenge);
        scope.finish(result).map_err(|fault| {
            if fault.spoils_the_connection() {
                self.connection = None;
            }
            fault.into_error(&self.config.tcti)
        })
    }
}

impl Keys for TpmKeys {
    fn registration(&mut self) -> Result<Registration, IdentityError> {
        self.with(|scope, config, _| {
            let roots = roots::ensure(scope, config)?;
            let hub_key = hub_key::find(scope, config, Some(&roots.srk))?;
            Ok(Registration {
                kind: IdentityKind::Tpm,
                endorsement_key: Some(template::tpm2b_of(&roots.ek.object.public)?),
                storage_root_key: Some(template::tpm2b_of(&roots.srk.object.public)?),
                hub_key: hub_key.is_some(),
                tpm: Some(TpmDetails {
                    tcti: config.tcti.to_string(),
                    product: device::product(scope),
                    ek_handle: config.ek_handle,
                    ek_origin: roots.ek.origin,
                    srk_handle: config.srk_handle,
                    srk_origin: roots.srk.origin,
                    identity_handle: config.identity_handle,
                    hub_key_persistent: matches!(hub_key, Some(hub_key::HubKey::Persistent(_))),
                }),
            })
        })
    }

    fn activate(&mut self, slot: KeySlot, blob: &ChallengeBlob) -> Result<(), IdentityError> {
        self.with(|scope, config, challenge| {
            let roots = roots::existing(scope, config)?;
            match slot {
                KeySlot::Challenge => {
                    let imported = activation::import(scope, &roots, blob)?;
                    scope.keep(imported.handle.into());
                    if let Some(earlier) = challenge.replace(imported.handle) {
                        scope.flush_later(earlier.into());
                    }
                    Ok(())
                }
                KeySlot::Hub => {
                    let earlier = hub_key::persistent(scope, config)?;
                    let imported = activation::import(scope, &roots, blob)?;
                    hub_key::replace(scope, config, &roots.srk, earlier, &imported)
                }
            }
        })
    }

    fn sign(&mut self, slot: KeySlot, bytes: &[u8]) -> Result<Signature, IdentityError> {
        self.with(|scope, config, challenge| match slot {
            KeySlot::Challenge => {
                let key = challenge.ok_or(IdentityError::NoKey(slot))?;
                let signed = scope.hmac(key, bytes);
                if signed.as_ref().is_err_and(Fault::is_unknown_handle) {
                    // The TPM lost it in a reset.
                    return Err(IdentityError::NoKey(slot).into());
                }
                signed
            }
            KeySlot::Hub => {
                let key = hub_key::find(scope, config, None)?.ok_or(IdentityError::NoKey(slot))?;
                scope.hmac(key.handle(), bytes)
            }
        })
        .inspect_err(|error| {
            if matches!(error, IdentityError::NoKey(KeySlot::Challenge)) {
                self.connection = None;
            }
        })
    }

    fn discard_challenge(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let Some(key) = connection.challenge.take() else { return };
        if let Err(error) = connection.context.flush_context(key.into()) {
            tracing::debug!(%error, "challenge key not flushed; reopening the TPM at the next call");
            self.connection = None;
        }
    }

    fn has_hub_key(&mut self) -> Result<bool, IdentityError> {
        self.with(|scope, config, _| Ok(hub_key::find(scope, config, None)?.is_some()))
    }

    fn ek_template(&mut self) -> Result<Option<EkTemplate>, IdentityError> {
        self.with(|scope, config, _| {
            let roots = roots::existing(scope, config)?;
            roots::template_of(scope, &roots.ek)
        })
    }
}
