//! The firmware store against a real HTTP client: it serves as RFC 9110 says, refuses as blob storage does, and every fault is
//! what it is called.

use std::time::Duration;

use edgeplug_cloud::{Cloud, CloudOptions, FirmwareFault, FirmwareStore, Redirect, Sha256Metadata};
use reqwest::{Client, Method, Response};

use super::PATIENCE;
use super::iotconnect::client;

const NAME: &str = "fw.bin";
const LENGTH: usize = 300_000;

struct Store {
    cloud: Cloud,
    http: Client,
}

/// What came of a request: status and body, or how many bytes came before it broke.
#[derive(Debug, PartialEq)]
enum Came {
    Whole(u16, Vec<u8>),
    Broken(u16, usize),
    Nothing,
}

fn content() -> Vec<u8> {
    (0..LENGTH).map(|index| (index % 251) as u8).collect()
}

impl Store {
    async fn with_file() -> Self {
        let cloud = Cloud::start(CloudOptions::new()).await.unwrap();
        let http = client(&cloud);
        cloud.firmware().add(NAME, content()).unwrap();
        Self { cloud, http }
    }

    fn store(&self) -> &FirmwareStore {
        self.cloud.firmware()
    }

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Response {
        self.ask(Method::GET, url, headers).await
    }

    async fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Response {
        let request =
            headers.iter().fold(self.http.request(method, url), |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    }

    async fn download(&self, headers: &[(&str, &str)]) -> Came {
        let url = self.store().url(NAME);
        let request = headers.iter().fold(self.http.get(url), |request, (name, value)| request.header(*name, *value));
        let Ok(mut answer) = request.send().await else { return Came::Nothing };
        let (status, mut body) = (answer.status().as_u16(), Vec::new());
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend(chunk),
                Ok(None) => return Came::Whole(status, body),
                Err(_) => return Came::Broken(status, body.len()),
            }
        }
    }

    fn last_status(&self) -> Option<u16> {
        self.store().requests(NAME).last().unwrap().status
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn refused(answer: Response) -> (u16, String) {
    assert_eq!(header(&answer, "content-type"), "application/xml");
    let (status, code) = (answer.status().as_u16(), header(&answer, "x-ms-error-code").to_owned());
    let body = answer.text().await.unwrap();
    assert!(body.starts_with("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>"), "{body}");
    assert!(body.contains(&format!("<Code>{code}</Code><Message>")) && body.contains("\nRequestId:"), "{body}");
    (status, code)
}

#[tokio::test]
async fn a_file_is_served_whole_and_in_part() {
    let rig = Store::with_file().await;
    let url = rig.store().url(NAME);
    let whole = rig.get(&url, &[]).await;
    let expected =
        [("accept-ranges", "bytes"), ("content-length", "300000"), ("content-type", "application/octet-stream")];
    for (name, value) in expected {
        assert_eq!(header(&whole, name), value);
    }
    let (etag, modified) = (header(&whole, "etag").to_owned(), header(&whole, "last-modified").to_owned());
    assert!(etag.starts_with("\"0x") && modified.ends_with(" GMT"), "{etag} {modified}");
    assert!(whole.headers().get("x-ms-meta-sha256").is_none());
    assert_eq!(whole.bytes().await.unwrap(), content());

    for (range, from, to) in [("bytes=0-0", 0, 1), ("bytes=1000-", 1000, LENGTH), ("bytes=-10", LENGTH - 10, LENGTH)] {
        let part = rig.get(&url, &[("range", range)]).await;
        assert_eq!(part.status(), 206);
        assert_eq!(header(&part, "content-range"), format!("bytes {from}-{}/{LENGTH}", to - 1));
        assert_eq!(header(&part, "content-length"), (to - from).to_string());
        assert_eq!(header(&part, "etag"), etag);
        assert_eq!(part.bytes().await.unwrap(), content()[from..to]);
    }
    let part = [("range", "bytes=10-19")];
    for (condition, status) in
        [(etag.as_str(), 206), (modified.as_str(), 206), ("\"other\"", 200), ("W/\"other\"", 200)]
    {
        assert_eq!(rig.get(&url, &[part[0], ("if-range", condition)]).await.status(), status, "{condition}");
    }
    let past = rig.get(&url, &[("range", "bytes=300000-")]).await;
    assert_eq!(header(&past, "content-range"), "bytes */300000");
    assert_eq!(refused(past).await, (416, "InvalidRange".to_owned()));
    assert_eq!(refused(rig.get(&url, &[("if-match", "\"other\"")]).await).await, (412, "ConditionNotMet".to_owned()));
    let unchanged = rig.get(&url, &[("if-none-match", &etag)]).await;
    assert_eq!((unchanged.status().as_u16(), unchanged.bytes().await.unwrap().len()), (304, 0));

    let head = rig.ask(Method::HEAD, &url, &[("range", "bytes=0-9")]).await;
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "300000"));
    assert!(head.bytes().await.unwrap().is_empty());

    let log = rig.store().requests(NAME);
    assert_eq!(log.len(), 12);
    assert_eq!((log[0].status, log[0].range.as_deref(), log[0].sent), (Some(200), None, LENGTH as u64));
    assert_eq!(
        (log[2].status, log[2].range.as_deref(), log[2].sent),
        (Some(206), Some("bytes=1000-"), LENGTH as u64 - 1000)
    );
    assert_eq!((log[4].if_range.as_deref(), log[4].tls), (Some(etag.as_str()), true));
    assert_eq!((log[11].method.as_str(), log[11].sent), ("HEAD", 0));
}

#[tokio::test]
async fn a_replaced_file_is_another_one() {
    let rig = Store::with_file().await;
    let url = rig.store().url(NAME);
    let before = rig.get(&url, &[]).await;
    let other = vec![7; LENGTH];
    rig.store().replace(NAME, other.clone()).unwrap();
    for name in ["etag", "last-modified"] {
        let again = rig.get(&url, &[("range", "bytes=10-"), ("if-range", header(&before, name))]).await;
        assert_eq!(again.status(), 200, "{name}");
        assert_ne!(header(&again, name), header(&before, name));
        assert_eq!(again.bytes().await.unwrap(), other);
    }
    rig.store().tell_sha256(NAME, Sha256Metadata::Right).unwrap();
    let told = rig.get(&url, &[]).await;
    assert_eq!(header(&told, "x-ms-meta-sha256"), rig.store().sha256(NAME).unwrap());
    rig.store().tell_sha256(NAME, Sha256Metadata::Other("00".into())).unwrap();
    assert_eq!(header(&rig.get(&url, &[]).await, "x-ms-meta-sha256"), "00");
    assert!(rig.store().tell_sha256(NAME, Sha256Metadata::Other("a\nb".into())).is_err());
    assert!(rig.store().add(NAME, vec![]).is_err());
    assert!(rig.store().replace("other", vec![]).is_err() && rig.store().fault("other", FirmwareFault::Hang).is_err());
    rig.store().remove(NAME).unwrap();
    assert_eq!(refused(rig.get(&url, &[]).await).await, (404, "BlobNotFound".to_owned()));
}

#[tokio::test]
async fn the_store_refuses_what_blob_storage_refuses() {
    let rig = Store::with_file().await;
    rig.store().add("other.bin", vec![1]).unwrap();
    let url = rig.store().url(NAME);
    let (path, query) = url.split_once('?').unwrap();
    let failed = (403, "AuthenticationFailed".to_owned());
    for spoilt in [
        rig.store().expired_url(NAME),
        rig.store().url_for(NAME, Duration::ZERO),
        url.replace(NAME, "other.bin"),
        url.replace(NAME, "missing.bin"),
        url.replace("se=20", "se=21"),
        url.replace("sp=r", "sp=rwd"),
        url.replace("&sig=", "&sig=A"),
        format!("{path}?{}", query.split("&sig=").next().unwrap().to_owned() + "&sig=bm8%3D"),
        format!("{url}&rsct=text%2Fplain"),
    ] {
        assert_eq!(refused(rig.get(&spoilt, &[]).await).await, failed, "{spoilt}");
    }
    assert_eq!(refused(rig.get(path, &[]).await).await, (409, "PublicAccessNotPermitted".to_owned()));
    assert_eq!(refused(rig.get(&rig.store().url("missing.bin"), &[]).await).await, (404, "BlobNotFound".to_owned()));
    for method in [Method::PUT, Method::DELETE, Method::POST] {
        assert_eq!(
            refused(rig.ask(method, &url, &[]).await).await,
            (403, "AuthorizationPermissionMismatch".to_owned())
        );
    }
    let head = rig.ask(Method::HEAD, &rig.store().expired_url(NAME), &[]).await;
    assert_eq!((head.status().as_u16(), header(&head, "x-ms-error-code")), (403, "AuthenticationFailed"));
    assert!(head.bytes().await.unwrap().is_empty());
    // What was signed for TLS opens nothing without.
    let plain = url.replace(&rig.cloud.discovery_url(), &rig.cloud.control_url());
    assert_eq!(refused(rig.get(&plain, &[]).await).await, (403, "AuthorizationProtocolMismatch".to_owned()));
    assert_eq!(rig.get(&url, &[]).await.status(), 200);
    rig.store().rotate_key();
    assert_eq!(refused(rig.get(&url, &[]).await).await, failed);
    assert_eq!(rig.get(&rig.store().url(NAME), &[]).await.status(), 200);
}

#[tokio::test]
async fn names_are_encoded_and_urls_differ() {
    let rig = Store::with_file().await;
    for name in ["a b+c%.bin", "dir/ü&?#.bin", "..%2fescape", "SHA256SUMS.minisig"] {
        rig.store().add(name, name.as_bytes().to_vec()).unwrap();
        let url = rig.store().url(name);
        assert_eq!(rig.get(&url, &[]).await.text().await.unwrap(), name, "{url}");
    }
    assert_ne!(rig.store().url(NAME), rig.store().url(NAME));
    for name in ["", "a\nb", &"x".repeat(1025)] {
        assert!(rig.store().add(name, vec![]).is_err(), "{name:?}");
    }
}

#[tokio::test]
async fn connections_break_where_they_should() {
    let rig = Store::with_file().await;
    for cut in [0, 1, 1000, 200_000] {
        rig.store().fault(NAME, FirmwareFault::CutAfter(cut)).unwrap();
        assert_eq!(rig.download(&[]).await, Came::Broken(200, cut as usize));
    }
    rig.store().fault(NAME, FirmwareFault::CutAfter(500)).unwrap();
    assert_eq!(rig.download(&[("range", "bytes=1000-")]).await, Came::Broken(206, 500));
    rig.store().fault(NAME, FirmwareFault::LengthOff(5)).unwrap();
    assert_eq!(rig.download(&[]).await, Came::Broken(200, LENGTH));
    rig.store().fault(NAME, FirmwareFault::LengthOff(-5)).unwrap();
    assert_eq!(rig.download(&[]).await, Came::Whole(200, content()[..LENGTH - 5].to_vec()));
    rig.store().fault_times(NAME, FirmwareFault::CutAfter(9), 2).unwrap();
    for _ in 0..2 {
        assert_eq!(rig.download(&[]).await, Came::Broken(200, 9));
    }
    assert_eq!(rig.download(&[]).await, Came::Whole(200, content()));
    assert_eq!(rig.store().requests(NAME)[3].sent, 200_000);
}

#[tokio::test]
async fn silence_lasts_until_the_client_has_enough() {
    let rig = Store::with_file().await;
    rig.store().fault(NAME, FirmwareFault::Hang).unwrap();
    let url = rig.store().url(NAME);
    let hanging = rig.http.get(&url).timeout(Duration::from_millis(300)).send().await;
    assert!(hanging.unwrap_err().is_timeout());
    assert_eq!(rig.last_status(), None);
    rig.store().fault(NAME, FirmwareFault::StallAfter(1234)).unwrap();
    let mut stalled = rig.http.get(&url).timeout(Duration::from_millis(700)).send().await.unwrap();
    let mut came = 0;
    let error = loop {
        match stalled.chunk().await {
            Ok(Some(chunk)) => came += chunk.len(),
            Ok(None) => panic!("it ended"),
            Err(error) => break error,
        }
    };
    assert!(error.is_timeout() && came == 1234, "{came} {error}");
    rig.store().fault(NAME, FirmwareFault::Slow(1_000_000)).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(rig.download(&[]).await, Came::Whole(200, content()));
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    assert!(rig.store().fault(NAME, FirmwareFault::Slow(0)).is_err());
    rig.store().wait_sent(NAME, (LENGTH + 1234) as u64, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn contents_are_spoilt_as_asked() {
    let rig = Store::with_file().await;
    let spoilt = |offset: usize| {
        let mut bytes = content();
        bytes[offset] = !bytes[offset];
        bytes
    };
    rig.store().fault_times(NAME, FirmwareFault::FlippedByte(5000), 3).unwrap();
    assert_eq!(rig.download(&[]).await, Came::Whole(200, spoilt(5000)));
    let part = spoilt(5000)[4990..].to_vec();
    assert_eq!(rig.download(&[("range", "bytes=4990-")]).await, Came::Whole(206, part));
    assert_eq!(rig.download(&[("range", "bytes=5001-")]).await, Came::Whole(206, content()[5001..].to_vec()));

    let url = rig.store().url(NAME);
    rig.store().fault(NAME, FirmwareFault::Encoded).unwrap();
    assert_eq!(header(&rig.get(&url, &[]).await, "content-encoding"), "gzip");
    rig.store().fault(NAME, FirmwareFault::Unannounced).unwrap();
    let chunked = rig.get(&url, &[]).await;
    assert_eq!((header(&chunked, "transfer-encoding"), chunked.content_length()), ("chunked", None));
    assert_eq!(chunked.bytes().await.unwrap(), content());

    let etag = header(&rig.get(&url, &[]).await, "etag").to_owned();
    rig.store().fault(NAME, FirmwareFault::ChangedAfter(100)).unwrap();
    assert_eq!(rig.download(&[]).await, Came::Broken(200, 100));
    let inverted: Vec<u8> = content().iter().map(|byte| !byte).collect();
    let resumed = rig.get(&url, &[("range", "bytes=100-"), ("if-range", &etag)]).await;
    assert_eq!(resumed.status(), 200);
    assert_ne!(header(&resumed, "etag"), etag);
    assert_eq!(resumed.bytes().await.unwrap(), inverted);
    rig.store().fault(NAME, FirmwareFault::IgnoresIfRange).unwrap();
    let forgetful = rig.get(&url, &[("range", "bytes=100-"), ("if-range", &etag)]).await;
    assert_eq!(forgetful.status(), 206);
    assert_ne!(header(&forgetful, "etag"), etag);
}

#[tokio::test]
async fn ranges_and_validators_go_wrong_as_asked() {
    let rig = Store::with_file().await;
    let (url, range) = (rig.store().url(NAME), [("range", "bytes=100-")]);
    rig.store().fault(NAME, FirmwareFault::WholeForRange).unwrap();
    assert_eq!(rig.download(&range).await, Came::Whole(200, content()));
    rig.store().fault(NAME, FirmwareFault::ShiftedRange(-60)).unwrap();
    let shifted = rig.get(&url, &range).await;
    assert_eq!((shifted.status().as_u16(), header(&shifted, "content-range")), (206, "bytes 40-299999/300000"));
    assert_eq!(shifted.bytes().await.unwrap(), content()[40..]);
    rig.store().fault(NAME, FirmwareFault::WithoutValidators).unwrap();
    let bare = rig.get(&url, &[]).await;
    assert_eq!((header(&bare, "etag"), header(&bare, "last-modified")), ("", ""));
    rig.store().fault(NAME, FirmwareFault::WeakEtag).unwrap();
    let weak = rig.get(&url, &[]).await;
    assert!(header(&weak, "etag").starts_with("W/\"") && header(&weak, "last-modified").is_empty());
    for (status, code) in [
        (500, "InternalError"),
        (503, "ServerBusy"),
        (429, "ServerBusy"),
        (403, "AuthenticationFailed"),
        (404, "BlobNotFound"),
        (416, "InvalidRange"),
    ] {
        rig.store().fault(NAME, FirmwareFault::Status { status, retry_after_s: Some(7) }).unwrap();
        let answer = rig.get(&url, &[]).await;
        assert_eq!(header(&answer, "retry-after"), "7");
        assert_eq!(header(&answer, "content-range"), if status == 416 { "bytes */300000" } else { "" });
        assert_eq!(refused(answer).await, (status, code.to_owned()));
    }
    assert!(rig.store().fault(NAME, FirmwareFault::Status { status: 200, retry_after_s: None }).is_err());
}

#[tokio::test]
async fn a_url_is_good_for_so_many_requests() {
    let rig = Store::with_file().await;
    rig.store().fault(NAME, FirmwareFault::ForbiddenAfter(2)).unwrap();
    rig.store().fault_always(NAME, FirmwareFault::CutAfter(10)).unwrap();
    for _ in 0..2 {
        let url = rig.store().url(NAME);
        for _ in 0..2 {
            assert_eq!(rig.get(&url, &[]).await.status(), 200);
        }
        assert_eq!(refused(rig.get(&url, &[]).await).await, (403, "AuthenticationFailed".to_owned()));
    }
    assert_eq!(rig.store().files()[0].faults, [FirmwareFault::CutAfter(10), FirmwareFault::ForbiddenAfter(2)]);
    rig.store().clear_faults(NAME).unwrap();
    assert_eq!(rig.download(&[]).await, Came::Whole(200, content()));
}

#[tokio::test]
async fn redirects_lead_where_they_say() {
    let rig = Store::with_file().await;
    let asked = || rig.store().requests(NAME);
    for hops in [1, 3] {
        let before = asked().len();
        rig.store().fault(NAME, FirmwareFault::Redirect(Redirect::Hops(hops))).unwrap();
        assert_eq!(rig.download(&[]).await, Came::Whole(200, content()));
        let statuses: Vec<_> = asked()[before..].iter().map(|request| (request.status, request.redirected)).collect();
        assert_eq!(statuses.len(), hops as usize + 1);
        assert_eq!((statuses[0], statuses[hops as usize]), ((Some(302), false), (Some(200), true)));
    }
    rig.store().fault(NAME, FirmwareFault::Redirect(Redirect::OtherHost)).unwrap();
    assert_eq!(rig.download(&[("range", "bytes=5-")]).await, Came::Whole(206, content()[5..].to_vec()));
    assert!(asked().last().unwrap().host.as_ref().unwrap().starts_with("127.0.0.1:"));
    rig.store().fault(NAME, FirmwareFault::Redirect(Redirect::PlainHttp)).unwrap();
    assert_eq!(rig.download(&[]).await, Came::Whole(200, content()));
    assert!(!asked().last().unwrap().tls);
    rig.store().fault_always(NAME, FirmwareFault::Redirect(Redirect::Loop)).unwrap();
    let before = asked().len();
    assert_eq!(rig.download(&[]).await, Came::Nothing);
    assert!(asked().len() > before + 5);
    rig.store().clear_faults(NAME).unwrap();
    let elsewhere = Redirect::To("http://files.invalid/fw.bin".to_owned());
    rig.store().fault(NAME, FirmwareFault::Redirect(elsewhere)).unwrap();
    assert_eq!(rig.download(&[]).await, Came::Nothing);
    rig.store().fault(NAME, FirmwareFault::Redirect(Redirect::To("https://x/\n".to_owned()))).unwrap_err();
}
