//! A build without the `tpm` feature: it starts, and says what it cannot do.
#![cfg(not(feature = "tpm"))]

use edgeplug_identity::{Identity, IdentityConfig, IdentityError, KeySlot, TpmConfig};

#[tokio::test]
async fn a_configured_tpm_is_refused_and_never_replaced_by_software() {
    let config = TpmConfig::new("device:/dev/tpmrm0".parse().unwrap(), "/nonexistent/hub-key.json");
    let identity = Identity::open(IdentityConfig::Tpm(config));
    for error in [
        identity.registration().await.unwrap_err(),
        identity.has_hub_key().await.unwrap_err(),
        identity.sign(KeySlot::Hub, b"text").await.unwrap_err(),
        identity.ek_template().await.unwrap_err(),
    ] {
        assert!(matches!(error, IdentityError::Unsupported(_)), "{error:?}");
        assert!(error.to_string().contains("no TPM support"), "{error}");
    }
}
