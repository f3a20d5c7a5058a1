use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::{BUSY_READS, Gather, PUBACK_BYTES, WINDOW_PART};

const WINDOW: u16 = 100;
const PUBACK: [u8; PUBACK_BYTES as usize] = [7; PUBACK_BYTES as usize];

async fn pair() -> (Gather, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (broker, _) = listener.accept().await.unwrap();
    broker.set_nodelay(true).unwrap();
    (Gather::new(tcp, WINDOW), broker)
}

/// As after many reads in a short time.
async fn busy(stream: &mut Gather, broker: &mut TcpStream) {
    (stream.reads, stream.since) = (BUSY_READS - 1, Instant::now());
    broker.write_all(&PUBACK).await.unwrap();
    let mut bytes = PUBACK;
    stream.read_exact(&mut bytes).await.unwrap();
    assert!(stream.gathering);
}

#[tokio::test]
async fn a_busy_stream_is_read_by_the_handful() {
    let (mut stream, mut broker) = pair().await;
    busy(&mut stream, &mut broker).await;
    let handful = usize::from(WINDOW / WINDOW_PART);
    let writing = tokio::spawn(async move {
        for _ in 0..handful {
            broker.write_all(&PUBACK).await.unwrap();
        }
        broker
    });
    let mut bytes = [0; 4096];
    let read = stream.read(&mut bytes).await.unwrap();
    // All of it at once, or a part of it after the time that a handful is waited for.
    assert!(read == handful * PUBACK.len() || !stream.gathering, "{read} bytes");
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn a_single_acknowledgement_on_a_busy_stream_waits_no_longer_than_a_moment() {
    let (mut stream, mut broker) = pair().await;
    busy(&mut stream, &mut broker).await;
    let mut bytes = PUBACK;
    // A reader that finds nothing is waiting when it comes.
    let read = async { timeout(Duration::from_secs(5), stream.read_exact(&mut bytes)).await.is_ok() };
    let write = async {
        tokio::task::yield_now().await;
        broker.write_all(&PUBACK).await.unwrap();
    };
    let (was_read, ()) = tokio::join!(read, write);
    assert!(was_read, "it was never read");
    assert!(!stream.gathering, "it goes on waiting for company");
}

#[tokio::test]
async fn the_end_of_a_busy_stream_is_not_held_back() {
    let (mut stream, mut broker) = pair().await;
    busy(&mut stream, &mut broker).await;
    broker.write_all(&PUBACK).await.unwrap();
    drop(broker);
    let mut bytes = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await.expect("the end was never seen").unwrap();
    assert_eq!(bytes, PUBACK);
}

#[tokio::test]
async fn a_small_window_is_never_waited_for() {
    let (stream, _broker) = pair().await;
    let mut stream = Gather::new(stream.tcp, 2 * WINDOW_PART - 1);
    for _ in 0..2 * BUSY_READS {
        stream.was_read();
    }
    assert!(!stream.gathering);
}
