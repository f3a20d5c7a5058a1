//! A real TPM (swtpm) with nothing but tpm2-tools goes through DPS: whatever the tools accept, our blobs are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgeplug_cloud::{Cloud, CloudOptions, Device, Key, sas};
use edgeplug_test_support::swtpm::Swtpm;
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::device::{RawDevice, connect_with};
use super::dps::Caller;

/// A TPM and the tools' files beside its state.
struct Tools(Swtpm);

impl Tools {
    fn run(&self, tool: &str, arguments: &[&str]) {
        self.0.tool(tool, arguments).unwrap();
    }

    /// As `run`; tpm2-tools leave transient objects behind, and there is no resource manager here.
    fn run_and_flush(&self, tool: &str, arguments: &[&str]) {
        self.run(tool, arguments);
        self.run("tpm2_flushcontext", &["-t"]);
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.0.state_dir().join(file)).unwrap()
    }

    fn write(&self, file: &str, content: &[u8]) {
        std::fs::write(self.0.state_dir().join(file), content).unwrap();
    }

    /// EK and SRK at the handles Azure's clients use; their TPM2B_PUBLIC.
    fn create_keys(&self) -> (Vec<u8>, Vec<u8>) {
        self.run_and_flush("tpm2_createek", &["-G", "rsa", "-c", "0x81010001"]);
        self.run(
            "tpm2_createprimary",
            &[
                "-C",
                "o",
                "-G",
                "rsa2048:aes128cfb",
                "-g",
                "sha256",
                "-c",
                "srk.ctx",
                "-a",
                "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
            ],
        );
        self.run_and_flush("tpm2_evictcontrol", &["-C", "o", "-c", "srk.ctx", "0x81000001"]);
        self.run("tpm2_readpublic", &["-c", "0x81010001", "-f", "tss", "-o", "ek.pub"]);
        self.run("tpm2_readpublic", &["-c", "0x81000001", "-f", "tss", "-o", "srk.pub"]);
        (self.read("ek.pub"), self.read("srk.pub"))
    }

    /// Takes the blob in as `slot.*` and leaves the key loaded as `slot.ctx`.
    fn activate(&self, blob: &[u8], slot: &str) {
        let mut parts = Vec::new();
        let mut rest = blob;
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (part, tail) = tail.split_at(u16::from_be_bytes(*length).into());
            // The tools want each part with its size, as a TPM2B.
            parts.push([length.as_slice(), part].concat());
            rest = tail;
        }
        assert_eq!(parts.len(), 6);
        // tpm2_activatecredential reads magic 0xBADCC0DE and version 1 before the two parts.
        self.write("credential", &[&[0xBA, 0xDC, 0xC0, 0xDE, 0, 0, 0, 1], parts[0].as_slice(), &parts[1]].concat());
        self.write("duplicate", &parts[2]);
        self.write("seed", &parts[3]);
        self.write("key.pub", &parts[4]);
        self.run("tpm2_startauthsession", &["--policy-session", "-S", "session"]);
        self.run("tpm2_policysecret", &["-S", "session", "-c", "e"]);
        self.run(
            "tpm2_activatecredential",
            &["-c", "0x81000001", "-C", "0x81010001", "-i", "credential", "-o", "inner.key", "-P", "session:session"],
        );
        self.run("tpm2_flushcontext", &["session"]);
        self.run(
            "tpm2_import",
            &[
                "-C",
                "0x81000001",
                "-G",
                "aes128cfb",
                "-k",
                "inner.key",
                "-s",
                "seed",
                "-i",
                "duplicate",
                "-u",
                "key.pub",
                "-r",
                "key.priv",
            ],
        );
        let context = format!("{slot}.ctx");
        self.run("tpm2_load", &["-C", "0x81000001", "-u", "key.pub", "-r", "key.priv", "-c", &context]);
        self.run("tpm2_flushcontext", &["-t"]);
    }

    fn hmac(&self, slot: &str, message: &[u8]) -> Vec<u8> {
        self.write("message", message);
        self.run_and_flush("tpm2_hmac", &["-c", &format!("{slot}.ctx"), "-o", "mac", "message"]);
        self.read("mac")
    }

    /// A token signed inside the TPM.
    fn token(&self, slot: &str, sr: &str, expiry: u64, policy: &str) -> String {
        let signature = STANDARD.encode(self.hmac(slot, format!("{sr}\n{expiry}").as_bytes()));
        let sig = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("SharedAccessSignature sr={sr}&sig={sig}&se={expiry}{policy}")
    }
}

#[tokio::test]
async fn a_real_tpm_is_provisioned_and_signs_with_the_keys_it_was_given() {
    let tpm = Tools(Swtpm::start().unwrap());
    let (ek, srk) = tpm.create_keys();
    assert_eq!((ek.len(), srk.len()), (316, 284));
    let cloud = Cloud::start(CloudOptions::new().device(Device::tpm("GW").endorsement_key(ek.clone()))).await.unwrap();
    let caller = Caller::new(&cloud);
    let body = json!({"registrationId": "CP-GW", "tpm": {
        "endorsementKey": STANDARD.encode(&ek), "storageRootKey": STANDARD.encode(&srk)
    }});

    let (status, answer) = caller.register("CP-GW", &body, None).await.unwrap();
    assert_eq!(status, 401);
    tpm.activate(&STANDARD.decode(answer["authenticationKey"].as_str().unwrap()).unwrap(), "challenge");
    let expiry = sas::now_unix_s() + 600;
    let token = tpm.token("challenge", "0ne00TEST%2fregistrations%2fCP-GW", expiry, "&skn=registration");
    let (status, answer) = caller.register("CP-GW", &body, Some(&token)).await.unwrap();
    assert_eq!(status, 202, "{answer}");
    let operation = answer["operationId"].as_str().unwrap();
    assert_eq!(caller.poll("CP-GW", operation, &token).await.unwrap().0, 202);
    let (status, answer) = caller.poll("CP-GW", operation, &token).await.unwrap();
    assert_eq!(status, 200);
    let blob = answer["registrationState"]["tpm"]["authenticationKey"].as_str().unwrap();
    tpm.activate(&STANDARD.decode(blob).unwrap(), "hub");

    let key = cloud.hub().key("GW").unwrap();
    let mut software = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    software.update(b"the same key on both sides");
    assert_eq!(tpm.hmac("hub", b"the same key on both sides"), software.finalize().into_bytes().to_vec());

    let mut connect = connect_with(&Key::random(), "unused", expiry);
    let password = tpm.token("hub", "localhost%2Fdevices%2FCP-GW", expiry, "");
    connect.set_credentials("localhost/CP-GW/?api-version=2018-06-30", password.into_bytes());
    RawDevice::online(&cloud, connect).await;
}
