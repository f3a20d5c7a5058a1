//! What can heal leaves the daemon up, says so in the same words everywhere, and heals. What cannot be understood stops
//! it with a code of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use edgeplug_e2e::{World, WorldOptions};
use edgeplug_test_support::certificates::{ServerCertificate, TestCa};
use edgeplug_test_support::swtpm::SilentTpm;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(60);

/// Starts the daemon, waits for this trouble, and compares the words of status, log and `identity test`.
async fn expect_trouble(world: &World, kind: &str, exit: i32, words: &str) {
    let (code, said) = world.identity_test().await.unwrap();
    assert_eq!(code, exit, "{said}");
    assert!(said.contains(words), "{words:?} is not in {said:?}");
    let edgeplug = world.start().unwrap();
    let status = edgeplug.wait_status(|status| status["trouble"]["kind"] == kind, LONG).await.unwrap();
    let text = status["trouble"]["text"].as_str().unwrap();
    assert!(text.contains(words), "{words:?} is not in {text:?}");
    world.log().wait_for("not connected", 0, LONG).await.unwrap();
    let logged = world.log().lines().unwrap().into_iter().any(|line| line.text("reason") == text);
    assert!(logged, "the log says it in other words than the status");
    // Asking again while the daemon runs gives its own words and the same code.
    let (code, said) = world.identity_test().await.unwrap();
    assert!(code == exit && said.contains(text), "{code} {said}");
    assert!(edgeplug.terminate().await.unwrap().success());
}

fn online(status: &Value) -> bool {
    status["link"] == "online"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_tpm_is_named_and_heals() {
    let mut world = World::new(WorldOptions::default()).await.unwrap();
    world.tpm.as_mut().unwrap().stop().unwrap();
    expect_trouble(&world, "tpm-missing", 20, "TPM").await;
    let edgeplug = world.start().unwrap();
    edgeplug.wait_status(|status| status["trouble"]["kind"] == "tpm-missing", LONG).await.unwrap();
    world.tpm.as_mut().unwrap().restart().unwrap();
    edgeplug.wait_status(online, LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_that_hangs_is_named() {
    let world = World::new(WorldOptions::default()).await.unwrap();
    let silent = SilentTpm::start().unwrap();
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let config = config
        .replace(&world.tpm.as_ref().unwrap().tcti(), &silent.tcti())
        .replace("command_timeout_ms = 10000", "command_timeout_ms = 1000");
    std::fs::write(world.config_file(), config).unwrap();
    expect_trouble(&world, "tpm-busy", 21, "no answer from the TPM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_of_another_tpm_is_named_and_heals() {
    let world = World::new(WorldOptions { not_enrolled: true, ..WorldOptions::default() }).await.unwrap();
    let other = edgeplug_cloud::Device::tpm(world.unique_id()).endorsement_key(vec![1, 2, 3]);
    world.cloud.add_device(other).unwrap();
    expect_trouble(&world, "enrolment", 23, "endorsement key").await;
    let edgeplug = world.start().unwrap();
    world.enrol().await.unwrap();
    edgeplug.wait_status(online, LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_the_portal_does_not_know_is_told_so() {
    let world = World::new(WorldOptions { not_enrolled: true, ..WorldOptions::default() }).await.unwrap();
    expect_trouble(&world, "enrolment", 23, "unique id").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_network_is_named_and_heals() {
    let world = World::new(WorldOptions::default()).await.unwrap();
    world.cloud.stop_listening().await;
    expect_trouble(&world, "network", 25, "cannot reach").await;
    let edgeplug = world.start().unwrap();
    edgeplug.wait_status(|status| status["trouble"]["kind"] == "network", LONG).await.unwrap();
    world.cloud.resume_listening().await;
    edgeplug.wait_status(online, LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_named() {
    let world = World::new(WorldOptions::default()).await.unwrap();
    let ca = TestCa::new().unwrap();
    let port = serve_tls(&ca.expired_server().unwrap()).await;
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let config = config
        .replace(&world.cloud.discovery_url(), &format!("https://localhost:{port}"))
        .replace(&world.cloud.ca_file().display().to_string(), &ca.ca_file().display().to_string());
    std::fs::write(world.config_file(), config).unwrap();
    expect_trouble(&world, "certificate", 24, "has expired").await;
}

/// A TLS server that nobody gets past.
async fn serve_tls(certificate: &ServerCertificate) -> u16 {
    let chain =
        CertificateDer::pem_slice_iter(certificate.certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_understood_stops_with_its_own_code() {
    let world = World::new(WorldOptions { symmetric_key: true, ..WorldOptions::default() }).await.unwrap();
    let good = std::fs::read_to_string(world.config_file()).unwrap();
    for (text, code, words) in [
        (good.replace("cpid =", "cpdi ="), 11, &["cpdi", "did you mean `cpid`?", "line"][..]),
        (good.replace("cpid = \"CP\"", "cpid = 5"), 12, &["cpid", "line"]),
        (good.replace("[cloud]", "[cloud"), 13, &["line"]),
        (good.replace("discovery_url = \"https", "discovery_url = \"ftp"), 14, &["cloud.discovery_url"]),
        (good.replace("ca_file = \"", "ca_file = \"/nonexistent"), 15, &["cloud.ca_file", "/nonexistent"]),
    ] {
        std::fs::write(world.config_file(), text).unwrap();
        expect_exit(&world, code, words).await;
    }
    std::fs::remove_file(world.config_file()).unwrap();
    expect_exit(&world, 10, &["cannot read the configuration", "--config"]).await;
}

/// `run` ends by itself with this code and one message with these words and the file's name.
async fn expect_exit(world: &World, code: i32, words: &[&str]) {
    let output = world.command(&["run", "--config"]).arg(world.config_file()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    for word in words.iter().chain(&["edgeplug.toml"]) {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_state_is_refused() {
    let world = World::new(WorldOptions { symmetric_key: true, ..WorldOptions::default() }).await.unwrap();
    let first = world.start().unwrap();
    first.wait_status(online, LONG).await.unwrap();
    expect_exit_code_16(&world).await;
    first.wait_status(online, LONG).await.unwrap();
    assert!(first.terminate().await.unwrap().success());
}

async fn expect_exit_code_16(world: &World) {
    let output = world.command(&["run", "--config"]).arg(world.config_file()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(16), "{said}");
    assert!(said.contains("in use"), "{said}");
}
