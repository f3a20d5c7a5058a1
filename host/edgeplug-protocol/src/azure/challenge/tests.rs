use proptest::prelude::*;

use super::*;

/// The deterministic vector: parts 1, 3, 5 and 6 were computed by an independent implementation and accepted by a TPM.
const CREDENTIAL: &str =
    "002084f729c1c5e3594a7f8243ef6998d1b054629a0e32669878c88e787cac518d771eaeb696cd125f81bfb08e2c60ac73b3ba07";
const DUPLICATE: &str = "00208dff89ef1ac75754d89fb34bec48efd845978c98177d914dd73808e970edf7cfa64fc8eb55dc3a6c9134bd75b9bc1dabe60263cef22b1583bffa60b8bf0c9391ec4416331192f289d3b81f723657e361246adf6c3ff69b2e2663443116e490e9f54c31a8c5f74778bf1ccfdb3a43113bede969dc0172d7a462f85394f9f1baa410d0511143feec0b610de687";
const PUBLIC: &str = "0008000b0004044000000005000b002084e4bd6ca2af96412fdc62fe44d4e9709cdc31933081a62486a48a154b582d53";
const SERVICE_DATA: &str = "7de13727edc4bbad5c5fb2655cc7c9ab1da7e46ea5c47dae36";

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn with_length(part: &[u8]) -> Vec<u8> {
    [&u16::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat()
}

fn vector() -> (Vec<u8>, Vec<u8>) {
    let head = [
        with_length(&unhex(CREDENTIAL)),
        with_length(&[0xA1; 256]),
        with_length(&unhex(DUPLICATE)),
        with_length(&[0xB2; 256]),
        with_length(&unhex(PUBLIC)),
    ]
    .concat();
    let whole = [head.clone(), with_length(&unhex(SERVICE_DATA))].concat();
    (head, whole)
}

#[test]
fn a_blob_comes_apart_into_what_the_tpm_takes() {
    let (head, whole) = vector();
    let blob = ChallengeBlob::from_base64(&STANDARD.encode(&whole)).unwrap();
    assert_eq!(blob.id_object, unhex(CREDENTIAL));
    assert_eq!(blob.encrypted_secret, [0xA1; 256]);
    assert_eq!(blob.duplicate.len(), 142);
    assert_eq!(blob.duplicate, unhex(DUPLICATE));
    assert_eq!(blob.import_seed, [0xB2; 256]);
    assert_eq!(blob.public.len(), 48);
    assert_eq!(blob.public, unhex(PUBLIC));
    assert_eq!(ChallengeBlob::parse(&head).unwrap(), blob, "service data may be absent");
    assert_eq!(format!("{blob:?}"), "ChallengeBlob(…)");
}

#[test]
fn a_damaged_blob_is_named_by_its_part() {
    let (head, _) = vector();
    assert_eq!(ChallengeBlob::parse(&[]), Err(ChallengeBlobError::Truncated("credential")));
    assert_eq!(ChallengeBlob::parse(&head[..head.len() - 1]), Err(ChallengeBlobError::Truncated("public area")));
    assert_eq!(ChallengeBlob::parse(&[0, 0]), Err(ChallengeBlobError::Empty("credential")));
    assert_eq!(ChallengeBlob::parse(&[0; BLOB_BYTES_MAX + 1]), Err(ChallengeBlobError::TooLarge(BLOB_BYTES_MAX + 1)));
    assert_eq!(ChallengeBlob::from_base64("%%%"), Err(ChallengeBlobError::NotBase64));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
        let _ = ChallengeBlob::parse(&bytes);
    }
}
