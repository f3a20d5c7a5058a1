//! Opening a TPM, with a diagnosis where that fails.
//!
//! libtss2 opens the device so that every child process inherits it, and with it the right to sign as this device. It is
//! marked as soon as it is open; whoever starts a child in that very instant should still close what it does not know.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::str::FromStr as _;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use secrecy::{ExposeSecret as _, SecretString};
use tss_esapi::constants::PropertyTag;
use tss_esapi::handles::ObjectHandle;
use tss_esapi::structures::Auth;
use tss_esapi::{Context, TctiNameConf};

use crate::config::{Tcti, TpmConfig};
use crate::error::IdentityError;
use crate::tpm::fault::{Fault, Step};
use crate::tpm::scope::Scope;

/// Connects, and tells the library the hierarchies' passwords.
pub(super) fn open(config: &TpmConfig) -> Result<Context, IdentityError> {
    if let Tcti::Device(path) = &config.tcti {
        probe(path)?;
    }
    let step = Step::new("open");
    let fail = |error| Fault::tss(step, error).into_error(&config.tcti);
    let way = TctiNameConf::from_str(&config.tcti.to_string()).map_err(fail)?;
    let mut context = Context::new(way).map_err(fail)?;
    if let Tcti::Device(path) = &config.tcti {
        keep_from_children(path).map_err(|error| IdentityError::Tpm {
            doing: "be kept from child processes",
            hint: format!("the open device could not be marked ({error})"),
        })?;
    }
    for (hierarchy, password) in
        [(ObjectHandle::Owner, &config.owner_auth), (ObjectHandle::Endorsement, &config.endorsement_auth)]
    {
        if let Some(password) = password {
            context.tr_set_auth(hierarchy, auth(password).map_err(fail)?).map_err(fail)?;
        }
    }
    Ok(context)
}

/// Maker, product and firmware as the chip states them; what it does not state is left out.
pub(super) fn product(scope: &mut Scope<'_>) -> String {
    let mut property = |tag| scope.context().get_tpm_property(tag).ok().flatten();
    let letters = |value: Option<u32>| -> String {
        value.unwrap_or(0).to_be_bytes().into_iter().filter(u8::is_ascii_graphic).map(char::from).collect()
    };
    let maker = letters(property(PropertyTag::Manufacturer));
    let product: String = [
        PropertyTag::VendorString1,
        PropertyTag::VendorString2,
        PropertyTag::VendorString3,
        PropertyTag::VendorString4,
    ]
    .map(|tag| letters(property(tag)))
    .concat();
    let firmware = property(PropertyTag::FirmwareVersion1).map(|high| {
        let low = property(PropertyTag::FirmwareVersion2).unwrap_or(0);
        format!("firmware {}.{}.{}.{}", high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF)
    });
    let parts = [Some(maker), Some(product), firmware];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The library says only that it failed; the operating system says why.
fn probe(path: &Path) -> Result<(), IdentityError> {
    let error = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let device = path.display();
    Err(match error.kind() {
        io::ErrorKind::NotFound => IdentityError::Missing {
            what: format!("there is no TPM at {device}"),
            remedy: "enable it in the machine's firmware, load its kernel module, or configure another device"
                .to_owned(),
        },
        io::ErrorKind::PermissionDenied => IdentityError::Permission {
            what: format!("this process may not open {device}"),
            remedy: "let it run in the group tss (systemd: SupplementaryGroups=tss)".to_owned(),
        },
        io::ErrorKind::ResourceBusy => IdentityError::Busy {
            what: format!("another program holds {device}; use /dev/tpmrm0, which is shared, or stop that program"),
        },
        _ => IdentityError::Missing {
            what: format!("the TPM at {device} cannot be opened ({error})"),
            remedy: "see the kernel's log (journalctl -k -g tpm)".to_owned(),
        },
    })
}

/// Sets close-on-exec on every open descriptor of `device`.
fn keep_from_children(device: &Path) -> io::Result<()> {
    let device = device.canonicalize()?;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let Some(descriptor) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        // One that was closed since it was listed is none of ours: ours stays open as long as the context.
        if std::fs::read_link(entry.path()).is_ok_and(|target| target == device) {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
    }
    Ok(())
}

fn auth(password: &SecretString) -> tss_esapi::Result<Auth> {
    Auth::try_from(password.expose_secret().as_bytes())
}

#[cfg(test)]
mod tests;
