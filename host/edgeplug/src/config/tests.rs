use super::*;

const GOOD: &str = r#"
[cloud]
cpid = "CP"
env = "poc"
unique_id = "GW"
scope_id = "0ne00012345"
"#;

fn load(text: &str) -> Result<Config, Problem> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edgeplug.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file)
}

#[test]
fn four_lines_are_a_configuration() {
    let config = load(GOOD).unwrap();
    assert_eq!(config.session.cpid, "CP");
    assert_eq!(config.socket, Path::new(DEFAULT_SOCKET));
    let IdentityConfig::Tpm(tpm) = config.identity else { panic!("the default is a TPM") };
    assert_eq!(tpm.tcti.to_string(), "device:/dev/tpmrm0");
    assert_eq!(tpm.identity_handle, 0x8100_0100);
}

#[test]
fn each_mistake_has_its_code_its_place_and_its_remedy() {
    for (text, exit, words) in [
        (
            format!("{GOOD}unique = 1\n"),
            Exit::ConfigUnknownKey,
            &["line 7", "`unique`", "did you mean `unique_id`"][..],
        ),
        (format!("{GOOD}[plugnis]\n"), Exit::ConfigUnknownKey, &["`plugnis`", "`plugins`"]),
        (format!("{GOOD}token_life_s = \"long\"\n"), Exit::ConfigWrongType, &["line 7", "`token_life_s`", "mend"]),
        (GOOD.replace("env = \"poc\"\n", ""), Exit::ConfigWrongType, &["`env` is missing"]),
        (
            format!("{GOOD}ca_file = \"/nonexistent/ca.pem\"\n"),
            Exit::ConfigFileMissing,
            &["cloud.ca_file", "/nonexistent/ca.pem"],
        ),
        (format!("{GOOD}token_life_s = 5\n"), Exit::ConfigInvalid, &["cloud.token_life_s"]),
        (format!("{GOOD}registration_id = \"a b\"\n"), Exit::ConfigInvalid, &["cloud.registration_id"]),
        (
            format!("{GOOD}[identity]\ntcti = \"/dev/tpm0\"\n"),
            Exit::ConfigInvalid,
            &["identity.tcti", "device:/dev/tpmrm0"],
        ),
        (format!("{GOOD}[identity]\nkind = \"tpn\"\n"), Exit::ConfigWrongType, &["kind"]),
        (format!("{GOOD}[identity]\nkey_file = \"x\"\n"), Exit::ConfigInvalid, &["no falling back"]),
        ("[cloud\n".to_owned(), Exit::ConfigSyntax, &["line 1"]),
    ] {
        let problem = load(&text).unwrap_err();
        assert_eq!(problem.exit, exit, "{text}\n{}", problem.text);
        for word in words {
            assert!(problem.text.contains(word), "{word:?} is not in {:?}", problem.text);
        }
        assert!(problem.text.contains("edgeplug.toml"));
    }
    let problem = Config::load(Path::new("/nonexistent/edgeplug.toml")).unwrap_err();
    assert_eq!(problem.exit, Exit::ConfigMissing);
}
