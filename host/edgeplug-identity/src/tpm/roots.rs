//! The endorsement key, which is who the device is, and the storage root key, which wraps what it is given.
//!
//! Keys found at the configured handles are used as they are, after a check: a key made by another client is the one
//! that is enrolled. Both become persistent under the owner's password.

use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::Public;

use crate::config::{EkTemplate, TpmConfig};
use crate::error::IdentityError;
use crate::keys::Origin;
use crate::tpm::fault::{Fault, Step};
use crate::tpm::scope::{Hide, Object, Scope};
use crate::tpm::template;

const EK: &str = "endorsement key";
const SRK: &str = "storage root key";

const CREATE_EK: Step = Step::new("create the endorsement key").with_password_of("endorsement hierarchy");
const CREATE_SRK: Step = Step::new("create the storage root key").with_password_of("owner hierarchy");
const PERSIST: Step = Step::new("make a root key persistent").with_password_of("owner hierarchy");

/// Both, checked.
pub(super) struct Roots {
    pub(super) ek: Root,
    pub(super) srk: Root,
}

/// A root key and where it came from.
pub(super) struct Root {
    pub(super) object: Object,
    pub(super) origin: Origin,
}

/// Both keys; those that are missing are created.
pub(super) fn ensure(scope: &mut Scope<'_>, config: &TpmConfig) -> Result<Roots, Fault> {
    let ek = match find_ek(scope, config)? {
        Some(ek) => ek,
        None => create(scope, config, None)?,
    };
    let srk = match find_srk(scope, config)? {
        Some(srk) => srk,
        None => create(scope, config, Some(ek.object.handle))?,
    };
    Ok(Roots { ek, srk })
}

/// Both keys, none created: a key from DPS can only fit keys that were there when DPS was asked.
pub(super) fn existing(scope: &mut Scope<'_>, config: &TpmConfig) -> Result<Roots, Fault> {
    match (find_ek(scope, config)?, find_srk(scope, config)?) {
        (Some(ek), Some(srk)) => Ok(Roots { ek, srk }),
        _ => Err(IdentityError::BlobRefused {
            doing: "find its root keys",
            hint: "they are gone, as after tpm2_clear; register again".to_owned(),
        }
        .into()),
    }
}

/// The storage root key alone, if it is there.
pub(super) fn find_srk(scope: &mut Scope<'_>, config: &TpmConfig) -> Result<Option<Root>, Fault> {
    find(scope, config.srk_handle, SRK, template::check_storage_root_key)
}

fn find_ek(scope: &mut Scope<'_>, config: &TpmConfig) -> Result<Option<Root>, Fault> {
    find(scope, config.ek_handle, EK, template::check_endorsement_key)
}

/// The template that makes this very key, by making both.
pub(super) fn template_of(scope: &mut Scope<'_>, ek: &Root) -> Result<Option<EkTemplate>, Fault> {
    for candidate in [EkTemplate::Tcg, EkTemplate::AzureC] {
        let session = scope.session(Some(ek.object.handle), Hide::Parameters)?;
        let wanted = template::endorsement_key(candidate)?;
        let (handle, made) = scope.create_primary(CREATE_EK, Hierarchy::Endorsement, wanted, session)?;
        scope.unload(handle.into())?;
        scope.end(session)?;
        if made == ek.object.public {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

fn find(
    scope: &mut Scope<'_>,
    handle: u32,
    role: &'static str,
    check: fn(&Public) -> Result<(), String>,
) -> Result<Option<Root>, Fault> {
    let Some(object) = scope.persistent(handle, role)? else { return Ok(None) };
    check(&object.public).map_err(|problem| IdentityError::BadHandle { handle, role, problem })?;
    Ok(Some(Root { object, origin: Origin::Found }))
}

/// The endorsement key, or with it as `salt` the storage root key.
fn create(scope: &mut Scope<'_>, config: &TpmConfig, salt: Option<KeyHandle>) -> Result<Root, Fault> {
    let (step, hierarchy, public, role, handle) = match salt {
        None => {
            let public = template::endorsement_key(config.ek_template)?;
            (CREATE_EK, Hierarchy::Endorsement, public, EK, config.ek_handle)
        }
        Some(_) => {
            let public = template::storage_root_key(config.ek_template)?;
            (CREATE_SRK, Hierarchy::Owner, public, SRK, config.srk_handle)
        }
    };
    let hidden = scope.session(salt, Hide::Parameters)?;
    let (transient, _) = scope.create_primary(step, hierarchy, public, hidden)?;
    scope.end(hidden)?;

    let plain = scope.session(salt, Hide::Nothing)?;
    scope.persist(PERSIST, transient, handle, plain)?;
    scope.end(plain)?;
    scope.unload(transient.into())?;
    tracing::info!(key = role, handle = format_args!("{handle:#010x}"), template = ?config.ek_template, "created a root key");

    let object = scope.persistent(handle, role)?.ok_or_else(|| IdentityError::Tpm {
        doing: "make a root key persistent",
        hint: format!("nothing lies at {handle:#010x} afterwards"),
    })?;
    Ok(Root { object, origin: Origin::Created(config.ek_template) })
}
