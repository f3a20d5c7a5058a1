use super::*;
use crate::error::Retry;

fn fault(step: Step, code: u32) -> Fault {
    Fault::tss(step, TssError::Tss2Error(Tss2ResponseCode::from(code)))
}

fn said(step: Step, code: u32) -> (IdentityError, String) {
    let tcti = Tcti::Device("/dev/tpmrm0".into());
    let error = fault(step, code).into_error(&tcti);
    let text = error.to_string();
    (error, text)
}

const PLAIN: Step = Step::new("do it");
const OWNED: Step = Step::new("do it").with_password_of("owner hierarchy");
const BLOB: Step = Step::new("import the key").judging_the_blob();

#[test]
fn the_librarys_error_still_carries_its_number() {
    // Reading the number out of a printed text is fragile: this is the test that notices.
    for code in [0x9a2, 0x18b, 0x1df, 0x3df, 0x902, 0x922, 0x101, 0xA000A, 0xA0015, 0x70018] {
        assert_eq!(raw_code(&Tss2ResponseCode::from(code)), Some(code), "{code:#x}");
    }
}

#[test]
fn codes_become_what_an_operator_can_act_upon() {
    type Kind = fn(&IdentityError) -> bool;
    let table: &[(Step, u32, &str, Kind)] = &[
        (PLAIN, 0xA000A, "journalctl", |e| matches!(e, IdentityError::Missing { .. })),
        (PLAIN, 0xA0015, "libtss2-tcti-device0", |e| matches!(e, IdentityError::Missing { .. })),
        (OWNED, 0x9a2, "password of the owner hierarchy", |e| matches!(e, IdentityError::AuthRefused { .. })),
        (OWNED, 0x98e, "password of the owner hierarchy", |e| matches!(e, IdentityError::AuthRefused { .. })),
        // A password refused while a blob is being imported is not the blob's fault.
        (BLOB, 0x9a2, "password", |e| matches!(e, IdentityError::AuthRefused { .. })),
        (PLAIN, 0x18b, "not there any more", |e| matches!(e, IdentityError::Tpm { .. })),
        (PLAIN, 0x902, "tpm2_flushcontext", |e| matches!(e, IdentityError::Busy { .. })),
        (PLAIN, 0x903, "tpm2_flushcontext", |e| matches!(e, IdentityError::Busy { .. })),
        (BLOB, 0x902, "tpm2_flushcontext", |e| matches!(e, IdentityError::Busy { .. })),
        (PLAIN, 0x922, "busy", |e| matches!(e, IdentityError::Busy { .. })),
        (PLAIN, 0xB0922, "busy", |e| matches!(e, IdentityError::Busy { .. })),
        (PLAIN, 0x921, "lockout", |e| matches!(e, IdentityError::Busy { .. })),
        (BLOB, 0x1df, "another TPM state", |e| matches!(e, IdentityError::BlobRefused { .. })),
        (BLOB, 0x3df, "damaged", |e| matches!(e, IdentityError::BlobRefused { .. })),
        (BLOB, 0x3c7, "longer than", |e| matches!(e, IdentityError::BlobRefused { .. })),
        (BLOB, 0x2c4, "enrolment does not match", |e| matches!(e, IdentityError::BlobRefused { .. })),
        (PLAIN, 0x1df, "unexpected", |e| matches!(e, IdentityError::Tpm { .. })),
        (PLAIN, 0x101, "power-cycle", |e| matches!(e, IdentityError::Tpm { .. })),
        (PLAIN, 0x70018, "0x70018", |e| matches!(e, IdentityError::Tpm { .. })),
    ];
    for (step, code, words, kind) in table {
        let (error, text) = said(*step, *code);
        assert!(kind(&error), "{code:#x}: {error:?}");
        assert!(text.contains(words), "{code:#x}: {text}");
    }
}

#[test]
fn a_refused_blob_or_password_is_not_worth_a_repetition_but_a_busy_tpm_is() {
    assert_eq!(said(BLOB, 0x1df).0.retry(), Retry::Never);
    assert_eq!(said(OWNED, 0x9a2).0.retry(), Retry::Never);
    assert_eq!(said(PLAIN, 0x922).0.retry(), Retry::Later);
    assert_eq!(said(PLAIN, 0xA000A).0.retry(), Retry::Later);
}

#[test]
fn only_a_fault_that_leaves_the_tpm_in_doubt_costs_the_connection() {
    assert!(!fault(BLOB, 0x1df).spoils_the_connection());
    assert!(!fault(OWNED, 0x9a2).spoils_the_connection());
    assert!(fault(PLAIN, 0xA000A).spoils_the_connection());
    assert!(fault(PLAIN, 0x902).spoils_the_connection());
    assert!(fault(PLAIN, 0x70007).spoils_the_connection());
}
