use super::*;

const PATH_OF_FILE: &str = "/fw/a b.bin";

fn now() -> Timestamp {
    Timestamp::now()
}

fn grant(life_s: i64) -> Grant {
    Grant::new(life_s, 0)
}

/// What a URL's path and query are worth.
fn worth(key: &Key, url: &str, tls: bool) -> Result<String, Refusal> {
    let (path, query) = url.split_once('?').unwrap();
    let path = percent_decode_str(path).decode_utf8().unwrap().into_owned();
    check(key, &path, query, now(), tls)
}

fn code(result: Result<String, Refusal>) -> (u16, &'static str, String) {
    let refusal = result.unwrap_err();
    (refusal.status.as_u16(), refusal.code, refusal.detail.unwrap_or_default())
}

/// By a signer of its own: the lines as "Create a service SAS" lists them.
fn signed_by_hand(key: &Key, fields: &[(&str, &str)]) -> String {
    let of = |name| fields.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
    let lines = [
        of("sp"),
        of("st"),
        of("se"),
        "/blob/edgeplugcloud/fw/a b.bin",
        of("si"),
        of("sip"),
        of("spr"),
        of("sv"),
        of("sr"),
        of("snapshot"),
        of("ses"),
        of("rscc"),
        of("rscd"),
        of("rsce"),
        of("rscl"),
        of("rsct"),
    ];
    let signature = STANDARD.encode(key.mac(lines.join("\n").as_bytes()).finalize().into_bytes());
    let encoded = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let query: Vec<_> = fields.iter().chain(&[("sig", signature.as_str())]).map(encoded).collect();
    format!("/fw/a%20b.bin?{}", query.join("&"))
}

#[test]
fn a_signed_url_opens_its_path() {
    let key = Key::random();
    let url = sign(&key, PATH_OF_FILE, &grant(60));
    assert!(url.starts_with("/fw/a%20b.bin?sv=2022%2D11%2D02&st="), "{url}");
    assert_eq!(worth(&key, &url, true).unwrap().len(), 44);
    // What is in no SAS may be added.
    assert!(worth(&key, &format!("{url}&timeout=30"), true).is_ok());
    assert!(worth(&key, &sign(&key, PATH_OF_FILE, &Grant { plain: true, ..grant(60) }), false).is_ok());
    let (one, other) = (sign(&key, PATH_OF_FILE, &Grant::new(60, 1)), sign(&key, PATH_OF_FILE, &Grant::new(60, 2)));
    assert_ne!(one, other);
}

#[test]
fn the_three_forms_of_a_time_are_understood() {
    let key = Key::random();
    for (expiry, good) in [
        ("2999-01-01", true),
        ("2999-01-01T10:00Z", true),
        ("2999-01-01T10:00:00Z", true),
        ("2999-01-01T10:00:00.1234567Z", true),
        ("2001-01-01", false),
        ("tomorrow", false),
        ("2999-13-01", false),
    ] {
        let url = signed_by_hand(&key, &[("sv", "2021-08-06"), ("sr", "b"), ("sp", "r"), ("se", expiry)]);
        assert_eq!(worth(&key, &url, true).is_ok(), good, "{expiry}");
    }
}

#[test]
fn what_was_changed_in_a_url_is_noticed() {
    let key = Key::random();
    let url = sign(&key, PATH_OF_FILE, &grant(60));
    let unlike = [
        url.replace("a%20b", "other"),
        url.replace("se=20", "se=21"),
        url.replace("st=20", "st=19"),
        url.replace("sp=r", "sp=rw"),
        url.replace("sv=2022", "sv=2023"),
        url.replace("spr=https", "spr=https%2Chttp"),
        format!("{url}&rscd=attachment"),
        url.replace("&spr=https", ""),
        url.replace("sig=", "sig=AA"),
        url.split("&sig").next().unwrap().to_owned() + "&sig=",
    ];
    for url in unlike {
        let (status, code, detail) = code(worth(&key, &url, true));
        assert_eq!((status, code), (403, "AuthenticationFailed"), "{url}");
        assert!(detail.starts_with("Signature did not match. String to sign used was r"), "{url}: {detail}");
    }
    let (status, code, _) = code(worth(&Key::random(), &url, true));
    assert_eq!((status, code), (403, "AuthenticationFailed"));
}

#[test]
fn a_url_is_refused_outside_its_time() {
    let key = Key::random();
    for life_s in [0, -1, -3600, -1_000_000] {
        let (status, code, detail) = code(worth(&key, &sign(&key, PATH_OF_FILE, &grant(life_s)), true));
        assert_eq!((status, code), (403, "AuthenticationFailed"));
        assert!(detail.starts_with("Signature not valid in the specified time frame: Start ["), "{detail}");
    }
    let later =
        signed_by_hand(&key, &[("sv", VERSION), ("sr", "b"), ("sp", "r"), ("st", "2998-01-01"), ("se", "2999-01-01")]);
    assert!(code(worth(&key, &later, true)).2.contains("time frame"));
}

#[test]
fn what_a_signature_does_not_grant_is_refused() {
    let key = Key::random();
    let by_hand = |changed: &[(&str, &str)]| {
        let base = [("sv", VERSION), ("sr", "b"), ("sp", "r"), ("se", "2999-01-01")];
        let kept = base.iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
        let fields: Vec<_> = kept.chain(changed).copied().filter(|(_, value)| !value.is_empty()).collect();
        signed_by_hand(&key, &fields)
    };
    assert!(worth(&key, &by_hand(&[]), true).is_ok());
    assert_eq!(code(worth(&key, &by_hand(&[("sp", "w")]), true)).1, "AuthorizationPermissionMismatch");
    assert_eq!(code(worth(&key, &by_hand(&[("spr", "https")]), false)).1, "AuthorizationProtocolMismatch");
    for changed in [
        ("sr", "c"),
        ("si", "policy"),
        ("sip", "10.0.0.1"),
        ("se", ""),
        ("sp", ""),
        ("sr", ""),
        ("sv", ""),
        ("sv", "2019-12-12"),
    ] {
        assert_eq!(code(worth(&key, &by_hand(&[changed]), true)).1, "AuthenticationFailed", "{changed:?}");
    }
    let url = by_hand(&[]);
    assert_eq!(code(worth(&key, &format!("{url}&sp=r"), true)).2, "sp is there twice");
    assert_eq!(code(worth(&key, "/fw/a%20b.bin?", true)).0, 409);
    assert_eq!(code(worth(&key, &format!("{url}&x={}", "y".repeat(5000)), true)).1, "AuthenticationFailed");
    // A signature that was not encoded loses its plus signs.
    let raw = url.replace("%2B", "+").replace("%2F", "/");
    assert_eq!(worth(&key, &raw, true).is_ok(), !raw.contains('+'));
}
