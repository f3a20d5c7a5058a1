//! Each switch does what it says.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::*;

/// Long enough for two busy cores; a test that waits it out has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Short enough to wait for nothing to happen.
const A_WHILE: Duration = Duration::from_millis(150);

/// A relay, and the server behind it.
async fn relay() -> (ChaosRelay, TcpListener) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (ChaosRelay::start(server.local_addr().unwrap()).await.unwrap(), server)
}

async fn connect(relay: &ChaosRelay, server: &TcpListener) -> (TcpStream, TcpStream) {
    let (client, server) = tokio::join!(TcpStream::connect(relay.address()), server.accept());
    (client.unwrap(), server.unwrap().0)
}

async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

/// Reads to the end; tells how much came, and whether the end was a reset.
async fn read_out(stream: &mut TcpStream) -> (usize, bool) {
    let mut bytes = Vec::new();
    let reset = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().is_err();
    (bytes.len(), reset)
}

async fn nothing_comes(stream: &mut TcpStream) {
    assert!(timeout(A_WHILE, stream.read_u8()).await.is_err(), "something came");
}

#[tokio::test]
async fn a_calm_relay_passes_everything_on_and_closes_in_order() {
    let (relay, server) = relay().await;
    let (mut client, mut server) = connect(&relay, &server).await;
    let upload = vec![7; 1 << 20];
    let (written, came) = tokio::join!(client.write_all(&upload), read(&mut server, upload.len()));
    written.unwrap();
    assert_eq!(came, upload);
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(read_out(&mut client).await, (6, false));
    let counts = relay.counts();
    assert_eq!((counts.accepted, counts.cuts, counts.bytes_up, counts.bytes_down), (1, 0, 1 << 20, 6));
}

#[tokio::test]
async fn a_cut_resets_both_ends_and_a_new_connection_works() {
    let (relay, listener) = relay().await;
    let (mut client, mut server) = connect(&relay, &listener).await;
    client.write_all(b"x").await.unwrap();
    read(&mut server, 1).await;
    relay.cut();
    assert_eq!((read_out(&mut client).await, read_out(&mut server).await), ((0, true), (0, true)));
    let (mut client, mut server) = connect(&relay, &listener).await;
    client.write_all(b"y").await.unwrap();
    assert_eq!(read(&mut server, 1).await, b"y");
    assert_eq!(relay.counts().cuts, 1);
}

#[tokio::test]
async fn a_cut_after_so_many_bytes_passes_exactly_those() {
    let (relay, listener) = relay().await;
    let (mut client, mut server) = connect(&relay, &listener).await;
    relay.cut_after(1000);
    client.write_all(&[1; 400]).await.unwrap();
    read(&mut server, 400).await;
    server.write_all(&[2; 100]).await.unwrap();
    read(&mut client, 100).await;
    client.write_all(&[3; 5000]).await.unwrap();
    assert_eq!(read_out(&mut server).await, (500, true));
    assert!(read_out(&mut client).await.1);
    connect(&relay, &listener).await;
}

#[tokio::test]
async fn a_black_hole_keeps_sockets_open_and_what_it_held_goes_on_afterwards() {
    let (relay, listener) = relay().await;
    let (mut client, mut server) = connect(&relay, &listener).await;
    relay.black_hole(true);
    client.write_all(b"up").await.unwrap();
    server.write_all(b"down").await.unwrap();
    nothing_comes(&mut client).await;
    nothing_comes(&mut server).await;
    // Neither a new connection nor the end of an old one gets through.
    let _late = TcpStream::connect(relay.address()).await.unwrap();
    assert!(timeout(A_WHILE, listener.accept()).await.is_err());

    relay.black_hole(false);
    assert_eq!((read(&mut client, 4).await, read(&mut server, 2).await), (b"down".to_vec(), b"up".to_vec()));
    timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_a_black_hole_is_still_there_for_the_server() {
    let (relay, listener) = relay().await;
    let (mut client, mut server) = connect(&relay, &listener).await;
    client.write_all(b"x").await.unwrap();
    read(&mut server, 1).await;
    relay.black_hole(true);
    drop(client);
    nothing_comes(&mut server).await;
    relay.black_hole(false);
    assert_eq!(read_out(&mut server).await, (0, false));
}

#[tokio::test]
async fn a_delay_is_a_delay_and_no_throttle() {
    let (relay, listener) = relay().await;
    let (mut client, mut server) = connect(&relay, &listener).await;
    let delay = Duration::from_millis(200);
    relay.delay(delay, Duration::ZERO);
    let start = Instant::now();
    let upload = vec![0; 1 << 20];
    let (written, _) = tokio::join!(client.write_all(&upload), read(&mut server, upload.len()));
    written.unwrap();
    let took = start.elapsed();
    assert!(took >= delay && took < 10 * delay, "{took:?}");
    server.write_all(b"x").await.unwrap();
    let start = Instant::now();
    read(&mut client, 1).await;
    assert!(start.elapsed() < delay);
}

#[tokio::test]
async fn a_throttle_passes_its_rate() {
    let (relay, listener) = relay().await;
    let (mut client, mut server) = connect(&relay, &listener).await;
    relay.throttle(Some(20_000));
    let start = Instant::now();
    let (written, _) = tokio::join!(client.write_all(&[0; 10_000]), read(&mut server, 10_000));
    written.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    relay.calm();
    client.write_all(b"x").await.unwrap();
    read(&mut server, 1).await;
}

#[tokio::test]
async fn a_refusal_resets_new_connections_and_leaves_old_ones() {
    let (relay, listener) = relay().await;
    let (mut client, mut server) = connect(&relay, &listener).await;
    relay.refuse(true);
    let mut refused = TcpStream::connect(relay.address()).await.unwrap();
    assert!(read_out(&mut refused).await.1);
    client.write_all(b"x").await.unwrap();
    read(&mut server, 1).await;
    relay.refuse(false);
    connect(&relay, &listener).await;
    assert_eq!((relay.counts().refused, relay.counts().accepted), (1, 2));
}

#[tokio::test]
async fn a_script_is_the_same_for_the_same_seed_and_ends_calm() {
    let minute = Duration::from_secs(60);
    assert_eq!(Script::from_seed(7, minute), Script::from_seed(7, minute));
    assert_ne!(Script::from_seed(7, minute), Script::from_seed(8, minute));
    for seed in 0..200 {
        let script = Script::from_seed(seed, minute);
        assert!(script.steps.len() > 10);
        assert!(script.steps.is_sorted_by_key(|step| step.at));
    }

    let (relay, listener) = relay().await;
    let (mut client, _server) = connect(&relay, &listener).await;
    let faults = [Fault::BlackHole { time: A_WHILE }, Fault::Outage { time: A_WHILE }, Fault::CutAfter { bytes: 1 }];
    let step = |(index, fault)| Step { at: A_WHILE * index, fault };
    let steps = (0..).zip(faults).map(step).collect();
    relay.play(&Script { steps, length: 4 * A_WHILE }).await;
    assert!(read_out(&mut client).await.1);
    let (mut client, mut server) = connect(&relay, &listener).await;
    client.write_all(b"xx").await.unwrap();
    assert_eq!(read(&mut server, 2).await, b"xx");
}

#[tokio::test]
async fn dropping_the_relay_ends_its_connections() {
    let (relay, listener) = relay().await;
    let (mut client, _server) = connect(&relay, &listener).await;
    drop(relay);
    read_out(&mut client).await;
}
