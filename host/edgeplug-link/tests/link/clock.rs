//! Certificates are judged by the link's clock, for HTTPS and MQTT alike.

use std::time::{SystemTime, UNIX_EPOCH};

use edgeplug_link::{CertificateProblem, DownReason, HttpClient, HttpError, LinkClock, tls_config};
use edgeplug_test_support::{certificates::TestCa, mosquitto::Mosquitto};

use crate::{
    http::{get, options},
    https_server::HttpsServer,
    rig::{Rig, secure},
};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// 2020-06-15, in the middle of the time that [`TestCa::expired_server`] is valid.
const JUNE_2020_MS: i64 = 1_592_179_200_000;

/// Makes the clock show this time now.
fn set(clock: &LinkClock, unix_ms: i64) {
    clock.correct(0);
    let since_boot_ms = clock.unix_ms();
    clock.correct(unix_ms - since_boot_ms);
}

fn at(unix_ms: i64) -> LinkClock {
    let clock = LinkClock::new();
    set(&clock, unix_ms);
    clock
}

#[tokio::test]
async fn https_follows_the_corrected_time() {
    let ca = TestCa::new().unwrap();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = HttpsServer::start(&ca.expired_server().unwrap(), Some(answer)).await;
    let clock = LinkClock::new();
    let client = HttpClient::new(&tls_config(Some(ca.ca_file()), &clock).unwrap(), options()).unwrap();
    let problem = async || match client.send(get(server.url("/"))).await {
        Ok(_) => None,
        Err(HttpError::Untrusted { problem, .. }) => Some(problem),
        Err(other) => panic!("{other:?}"),
    };

    assert_eq!(problem().await, Some(CertificateProblem::Expired));
    // The same client: a correction reaches what was made before it.
    set(&clock, JUNE_2020_MS - 365 * DAY_MS);
    assert_eq!(problem().await, Some(CertificateProblem::NotYetValid));
    set(&clock, JUNE_2020_MS);
    assert_eq!(problem().await, None);
}

#[tokio::test]
async fn mqtt_follows_the_corrected_time() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start_with(&ca, &ca.expired_server().unwrap()).unwrap();
    let mut in_time = Rig::at(Some(ca.ca_file()), &at(JUNE_2020_MS));
    let (connection, _) = in_time.up(secure(broker.tls_port())).await;
    in_time.leave(connection).await;

    for (unix_ms, expected) in [(now_ms(), "has expired"), (0, "is not valid yet")] {
        let reason = Rig::at(Some(ca.ca_file()), &at(unix_ms)).refused(secure(broker.tls_port())).await;
        assert!(matches!(&reason, DownReason::Tls(text) if text.contains(expected)), "{reason}");
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
