//! DPS, driven by a TPM made of software.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cfb_mode::cipher::{AsyncStreamCipher as _, KeyIvInit as _};
use edgeplug_cloud::{Cloud, CloudOptions, Device, DpsFault, Key, Spoil, sas};
use hmac::{Hmac, Mac as _};
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts as _;
use rsa::{Oaep, RsaPrivateKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::PATIENCE;
use super::device::{RawDevice, connect_with};
use super::iotconnect::client;

const ID: &str = "CP-GW";

/// EK and SRK outside a TPM, and the checks a TPM makes when it takes a blob in.
#[derive(Clone)]
struct SoftTpm {
    ek: RsaPrivateKey,
    srk: RsaPrivateKey,
}

impl SoftTpm {
    fn new() -> Self {
        static ONE: LazyLock<SoftTpm> = LazyLock::new(SoftTpm::make);
        ONE.clone()
    }

    fn another() -> Self {
        static ANOTHER: LazyLock<SoftTpm> = LazyLock::new(SoftTpm::make);
        ANOTHER.clone()
    }

    /// Takes seconds in a debug build, hence the two that all tests share.
    fn make() -> Self {
        let key = || RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        Self { ek: key(), srk: key() }
    }

    fn ek_public(&self) -> Vec<u8> {
        let policy = [0x83; 32];
        public(&self.ek, [0x00, 0x03, 0x00, 0xb2], &policy)
    }

    fn srk_public(&self) -> Vec<u8> {
        public(&self.srk, [0x00, 0x03, 0x04, 0x72], &[])
    }

    /// The key in the blob, or what the TPM would complain of.
    fn activate(&self, blob: &[u8]) -> Result<Key, &'static str> {
        let mut rest = blob;
        let mut part = || -> Result<&[u8], &'static str> {
            let (length, tail) = rest.split_first_chunk::<2>().ok_or("truncated")?;
            let (part, tail) = tail.split_at_checked(u16::from_be_bytes(*length).into()).ok_or("truncated")?;
            rest = tail;
            Ok(part)
        };
        let (credential, credential_seed, duplicate, duplicate_seed, public) =
            (part()?, part()?, part()?, part()?, part()?);

        let srk_name = name(&self.srk_public()[2..]);
        let seed = open(&self.ek, credential_seed, "IDENTITY\0").ok_or("bad credential seed")?;
        let inner_key = unwrap(&seed, &srk_name, credential).ok_or("bad credential hmac")?;
        let seed = open(&self.srk, duplicate_seed, "DUPLICATE\0").ok_or("bad duplicate seed")?;
        let mut inner = unwrap(&seed, &name(public), duplicate).ok_or("bad duplicate hmac")?;
        decrypt(&inner_key[2..], &mut inner);
        let (integrity, sensitive) = inner.split_at(34);
        if integrity[2..] != Sha256::digest([sensitive, &name(public)].concat())[..] {
            return Err("bad inner integrity");
        }
        // 2B(type, 2B(auth), 2B(seed), 2B(key))
        let auth = 6 + usize::from(sensitive[5]);
        let seed = &sensitive[auth + 2..auth + 2 + usize::from(sensitive[auth + 1])];
        let at = auth + 2 + seed.len();
        let key = &sensitive[at + 2..];
        assert_eq!(usize::from(u16::from_be_bytes([sensitive[at], sensitive[at + 1]])), key.len());
        assert_eq!(public[16..], Sha256::digest([seed, key].concat())[..], "unique does not bind the key");
        if key.len() > 64 {
            return Err("key size");
        }
        Ok(Key::new(key))
    }
}

fn public(key: &RsaPrivateKey, attributes: [u8; 4], policy: &[u8]) -> Vec<u8> {
    let mut area = vec![0x00, 0x01, 0x00, 0x0b];
    area.extend(attributes);
    area.extend([0, u8::try_from(policy.len()).unwrap()]);
    area.extend(policy);
    area.extend([0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x08, 0x00, 0, 0, 0, 0, 0x01, 0x00]);
    area.extend(key.n().to_bytes_be());
    [u16::try_from(area.len()).unwrap().to_be_bytes().as_slice(), &area].concat()
}

fn name(area: &[u8]) -> Vec<u8> {
    [[0x00, 0x0b].as_slice(), &Sha256::digest(area)].concat()
}

fn open(key: &RsaPrivateKey, sealed: &[u8], label: &str) -> Option<Vec<u8>> {
    key.decrypt(Oaep::new_with_label::<Sha256, _>(label), sealed).ok()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn kdfa(seed: &[u8], label: &str, context: &[u8], bits: u32) -> Vec<u8> {
    let block = mac(seed, &[&1_u32.to_be_bytes(), label.as_bytes(), &[0], context, &bits.to_be_bytes()]);
    block[..usize::try_from(bits / 8).unwrap()].to_vec()
}

fn unwrap(seed: &[u8], name: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
    let (hmac, encrypted) = wrapped.split_at(34);
    if hmac[2..] != mac(&kdfa(seed, "INTEGRITY", &[], 256), &[encrypted, name])[..] {
        return None;
    }
    let mut plain = encrypted.to_vec();
    decrypt(&kdfa(seed, "STORAGE", name, 128), &mut plain);
    Some(plain)
}

fn decrypt(key: &[u8], data: &mut [u8]) {
    cfb_mode::Decryptor::<aes::Aes128>::new_from_slices(key, &[0; 16]).unwrap().decrypt(data);
}

/// A client of DPS that sends what it is told.
pub(super) struct Caller<'a> {
    cloud: &'a Cloud,
    http: reqwest::Client,
}

impl<'a> Caller<'a> {
    pub(super) fn new(cloud: &'a Cloud) -> Self {
        Self { cloud, http: client(cloud) }
    }

    pub(super) async fn register(&self, id: &str, body: &Value, token: Option<&str>) -> reqwest::Result<(u16, Value)> {
        let url = format!("{}/0ne00TEST/registrations/{id}/register?api-version=2021-06-01", self.cloud.dps_url());
        let mut request = self.http.put(url).body(body.to_string());
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }

    pub(super) async fn poll(&self, id: &str, operation: &str, token: &str) -> reqwest::Result<(u16, Value)> {
        let base = self.cloud.dps_url();
        let url = format!("{base}/0ne00TEST/registrations/{id}/operations/{operation}?api-version=2021-06-01");
        let answer = self.http.get(url).header("authorization", token).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }
}

fn token(key: &Key) -> String {
    sas::sign(key, &format!("0ne00TEST/registrations/{ID}"), sas::now_unix_s() + 600, Some("registration"))
}

fn body(tpm: &SoftTpm) -> Value {
    json!({"registrationId": ID, "tpm": {
        "endorsementKey": STANDARD.encode(tpm.ek_public()), "storageRootKey": STANDARD.encode(tpm.srk_public())
    }})
}

fn blob(answer: &Value) -> Vec<u8> {
    STANDARD.decode(answer["authenticationKey"].as_str().unwrap()).unwrap()
}

async fn cloud(tpm: &SoftTpm) -> Cloud {
    Cloud::start(CloudOptions::new().device(Device::tpm("GW").endorsement_key(tpm.ek_public()))).await.unwrap()
}

/// Everything up to the operation id: challenge and signed second call.
async fn begin(caller: &Caller<'_>, tpm: &SoftTpm) -> (Key, String) {
    let (status, answer) = caller.register(ID, &body(tpm), None).await.unwrap();
    assert_eq!(status, 401, "{answer}");
    let key = tpm.activate(&blob(&answer)).unwrap();
    let (status, answer) = caller.register(ID, &body(tpm), Some(&token(&key))).await.unwrap();
    assert_eq!(status, 202, "{answer}");
    (key, answer["operationId"].as_str().unwrap().to_owned())
}

/// The last answer of a whole registration; `None` when it was cut.
async fn provision(caller: &Caller<'_>, tpm: &SoftTpm) -> Option<Value> {
    let (key, operation) = begin(caller, tpm).await;
    loop {
        let (status, answer) = caller.poll(ID, &operation, &token(&key)).await.ok()?;
        match status {
            202 => assert_eq!(answer["status"], "assigning"),
            200 => return Some(answer),
            other => panic!("{other}: {answer}"),
        }
    }
}

#[tokio::test]
async fn a_tpm_goes_through_both_rounds_and_connects_with_its_new_key() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    assert!(!cloud.hub().knows("GW"));
    let answer = provision(&Caller::new(&cloud), &tpm).await.unwrap();
    let state = &answer["registrationState"];
    assert_eq!(
        (&state["status"], &state["assignedHub"], &state["deviceId"]),
        (&json!("assigned"), &json!("localhost"), &json!(ID))
    );
    let key = tpm.activate(&blob(&state["tpm"])).unwrap();
    assert_eq!(key, cloud.hub().key("GW").unwrap());
    RawDevice::online(&cloud, connect_with(&key, "localhost/devices/CP-GW", sas::now_unix_s() + 60)).await;

    let calls: Vec<_> = cloud.dps().call_log(ID).iter().map(|call| (call.authorized, call.status)).collect();
    assert_eq!(calls, [(false, 401), (true, 202), (true, 202), (true, 200)]);
    assert_eq!(cloud.dps().calls("cp-gw"), 4, "registration ids know no case");
}

#[tokio::test]
async fn the_challenge_answer_has_the_members_seen_live() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    let (status, answer) = Caller::new(&cloud).register(ID, &body(&tpm), None).await.unwrap();
    assert_eq!(status, 401);
    assert_eq!(answer["message"], "Authorization required, resend request using supplied key");
    assert_eq!((&answer["keyName"], &answer["unencryptedAuthenticationKey"]), (&json!("registration"), &Value::Null));
}

#[tokio::test]
async fn a_bad_token_is_401002() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    let caller = Caller::new(&cloud);
    let (_, answer) = caller.register(ID, &body(&tpm), None).await.unwrap();
    let key = tpm.activate(&blob(&answer)).unwrap();
    let resource = format!("0ne00TEST/registrations/{ID}");
    let (now, policy) = (sas::now_unix_s(), Some("registration"));
    let bad = [
        sas::sign(&Key::random(), &resource, now + 600, policy),
        sas::sign(&key, &resource, now - 1, policy),
        sas::sign(&key, &resource, now + 600, None),
        sas::sign(&key, &resource, now + 600, Some("device")),
        sas::sign(&key, "0ne00TEST/registrations/CP-OTHER", now + 600, policy),
        "Bearer x".to_owned(),
    ];
    for token in bad {
        let (status, answer) = caller.register(ID, &body(&tpm), Some(&token)).await.unwrap();
        assert_eq!((status, &answer["errorCode"]), (401, &json!(401_002)), "{token}");
        assert!(answer.get("authenticationKey").is_none());
    }
    // Some clients write the resource in lower case.
    let lower = sas::sign(&key, &resource.to_lowercase(), now + 600, policy);
    let (status, answer) = caller.register(ID, &json!({"registrationId": ID}), Some(&lower)).await.unwrap();
    assert_eq!(status, 202);
    let (status, _) = caller.poll(ID, answer["operationId"].as_str().unwrap(), &token(&Key::random())).await.unwrap();
    assert_eq!(status, 401);
}

#[tokio::test]
async fn another_endorsement_key_is_400004() {
    let (tpm, other) = (SoftTpm::new(), SoftTpm::another());
    let cloud = cloud(&tpm).await;
    let caller = Caller::new(&cloud);
    let (status, answer) = caller.register(ID, &body(&other), None).await.unwrap();
    assert_eq!((status, &answer["errorCode"]), (400, &json!(400_004)));
    let unsized_key = STANDARD.encode(&tpm.ek_public()[2..]);
    for key in [unsized_key.as_str(), "", "AAAA"] {
        let mut spoiled = body(&tpm);
        spoiled["tpm"]["endorsementKey"] = key.into();
        let (status, answer) = caller.register(ID, &spoiled, None).await.unwrap();
        assert_eq!((status, &answer["errorCode"]), (400, &json!(400_004)), "{key}");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    let caller = Caller::new(&cloud);
    let other = json!({"registrationId": "CP-OTHER", "tpm": body(&tpm)["tpm"]});
    assert_eq!(caller.register("CP-OTHER", &other, None).await.unwrap().0, 404);
    assert_eq!(caller.register(ID, &other, None).await.unwrap().0, 400);
    assert_eq!(caller.register(ID, &json!({"registrationId": ID}), None).await.unwrap().0, 400);
    assert_eq!(
        caller.register(ID, &body(&tpm), Some(&token(&Key::random()))).await.unwrap().0,
        401,
        "no challenge yet"
    );
    assert_eq!(caller.poll(ID, "5.none", &token(&Key::random())).await.unwrap().0, 404);
    let without_version = format!("{}/0ne00TEST/registrations/{ID}/register", cloud.dps_url());
    for (url, expected) in [
        (without_version.clone(), 400),
        (without_version.replace("0ne00TEST", "0ne00OTHER") + "?api-version=2021-06-01", 404),
        (format!("{}/nothing", cloud.dps_url()), 404),
    ] {
        let answer = caller.http.put(url).body(body(&tpm).to_string()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
        assert!(answer.headers().contains_key("x-ms-error-code"));
    }
    let huge = "x".repeat(200 * 1024);
    let url = without_version + "?api-version=2021-06-01";
    assert_eq!(caller.http.put(url).body(huge).send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn an_unknown_tpm_is_enrolled_only_if_told_so() {
    let (tpm, other) = (SoftTpm::new(), SoftTpm::another());
    let cloud = Cloud::start(CloudOptions::new().device(Device::tpm("GW"))).await.unwrap();
    let caller = Caller::new(&cloud);
    assert_eq!(caller.register(ID, &body(&tpm), None).await.unwrap().0, 404);
    cloud.dps().trust_first_endorsement_key(true);
    assert_eq!(caller.register(ID, &body(&tpm), None).await.unwrap().0, 401);
    assert_eq!(cloud.dps().endorsement_key("GW"), Some(tpm.ek_public()));
    assert_eq!(caller.register(ID, &body(&other), None).await.unwrap().0, 400);
}

#[tokio::test]
async fn a_spoiled_blob_fails_where_a_tpm_would_notice() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    let caller = Caller::new(&cloud);
    let cases = [
        (Spoil::CredentialHmac, "bad credential hmac"),
        (Spoil::Duplicate, "bad duplicate hmac"),
        (Spoil::Truncated, "truncated"),
        (Spoil::GarbageSeed, "bad credential seed"),
        (Spoil::OtherEndorsementKey, "bad credential seed"),
        (Spoil::KeyTooLong, "key size"),
    ];
    for (spoil, expected) in cases {
        cloud.dps().fault(DpsFault::Challenge(spoil)).unwrap();
        let (status, answer) = caller.register(ID, &body(&tpm), None).await.unwrap();
        assert_eq!(status, 401);
        assert_eq!(tpm.activate(&blob(&answer)).unwrap_err(), expected, "{spoil:?}");
    }
    cloud.dps().fault(DpsFault::Challenge(Spoil::NoUriData)).unwrap();
    let (_, answer) = caller.register(ID, &body(&tpm), None).await.unwrap();
    tpm.activate(&blob(&answer)).unwrap();
}

#[tokio::test]
async fn a_failed_second_round_leaves_the_old_key_good() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    let caller = Caller::new(&cloud);
    cloud.dps().limit_polls(false);
    provision(&caller, &tpm).await.unwrap();
    let first = cloud.hub().key("GW").unwrap();

    cloud.dps().fault(DpsFault::DropAssigned).unwrap();
    assert!(provision(&caller, &tpm).await.is_none());
    assert_eq!(cloud.hub().key("GW").unwrap(), first);

    cloud.dps().fault(DpsFault::HubKey(Spoil::Duplicate)).unwrap();
    let answer = provision(&caller, &tpm).await.unwrap();
    assert!(tpm.activate(&blob(&answer["registrationState"]["tpm"])).is_err());
    assert_eq!(cloud.hub().key("GW").unwrap(), first);

    cloud.dps().fault(DpsFault::Failed(400_208)).unwrap();
    let answer = provision(&caller, &tpm).await.unwrap();
    assert_eq!((&answer["status"], &answer["registrationState"]["errorCode"]), (&json!("failed"), &json!(400_208)));

    cloud.dps().disable(ID, true);
    assert_eq!(provision(&caller, &tpm).await.unwrap()["status"], "disabled");
}

#[tokio::test]
async fn calls_can_be_throttled_broken_refused_and_cut() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    let caller = Caller::new(&cloud);
    let dps = cloud.dps();
    let ask = async || caller.register(ID, &body(&tpm), None).await;
    dps.fault(DpsFault::TooManyRequests(7)).unwrap();
    dps.fault(DpsFault::Http(500)).unwrap();
    dps.fault(DpsFault::NoChallenge).unwrap();
    assert_eq!(ask().await.unwrap().0, 429);
    assert_eq!(ask().await.unwrap().0, 500);
    let (status, answer) = ask().await.unwrap();
    assert_eq!((status, &answer["errorCode"], answer.get("authenticationKey")), (401, &json!(401_002), None));
    dps.fault(DpsFault::Cut).unwrap();
    assert!(ask().await.is_err());
    dps.fault(DpsFault::SlowMs(50)).unwrap();
    assert_eq!(ask().await.unwrap().0, 401);
    assert_eq!(dps.calls(ID), 5);
}

#[tokio::test]
async fn a_sixth_poll_in_ten_seconds_is_throttled() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    cloud.dps().set_assigning_polls(100);
    let caller = Caller::new(&cloud);
    let (key, operation) = begin(&caller, &tpm).await;
    for _ in 0..5 {
        assert_eq!(caller.poll(ID, &operation, &token(&key)).await.unwrap().0, 202);
    }
    assert_eq!(caller.poll(ID, &operation, &token(&key)).await.unwrap().0, 429);
    cloud.dps().limit_polls(false);
    assert_eq!(caller.poll(ID, &operation, &token(&key)).await.unwrap().0, 202);
}

#[tokio::test]
async fn a_moved_device_finds_its_new_hub() {
    let tpm = SoftTpm::new();
    let cloud = cloud(&tpm).await;
    let caller = Caller::new(&cloud);
    provision(&caller, &tpm).await.unwrap();
    cloud.hub().set_desired("GW", &json!({"fan": 1})).unwrap();
    cloud.dps().reassign("GW", "127.0.0.1").unwrap();
    assert!(!cloud.hub().knows("GW"));

    let answer = provision(&caller, &tpm).await.unwrap();
    let state = &answer["registrationState"];
    assert_eq!((&state["assignedHub"], &state["substatus"]), (&json!("127.0.0.1"), &json!("deviceDataMigrated")));
    assert_eq!(cloud.hub().twin("GW").unwrap()["desired"]["fan"], 1);
    let key = tpm.activate(&blob(&state["tpm"])).unwrap();
    let mut connect = connect_with(&key, "127.0.0.1/devices/CP-GW", sas::now_unix_s() + 60);
    assert!(
        RawDevice::try_connect(&cloud, connect.clone()).await.is_some_and(|code| code as u8 == 5),
        "the old host name"
    );
    let token = sas::sign(&key, "127.0.0.1/devices/CP-GW", sas::now_unix_s() + 60, None);
    connect.set_credentials("127.0.0.1/CP-GW/?api-version=1", token.into_bytes());
    RawDevice::online(&cloud, connect).await;
}

#[tokio::test]
async fn a_symmetric_key_needs_one_round_only() {
    let key = Key::random();
    let cloud =
        Cloud::start(CloudOptions::new().device(Device::symmetric("GW").key(key.clone()).via_dps())).await.unwrap();
    let caller = Caller::new(&cloud);
    let body = json!({"registrationId": ID});
    assert_eq!(caller.register(ID, &body, None).await.unwrap().0, 401);
    assert_eq!(caller.register(ID, &body, Some(&token(&Key::random()))).await.unwrap().0, 401);
    let (status, answer) = caller.register(ID, &body, Some(&token(&key))).await.unwrap();
    assert_eq!(status, 202);
    let operation = answer["operationId"].as_str().unwrap();
    caller.poll(ID, operation, &token(&key)).await.unwrap();
    let (status, answer) = caller.poll(ID, operation, &token(&key)).await.unwrap();
    assert_eq!((status, &answer["registrationState"]["assignedHub"]), (200, &json!("localhost")));
    assert!(answer["registrationState"].get("tpm").is_none());
    RawDevice::online(&cloud, connect_with(&key, "localhost/devices/CP-GW", sas::now_unix_s() + 60)).await;
    cloud.dps().wait_calls(ID, 5, PATIENCE).await.unwrap();
}
