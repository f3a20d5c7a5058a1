use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

const ENDORSEMENT_KEY: &str = "AToAAQALAAMAsgAgg3GXZ0SEs/gakMyNRqXXJP1S124GUgtk8qHaGzMUaaoABgCAAEMAEAgAAAAAAAEApHGx2L8kr2A/nfEdhupulta1TE/WnR78T9mZzAgwiF0YQbCl/KccMBE+pePBvborPz7ur+7z0gk2rthZrrwhtmRQSf9NqA5tZ4X0/nWbBVP4hwQbs4VUlsGgg3dW3lc6qdPOOjtCudaNFmUdJ6Yf5rZitr/wm2Dw6pffNL+D8kFjtNrH0fZQK/A2m3vSr09rQtQOpisCsvR34YJKV4L7hPSmgHa6eSKLdYJZoulujq+9HmdLsEuEttEt+hHzncGlrDRZvtxY9O/G3xL8WGc+G6kTp56Jve2pT0Ugiro4EuI2c7KrfC+MZmDmBZlklSBO1XyokKlG58NnP6XPwB22jw==";

#[test]
fn default_ids_hash_the_key_with_its_size_prefix() {
    let key = STANDARD.decode(ENDORSEMENT_KEY).unwrap();
    assert_eq!(base32_of(&key), "bffcorhf3otkggfedjte4ga4nfsmncxfx5s5hlrc6trpfuzkfmnq");
    assert_eq!(hex_of(&key), "094a2744e5dba6a318a41a664e181c6964c68ae5bf65d3ae22f4e2f2d32a2b1b");
    assert!(hex_of(&key[2..]).starts_with("aba64eb7"));
}

#[test]
fn an_id_that_dps_would_refuse_is_refused_here() {
    assert_eq!(RegistrationId::iotconnect("CP", "GW").unwrap().as_str(), "CP-GW");
    for bad in ["", "a b", "ä", "a/b", "ends.", "ends_", "ends:", &"x".repeat(129)] {
        assert!(RegistrationId::new(bad).is_err(), "{bad:?}");
    }
    assert!(RegistrationId::new("x".repeat(128)).is_ok());
    assert!(RegistrationId::new("ends-").is_ok());
}
