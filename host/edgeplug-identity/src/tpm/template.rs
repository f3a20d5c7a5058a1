//! The public areas of the three keys: what is created, and what is accepted.
//!
//! Templates: TCG EK Credential Profile 2.3, B.3.3 (L-1), and TCG TPM v2.0 Provisioning Guidance, 7.5.1 (SRK). Azure's
//! clients leave `unique` empty in both, which makes other keys of the same seed.

use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    Digest, KeyedHashScheme, Public, PublicBuilder, PublicKeyRsa, PublicKeyedHashParameters,
    PublicRsaParametersBuilder, RsaExponent, SymmetricDefinitionObject,
};
use tss_esapi::traits::Marshall as _;

use crate::config::EkTemplate;
use crate::tpm::fault::{Fault, Step};

/// PolicySecret(TPM_RH_ENDORSEMENT).
const EK_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7,
    0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// What to create as endorsement key.
pub(super) fn endorsement_key(template: EkTemplate) -> Result<Public, Fault> {
    let attributes = storage_attributes().with_admin_with_policy(true);
    root_key(attributes, Some(&EK_POLICY), template)
}

/// What to create as storage root key.
pub(super) fn storage_root_key(template: EkTemplate) -> Result<Public, Fault> {
    let attributes = storage_attributes().with_user_with_auth(true).with_no_da(true);
    root_key(attributes, None, template)
}

/// Why this cannot be an endorsement key.
pub(super) fn check_endorsement_key(public: &Public) -> Result<(), String> {
    check_root_key(public)?;
    if !public.object_attributes().fixed_parent() {
        return Err("it could be moved to another TPM (fixedParent is clear)".to_owned());
    }
    if public.auth_policy().value() != EK_POLICY {
        return Err("its policy is not that of an endorsement key".to_owned());
    }
    Ok(())
}

/// Why this cannot be a storage root key.
pub(super) fn check_storage_root_key(public: &Public) -> Result<(), String> {
    check_root_key(public)
}

/// Why this cannot sign tokens.
pub(super) fn check_signing_key(public: &Public) -> Result<(), String> {
    let Public::KeyedHash { object_attributes, parameters, .. } = public else {
        return Err("it is not an HMAC key".to_owned());
    };
    if *parameters != PublicKeyedHashParameters::new(KeyedHashScheme::HMAC_SHA_256) {
        return Err("its scheme is not HMAC with SHA-256".to_owned());
    }
    if !object_attributes.sign_encrypt() || object_attributes.decrypt() {
        return Err("it is not for signing alone".to_owned());
    }
    if object_attributes.restricted() {
        return Err("it signs only what the TPM itself made (restricted is set)".to_owned());
    }
    if !object_attributes.user_with_auth() {
        return Err("it cannot be used by password (userWithAuth is clear)".to_owned());
    }
    Ok(())
}

/// `TPM2B_PUBLIC`: the public area behind its size.
pub(super) fn tpm2b_of(public: &Public) -> Result<Vec<u8>, Fault> {
    let step = Step::new("encode a public area");
    let area = public.marshall().map_err(|error| Fault::tss(step, error))?;
    let size = u16::try_from(area.len())
        .map_err(|_| Fault::tss(step, tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::WrongParamSize)))?;
    Ok([&size.to_be_bytes(), area.as_slice()].concat())
}

fn check_root_key(public: &Public) -> Result<(), String> {
    let Public::Rsa { parameters, .. } = public else {
        return Err("it is not an RSA key, which DPS demands".to_owned());
    };
    if parameters.key_bits() != RsaKeyBits::Rsa2048 {
        return Err("it is not an RSA key of 2048 bits".to_owned());
    }
    if public.name_hashing_algorithm() != HashingAlgorithm::Sha256 {
        return Err("it is not named by SHA-256".to_owned());
    }
    let attributes = public.object_attributes();
    if !attributes.fixed_tpm() {
        return Err("it could be moved to another TPM (fixedTPM is clear)".to_owned());
    }
    if !attributes.restricted() || !attributes.decrypt() || attributes.sign_encrypt() {
        return Err("it is not a restricted decryption key".to_owned());
    }
    if parameters.symmetric_definition_object() != SymmetricDefinitionObject::AES_128_CFB {
        return Err("it does not protect its children by AES-128 in CFB mode, which DPS assumes".to_owned());
    }
    Ok(())
}

fn storage_attributes() -> ObjectAttributesBuilder {
    ObjectAttributes::builder()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_restricted(true)
        .with_decrypt(true)
}

fn root_key(attributes: ObjectAttributesBuilder, policy: Option<&[u8]>, template: EkTemplate) -> Result<Public, Fault> {
    let build = || {
        let parameters = PublicRsaParametersBuilder::new_restricted_decryption_key(
            SymmetricDefinitionObject::AES_128_CFB,
            RsaKeyBits::Rsa2048,
            RsaExponent::ZERO_EXPONENT,
        );
        PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::Rsa)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes.build()?)
            .with_auth_policy(policy.map(Digest::try_from).transpose()?.unwrap_or_default())
            .with_rsa_parameters(parameters.build()?)
            .with_rsa_unique_identifier(match template {
                EkTemplate::Tcg => PublicKeyRsa::new_empty_with_size(RsaKeyBits::Rsa2048),
                EkTemplate::AzureC => PublicKeyRsa::default(),
            })
            .build()
    };
    build().map_err(|error| Fault::tss(Step::new("describe a key"), error))
}
