//! The URL of a file opens it for whoever holds it: no part but the host is ever shown.

use std::{
    error::Error,
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use edgeplug_link::{DownloadRequest, HttpClient, LinkClock, tls_config};
use edgeplug_test_support::certificates::TestCa;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{
    file_server::{FileServer, Step, head},
    http::options,
};

/// Path, query, fragment and login of every URL here hold it.
const SECRET: &str = "hush";

/// Everything logged by this test's thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_error_or_debug_output_shows_more_of_a_url_than_its_host() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    let _listening = subscriber.with_writer(move || writer.clone()).finish().set_default();
    // With a single listener, what another test's thread logs first is taken for unwanted everywhere.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());

    let (ca, stranger) = (TestCa::new().unwrap(), TestCa::new().unwrap());
    let server = FileServer::start(Some(&ca.server().unwrap()), |asked| {
        let to = |location: &str| vec![Step::send(head("302 Found", 0, &format!("Location: {location}\r\n")))];
        match asked.path.rsplit('/').next().unwrap() {
            "good" => vec![Step::send(head("200 OK", 4, "")), Step::send("good")],
            "torn" => vec![Step::send(head("200 OK", 9, "")), Step::send("torn"), Step::Tear],
            "slow" => vec![Step::send(head("200 OK", 9, "")), Step::Hang],
            "long" => vec![Step::send(head("200 OK", 99_999, "")), Step::Hang],
            "gzip" => vec![Step::send(head("200 OK", 9, "Content-Encoding: gzip\r\n"))],
            "nonsense" => vec![Step::send(SECRET)],
            "redirect" => to("https://localhost:1/hush/x?sig=hush"),
            "circle" => to("/hush/circle"),
            "down" => to("http://localhost/hush?hush"),
            "nowhere" => to("hush://hush@/hush"),
            status => vec![Step::send(head(status, 0, ""))],
        }
    })
    .await;
    let trusting = client(ca.ca_file());
    let base = server.url("").replace("https://", "https://user:hush@");
    let (plain, nobody, port) =
        ("http://hush@files.example.com/hush", "https://localhost:1/hush?sig=hush", "https://h:hush/");
    let mut urls =
        vec![plain.to_owned(), nobody.to_owned(), port.to_owned(), "hush".to_owned(), "https:///?hush".to_owned()];
    let paths = ["good", "torn", "slow", "long", "gzip", "nonsense", "redirect", "circle", "down", "nowhere"];
    for path in paths.into_iter().chain(["403", "404", "416", "503"]) {
        urls.push(format!("{base}/hush/{path}"));
    }
    urls.push(format!("{base}/hush/good#sha256=hush"));

    let mut failures = 0;
    for (client, url) in urls.iter().map(|url| (&trusting, url)).chain([(&client(stranger.ca_file()), &urls[5])]) {
        let url = match url.split_once('#') {
            None if url.starts_with(&base) => format!("{url}#name=hush"),
            _ => url.clone(),
        };
        let request = DownloadRequest {
            url,
            offset: 0,
            validator: None,
            bytes_max: 1000,
            rate_max: None,
            idle_timeout: Duration::from_millis(300),
        };
        let mut shown = format!("{request:?}");
        match client.download(request).await {
            Ok(mut download) => {
                shown += &format!("{download:?}");
                let end = loop {
                    match download.chunk().await {
                        Ok(Some(_)) => {}
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                };
                failures += usize::from(end.is_some());
                shown += &format!("{download:?}");
                shown += &end.map(|error| chain(&error)).unwrap_or_default();
            }
            Err(error) => {
                failures += 1;
                shown += &chain(&error);
            }
        }
        assert!(!shown.contains(SECRET), "{shown}");
    }
    assert_eq!(failures, urls.len(), "all but one, and once more with the wrong certificate");

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("download begun") && logged.contains("reqwest"), "nobody listened to the log");
    if let Some(line) = logged.lines().find(|line| line.contains(SECRET)) {
        panic!("{line}");
    }
}

fn client(ca: &Path) -> HttpClient {
    HttpClient::new(&tls_config(Some(ca), &LinkClock::new()).unwrap(), options()).unwrap()
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut shown = format!("{error:?}\n{error:#?}\n");
    let mut next = Some(error);
    while let Some(error) = next {
        shown += &format!("{error}\n");
        next = error.source();
    }
    shown
}
