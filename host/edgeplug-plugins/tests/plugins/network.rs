//! The right to connect and send, by the standard library of a guest, against real sockets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use edgeplug_plugins::{Endpoint, PluginPolicy, Resolver};

use crate::rig::{Rig, Setup, guest, told};

const PLUGIN: &str = "probe";

/// Answers every connection with what it said, in capitals.
fn tcp_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("connection");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("read");
            stream.write_all(text.to_uppercase().as_bytes()).expect("write");
        }
    });
    port
}

/// The same by datagrams; before each answer comes one from a stranger.
fn udp_server() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let port = socket.local_addr().expect("address").port();
    std::thread::spawn(move || {
        let mut text = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut text) {
            let stranger = UdpSocket::bind("127.0.0.1:0").expect("bind");
            stranger.send_to(b"from a stranger", from).expect("send");
            socket.send_to(&text[..length].to_ascii_uppercase(), from).expect("send");
        }
    });
    port
}

/// Where names lead, in lines that tests change.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

impl Names {
    fn lead(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().expect("address")).collect();
        self.0.lock().expect("lock").insert(name.to_owned(), addresses);
    }

    fn resolver(&self) -> Resolver {
        let names = self.0.clone();
        Resolver::new(move |name| {
            let found = names.lock().expect("lock").get(&name).cloned();
            async move { found.ok_or_else(|| std::io::Error::other("no such name")) }
        })
    }
}

fn endpoints(texts: &[&str]) -> Vec<Endpoint> {
    texts.iter().map(|text| Endpoint::parse(text).expect("endpoint")).collect()
}

async fn start(asked: &[&str], allowed: &[&str], names: &Names) -> Rig {
    let mut setup = Setup::new();
    let policy = PluginPolicy { network: endpoints(allowed), deadline_ms: Some(50_000), ..PluginPolicy::default() };
    setup.options.policy.plugins.insert(PLUGIN.to_owned(), policy);
    setup.put(&format!("{PLUGIN}.wasm"), &guest("rights-probe"));
    setup.put(&format!("{PLUGIN}.toml"), format!("network = {asked:?}\n[limits]\ndeadline_ms = 5000").as_bytes());
    let mut rig = setup.start_with_resolver(names.resolver());
    rig.plugins.restore_state(BTreeMap::new());
    rig.up(PLUGIN).await;
    rig
}

async fn does(rig: &mut Rig, command: &str) -> Result<String, String> {
    told(rig.command(PLUGIN, command).await)
}

fn said(rig: &Rig, parts: &[&str]) -> bool {
    rig.log(PLUGIN).iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

#[tokio::test]
async fn a_granted_server_answers_by_address_and_by_name() {
    let port = tcp_server();
    let (address, name) = (format!("tcp://127.0.0.1:{port}"), format!("tcp://localhost:{port}"));
    let mut rig = start(&[&address], &[&address], &Names::default()).await;
    assert_eq!(does(&mut rig, &format!("tcp 127.0.0.1:{port} hello")).await.as_deref(), Ok("HELLO"));
    does(&mut rig, &format!("tcp localhost:{port} hello")).await.expect_err("the name is not granted");
    let mut rig = start(&[&name], &[&name], &Names::default()).await;
    assert_eq!(does(&mut rig, &format!("tcp localhost:{port} hello")).await.as_deref(), Ok("HELLO"));
}

#[tokio::test]
async fn a_name_opens_the_addresses_it_led_to_and_no_others() {
    let (names, port) = (Names::default(), tcp_server());
    names.lead("api.example.com", &["192.0.2.1", "192.0.2.2"]);
    let right = format!("tcp://api.example.com:{port}");
    let mut rig = start(&[&right], &[&format!("tcp://*.example.com:{port}")], &names).await;
    does(&mut rig, &format!("tcp 192.0.2.1:{port} x")).await.expect_err("nobody asked for the name yet");
    assert!(said(&rig, &["may not reach tcp://192.0.2.1", "the operator does not allow it"]), "{:?}", rig.log(PLUGIN));
    assert_eq!(does(&mut rig, "look-up api.example.com:1").await.as_deref(), Ok("192.0.2.1 192.0.2.2"));
    does(&mut rig, "look-up other.example.com:1").await.expect_err("allowed but not asked for");
    assert!(said(&rig, &["may not look up other.example.com", "its manifest does not ask for it", "probe.toml"]));
    does(&mut rig, "look-up evil.org:1").await.expect_err("not allowed");
    assert!(said(&rig, &["may not look up evil.org", "[plugins.allow.probe]"]), "{:?}", rig.log(PLUGIN));
}

#[tokio::test]
async fn a_name_that_turns_to_this_machine_leads_nowhere() {
    let (names, port) = (Names::default(), tcp_server());
    let right = format!("tcp://api.example.com:{port}");
    let mut rig = start(&[&right], &["tcp://*:*"], &names).await;
    names.lead("api.example.com", &["192.0.2.1"]);
    assert_eq!(does(&mut rig, "look-up api.example.com:1").await.as_deref(), Ok("192.0.2.1"));
    for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "169.254.1.1", "fe80::1"] {
        names.lead("api.example.com", &[here]);
        does(&mut rig, &format!("tcp api.example.com:{port} x")).await.expect_err(here);
        let bare = if here.contains(':') { format!("[{here}]") } else { here.to_owned() };
        does(&mut rig, &format!("tcp {bare}:{port} x")).await.expect_err(here);
    }
    names.lead("api.example.com", &["127.0.0.1", "192.0.2.2"]);
    assert_eq!(does(&mut rig, "look-up api.example.com:1").await.as_deref(), Ok("192.0.2.2"));
    assert!(said(&rig, &["api.example.com", "leads to this machine"]), "{:?}", rig.log(PLUGIN));
}

#[tokio::test]
async fn datagrams_go_and_come_where_it_was_granted() {
    let (granted, other) = (udp_server(), udp_server());
    let right = format!("udp://127.0.0.1:{granted}");
    let mut rig = start(&[&right], &[&right], &Names::default()).await;
    assert_eq!(does(&mut rig, &format!("udp 127.0.0.1:{granted} hello")).await.as_deref(), Ok("HELLO"));
    assert_eq!(does(&mut rig, &format!("udp-connected 127.0.0.1:{granted} hello")).await.as_deref(), Ok("HELLO"));
    does(&mut rig, &format!("udp 127.0.0.1:{other} hello")).await.expect_err("another port");
    does(&mut rig, &format!("udp-connected 127.0.0.1:{other} hello")).await.expect_err("another port");
    does(&mut rig, "udp 127.0.0.1:0 hello").await.expect_err("no port");
    assert!(said(&rig, &["may not reach udp://127.0.0.1", "`network`"]), "{:?}", rig.log(PLUGIN));
    does(&mut rig, &format!("tcp 127.0.0.1:{granted} x")).await.expect_err("another protocol");
    assert!(
        said(&rig, &["may not use the network by tcp", "its manifest does not ask for it"]),
        "{:?}",
        rig.log(PLUGIN)
    );
}

#[tokio::test]
async fn nobody_listens_or_chooses_a_port() {
    let rights = ["tcp://127.0.0.1:1", "udp://127.0.0.1:1"];
    let mut rig = start(&rights, &rights, &Names::default()).await;
    for command in ["listen 127.0.0.1:0", "listen 0.0.0.0:0", "bind 127.0.0.1:0", "bind 0.0.0.0:5353"] {
        does(&mut rig, command).await.expect_err(command);
    }
    assert!(said(&rig, &["may not listen"]), "{:?}", rig.log(PLUGIN));
    assert!(said(&rig, &["may not bind to 0.0.0.0:5353"]), "{:?}", rig.log(PLUGIN));
}

#[tokio::test]
async fn without_a_right_there_is_no_network_at_all() {
    let port = tcp_server();
    let mut rig = start(&[], &["tcp://*:*", "tcp://127.0.0.1:*", "tcp://localhost:*"], &Names::default()).await;
    for command in [&format!("tcp 127.0.0.1:{port} x"), "look-up localhost:1", "bind 0.0.0.0:0", "listen 0.0.0.0:0"] {
        does(&mut rig, command).await.expect_err(command);
    }
    assert!(said(&rig, &["may not use the network by tcp", "`network` in", "probe.toml"]), "{:?}", rig.log(PLUGIN));
    assert!(said(&rig, &["may not look up localhost"]));
}

#[tokio::test]
async fn sockets_names_and_lookups_are_bounded() {
    let names = Names::default();
    names.lead("a.example", &["192.0.2.1"]);
    let rights = ["udp://a.example:1"];
    let mut rig = start(&rights, &rights, &names).await;
    let held = does(&mut rig, "sockets 10000").await.expect("answers");
    let count: usize = held.split(' ').next().and_then(|count| count.parse().ok()).expect("a number");
    assert!((16..=96).contains(&count) && held.contains("then"), "{held}");
    does(&mut rig, "look-up-long 65536").await.expect_err("no name is so long");
    does(&mut rig, "look-up-long 64").await.expect_err("no label is so long");
    let answered: usize =
        does(&mut rig, "look-up-often a.example 200").await.expect("answers").parse().expect("a number");
    assert!((10..=30).contains(&answered), "{answered}");
    assert!(said(&rig, &["looks up too many names"]), "{:?}", rig.log(PLUGIN));
}
