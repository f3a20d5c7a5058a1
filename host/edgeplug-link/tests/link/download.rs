//! Files from a real server: whole, resumed, wrong, slow and cut short.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use edgeplug_link::{
    Begun, CertificateProblem, Download, DownloadError, DownloadErrorKind, DownloadRequest, HttpClient, HttpOptions,
    LinkClock, Proxy, RedirectProblem, Unsound, Validator, tls_config,
};
use edgeplug_test_support::{certificates::TestCa, connect_proxy::ConnectProxy};
use tokio::time::{Instant, timeout};

use crate::{
    file_server::{Asked, FileServer, Served, Step, head},
    http::options,
};

const TAG: &str = "\"v1\"";

/// Far above what a good test takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn client(ca: Option<&Path>) -> HttpClient {
    HttpClient::new(&tls_config(ca, &LinkClock::new()).unwrap(), options()).unwrap()
}

fn request(url: String) -> DownloadRequest {
    DownloadRequest { url, offset: 0, validator: None, bytes_max: 1 << 20, rate_max: None, idle_timeout: PATIENCE }
}

fn from(url: String, offset: usize, validator: &Validator) -> DownloadRequest {
    DownloadRequest { offset: offset as u64, validator: Some(validator.clone()), ..request(url) }
}

fn tagged() -> Validator {
    Validator { etag: Some(TAG.to_owned()), ..Validator::default() }
}

fn noise(seed: u64, length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect::<Vec<_>>().into()
}

/// All that comes, and how it ends.
async fn read(download: &mut Download) -> (Vec<u8>, Result<(), DownloadError>) {
    let mut bytes = Vec::new();
    loop {
        match timeout(2 * PATIENCE, download.chunk()).await.expect("a download neither goes on nor ends") {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, Ok(())),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

async fn whole(request: DownloadRequest) -> (Begun, Vec<u8>) {
    let mut download = client(None).download(request).await.unwrap();
    let (bytes, end) = read(&mut download).await;
    end.unwrap();
    (download.begun().clone(), bytes)
}

async fn refusal(request: DownloadRequest) -> DownloadError {
    client(None).download(request).await.unwrap_err()
}

/// How the download of an answer ends that is sent in these steps, and what came before.
async fn ended(steps: fn() -> Vec<Step>, limit: Duration) -> (Vec<u8>, DownloadError) {
    let server = FileServer::start(None, move |_| steps()).await;
    let mut download =
        client(None).download(DownloadRequest { idle_timeout: limit, ..request(server.url("/fw")) }).await.unwrap();
    let (bytes, end) = read(&mut download).await;
    let error = end.unwrap_err();
    // It stays over, and never turns into a good end.
    assert!(download.chunk().await.is_err());
    (bytes, error)
}

async fn plain(script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static) -> FileServer {
    FileServer::start(None, script).await
}

#[tokio::test]
async fn a_file_comes_whole_and_says_how_to_resume_it() {
    let content = noise(1, 300_000);
    let file = Served::new(content.clone(), TAG);
    let server = plain(move |asked| file.steps(asked)).await;

    let (begun, bytes) = whole(request(server.url("/fw.bin?sig=1"))).await;

    assert_eq!(bytes, content);
    let validator = Validator { total: Some(300_000), ..tagged() };
    let expected = Begun { offset: 0, total: Some(300_000), validator: Some(validator.clone()), sha256: None };
    assert_eq!(begun, expected);
    let asked = server.asked().remove(0);
    assert_eq!((asked.path.as_str(), asked.header("accept-encoding")), ("/fw.bin?sig=1", Some("identity")));
    for absent in ["range", "if-range", "referer", "cookie", "authorization"] {
        assert_eq!(asked.header(absent), None);
    }
    let kept = serde_json::to_string(&validator).unwrap();
    assert_eq!(serde_json::from_str::<Validator>(&kept).unwrap(), validator);
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let server = plain(|_| vec![Step::send(head("200 OK", 0, ""))]).await;
    let (begun, bytes) = whole(request(server.url("/"))).await;
    assert_eq!((begun.total, bytes.len()), (Some(0), 0));
}

#[tokio::test]
async fn a_resume_at_any_offset_gives_exactly_what_is_missing() {
    const LENGTH: usize = 70_000;
    let content = noise(2, LENGTH);
    let file = Served::new(content.clone(), TAG);
    let server = plain(move |asked| file.steps(asked)).await;
    let client = client(None);
    let mut random = fastrand::Rng::with_seed(2);
    let edges = [1, 2, LENGTH - 1, LENGTH];
    for offset in edges.into_iter().chain((0..500).map(|_| random.usize(1..=LENGTH))) {
        let mut download = client.download(from(server.url("/"), offset, &tagged())).await.unwrap();
        let (bytes, end) = read(&mut download).await;
        end.unwrap();
        assert_eq!(download.begun().offset, offset as u64);
        assert_eq!(download.begun().total, Some(LENGTH as u64));
        assert!(bytes == content[offset..], "from {offset}");
    }
    assert!(server.asked().iter().all(|asked| asked.header("if-range") == Some(TAG)));
}

#[tokio::test]
async fn a_file_that_is_cut_again_and_again_comes_together() {
    let content = noise(3, 200_000);
    let file = Served::new(content.clone(), TAG);
    let cuts = std::sync::Mutex::new(fastrand::Rng::with_seed(3));
    let server = plain(move |asked| {
        let (head, body) = file.answer(asked);
        let (cut, reset) = cuts.lock().map(|mut random| (random.usize(0..20_000), random.bool())).unwrap();
        let mut steps = vec![Step::send(head), Step::Send(body.slice(..cut.min(body.len())))];
        if reset {
            steps.push(Step::Reset);
        }
        steps
    })
    .await;

    let (client, mut bytes, mut validator, mut tries) = (client(None), Vec::new(), None, 0);
    loop {
        tries += 1;
        assert!(tries < 1000);
        let request =
            DownloadRequest { offset: bytes.len() as u64, validator: validator.clone(), ..request(server.url("/")) };
        let mut download = match client.download(request).await {
            Ok(download) => download,
            // The reset overtook the head.
            Err(error) => {
                assert_eq!(error.kind(), DownloadErrorKind::Transient, "{error:?}");
                continue;
            }
        };
        assert_eq!(download.begun().offset, bytes.len() as u64);
        validator.clone_from(&download.begun().validator);
        let (more, end) = read(&mut download).await;
        bytes.extend_from_slice(&more);
        match end {
            Ok(()) => break,
            Err(DownloadError::CutShort { expected, got, .. }) => {
                assert_eq!((expected, got), (Some(200_000), bytes.len() as u64));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(bytes == content, "after {tries} tries");
}

#[tokio::test]
async fn what_promises_nothing_is_not_resumed() {
    let content = noise(4, 1000);
    for etag in ["W/\"v1\"", "v1"] {
        let file = Served::new(content.clone(), etag);
        let server = plain(move |asked| file.steps(asked)).await;
        let (begun, _) = whole(request(server.url("/"))).await;
        assert_eq!(begun.validator, None);
        let validator = Validator { etag: Some(etag.to_owned()), ..Validator::default() };
        for validator in [Some(validator), Some(Validator::default()), None] {
            let (begun, bytes) = whole(DownloadRequest { offset: 500, validator, ..request(server.url("/")) }).await;
            assert_eq!((begun.offset, bytes.len()), (0, 1000));
        }
        assert!(server.asked().iter().all(|asked| asked.offset().is_none()));
    }
}

#[tokio::test]
async fn without_a_tag_the_date_is_what_a_resume_hangs_on() {
    let headers = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Mon, 07 Nov 1994 08:49:37 GMT\r\n";
    let file = Served { bytes: noise(5, 1000), headers: headers.to_owned() };
    let server = plain(move |asked| file.steps(asked)).await;
    let (begun, _) = whole(request(server.url("/"))).await;
    let (begun, bytes) = whole(from(server.url("/"), 400, &begun.validator.unwrap())).await;
    assert_eq!((begun.offset, bytes.len()), (400, 600));
    assert_eq!(server.asked()[1].header("if-range"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
}

#[tokio::test]
async fn a_file_that_changed_in_between_comes_from_the_beginning() {
    let new = noise(6, 900);
    let honest = Served::new(new.clone(), "\"v2\"");
    let careless = honest.clone();
    let good = plain(move |asked| honest.steps(asked)).await;
    // As if there were no If-Range, as some stores do it.
    let ignores = plain(move |asked| match asked.offset() {
        Some(offset) => {
            let range = format!("Content-Range: bytes {offset}-899/900\r\nETag: \"v2\"\r\n");
            let part = careless.bytes.slice(offset..);
            vec![Step::send(head("206 Partial Content", part.len(), &range)), Step::Send(part)]
        }
        None => careless.steps(asked),
    })
    .await;
    for (server, requests) in [(good, 1), (ignores, 2)] {
        let (begun, bytes) = whole(from(server.url("/"), 500, &tagged())).await;
        assert_eq!((begun.offset, begun.total), (0, Some(900)));
        assert_eq!(begun.validator.unwrap().etag.as_deref(), Some("\"v2\""));
        assert!(bytes == new);
        assert_eq!(server.asked().len(), requests);
    }
}

#[tokio::test]
async fn a_wrong_part_is_thrown_away_and_the_whole_asked_for() {
    for (wrong, length) in [
        ("Content-Range: bytes 0-99/100\r\nETag: \"v1\"\r\n", 100),
        ("Content-Range: bytes 41-99/100\r\nETag: \"v1\"\r\n", 59),
        ("Content-Range: bytes 40-99/101\r\nETag: \"v1\"\r\n", 60),
        ("Content-Range: bytes 40-99/*\r\nETag: \"v1\"\r\n", 60),
        ("Content-Range: bytes 40-99/100\r\nETag: \"v1\"\r\n", 61),
        ("Content-Range: bytes 40-99/100\r\n", 60),
        ("Content-Type: multipart/byteranges; boundary=x\r\nETag: \"v1\"\r\n", 60),
        ("ETag: \"v1\"\r\n", 60),
    ] {
        let file = Served::new(noise(7, 100), TAG);
        let server = plain(move |asked| match asked.offset() {
            Some(_) => {
                vec![Step::send(head("206 Partial Content", length, wrong)), Step::Send(vec![b'x'; length].into())]
            }
            None => file.steps(asked),
        })
        .await;
        let (begun, bytes) = whole(from(server.url("/"), 40, &tagged())).await;
        assert_eq!(begun.offset, 0, "{wrong}");
        assert!(bytes == noise(7, 100), "{wrong}");
        let offsets = server.asked().iter().map(Asked::offset).collect::<Vec<_>>();
        assert_eq!(offsets, [Some(40), None], "{wrong}");
    }
}

#[tokio::test]
async fn a_part_of_another_length_than_was_known_is_thrown_away() {
    let file = Served::new(noise(8, 100), TAG);
    let server = plain(move |asked| file.steps(asked)).await;
    let before = Validator { total: Some(99), ..tagged() };
    let (begun, bytes) = whole(from(server.url("/"), 40, &before)).await;
    assert_eq!((begun.offset, bytes.len()), (0, 100));
}

#[tokio::test]
async fn a_server_that_only_gives_parts_is_refused() {
    let server = plain(|_| {
        vec![
            Step::send(head("206 Partial Content", 2, "Content-Range: bytes 0-1/2\r\nETag: \"v1\"\r\n")),
            Step::send("ab"),
        ]
    })
    .await;
    for request in [request(server.url("/")), from(server.url("/"), 1, &tagged())] {
        let error = refusal(request).await;
        assert!(matches!(error, DownloadError::Unsound { problem: Unsound::PartUnasked, .. }), "{error:?}");
        assert_eq!(error.kind(), DownloadErrorKind::Refused);
    }
}

#[tokio::test]
async fn nothing_comes_of_a_file_that_is_complete_and_the_whole_of_one_that_shrank() {
    let file = Served::new(noise(9, 100), TAG);
    let server = plain(move |asked| file.steps(asked)).await;
    let (begun, bytes) = whole(from(server.url("/"), 100, &tagged())).await;
    assert_eq!((begun.offset, begun.total, bytes.len()), (100, Some(100), 0));

    let (begun, bytes) = whole(from(server.url("/"), 150, &tagged())).await;
    assert_eq!((begun.offset, bytes.len()), (0, 100));
}

#[tokio::test]
async fn an_error_status_says_what_can_be_done() {
    for (status, kind) in [
        ("401 Unauthorized", DownloadErrorKind::Expired),
        ("403 Forbidden", DownloadErrorKind::Expired),
        ("404 Not Found", DownloadErrorKind::Refused),
        ("204 No Content", DownloadErrorKind::Refused),
        ("304 Not Modified", DownloadErrorKind::Refused),
        ("429 Too Many Requests", DownloadErrorKind::Transient),
        ("503 Service Unavailable", DownloadErrorKind::Transient),
    ] {
        let server =
            plain(move |_| vec![Step::Send(format!("HTTP/1.1 {status}\r\nRetry-After: 7\r\n\r\n").into())]).await;
        let error = refusal(from(server.url("/"), 3, &tagged())).await;
        assert_eq!(error.kind(), kind, "{error:?}");
        let busy = kind == DownloadErrorKind::Transient;
        assert_eq!(error.retry_after(), busy.then_some(Duration::from_secs(7)), "{error:?}");
        assert!(error.to_string().contains(&format!("(http {})", &status[..3])), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_followed_with_the_range() {
    let content = noise(10, 1000);
    let file = Served::new(content.clone(), TAG);
    let ca = TestCa::new().unwrap();
    let store = FileServer::start(Some(&ca.server().unwrap()), move |asked| file.steps(asked)).await;
    let target = store.url("/store/fw?sig=2");
    let portal = plain(move |asked| {
        let location = if asked.path == "/a" { "/b" } else { &target };
        vec![Step::send(head("302 Found", 0, &format!("Location: {location}\r\n")))]
    })
    .await;

    let request = from(portal.url("/a"), 300, &tagged());
    let mut download = client(Some(ca.ca_file())).download(request).await.unwrap();
    let (bytes, end) = read(&mut download).await;

    end.unwrap();
    assert!(bytes == content[300..]);
    assert_eq!(portal.asked().len(), 2);
    let asked = store.asked().remove(0);
    assert_eq!((asked.path.as_str(), asked.offset()), ("/store/fw?sig=2", Some(300)));
}

#[tokio::test]
async fn redirects_end_at_five_in_circles_and_before_plain_text() {
    let redirect =
        |location: &str| vec![Step::send(head("307 Temporary Redirect", 0, &format!("Location: {location}\r\n")))];
    let ca = TestCa::new().unwrap();
    let file = Served::new(noise(11, 10), TAG);
    let unsafe_store = plain(move |asked| file.steps(asked)).await;
    let plain_text = unsafe_store.url("/");
    let server = FileServer::start(Some(&ca.server().unwrap()), move |asked| match asked.path.as_str() {
        "/circle" => redirect("/round"),
        "/round" => redirect("/circle"),
        "/down" => redirect(&plain_text),
        "/away" => redirect("http://elsewhere.example/"),
        "/file" => redirect("file:///etc/passwd"),
        "/nowhere" => vec![Step::send(head("301 Moved Permanently", 0, ""))],
        _ => redirect(&format!("/{}", asked.number)),
    })
    .await;
    let client = client(Some(ca.ca_file()));
    for (path, expected, requests) in [
        ("/many", RedirectProblem::TooMany, 6),
        ("/circle", RedirectProblem::Loop, 2),
        ("/down", RedirectProblem::PlainText, 1),
        ("/away", RedirectProblem::PlainText, 1),
        ("/file", RedirectProblem::NoTarget, 1),
        ("/nowhere", RedirectProblem::NoTarget, 1),
    ] {
        let before = server.asked().len();
        let error = client.download(request(server.url(path))).await.unwrap_err();
        assert!(matches!(error, DownloadError::Redirects { problem, .. } if problem == expected), "{path}: {error:?}");
        assert_eq!(error.kind(), DownloadErrorKind::Refused);
        assert_eq!(server.asked().len() - before, requests, "{path}");
    }
    assert!(unsafe_store.asked().is_empty());
}

#[tokio::test]
async fn a_connection_that_is_cut_says_how_far_it_came() {
    for steps in [
        || vec![Step::send(head("200 OK", 100, "")), Step::send("x".repeat(60))],
        || vec![Step::send(head("200 OK", 100, "")), Step::send("x".repeat(60)), Step::Pause(ms(100)), Step::Reset],
    ] {
        let (bytes, error) = ended(steps, PATIENCE).await;
        assert_eq!(bytes.len(), 60);
        assert!(matches!(error, DownloadError::CutShort { expected: Some(100), got: 60, .. }), "{error:?}");
        assert_eq!(error.to_string(), "localhost broke off after 60 of 100 bytes");
        assert_eq!(error.kind(), DownloadErrorKind::Transient);
    }
    let chunked = || vec![Step::send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhallo\r\n5\r\nha")];
    let (bytes, error) = ended(chunked, PATIENCE).await;
    assert!(bytes.starts_with(b"hallo"));
    assert!(matches!(error, DownloadError::CutShort { expected: None, .. }), "{error:?}");
}

#[tokio::test]
async fn a_length_that_only_the_end_tells_is_no_end_when_tls_was_cut() {
    let ca = TestCa::new().unwrap();
    for torn in [false, true] {
        let server = FileServer::start(Some(&ca.server().unwrap()), move |_| {
            let mut steps = vec![Step::send("HTTP/1.1 200 OK\r\n\r\nhallo")];
            if torn {
                steps.push(Step::Tear);
            }
            steps
        })
        .await;
        let mut download = client(Some(ca.ca_file())).download(request(server.url("/"))).await.unwrap();
        let (bytes, end) = read(&mut download).await;
        assert_eq!(bytes, b"hallo");
        assert_eq!(end.is_err(), torn, "{end:?}");
    }
}

#[tokio::test]
async fn more_than_was_announced_is_not_taken() {
    let server = plain(|asked| match asked.offset() {
        Some(_) => vec![Step::send(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nETag: \"v1\"\r\n\
             Transfer-Encoding: chunked\r\n\r\n6\r\nsixsix\r\n0\r\n\r\n",
        )],
        None => vec![Step::send(format!("{}hallo and more", head("200 OK", 5, "")))],
    })
    .await;
    assert_eq!(whole(request(server.url("/"))).await.1, b"hallo");
    let mut download = client(None).download(from(server.url("/"), 5, &tagged())).await.unwrap();
    let (bytes, end) = read(&mut download).await;
    assert!(bytes.len() <= 5);
    assert!(matches!(end, Err(DownloadError::Unsound { problem: Unsound::TooLong, .. })), "{end:?}");
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_announced_or_endless() {
    let announced = plain(|_| vec![Step::send(head("200 OK", (1 << 20) + 1, "")), Step::Hang]).await;
    let error = refusal(request(announced.url("/"))).await;
    assert!(matches!(error, DownloadError::TooLarge { bytes_max: 0x10_0000, .. }), "{error:?}");
    assert_eq!(error.kind(), DownloadErrorKind::Refused);

    // Kept under a larger limit: the server has the word.
    let file = Served::new(noise(12, 100), TAG);
    let shrunk = plain(move |asked| file.steps(asked)).await;
    let error = refusal(DownloadRequest { bytes_max: 99, ..from(shrunk.url("/"), 100, &tagged()) }).await;
    assert!(matches!(error, DownloadError::TooLarge { .. }), "{error:?}");
    assert_eq!(shrunk.asked()[0].offset(), None);

    for (start, piece) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1000)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", format!("3e8\r\n{}\r\n", "x".repeat(1000))),
    ] {
        let server = plain(move |_| vec![Step::send(start), Step::Repeat(piece.clone().into())]).await;
        let mut download = client(None).download(request(server.url("/"))).await.unwrap();
        assert_eq!(download.begun().total, None);
        let (bytes, end) = read(&mut download).await;
        assert!(bytes.len() <= 1 << 20, "{}", bytes.len());
        assert!(matches!(end, Err(DownloadError::TooLarge { .. })), "{end:?}");
    }
}

#[tokio::test]
async fn a_server_that_keeps_us_waiting_is_given_up() {
    let limit = ms(400);
    let http = HttpOptions { connect_timeout: ms(100), ..options() };
    let client = HttpClient::new(&tls_config(None, &LinkClock::new()).unwrap(), http).unwrap();
    // Before the answer, and within its head, which comes drop by drop.
    for drops in [0, 1000] {
        let server = plain(move |_| {
            let drops = (0..drops).flat_map(|_| [Step::send("x"), Step::Pause(ms(50))]);
            [Step::send("HTTP/1.1 200 OK\r\nX-Drops: ")].into_iter().chain(drops).chain([Step::Hang]).collect()
        })
        .await;
        let request = DownloadRequest { idle_timeout: limit, ..request(server.url("/")) };
        let error = timeout(PATIENCE, client.download(request)).await.unwrap().unwrap_err();
        assert!(matches!(error, DownloadError::Timeout { .. }), "{error:?}");
        assert_eq!(error.kind(), DownloadErrorKind::Transient);
    }

    let hangs = || vec![Step::send(format!("{}hallo", head("200 OK", 10, ""))), Step::Hang];
    let drips = || {
        let drops = (0..1000).flat_map(|_| [Step::send("x"), Step::Pause(ms(50))]);
        [Step::send(head("200 OK", 1000, ""))].into_iter().chain(drops).collect()
    };
    for (steps, few) in [(hangs as fn() -> Vec<Step>, 5), (drips, 100)] {
        let (bytes, error) = ended(steps, limit).await;
        assert!((1..=few).contains(&bytes.len()), "{}", bytes.len());
        assert!(matches!(error, DownloadError::Timeout { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn asking_anew_does_not_reset_the_wait() {
    let server = plain(|_| vec![Step::send(head("200 OK", 10, "")), Step::Hang]).await;
    let request = DownloadRequest { idle_timeout: ms(300), ..request(server.url("/")) };
    let mut download = client(None).download(request).await.unwrap();
    let begun = Instant::now();
    let error = loop {
        // As in a `select!` with a clock that ticks often.
        if let Ok(end) = timeout(ms(20), download.chunk()).await {
            break end.unwrap_err();
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    assert!(matches!(error, DownloadError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn a_download_may_take_longer_than_any_request() {
    let http = HttpOptions { request_timeout: ms(300), ..options() };
    let client = HttpClient::new(&tls_config(None, &LinkClock::new()).unwrap(), http).unwrap();
    let server = plain(|_| {
        let pieces = (0..10).flat_map(|_| [Step::send("x".repeat(2000)), Step::Pause(ms(100))]);
        [Step::send(head("200 OK", 20_000, ""))].into_iter().chain(pieces).collect()
    })
    .await;
    let begun = Instant::now();
    let mut download = client.download(request(server.url("/"))).await.unwrap();
    let (bytes, end) = read(&mut download).await;
    end.unwrap();
    assert_eq!(bytes.len(), 20_000);
    assert!(begun.elapsed() > ms(600));
}

#[tokio::test]
async fn a_download_goes_no_faster_than_allowed() {
    let content = noise(13, 150_000);
    let file = Served::new(content.clone(), TAG);
    let server = plain(move |asked| file.steps(asked)).await;
    let begun = Instant::now();
    let (_, bytes) = whole(DownloadRequest { rate_max: Some(100_000), ..request(server.url("/")) }).await;
    assert!(bytes == content);
    // The last chunk is not waited for.
    assert!(begun.elapsed() > ms(500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_encoded_answer_is_refused() {
    let server = plain(|_| vec![Step::send(head("200 OK", 2, "Content-Encoding: gzip\r\n")), Step::send("xx")]).await;
    let error = refusal(request(server.url("/"))).await;
    assert!(matches!(error, DownloadError::Unsound { problem: Unsound::Encoded, .. }), "{error:?}");
}

#[tokio::test]
async fn a_digest_is_handed_on_from_url_or_headers_and_must_be_one() {
    let hex = "ab".repeat(32);
    let file = Served { bytes: noise(14, 10), headers: format!("ETag: {TAG}\r\nx-ms-meta-sha256: {hex}\r\n") };
    let server = plain(move |asked| file.steps(asked)).await;
    for url in [server.url("/"), server.url(&format!("/#sha256={hex}"))] {
        assert_eq!(whole(request(url.clone())).await.0.sha256, Some([0xab; 32]));
        assert_eq!(whole(from(url.clone(), 5, &tagged())).await.0.sha256, Some([0xab; 32]));
        assert_eq!(whole(from(url, 10, &tagged())).await.0.sha256, Some([0xab; 32]));
    }
    let asked = server.asked().len();
    let error = refusal(request(server.url("/#sha256=ab"))).await;
    assert!(matches!(error, DownloadError::Unsound { problem: Unsound::Digest, .. }), "{error:?}");
    assert_eq!(server.asked().len(), asked, "nothing is asked with such a url");
    let error = refusal(request(server.url(&format!("/#sha256={}", "cd".repeat(32))))).await;
    assert!(matches!(error, DownloadError::Unsound { problem: Unsound::DigestsDiffer, .. }), "{error:?}");
}

#[tokio::test]
async fn nothing_is_asked_of_a_server_that_cannot_be_trusted() {
    let (ca, stranger) = (TestCa::new().unwrap(), TestCa::new().unwrap());
    for (certificate, trusted, expected) in [
        (ca.server().unwrap(), &stranger, CertificateProblem::UnknownIssuer),
        (ca.expired_server().unwrap(), &ca, CertificateProblem::Expired),
        (ca.misnamed_server().unwrap(), &ca, CertificateProblem::WrongName),
    ] {
        let server = FileServer::start(Some(&certificate), |_| vec![]).await;
        let client = client(Some(trusted.ca_file()));
        let redirecting = server.url("/fw?sig=1");
        let portal =
            plain(move |_| vec![Step::send(head("302 Found", 0, &format!("Location: {redirecting}\r\n")))]).await;
        for url in [server.url("/fw?sig=1"), portal.url("/")] {
            let error = client.download(request(url)).await.unwrap_err();
            assert!(matches!(&error, DownloadError::Untrusted { problem, .. } if *problem == expected), "{error:?}");
            assert_eq!(error.kind(), DownloadErrorKind::Transient);
        }
        assert!(server.asked().is_empty());
    }
}

#[tokio::test]
async fn a_download_takes_the_proxy() {
    let ca = TestCa::new().unwrap();
    let proxy = ConnectProxy::start(None).await.unwrap();
    let file = Served::new(noise(15, 1000), TAG);
    let server = FileServer::start(Some(&ca.server().unwrap()), move |asked| file.steps(asked)).await;
    let http = HttpOptions { proxy: Some(Proxy::parse(&proxy.url()).unwrap()), ..options() };
    let client = HttpClient::new(&tls_config(Some(ca.ca_file()), &LinkClock::new()).unwrap(), http).unwrap();

    let mut download = client.download(from(server.url("/"), 10, &tagged())).await.unwrap();
    assert_eq!(read(&mut download).await.0.len(), 990);
    assert_eq!(proxy.tunnels(), 1);

    proxy.refuse(true);
    let error = client.download(request(server.url("/"))).await.unwrap_err();
    assert!(matches!(error, DownloadError::Network(_)), "{error:?}");
    assert_eq!(error.kind(), DownloadErrorKind::Transient);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_is_no_server_is_told_apart() {
    let nobody = plain(|_| vec![]).await.url("/");
    let gibberish = plain(|_| vec![Step::send("SSH-2.0-OpenSSH\r\n")]).await;
    for url in [nobody, gibberish.url("/")] {
        let error = refusal(request(url)).await;
        assert!(matches!(error, DownloadError::Network(_)), "{error:?}");
    }
    let error = refusal(request("http://files.example.com/fw".to_owned())).await;
    assert_eq!(error.to_string(), "refused to download from files.example.com in plain text; use https://");
    for url in ["", "fw.bin", "ftp://files.example.com/fw", "https://"] {
        assert!(matches!(refusal(request(url.to_owned())).await, DownloadError::BadUrl));
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
