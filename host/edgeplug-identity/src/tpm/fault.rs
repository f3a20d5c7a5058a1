//! What the TPM library answers when it does not do what was asked, put into words an operator can act upon.
//!
//! Codes: TCG TSS 2.0 Overview and Common Structures (layers, base codes) and TPM 2.0 Part 2, section 6.6 (response
//! codes). Format-one codes carry what they are about: bit 6 a parameter, else bit 11 a session, else a handle.

use tss_esapi::Error as TssError;
use tss_esapi::constants::Tss2ResponseCode;

use crate::config::Tcti;
use crate::error::IdentityError;

/// `TPM_RC_FAILURE`.
const TPM_FAILURE: u32 = 0x101;

/// What was being done, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    doing: &'static str,
    /// Whose password the step proves.
    whose: Option<&'static str>,
    /// Whether a refusal is the fault of the key from DPS rather than of this machine.
    judges_blob: bool,
}

impl Step {
    pub(super) const fn new(doing: &'static str) -> Self {
        Self { doing, whose: None, judges_blob: false }
    }

    pub(super) const fn with_password_of(self, whose: &'static str) -> Self {
        Self { whose: Some(whose), ..self }
    }

    pub(super) const fn judging_the_blob(self) -> Self {
        Self { judges_blob: true, ..self }
    }
}

/// Why a call ended.
#[derive(Debug)]
pub(super) enum Fault {
    /// An answer of the TPM or of the library below us.
    Tss { step: Step, error: TssError },
    /// Already in words.
    Identity(IdentityError),
}

impl From<IdentityError> for Fault {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

/// The layer of the software stack that an error comes from, with the code inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Tpm(u32),
    Tcti(u32),
    Library(u32),
}

impl Code {
    fn of(error: &TssError) -> Option<Self> {
        let TssError::Tss2Error(response) = error else { return None };
        let raw = raw_code(response)?;
        Some(match raw >> 16 {
            // 11 and 12: the kernel's and tabrmd's resource managers, passing on TPM codes.
            0 | 11 | 12 => Self::Tpm(raw & 0xFFFF),
            10 => Self::Tcti(raw & 0xFFFF),
            _ => Self::Library(raw),
        })
    }
}

/// The library keeps the number to itself but prints it in its error's source.
fn raw_code(response: &Tss2ResponseCode) -> Option<u32> {
    let source = std::error::Error::source(response)?.to_string();
    let (_, digits) = source.rsplit_once("0x")?;
    u32::from_str_radix(digits, 16).ok()
}

impl Fault {
    pub(super) fn tss(step: Step, error: TssError) -> Self {
        Self::Tss { step, error }
    }

    /// Whether the connection's state is in doubt; a refusal by a TPM in good order leaves it sound.
    pub(super) fn spoils_the_connection(&self) -> bool {
        match self {
            Self::Identity(_) => false,
            Self::Tss { step, error } => match Code::of(error) {
                Some(Code::Tpm(code)) => {
                    let refused = is_password_refusal(code) || (step.judges_blob && is_about_parameter(code));
                    !refused
                }
                Some(Code::Tcti(_) | Code::Library(_)) => true,
                None => !step.judges_blob,
            },
        }
    }

    /// The TPM knows no object by the handle it was given.
    pub(super) fn is_unknown_handle(&self) -> bool {
        match self {
            Self::Tss { error, .. } => matches!(Code::of(error), Some(Code::Tpm(0x910 | 0x18b | 0x184))),
            Self::Identity(_) => false,
        }
    }

    /// The TPM has no room for another persistent object.
    pub(super) fn is_out_of_persistent_space(&self) -> bool {
        matches!(self, Self::Tss { error, .. } if matches!(Code::of(error), Some(Code::Tpm(0x14b))))
    }

    /// The wrapped key belongs to another parent key.
    pub(super) fn is_foreign_key(&self) -> bool {
        match self {
            Self::Tss { error, .. } => matches!(Code::of(error), Some(Code::Tpm(code)) if is_about_parameter(code)),
            Self::Identity(_) => false,
        }
    }

    /// Either the TPM is broken, or it could not decrypt a seed of the blob.
    pub(super) fn may_be_padding(&self) -> bool {
        matches!(self, Self::Tss { step, error } if step.judges_blob && Code::of(error) == Some(Code::Tpm(TPM_FAILURE)))
    }

    /// The TPM is not broken.
    pub(super) fn into_wrong_padding(self) -> Self {
        match self {
            Self::Tss { step, .. } => {
                Self::Identity(IdentityError::BlobRefused { doing: step.doing, hint: wrong_key_hint(TPM_FAILURE) })
            }
            identity => identity,
        }
    }

    pub(super) fn into_error(self, tcti: &Tcti) -> IdentityError {
        match self {
            Self::Identity(error) => error,
            Self::Tss { step, error } => match Code::of(&error) {
                Some(Code::Tpm(code)) => tpm_error(step, code, tcti),
                Some(Code::Tcti(code)) => transport_error(code, tcti),
                Some(Code::Library(code)) => IdentityError::Tpm { doing: step.doing, hint: library_hint(code) },
                None if step.judges_blob => IdentityError::BlobRefused {
                    doing: step.doing,
                    hint: format!("a part of it is malformed ({error})"),
                },
                None => IdentityError::Tpm { doing: step.doing, hint: format!("{error}") },
            },
        }
    }
}

fn tpm_error(step: Step, code: u32, tcti: &Tcti) -> IdentityError {
    let doing = step.doing;
    if is_password_refusal(code) {
        return IdentityError::AuthRefused { doing, whose: step.whose.unwrap_or("key in use"), code };
    }
    let busy = |why: &str| IdentityError::Busy { what: format!("the TPM at {tcti} {why} (TPM code {code:#x})") };
    match code {
        0x902..=0x906 => busy(
            "has no room for another key or session; programs that use it directly left theirs behind: use \
             device:/dev/tpmrm0, or run tpm2_flushcontext -t -l -s",
        ),
        0x908 | 0x909 | 0x922 => busy("is busy with another command"),
        0x90a => busy("is testing itself"),
        0x920 => busy("is slowing down writes to spare its memory"),
        0x921 => busy("is in dictionary-attack lockout; wait, or run tpm2_dictionarylockout --clear-lockout"),
        0x923 => busy("cannot reach its memory now"),
        _ if step.judges_blob && is_about_parameter(code) => {
            IdentityError::BlobRefused { doing, hint: blob_hint(code) }
        }
        _ => IdentityError::Tpm { doing, hint: tpm_hint(code) },
    }
}

fn transport_error(code: u32, tcti: &Tcti) -> IdentityError {
    let (what, remedy) = match (code, tcti) {
        // Not supported: the loader found no library for the way.
        (0x15, _) => (
            format!("the library for the TPM way {tcti} is not installed"),
            match tcti {
                Tcti::Device(_) => "apt-get install libtss2-tcti-device0",
                Tcti::Swtpm { .. } => "apt-get install libtss2-tcti-swtpm0",
                Tcti::Mssim { .. } => "apt-get install libtss2-tcti-mssim0",
                Tcti::Tabrmd => "apt-get install libtss2-tcti-tabrmd0",
            },
        ),
        (_, Tcti::Device(path)) => (
            format!("the TPM at {} does not answer (TCTI code {code:#x})", path.display()),
            "see the kernel's log (journalctl -k -g tpm)",
        ),
        (_, Tcti::Swtpm { .. } | Tcti::Mssim { .. }) => {
            (format!("no TPM answers at {tcti} (TCTI code {code:#x})"), "start it, or correct host and port")
        }
        (_, Tcti::Tabrmd) => {
            (format!("the TPM access broker does not answer (TCTI code {code:#x})"), "start tpm2-abrmd.service")
        }
    };
    IdentityError::Missing { what, remedy: remedy.to_owned() }
}

fn library_hint(code: u32) -> String {
    format!("libtss2 reports code {code:#x}; see tpm2_rc_decode {code:#x}")
}

fn tpm_hint(code: u32) -> String {
    let meaning = match code {
        0x100 => "it was not started up; reboot the machine",
        TPM_FAILURE => "it is in failure mode; power-cycle the machine",
        0x14b => "it has no room for another persistent object; remove one that nobody needs (tpm2_evictcontrol)",
        0x14c => "another object lies at the handle already",
        0x143 => "it does not know the command",
        0x18b | 0x910 => "the object is not there any more",
        0x185 => "the hierarchy is disabled in the firmware's settings",
        _ => "an unexpected answer",
    };
    format!("{meaning} (TPM code {code:#x}; see tpm2_rc_decode {code:#x})")
}

fn wrong_key_hint(code: u32) -> String {
    format!(
        "it was made for another endorsement key or storage root key, so the enrolment does not match this TPM, or it \
         is damaged (TPM code {code:#x})"
    )
}

fn blob_hint(code: u32) -> String {
    if code >> 8 == 2 {
        return wrong_key_hint(code);
    }
    let meaning = match (code >> 8, code & 0x3F) {
        (1, 0x1F) => "it was made for another TPM state, or it is damaged: compare the storage root key sent to DPS",
        (3, 0x1F) => "its duplicated key is damaged",
        (_, 0x07) => "its key is longer than this TPM takes",
        _ => "it is damaged, or was made for another TPM",
    };
    format!("{meaning} (TPM code {code:#x})")
}

fn is_about_parameter(code: u32) -> bool {
    code & 0xC0 == 0xC0
}

/// BAD_AUTH or AUTH_FAIL about a session.
fn is_password_refusal(code: u32) -> bool {
    code & 0x8C0 == 0x880 && matches!(code & 0x3F, 0x22 | 0x0E)
}

#[cfg(test)]
mod tests;
