use reqwest::header::HeaderValue;

use super::*;

/// Of the empty file (FIPS 180-4's own example values: NIST, "SHA256ShortMsg").
const EMPTY_HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const EMPTY_BASE64: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn empty() -> Sha256 {
    hex(EMPTY_HEX).unwrap()
}

fn in_url(fragment: &str) -> Result<Option<Sha256>, Unsound> {
    of_url(&Url::parse(&format!("https://host/fw.bin?sha256=0{fragment}")).unwrap())
}

fn in_headers(headers: &[(&'static str, &str)]) -> Result<Option<Sha256>, Unsound> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    of_headers(&map, None)
}

#[test]
fn the_fragment_of_a_url_may_name_the_digest() {
    for fragment in [
        format!("#sha256={EMPTY_HEX}"),
        format!("#SHA256={}", EMPTY_HEX.to_uppercase()),
        format!("#name=fw.bin&sha256={EMPTY_HEX}&x"),
        format!("#sha256={EMPTY_HEX}&sha256={EMPTY_HEX}"),
    ] {
        assert_eq!(in_url(&fragment).unwrap(), Some(empty()), "{fragment}");
    }
    for fragment in ["", "#", "#section-2", "#md5=1", "#sha256sum=1"] {
        assert_eq!(in_url(fragment).unwrap(), None, "{fragment}");
    }
}

#[test]
fn a_digest_that_cannot_be_read_is_never_ignored() {
    let signed = format!("#sha256=+{}", "0".repeat(63));
    let long = format!("#sha256={EMPTY_HEX}0");
    for fragment in ["#sha256=", "#sha256=abc", &*signed, &*long, "#sha256=ä"] {
        assert!(matches!(in_url(fragment), Err(Unsound::Digest)), "{fragment}");
    }
    for header in [
        ("x-ms-meta-sha256", "abc"),
        ("x-amz-meta-sha256", ""),
        ("repr-digest", "sha-256=:abc:"),
        ("repr-digest", "sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ("digest", "SHA-256=abc"),
    ] {
        assert!(matches!(in_headers(&[header]), Err(Unsound::Digest)), "{header:?}");
    }
}

#[test]
fn each_header_that_names_the_digest_is_understood() {
    for header in [
        ("x-ms-meta-sha256", EMPTY_HEX),
        ("x-ms-meta-sha256", EMPTY_BASE64),
        ("x-amz-meta-sha256", EMPTY_HEX),
        ("repr-digest", &format!("sha-512=:AAAA:, sha-256=:{EMPTY_BASE64}:;x=1")),
        ("digest", &format!("md5=AAAA,SHA-256={EMPTY_BASE64}")),
        ("digest", &format!("sha-256={EMPTY_BASE64}")),
    ] {
        assert_eq!(in_headers(&[header]).unwrap(), Some(empty()), "{header:?}");
    }
    // Of the bytes of this answer, and of other algorithms.
    for header in [("content-digest", "sha-256=:AAAA:"), ("repr-digest", "sha-512=:AAAA:"), ("digest", "md5=AAAA")] {
        assert_eq!(in_headers(&[header]).unwrap(), None, "{header:?}");
    }
}

#[test]
fn digests_that_differ_are_refused() {
    let other = "0".repeat(64);
    assert!(matches!(in_url(&format!("#sha256={EMPTY_HEX}&sha256={other}")), Err(Unsound::DigestsDiffer)));
    let headers = [("x-ms-meta-sha256", &*other), ("digest", &format!("sha-256={EMPTY_BASE64}"))];
    assert!(matches!(in_headers(&headers), Err(Unsound::DigestsDiffer)));

    let mut map = HeaderMap::new();
    map.append("x-ms-meta-sha256", HeaderValue::from_str(&other).unwrap());
    assert!(matches!(of_headers(&map, Some(empty())), Err(Unsound::DigestsDiffer)));
    assert_eq!(of_headers(&HeaderMap::new(), Some(empty())).unwrap(), Some(empty()));
}
