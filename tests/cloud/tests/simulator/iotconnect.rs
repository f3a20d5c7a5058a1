//! Discovery and sync.

use std::time::Duration;

use edgeplug_cloud::{Answer, Attribute, Cloud, CloudOptions, Device, Endpoint, Ports};
use serde_json::{Value, json};

pub(super) fn client(cloud: &Cloud) -> reqwest::Client {
    // Whoever comes first installs it; they are all the same.
    rustls::crypto::ring::default_provider().install_default().ok();
    let ca = reqwest::Certificate::from_pem(cloud.ca_pem().as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([ca]).no_proxy().timeout(Duration::from_secs(5)).build().unwrap()
}

async fn cloud() -> Cloud {
    let gateway = Device::symmetric("GW")
        .tag("gw")
        .data_frequency_s(60)
        .attribute(Attribute::number("temp").tag("gw").valid("1to15"))
        .attribute(Attribute::string("color").tag("c").valid("red, gray,   blue"))
        .attribute(Attribute::object("gyro", [Attribute::number("x").valid("-3to3")]).tag("c"))
        .child("C1", "c");
    Cloud::start(CloudOptions::new().device(gateway).device(Device::tpm("NEW"))).await.unwrap()
}

async fn sync(cloud: &Cloud, cpid: &str, unique_id: &str, option: Value) -> Value {
    let url = discover(cloud).await + "sync";
    let body = json!({"uniqueId": unique_id, "cpId": cpid, "option": option}).to_string();
    let answer = client(cloud).post(url).header("content-type", "application/json").body(body).send().await.unwrap();
    answer.json().await.unwrap()
}

async fn discover(cloud: &Cloud) -> String {
    let url = format!("{}/api/sdk/cpid/CP/lang/M_PYTHON/ver/2.0/env/poc", cloud.discovery_url());
    let answer: Value = client(cloud).get(url).send().await.unwrap().json().await.unwrap();
    answer["baseUrl"].as_str().unwrap().to_owned()
}

fn everything() -> Value {
    json!({"attribute": true, "setting": true, "protocol": true, "device": true, "sdkConfig": true, "rule": true})
}

#[tokio::test]
async fn devices_can_be_told_the_port_of_a_relay_in_front_of_the_hub() {
    let cloud = cloud().await;
    let own = cloud.hub().address().unwrap().port();
    for (told, expected) in [(Some(4711), 4711), (None, own)] {
        cloud.hub().tell_devices(told);
        assert_eq!(sync(&cloud, "CP", "GW", everything()).await["d"]["p"]["p"], expected);
    }
}

#[tokio::test]
async fn a_gateway_is_told_all_it_asks_for() {
    let cloud = cloud().await;
    let port = cloud.hub().address().unwrap().port();
    let answer = sync(&cloud, "CP", "GW", everything()).await;
    assert_eq!(
        answer,
        json!({"d": {
            "sc": {
                "hb": {"fq": 10, "h": "", "un": "", "pwd": "", "pub": ""}, "log": {"h": "", "un": "", "pwd": "", "pub": ""},
                "sf": 5, "df": 60
            },
            "p": {
                "n": "mqtt", "h": "localhost", "p": port, "id": "CP-GW", "un": "localhost/CP-GW/?api-version=2018-06-30",
                "pwd": "", "pub": "devices/CP-GW/messages/events/", "sub": "devices/CP-GW/messages/devicebound/#"
            },
            "d": [{"tg": "gw", "id": "GW", "s": 0}, {"tg": "c", "id": "C1", "s": 0}],
            "att": [
                {"p": "", "dt": null, "agt": 0, "tw": "", "tg": "", "d": [
                    {"ln": "temp", "dt": 0, "dv": "1to15", "tg": "gw", "sq": 1, "agt": 0, "tw": ""},
                    {"ln": "color", "dt": 1, "dv": "red, gray,   blue", "tg": "c", "sq": 2, "agt": 0, "tw": ""}
                ]},
                {"p": "gyro", "dt": 2, "agt": 0, "tw": "", "tg": "c", "d": [
                    {"ln": "x", "dt": 0, "dv": "-3to3", "tg": "c", "sq": 1, "agt": 0, "tw": ""}
                ]}
            ],
            "set": null, "r": [], "ota": null, "dtg": "ad4a5b15-35f0-4ab9-815e-c0b584bc9ea4", "cpId": "CP",
            "rc": 0, "ee": 0, "at": 5, "ds": 0
        }})
    );
}

#[tokio::test]
async fn only_what_is_asked_for_is_answered_in_both_flag_styles() {
    let cloud = cloud().await;
    let only = json!({"attribute": true});
    let others_false = json!({"attribute": true, "setting": false, "protocol": false, "device": false, "sdkConfig": false, "rule": false});
    for option in [only, others_false] {
        let answer = sync(&cloud, "CP", "GW", option).await["d"].clone();
        assert!(answer["att"].is_array());
        for key in ["sc", "p", "d", "set", "r"] {
            assert_eq!(answer[key], Value::Null, "{key}");
        }
        assert_eq!(answer["rc"], 0);
    }
}

#[tokio::test]
async fn the_state_of_the_device_decides_the_codes() {
    let cloud = cloud().await;
    let unknown = sync(&cloud, "CP", "NOBODY", everything()).await;
    assert_eq!(
        unknown,
        json!({"d": {
            "sc": null, "p": null, "d": null, "att": null, "set": null, "r": null, "ota": null,
            "dtg": "00000000-0000-0000-0000-000000000000", "cpId": null, "rc": 3, "ee": 0, "at": 0, "ds": 3
        }})
    );
    let new = sync(&cloud, "CP", "NEW", everything()).await["d"].clone();
    assert_eq!((&new["rc"], &new["ds"], &new["at"], &new["p"]), (&json!(1), &json!(1), &json!(4), &Value::Null));
    let elsewhere = sync(&cloud, "XX", "GW", everything()).await["d"].clone();
    assert_eq!((&elsewhere["rc"], &elsewhere["ds"]), (&json!(6), &json!(6)));
    cloud.add_device(Device::symmetric("LATE")).unwrap();
    assert_eq!(sync(&cloud, "CP", "LATE", everything()).await["d"]["rc"], 0);
    assert_eq!(cloud.iotconnect().syncs(), 4);
    assert_eq!(cloud.iotconnect().sync_requests()[0]["uniqueId"], "NOBODY");
}

#[tokio::test]
async fn scripted_answers_come_first_and_in_order() {
    let cloud = cloud().await;
    let client = client(&cloud);
    let base = discover(&cloud).await;
    let script = [
        Answer::ResultCode(3),
        Answer::Status { status: 401, message: "no".into() },
        Answer::NotJson,
        Answer::Http(500),
        Answer::Missing("sc".into()),
        Answer::Cut,
        Answer::HangMs(1),
    ];
    cloud.iotconnect().script(Endpoint::Sync, script).unwrap();
    let body = json!({"uniqueId": "GW", "cpId": "CP", "option": everything()}).to_string();
    let ask = async || client.post(format!("{base}sync")).body(body.clone()).send().await;
    assert_eq!(ask().await.unwrap().json::<Value>().await.unwrap()["d"]["rc"], 3);
    assert_eq!(ask().await.unwrap().json::<Value>().await.unwrap(), json!({"status": 401, "message": "no"}));
    assert!(ask().await.unwrap().json::<Value>().await.is_err());
    assert_eq!(ask().await.unwrap().status(), 500);
    let missing = ask().await.unwrap().json::<Value>().await.unwrap();
    assert!(missing["d"].get("sc").is_none() && missing["d"]["p"].is_object());
    assert!(ask().await.is_err());
    assert!(ask().await.is_err());
    assert_eq!(ask().await.unwrap().json::<Value>().await.unwrap()["d"]["rc"], 0);
}

#[tokio::test]
async fn a_kept_directory_keeps_the_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let options = || CloudOptions::new().directory(directory.path()).device(Device::symmetric("GW"));
    let first = Cloud::start(options()).await.unwrap();
    let trusting = client(&first);
    let port = first.hub().address().unwrap().port();
    first.shutdown().await;
    let second = Cloud::start(options().ports(Ports { hub: port, ..Ports::default() })).await.unwrap();
    let url = format!("{}/api/sdk/cpid/CP/lang/x/ver/2.0/env/poc", second.discovery_url());
    assert!(trusting.get(url).send().await.unwrap().status().is_success());
}
