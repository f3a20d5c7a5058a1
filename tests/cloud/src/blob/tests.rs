use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secrets() -> Secrets {
    Secrets {
        key: (0x00..=0x1f).collect(),
        seed_value: (0x20..=0x3f).collect(),
        inner_key: std::array::from_fn(|index| 0x40 + u8::try_from(index).unwrap()),
        duplicate_seed: (0x50..=0x6f).collect(),
        credential_seed: (0x70..=0x8f).collect(),
        uri: b"example.azure-devices.net".to_vec(),
    }
}

fn srk_name() -> Vec<u8> {
    [0x00, 0x0b].into_iter().chain(0xa0..=0xbf).collect()
}

/// Vectors computed by an independent implementation whose blobs a real TPM simulator accepted.
#[test]
fn the_deterministic_parts_match_the_vectors() {
    let sealed = Sealed::new(&secrets(), &srk_name()).unwrap();
    assert_eq!(
        hex(&sealed.public),
        "0008000b0004044000000005000b002084e4bd6ca2af96412fdc62fe44d4e9709cdc31933081a62486a48a154b582d53"
    );
    assert_eq!(hex(&name(&sealed.public)), "000ba9f82dc99a7c3db4d2a9417b313abf02f5c164c3aa7aebe485ccc8e9e788942a");
    assert_eq!(
        hex(&sealed.duplicate),
        "00208dff89ef1ac75754d89fb34bec48efd845978c98177d914dd73808e970edf7cf\
         a64fc8eb55dc3a6c9134bd75b9bc1dabe60263cef22b1583bffa60b8bf0c9391ec4416331192f289d3b81f723657e361\
         246adf6c3ff69b2e2663443116e490e9f54c31a8c5f74778bf1ccfdb3a43113bede969dc0172d7a462f85394f9f1baa4\
         10d0511143feec0b610de687"
    );
    assert_eq!(
        hex(&sealed.credential),
        "002084f729c1c5e3594a7f8243ef6998d1b054629a0e32669878c88e787cac518d771eaeb696cd125f81bfb08e2c60ac73b3ba07"
    );
    assert_eq!(hex(&sealed.uri_data), "7de13727edc4bbad5c5fb2655cc7c9ab1da7e46ea5c47dae36");
}

#[test]
fn the_derived_keys_match_the_vectors() {
    let secrets = secrets();
    let key_name: Vec<u8> = name(&Sealed::new(&secrets, &srk_name()).unwrap().public);
    let cases = [
        (kdfa(&secrets.duplicate_seed, "STORAGE", &key_name).unwrap(), "1ffa8856739daa2b2ddeeadb3e1d02b3"),
        (
            kdfa_256(&secrets.duplicate_seed, "INTEGRITY", &[]).unwrap(),
            "6cd6174fcebfe9bf57eda6b3bacf7f2d0e5af0356323f6ba9dd83b7208f0f1b4",
        ),
        (kdfa(&secrets.credential_seed, "STORAGE", &srk_name()).unwrap(), "fc6ec6fc22a8942557ee391445215eb6"),
        (
            kdfa_256(&secrets.credential_seed, "INTEGRITY", &[]).unwrap(),
            "0a3188d91ba462508efb6bac568a2066a8774d8e4695f29d6d0611c00086489f",
        ),
    ];
    for (derived, expected) in cases {
        assert_eq!(hex(&derived), expected);
    }
}

#[test]
fn hostile_public_areas_are_refused() {
    let mut good = vec![0x01, 0x1a, 0x00, 0x01, 0x00, 0x0b, 0x00, 0x03, 0x04, 0x72, 0x00, 0x00];
    good.extend([0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x08, 0x00, 0, 0, 0, 0, 0x01, 0x00]);
    good.extend([0xC3; 256]);
    assert!(Public::parse(&good).is_ok());
    for length in 0..good.len() {
        assert!(Public::parse(&good[..length]).is_err(), "cut at {length}");
    }
    assert!(Public::parse(&[good.clone(), vec![0]].concat()).is_err());
    assert!(Public::parse(&[0xff; 70_000]).is_err());
    for (index, value) in [(3, 0x23), (5, 0x04), (20, 0x04)] {
        let mut bad = good.clone();
        bad[index] = value;
        assert!(Public::parse(&bad).is_err(), "byte {index}");
    }
}

#[test]
fn the_size_is_that_of_genuine_blobs() {
    let key = another_key().unwrap();
    let public = || Public { area: vec![1; 282], key: key.clone() };
    assert_eq!(build(&public(), &public(), &[7; 32], None).unwrap().len(), 874);
    assert_eq!(build(&public(), &public(), &[7; 32], Some(Spoil::NoUriData)).unwrap().len(), 764);
}
