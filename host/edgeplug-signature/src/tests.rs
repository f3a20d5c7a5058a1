use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::KeyPair;

use super::*;

/// Made by minisign 0.11 as Debian 12 has it, for [`VECTOR`] as `weather.wasm`: hashed before it was signed, which is
/// the default, and with `-l` as earlier releases signed.
const VECTOR: &[u8] = b"a small known file\n";
const VECTOR_KEY: &str = "RWTSMa2zO4FnqFNOtr8HEPSD0MD+zKHbhnVUhpDSGmsLuPE4mvuqhtIE";
const VECTOR_KEY_ID: &str = "A867813BB3AD31D2";
const VECTOR_SIGNATURE: &str = "\
untrusted comment: signature from minisign secret key
RUTSMa2zO4FnqMF89sLvCf4PRro3KhN0CF3JbBu5YwDhMYFMkaxd8yTKPVy0/Hxe4ZgMb6npsrMeI0yWWUrUEbbUKPO+VxeSSgo=
trusted comment: version:1.2.3 file:weather.wasm
zeRlaODDKu8kF/DzzXq/pMEzuEDN3n3yMGfyo+L64jqEN31TXkFjklYBKaNmc06nHKCDkr16iEQBetqxuAcMAQ==
";
const VECTOR_SIGNATURE_LEGACY: &str = "\
untrusted comment: signature from minisign secret key
RWTSMa2zO4FnqG5HBIA/vTFSBAtsnKlGPH69xV/XuPnlBjGCdfqh6Y8Z4njmr4UMxlWgQZ9HYinH73FzklHsU/IZG6R3xIwJbAI=
trusted comment: timestamp:1795460481\tfile:weather.wasm
5cuyR36iFKBI9Xva5aS9x/BNvRqq57ELEJRbwNPxclhDs11jW2bi07iQZX33aovKlfi7A3970PHAzrQPS7xGDA==
";

fn policy(mode: SignatureMode, keys: &[&str]) -> SignaturePolicy {
    SignaturePolicy::new(mode, &keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()).expect("keys")
}

fn require(keys: &[&str]) -> SignaturePolicy {
    policy(SignatureMode::Require, keys)
}

fn vector() -> SignaturePolicy {
    require(&[VECTOR_KEY])
}

struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().expect("keys"))
    }

    fn key(&self) -> String {
        self.0.pk.to_base64()
    }

    fn sign(&self, component: &[u8], comment: &str) -> String {
        let signed = minisign::sign(Some(&self.0.pk), &self.0.sk, component, Some(comment), None);
        signed.expect("signature").into_string()
    }

    /// What becomes of a component called `weather.wasm` with this comment in its signature.
    fn judged(&self, comment: &str) -> Result<Provenance, String> {
        require(&[&self.key()]).check("weather.wasm", VECTOR, Some(&self.sign(VECTOR, comment)))
    }
}

#[test]
fn what_minisign_signed_is_taken_with_what_it_says() {
    let found = vector().check("weather.wasm", VECTOR, Some(VECTOR_SIGNATURE)).expect("good");
    assert_eq!(found.key_id.as_deref(), Some(VECTOR_KEY_ID));
    assert_eq!(found.version.map(|version| version.to_string()).as_deref(), Some("1.2.3"));
    assert_eq!(found.words, None);
    let found = vector().check("weather.wasm", VECTOR, Some(VECTOR_SIGNATURE_LEGACY)).expect("good");
    assert_eq!((found.key_id.as_deref(), found.version), (Some(VECTOR_KEY_ID), None));
}

#[test]
fn a_change_of_any_byte_of_component_or_signature_is_noticed() {
    for signature in [VECTOR_SIGNATURE, VECTOR_SIGNATURE_LEGACY] {
        for place in 0..VECTOR.len() {
            let mut component = VECTOR.to_vec();
            component[place] ^= 1;
            let reason = vector().check("weather.wasm", &component, Some(signature)).expect_err("changed");
            assert!(reason.contains("was changed or damaged"), "{reason}");
        }
        let untrusted = signature.find('\n').expect("lines");
        for (place, character) in signature.char_indices().skip(untrusted + 1) {
            let mut changed = signature.to_owned();
            changed.replace_range(place..=place, if character == 'A' { "B" } else { "A" });
            assert!(vector().check("weather.wasm", VECTOR, Some(&changed)).is_err(), "{changed}");
        }
    }
}

#[test]
fn the_first_line_is_anybodys() {
    let signature = VECTOR_SIGNATURE.replace("signature from minisign secret key", "version:9.9.9");
    let found = vector().check("weather.wasm", VECTOR, Some(&signature)).expect("good");
    assert_eq!(found.version, Some("1.2.3".parse().expect("version")));
}

#[test]
fn what_is_no_signature_is_refused_in_words() {
    let lines: Vec<&str> = VECTOR_SIGNATURE.lines().collect();
    let without = |left_out: usize| {
        let kept = lines.iter().enumerate().filter(|(number, _)| *number != left_out).map(|(_, line)| *line);
        kept.collect::<Vec<_>>().join("\n")
    };
    let hostile = [
        String::new(),
        "\n\n\n\n".to_owned(),
        "untrusted comment: x\nRW\ntrusted comment: x\nRW\n".to_owned(),
        "\u{fffd}".repeat(1000),
        VECTOR_KEY.to_owned(),
        VECTOR_SIGNATURE.replace("trusted comment: v", "trusted comment:v"),
        VECTOR_SIGNATURE.replace("RUTS", "QUTS"),
        without(0),
        without(1),
        without(2),
        without(3),
    ];
    for text in hostile {
        let reason = vector().check("weather.wasm", VECTOR, Some(&text)).expect_err(&text);
        assert!(
            reason.starts_with("weather.wasm.minisig is no minisign signature; sign it with `minisign -S"),
            "{reason}"
        );
    }
}

#[test]
fn a_refusal_names_the_file_the_keys_and_the_command() {
    let reason = vector().check("weather.wasm", VECTOR, None).expect_err("unsigned");
    assert_eq!(
        reason,
        "it is not signed: there is no weather.wasm.minisig beside it; sign it with `minisign -S -m weather.wasm -t \
         'version:1.2.3 file:weather.wasm'` by a key of `plugins.keys` (A867813BB3AD31D2)"
    );
    let stranger = Signer::new();
    let reason =
        require(&[&stranger.key()]).check("weather.wasm", VECTOR, Some(VECTOR_SIGNATURE)).expect_err("stranger");
    assert!(reason.starts_with("it is signed by key A867813BB3AD31D2, which is none of ours; "), "{reason}");
    let own = SigningKey::parse(&stranger.key()).expect("key");
    assert!(reason.ends_with(&format!("({})", own.id())), "{reason}");
}

#[test]
fn each_of_several_keys_counts() {
    let (first, second) = (Signer::new(), Signer::new());
    let policy = require(&[&first.key(), &second.key(), VECTOR_KEY]);
    for signer in [&first, &second] {
        let found = policy.check("weather.wasm", VECTOR, Some(&signer.sign(VECTOR, ""))).expect("good");
        assert_eq!(found.key_id, SigningKey::parse(&signer.key()).map(|key| key.id().to_owned()));
    }
    assert!(policy.check("weather.wasm", VECTOR, Some(VECTOR_SIGNATURE)).is_ok());
}

#[test]
fn a_key_with_the_id_of_another_one_takes_nothing_from_it() {
    let namesake = Signer::new();
    let mut bytes = STANDARD.decode(namesake.key()).expect("base64");
    bytes[2..10].copy_from_slice(&STANDARD.decode(VECTOR_KEY).expect("base64")[2..10]);
    let namesake = STANDARD.encode(bytes);
    assert!(require(&[&namesake, VECTOR_KEY]).check("weather.wasm", VECTOR, Some(VECTOR_SIGNATURE)).is_ok());
    let reason = require(&[&namesake]).check("weather.wasm", VECTOR, Some(VECTOR_SIGNATURE)).expect_err("namesake");
    assert!(reason.contains("was changed or damaged"), "{reason}");
}

#[test]
fn a_signature_for_another_file_is_none() {
    let signer = Signer::new();
    for good in ["", "file:weather.wasm", "plugin:weather", "timestamp:1 file:weather.wasm\thashed plugin:weather x"] {
        assert!(signer.judged(good).is_ok(), "{good}");
    }
    for (comment, says) in [
        ("file:valve.wasm", "is for \"valve.wasm\", not for \"weather.wasm\""),
        ("file:weather.wasm plugin:valve", "is for \"valve\", not for \"weather\""),
        ("file:", "is for \"\", not for"),
        ("file:weather.wasm file:valve.wasm", "says `file:` twice"),
        ("version:1 version:2", "says `version:` twice"),
    ] {
        let reason = signer.judged(comment).expect_err(comment);
        assert!(reason.contains(says), "{reason}");
    }
}

#[test]
fn a_release_must_be_one() {
    let signer = Signer::new();
    let version = |comment: &str| signer.judged(comment).expect("good").version.map(|version| version.to_string());
    assert_eq!(version("version:2.10"), Some("2.10.0".to_owned()));
    assert_eq!(version("file:weather.wasm"), None);
    let reason = signer.judged("version:1.2.3-rc1").expect_err("no release");
    assert!(reason.contains("says `version:1.2.3-rc1`, but a release is one to four numbers"), "{reason}");
}

#[test]
fn in_mode_warn_everything_runs_and_the_reason_is_told() {
    let warn = policy(SignatureMode::Warn, &[VECTOR_KEY]);
    let found = warn.check("weather.wasm", VECTOR, None).expect("runs");
    assert_eq!(found.key_id, None);
    assert!(found.words.expect("words").starts_with("it is not signed"));
    let found = warn.check("weather.wasm", VECTOR, Some(VECTOR_SIGNATURE)).expect("runs");
    assert_eq!((found.key_id.as_deref(), found.words), (Some(VECTOR_KEY_ID), None));
    let found = warn.check("weather.wasm", b"changed", Some(VECTOR_SIGNATURE)).expect("runs");
    assert_eq!((found.key_id, found.version), (None, None), "nothing it says is believed");
}

#[test]
fn with_signatures_off_nobody_looks() {
    let off = policy(SignatureMode::Off, &[]);
    assert_eq!(off.check("weather.wasm", VECTOR, Some("nonsense")), Ok(Provenance::default()));
}

#[test]
fn no_release_follows_a_higher_one() {
    let version = |text: &str| text.parse::<ReleaseVersion>().ok();
    let signed = |text: &str| Provenance { key_id: Some("A".to_owned()), version: version(text), words: None };
    let (require, warn) = (vector(), policy(SignatureMode::Warn, &[VECTOR_KEY]));
    for highest in [None, version("1.2.2"), version("1.2.3")] {
        assert_eq!(require.against_rollback(&signed("1.2.3"), highest), Ok(None));
    }
    assert_eq!(require.against_rollback(&signed(""), None), Ok(None));
    let reason = require.against_rollback(&signed("1.2.3"), version("1.10.0")).expect_err("older");
    assert!(reason.starts_with("it is release 1.2.3, and 1.10.0 has run here"), "{reason}");
    assert_eq!(warn.against_rollback(&signed("1.2.3"), version("1.10.0")), Ok(Some(reason)));
    let reason = require.against_rollback(&signed(""), version("1.10.0")).expect_err("unnumbered");
    assert!(reason.starts_with("its signature names no release"), "{reason}");
    assert_eq!(warn.against_rollback(&Provenance::default(), version("1.10.0")), Ok(None), "unsigned is said already");
}

#[test]
fn keys_are_given_as_text_or_as_files() {
    let directory = tempfile::tempdir().expect("directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("write");
        path.to_str().expect("utf-8").to_owned()
    };
    let minisign_pub = file("minisign.pub", &format!("untrusted comment: minisign public key A8\n{VECTOR_KEY}\n"));
    let bare = file("bare.pub", VECTOR_KEY);
    for entry in [VECTOR_KEY, &format!(" {VECTOR_KEY}\n"), &minisign_pub, &bare] {
        assert_eq!(require(&[entry]).keys[0].id(), VECTOR_KEY_ID);
    }
    let secret = file("secret.pub", "untrusted comment: minisign encrypted secret key\nRWRTY0IyAAAA\n");
    let missing = directory.path().join("missing.pub").to_str().expect("utf-8").to_owned();
    let endless = "/dev/zero".to_owned();
    for (entry, says) in [
        ("RWshort", "is no minisign public key; it is the second line of the file `minisign.pub`"),
        ("", "is no minisign public key"),
        (&format!("{VECTOR_KEY}AAAA"), "is no minisign public key"),
        (&secret, "is no minisign public key; make a pair with `minisign -G`"),
        (&missing, "cannot read the key"),
        (&endless, "cannot read the key /dev/zero"),
    ] {
        let error = SignaturePolicy::new(SignatureMode::Off, &[entry.to_owned()]).expect_err(entry);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn signatures_cannot_be_asked_for_without_a_key() {
    for (mode, name) in [(SignatureMode::Require, "require"), (SignatureMode::Warn, "warn")] {
        let error = SignaturePolicy::new(mode, &[]).expect_err(name);
        assert_eq!(error.to_string(), format!("the mode {name:?} needs a key whose signatures count"));
    }
    assert!(SignaturePolicy::new(SignatureMode::Off, &[]).is_ok());
}

#[test]
fn the_file_of_a_signature_is_read_whatever_it_is() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("weather.wasm.minisig");
    assert!(read_signature(&path).expect("no file").is_none());
    fs::write(&path, VECTOR_SIGNATURE).expect("write");
    assert_eq!(read_signature(&path).expect("file").as_deref(), Some(VECTOR_SIGNATURE));
    fs::write(&path, vec![0xff; 1 << 20]).expect("write");
    let text = read_signature(&path).expect("file").expect("text");
    assert!(text.chars().count() <= 16 << 10);
    fs::remove_file(&path).expect("remove");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo of the package coreutils");
    assert!(made.success());
    assert!(read_signature(&path).is_err(), "a pipe that nobody writes to holds up nobody");
    fs::remove_file(&path).expect("remove");
    fs::create_dir(&path).expect("directory");
    assert!(read_signature(&path).is_err());
}

/// Judged in pieces of three bytes.
fn streamed(keys: &[SigningKey], name: &str, content: &[u8], text: &str) -> Result<Signed, NotSigned> {
    let signature = FileSignature::read(name, Some(text))?;
    let mut check = signature.begin(keys)?;
    content.chunks(3).for_each(|piece| check.update(piece));
    check.finish()
}

#[test]
fn a_file_is_judged_alike_in_memory_and_in_pieces() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let keys = require(&[&signer.key(), VECTOR_KEY]).keys;
    let firmware: Vec<u8> = (0_u32..5000).flat_map(u32::to_le_bytes).collect();
    let good = signer.sign(&firmware, "version:1.2.3-rc1 file:fw.bin");
    let signed = streamed(&keys, "fw.bin", &firmware, &good).expect("good");
    assert_eq!(signed.version.as_deref(), Some("1.2.3-rc1"), "a firmware's version is its maker's business");
    assert_eq!(signed.key_id, SigningKey::parse(&signer.key()).expect("key").id());
    assert!(streamed(&keys, "weather.wasm", VECTOR, VECTOR_SIGNATURE).is_ok());

    let mut flipped = firmware.clone();
    flipped[4321] ^= 1;
    let cases = [
        ("fw.bin", &flipped[..], good.clone(), "was changed or damaged"),
        ("fw.bin", &firmware[..firmware.len() - 1], good.clone(), "was changed or damaged"),
        ("fw.bin", &firmware[..], stranger.sign(&firmware, ""), "which is none of ours"),
        ("other.bin", &firmware[..], good.clone(), "is for \"fw.bin\", not for \"other.bin\""),
        ("fw.bin", &firmware[..], "nonsense".to_owned(), "fw.bin.minisig is no minisign signature"),
    ];
    for (name, content, text, says) in cases {
        let in_pieces = streamed(&keys, name, content, &text).expect_err(says);
        assert!(in_pieces.to_string().contains(says), "{in_pieces}");
        let in_memory = FileSignature::read(name, Some(&text)).and_then(|signature| signature.check(&keys, content));
        assert_eq!(in_memory.expect_err(says), in_pieces);
    }
}

#[test]
fn a_signature_over_a_whole_file_is_not_checked_in_pieces() {
    let keys = vector().keys;
    let refused = streamed(&keys, "weather.wasm", VECTOR, VECTOR_SIGNATURE_LEGACY).expect_err("legacy");
    assert!(refused.to_string().contains("sign it without `-l`"), "{refused}");
}

#[test]
fn in_pieces_too_a_key_with_the_id_of_another_one_takes_nothing_from_it() {
    let namesake = Signer::new();
    let mut bytes = STANDARD.decode(namesake.key()).expect("base64");
    bytes[2..10].copy_from_slice(&STANDARD.decode(VECTOR_KEY).expect("base64")[2..10]);
    let namesake = STANDARD.encode(bytes);
    assert!(streamed(&require(&[&namesake, VECTOR_KEY]).keys, "weather.wasm", VECTOR, VECTOR_SIGNATURE).is_ok());
    assert!(streamed(&require(&[&namesake]).keys, "weather.wasm", VECTOR, VECTOR_SIGNATURE).is_err());
}

#[test]
fn a_bundle_is_named_after_its_plugin_too() {
    let signer = Signer::new();
    let keys = require(&[&signer.key()]).keys;
    let judged = |name: &str| streamed(&keys, name, VECTOR, &signer.sign(VECTOR, "plugin:weather"));
    assert!(judged("weather.edgeplug").is_ok());
    assert!(judged("weather.bin").is_err());
}
