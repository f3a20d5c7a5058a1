use std::time::Duration;

use edgeplug_protocol::version::Version;
use edgeplug_session::config::{DeviceWay, FrequencyPolicy, HardStopPolicy, ProtocolChoice, TransformFailure};

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
        (format!("{GOOD}token_life_s = 4\n"), Exit::ConfigInvalid, &["cloud.token_life_s"]),
        (format!("{GOOD}registration_id = \"a b\"\n"), Exit::ConfigInvalid, &["cloud.registration_id"]),
        (
            format!("{GOOD}[identity]\ntcti = \"/dev/tpm0\"\n"),
            Exit::ConfigInvalid,
            &["identity.tcti", "device:/dev/tpmrm0"],
        ),
        (format!("{GOOD}[identity]\nkind = \"tpn\"\n"), Exit::ConfigWrongType, &["kind"]),
        (format!("{GOOD}[identity]\nkey_file = \"x\"\n"), Exit::ConfigInvalid, &["no falling back"]),
        ("[cloud\n".to_owned(), Exit::ConfigSyntax, &["line 1"]),
        (
            format!("{GOOD}[outbox]\navailable_space_mb = 0\n"),
            Exit::ConfigInvalid,
            &["line 8", "outbox.available_space_mb", "no limit", "name one"],
        ),
        (format!("{GOOD}[outbox]\nfile_count = 0\n"), Exit::ConfigInvalid, &["line 8", "choose 1 to 64 files"]),
        (format!("{GOOD}[outbox]\ndurability = \"most\"\n"), Exit::ConfigWrongType, &["durability", "offline-only"]),
        (
            format!("{GOOD}[outbox]\navailable_space_mb = 16\nfile_count = 64\n"),
            Exit::ConfigInvalid,
            &["outbox.available_space_mb", "64 files need 34 MiB"],
        ),
        (format!("{GOOD}[uplink]\nwindow = 0\n"), Exit::ConfigInvalid, &["line 8", "uplink.window", "default 1024"]),
        (
            format!("{GOOD}[uplink]\nwindow = 10\nin_flight = 20\n"),
            Exit::ConfigInvalid,
            &["line 9", "uplink.in_flight", "raise uplink.window"],
        ),
        (
            format!("{GOOD}[uplink]\nbatch = {{ bytes = 300000 }}\n"),
            Exit::ConfigInvalid,
            &["line 8", "uplink.batch.bytes", "0 for no batches"],
        ),
        (
            format!("{GOOD}[uplink.batch]\ndelay_ms = 3600000\n"),
            Exit::ConfigInvalid,
            &["line 8", "uplink.batch.delay_ms"],
        ),
        (format!("{GOOD}[uplink]\ndaily_mb = 0\n"), Exit::ConfigInvalid, &["uplink.daily_mb"]),
        (format!("{GOOD}[uplink]\nwindow = -1\n"), Exit::ConfigWrongType, &["line 8", "window"]),
        (format!("{GOOD}[link]\ntransport = \"ws\"\n"), Exit::ConfigWrongType, &["`mqtts`", "`wss`"]),
        (format!("{GOOD}[link]\nproxy = \"socks5://p:1\"\n"), Exit::ConfigInvalid, &["line 8", "link.proxy"]),
        (
            format!("{GOOD}[link]\nproxy = \"http://p:1\"\nproxy_user = \"me\"\n"),
            Exit::ConfigInvalid,
            &["line 9", "link.proxy_password_file"],
        ),
        (format!("{GOOD}[link]\nproxy_user = \"me\"\n"), Exit::ConfigInvalid, &["link.proxy_user", "no proxy"]),
        (format!("{GOOD}[link]\nkeep_alive_s = 2000\n"), Exit::ConfigInvalid, &["link.keep_alive_s", "1 to 1767"]),
        (format!("{GOOD}[plugins]\nsignature = \"maybe\"\n"), Exit::ConfigWrongType, &["line 8", "`require`"]),
        (
            format!("{GOOD}[plugins]\nsignature = \"require\"\n"),
            Exit::ConfigInvalid,
            &["line 8", "plugins.signature", "needs a key", "set plugins.keys"],
        ),
        (format!("{GOOD}[plugins]\nkeys = [\"RW\"]\n"), Exit::ConfigInvalid, &["line 8", "plugins.keys", "minisign"]),
        (
            format!("{GOOD}[plugins]\nkeys = [\"/nonexistent/key.pub\"]\n"),
            Exit::ConfigFileMissing,
            &["line 8", "plugins.keys", "/nonexistent/key.pub"],
        ),
        (format!("{GOOD}[plugins]\nengine = \"fast\"\n"), Exit::ConfigWrongType, &["line 8", "`interpreter`"]),
        (
            format!("{GOOD}[plugins]\ncache_images = [\"images\"]\n"),
            Exit::ConfigInvalid,
            &["line 8", "plugins.cache_images", "absolute"],
        ),
        (
            format!("{GOOD}[plugins]\nrescan_s = 0\n"),
            Exit::ConfigInvalid,
            &["line 8", "plugins.rescan_s", "default 10"],
        ),
        (
            format!("{GOOD}[plugins]\nquarantine_strikes = 0\n"),
            Exit::ConfigInvalid,
            &["line 8", "plugins.quarantine_strikes", "default 10"],
        ),
        (
            format!("{GOOD}[plugins]\nrestart_min_ms = 1\n"),
            Exit::ConfigInvalid,
            &["line 8", "plugins.restart_min_ms", "default 1000)"],
        ),
        (
            format!("{GOOD}[plugins.transforms]\nbme280 = [\"clamp\", \"bme280\"]\n"),
            Exit::ConfigInvalid,
            &["line 8", "plugins.transforms.bme280", "cannot filter what it measured itself"],
        ),
        (
            format!("{GOOD}[plugins.transforms]\n\"*\" = [\"clamp\", \"clamp\"]\n"),
            Exit::ConfigInvalid,
            &["line 8", "plugins.transforms.*", "twice"],
        ),
        (
            format!("{GOOD}[plugins.transforms]\na = [\"*\"]\n"),
            Exit::ConfigInvalid,
            &["plugins.transforms.a", "sources only"],
        ),
        (
            format!("{GOOD}[ota]\nsignature = \"warn\"\n"),
            Exit::ConfigInvalid,
            &["line 8", "ota.signature", "needs a key", "set ota.keys"],
        ),
        (format!("{GOOD}[ota]\nkeys = [\"RW\"]\n"), Exit::ConfigInvalid, &["line 8", "ota.keys", "minisign"]),
        (
            format!("{GOOD}[ota]\nkeys = [\"/nonexistent/key.pub\"]\n"),
            Exit::ConfigFileMissing,
            &["line 8", "ota.keys", "/nonexistent/key.pub"],
        ),
        (format!("{GOOD}[ota]\ndigest = \"never\"\n"), Exit::ConfigWrongType, &["line 8", "`if-given`"]),
        (format!("{GOOD}[ota]\ninstaller = []\n"), Exit::ConfigInvalid, &["line 8", "ota.installer", "is empty"]),
        (
            format!("{GOOD}[ota]\ninstaller = [\"rauc\", \"install\"]\n"),
            Exit::ConfigInvalid,
            &["line 8", "ota.installer", "no absolute path", "no shell"],
        ),
        (
            format!("{GOOD}[ota]\ninstaller = [\"/bin/a\"]\nrestart = true\n"),
            Exit::ConfigInvalid,
            &["line 9", "ota.restart", "set ota.confirm"],
        ),
        (
            format!("{GOOD}[ota]\ninstaller = [\"/bin/a\"]\nconfirm = [\"/bin/b\"]\n"),
            Exit::ConfigInvalid,
            &["line 9", "ota.confirm", "ota.restart = true"],
        ),
        (
            format!("{GOOD}[ota]\ninstaller_by = \"unit\"\n"),
            Exit::ConfigInvalid,
            &["line 8", "ota.installer_by", "set ota.installer"],
        ),
        (
            format!("{GOOD}[ota]\ninstaller = [\"/bin/a\"]\ninstaller_by = \"root\"\n"),
            Exit::ConfigWrongType,
            &["line 9", "`unit`"],
        ),
        (
            format!("{GOOD}[ota]\nupdate_mb_max = 10\nfile_mb_max = 20\n"),
            Exit::ConfigInvalid,
            &["line 9", "ota.file_mb_max", "raise ota.update_mb_max"],
        ),
        (format!("{GOOD}[ota]\nattempts_max = 0\n"), Exit::ConfigInvalid, &["line 8", "ota.attempts_max", "default 5"]),
        (
            format!("{GOOD}[plugins]\ntransform_failure = \"keep\"\n"),
            Exit::ConfigWrongType,
            &["line 8", "`pass`", "`drop`"],
        ),
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

#[test]
fn what_is_not_said_is_bounded() {
    let config = load(GOOD).unwrap();
    assert_eq!((config.outbox.limits.bytes_max, config.outbox.limits.files_max), (512 * 1024 * 1024, 8));
    assert_eq!(config.outbox.durability, edgeplug_outbox::Durability::PowerLoss);
    let session = &config.session;
    assert_eq!((session.window, session.in_flight_max, session.backlog_per_s), (1_024, 100, 50));
    let batch = session.batch.unwrap();
    assert_eq!((batch.bytes_max, batch.delay.as_millis()), (4096, 500));
    assert_eq!((session.daily_bytes_max, session.time_to_live), (None, None));
    assert!(config.link.proxy.is_none());
}

#[test]
fn what_is_said_of_plugins_reaches_them() {
    let config = load(&format!(
        "{GOOD}[plugins]\nengine = \"interpreter\"\ncache_images = [\"/usr/lib/edgeplug/images\"]\nsettle_ms = 0\n\
         rescan_s = 1\nprobation_s = 0\nprobation_calls = 5\nquarantine_strikes = 3\nrestart_min_ms = 50\n\
         signature = \"warn\"\nkeys = [\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"]\n\
         transform_failure = \"drop\"\n[plugins.transforms]\nbme280 = [\"median\", \"clamp\"]\n\"*\" = [\"clamp\"]\n\
         quiet = []\n"
    ))
    .unwrap();
    let plugins = &config.plugins;
    assert_eq!(plugins.engine, edgeplug_plugins::EngineKind::Interpreter);
    assert_eq!(plugins.cache_images, [Path::new("/usr/lib/edgeplug/images")]);
    assert_eq!(plugins.signature.mode, edgeplug_plugins::SignatureMode::Warn);
    assert_eq!(plugins.signature.keys.len(), 1);
    let limits = &plugins.limits;
    assert_eq!((limits.settle, limits.rescan), (Duration::ZERO, Duration::from_secs(1)));
    assert_eq!((limits.probation.good_calls, limits.probation.time), (5, Duration::ZERO));
    assert_eq!((limits.quarantine_strikes, limits.restart_min), (3, Duration::from_millis(50)));
    let transforms = &config.session.transforms;
    assert_eq!(transforms.failure, TransformFailure::Drop);
    assert_eq!(transforms.filters["bme280"], ["median", "clamp"]);
    assert_eq!(transforms.filters["*"], ["clamp"]);
    assert!(transforms.filters["quiet"].is_empty());
}

#[test]
fn a_window_smaller_than_the_default_in_flight_needs_no_second_key() {
    let config = load(&format!("{GOOD}[uplink]\nwindow = 10\n")).unwrap();
    assert_eq!((config.session.window, config.session.in_flight_max), (10, 10));
}

#[test]
fn the_old_keys_have_their_meaning_here() {
    for (durability, stored, kept) in [
        ("power-loss", "PowerLoss", "Stored"),
        ("process-crash", "ProcessCrash", "Stored"),
        ("offline-only", "PowerLoss", "OfflineOnly"),
        ("none", "PowerLoss", "None"),
    ] {
        let text = format!(
            "{GOOD}[outbox]\navailable_space_mb = 64\nfile_count = 1\ndurability = {durability:?}\n\
             time_to_live_s = 3600\n[uplink]\ndaily_mb = 5\n[uplink.batch]\nbytes = 0\n"
        );
        let config = load(&text).unwrap();
        assert_eq!(format!("{:?}", config.outbox.durability), stored);
        assert_eq!(format!("{:?}", config.session.durability), kept);
        assert_eq!((config.outbox.limits.bytes_max, config.outbox.limits.files_max), (64 * 1024 * 1024, 1));
        assert_eq!(config.session.time_to_live, Some(Duration::from_secs(3600)));
        assert_eq!(config.session.daily_bytes_max, Some(5 * 1024 * 1024));
        assert!(config.session.batch.is_none());
    }
}

#[test]
fn a_proxy_password_is_never_shown_nor_granted_to_a_plugin() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "open sesame\n").unwrap();
    let text = format!(
        "{GOOD}[link]\ntransport = \"wss\"\nproxy = \"http://proxy:3128\"\nproxy_user = \"me\"\n\
         proxy_password_file = {file:?}\n"
    );
    let config = load(&text).unwrap();
    assert!(!format!("{config:?}").contains("sesame"));
    assert!(config.secret_files.contains(&file));
    assert_eq!(config.link.transport, edgeplug_link::Transport::WebSocket);
}

#[test]
fn the_example_that_is_installed_is_understood_and_says_the_defaults() {
    let example = include_str!("../../packaging/edgeplug.toml");
    let bare = load(example).unwrap();
    // With every optional line switched on it must mean the same as without, but for what has no default.
    let mut all = String::new();
    for line in example.lines() {
        let key = line.strip_prefix("#").filter(|rest| !rest.starts_with(' ') && !rest.is_empty());
        let optional = line.contains("(no default)");
        all.push_str(if optional { line } else { key.unwrap_or(line) });
        all.push('\n');
    }
    let all = load(&all).unwrap_or_else(|problem| panic!("{}\n{all}", problem.text));
    let shown = |config: &Config| {
        let Config { session, outbox, link, identity, plugins, ota, .. } = config;
        // It names the file, which has another name each time.
        let mut ota = ota.clone();
        ota.refused = None;
        let PluginsConfig { directory, engine, cache_images, signature, limits, .. } = plugins;
        format!(
            "{session:?} {outbox:?} {link:?} {identity:?} {directory:?} {engine} {cache_images:?} {signature:?} {limits:?} \
             {ota:?}"
        )
    };
    assert_eq!(shown(&bare), shown(&all));
}

#[test]
fn what_is_spoken_with_the_cloud_can_be_chosen() {
    let config = load(&format!(
        "{GOOD}protocol = \"2.1\"\nsid = \"SID\"\nhard_stop = \"until-resume\"\nhard_stop_wipes = true\n\
         [cloud.ack_status]\ncommand_done = 7\n\
         [uplink]\nfrequency = \"drop\"\n[uplink.decimals]\n\"gyro.x\" = 2\n"
    ));
    let session = config.unwrap().session;
    assert_eq!(session.protocol, ProtocolChoice::Only(Version::V21));
    assert_eq!((session.sid.as_deref(), session.hard_stop), (Some("SID"), HardStopPolicy::UntilResume));
    assert!(session.hard_stop_wipes);
    assert_eq!((session.ack_status.command_done, session.ack_status.command_failed), (7, 1));
    assert_eq!(session.frequency, FrequencyPolicy::Drop);
    assert_eq!(session.rounding.get("gyro.x"), Some(&2));
    assert_eq!(load(GOOD).unwrap().session.protocol, ProtocolChoice::Auto);
}

#[test]
fn a_choice_that_does_not_exist_is_named_with_its_line() {
    let cases = [
        ("protocol = \"3.0\"", "line 7"),
        ("sid = \"\"", "cloud.sid"),
        ("hard_stop = \"never\"", "line 7"),
        ("[cloud.ack_status]\ncommand_done = -1", "cloud.ack_status.command_done"),
        ("[uplink.decimals]\ntemp = 16", "uplink.decimals.temp"),
    ];
    for (text, part) in cases {
        let problem = load(&format!("{GOOD}{text}\n")).unwrap_err();
        assert!(problem.text.contains(part), "{text}: {}", problem.text);
    }
}

#[test]
fn updates_are_refused_with_the_remedy_while_there_is_no_key() {
    for text in ["", "[ota]\nsignature = \"require\"\n"] {
        let refused = load(&format!("{GOOD}{text}")).unwrap().ota.refused.unwrap();
        assert!(refused.contains("ota.keys") && refused.contains("edgeplug.toml"), "{refused}");
    }
    let off = load(&format!("{GOOD}[ota]\nsignature = \"off\"\n")).unwrap().ota;
    assert_eq!((off.refused, off.components), (None, true));
    let key = "keys = [\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"]";
    let signed = load(&format!("{GOOD}[ota]\n{key}\n")).unwrap().ota;
    assert_eq!((signed.refused, signed.signature.keys.len()), (None, 1));
}

#[test]
fn what_is_said_of_updates_reaches_the_session() {
    let config = load(&format!(
        "{GOOD}[ota]\nsignature = \"off\"\ndigest = \"if-given\"\ncomponents = false\nupdate_mb_max = 100\n\
         installer = [\"/usr/bin/rauc\", \"install\"]\ninstaller_by = \"unit\"\nrestart = true\nconfirm = [\"/bin/confirm\"]\n\
         installer_timeout_s = 60\nattempts_max = 2\nfetch_tries_max = 3\nrate_bytes_per_s = 2048\n"
    ))
    .unwrap();
    let policy = &config.session.ota;
    assert_eq!((policy.device_way, policy.components), (DeviceWay::Installer, false));
    assert_eq!((policy.attempts_max, policy.fetch_tries_max, policy.restart), (2, 3, true));
    let ota = &config.ota;
    assert_eq!((ota.file_bytes_max, ota.update_bytes_max), (100 << 20, 100 << 20), "the default gives way");
    assert_eq!((ota.digest_required, ota.rate_max), (false, Some(2048)));
    let installer = ota.installer.as_ref().unwrap();
    assert_eq!((installer.by(), installer.timeout), (InstalledBy::Unit, Duration::from_secs(60)));
    assert_eq!(load(GOOD).unwrap().session.ota, edgeplug_session::config::OtaPolicy::default());
}

#[test]
fn the_installers_side_reads_its_section_without_the_daemons_credentials() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edgeplug.toml");
    let text = format!(
        "{GOOD}[identity]\nkind = \"symmetric-key\"\nkey_file = \"/run/credentials/none\"\n[ota]\nfree_mb_min = 7\n"
    );
    std::fs::write(&file, text).unwrap();
    assert_eq!(Config::load(&file).unwrap_err().exit, Exit::ConfigFileMissing);
    let ota = Config::load_ota(&file).unwrap();
    assert_eq!((ota.free_bytes_min, ota.staging()), (7 << 20, "/var/lib/edgeplug/ota/staging".into()));
}
