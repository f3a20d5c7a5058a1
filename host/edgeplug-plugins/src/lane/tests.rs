use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::standing::Used;

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(10);

struct Rig {
    lanes: Lanes,
    desk: Arc<Desk>,
}

impl Rig {
    fn new() -> Self {
        let lanes = Lanes::start(&Engine::default()).expect("threads");
        Self { lanes, desk: Arc::new(Desk::new(Clock::system())) }
    }

    fn ride<T>(&self, lane: Lane, call: impl Future<Output = T> + Send + 'static) -> Ride<T> {
        self.lanes.ride((lane, false), &self.desk, &Deadline::start(DEADLINE), call)
    }

    /// Uses up its share.
    fn spend(&self) {
        let cpu = Duration::from_secs(5);
        self.desk.standing.ended(Used { uncharged: cpu, cpu, overran: false, is_usual: true });
        assert_eq!(self.desk.standing.lane(), Lane::Idle);
    }

    async fn all_end(&self) {
        assert!(self.lanes.are_empty(PATIENCE).await, "a thread is left behind");
    }
}

fn thread_name() -> Option<String> {
    thread::current().name().map(str::to_owned)
}

/// The scheduler's policy of this thread: field 41 of its `stat` (proc_pid_stat(5)).
fn policy() -> String {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("stat");
    // The name, in brackets, may hold spaces.
    let after_name = stat.rsplit(')').next().expect("fields").to_owned();
    after_name.split_whitespace().nth(41 - 3).expect("a policy").to_owned()
}

/// What a guest does that computes: each poll ends at a tick.
async fn compute(deadline: Deadline, ticks: u32) -> Option<String> {
    for _ in 0..ticks {
        let begun = thread_cpu();
        while thread_cpu() < begun + SHORT {}
        deadline.interrupt();
        tokio::task::yield_now().await;
    }
    thread_name()
}

#[tokio::test]
async fn a_short_call_stays_where_it_is_awaited() {
    let rig = Rig::new();
    let here = thread::current().id();
    let (there, spent) = rig.ride(Lane::Fast, async { thread::current().id() }).await;
    assert_eq!(there, here);
    assert!(spent.cpu <= BRIEF && spent.uncharged == spent.cpu, "{spent:?}");
}

#[tokio::test]
async fn a_call_that_is_known_to_be_slow_is_made_elsewhere() {
    let rig = Rig::new();
    let (name, _) = rig.ride(Lane::Slow, async { thread_name() }).await;
    assert_eq!(name.as_deref(), Some("plugin-lane"));
    rig.all_end().await;
}

#[tokio::test]
async fn a_call_that_computes_for_long_moves_and_its_answer_comes_back() {
    let rig = Rig::new();
    let here = thread::current().id();
    let deadline = Deadline::start(DEADLINE);
    let ride = rig.lanes.ride((Lane::Fast, false), &rig.desk, &deadline.clone(), compute(deadline, 5));
    let (name, spent) = ride.await;
    assert_eq!(name.as_deref(), Some("plugin-lane"));
    assert_eq!(thread::current().id(), here);
    assert!(spent.cpu >= SHORT * 3, "{spent:?}");
    assert_eq!(spent.uncharged, Duration::ZERO, "a thread charges what it uses as it goes");
    rig.all_end().await;
}

#[tokio::test]
async fn a_call_that_waits_does_not_move() {
    let rig = Rig::new();
    let waits = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        thread_name()
    };
    let (name, _) = rig.ride(Lane::Fast, waits).await;
    assert_eq!(name, thread_name());
}

#[tokio::test]
async fn timers_sockets_and_blocking_work_go_on_from_a_thread_of_its_own() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = Rig::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("address").port();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        stream.write_all(b"hello").await.expect("written");
    });
    let call = async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        let sum = tokio::task::spawn_blocking(|| 40 + 2).await.expect("a sum");
        (text, sum, thread_name())
    };
    let ((text, sum, name), _) = rig.ride(Lane::Slow, call).await;
    assert_eq!((text.as_str(), sum, name.as_deref()), ("hello", 42, Some("plugin-lane")));
    answering.await.expect("answered");
    rig.all_end().await;
}

#[tokio::test]
async fn a_panic_goes_on_where_the_call_is_awaited_and_leaves_no_thread() {
    let rig = Rig::new();
    let call = rig.ride(Lane::Slow, async { assert!(thread_name().is_none(), "as told") });
    let failed = tokio::spawn(call).await.expect_err("a panic");
    let words = failed.into_panic().downcast::<&str>().expect("text");
    assert_eq!(*words, "as told");
    rig.all_end().await;
}

/// Tells when it is dropped, and where.
struct Tell(mpsc::Sender<Option<String>>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(thread_name());
    }
}

#[tokio::test]
async fn a_call_that_nobody_awaits_any_more_is_dropped_where_it_is() {
    let rig = Rig::new();
    let (tell, told) = mpsc::channel();
    let held = Tell(tell);
    let (begun, begins) = oneshot::channel();
    let call = rig.ride(Lane::Slow, async move {
        let _held = held;
        begun.send(()).expect("somebody waits");
        std::future::pending::<()>().await;
    });
    let awaiting = tokio::spawn(call);
    begins.await.expect("it begins");
    awaiting.abort();
    assert!(awaiting.await.expect_err("aborted").is_cancelled());
    rig.all_end().await;
    assert_eq!(told.recv().expect("dropped").as_deref(), Some("plugin-lane"));
}

#[tokio::test]
async fn a_call_in_a_loop_is_dropped_at_the_next_tick() {
    let rig = Rig::new();
    let deadline = Deadline::start(DEADLINE);
    let ride = rig.lanes.ride((Lane::Slow, false), &rig.desk, &deadline.clone(), compute(deadline, u32::MAX));
    let awaiting = tokio::spawn(ride);
    let mut threads = rig.lanes.threads.subscribe();
    threads.wait_for(|threads| *threads == 1).await.expect("it begins");
    awaiting.abort();
    rig.all_end().await;
}

#[tokio::test]
async fn a_plugin_over_its_share_computes_only_when_nobody_else_wants_to() {
    let rig = Rig::new();
    rig.spend();
    let lane = rig.desk.standing.lane();
    let (policy_there, _) = rig.ride(lane, async { policy() }).await;
    assert_eq!(policy_there, libc::SCHED_IDLE.to_string());
    assert_eq!(policy(), libc::SCHED_OTHER.to_string(), "and no other thread");
    let (policy_there, _) = rig.ride(Lane::Slow, async { policy() }).await;
    assert_eq!(policy_there, libc::SCHED_OTHER.to_string());
    rig.all_end().await;
}

#[tokio::test]
async fn blocking_work_of_an_idle_call_leaves_the_daemons_threads_as_they_are() {
    let rig = Rig::new();
    let call = async { tokio::task::spawn_blocking(policy).await.expect("a policy") };
    rig.ride(Lane::Idle, call).await;
    rig.all_end().await;
    // A thread of the idle one's making would be used again here.
    for _ in 0..4 {
        let policy = tokio::task::spawn_blocking(policy).await.expect("a policy");
        assert_eq!(policy, libc::SCHED_OTHER.to_string());
    }
}

#[tokio::test]
async fn a_call_that_goes_over_the_share_becomes_idle_on_its_way() {
    let rig = Rig::new();
    let deadline = Deadline::start(DEADLINE);
    let desk = Arc::clone(&rig.desk);
    let (before, after) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let seen = (Arc::clone(&before), Arc::clone(&after));
    let computing = deadline.clone();
    let call = async move {
        let number = || policy().parse::<u32>().expect("a number");
        seen.0.store(number(), Ordering::Relaxed);
        desk.standing.charge(Duration::from_secs(5));
        compute(computing, 1).await;
        seen.1.store(number(), Ordering::Relaxed);
    };
    rig.lanes.ride((Lane::Slow, false), &rig.desk, &deadline, call).await;
    assert_eq!(before.load(Ordering::Relaxed), libc::SCHED_OTHER.unsigned_abs());
    assert_eq!(after.load(Ordering::Relaxed), libc::SCHED_IDLE.unsigned_abs());
}

#[tokio::test]
async fn without_a_thread_a_call_goes_on_where_it_is() {
    let rig = Rig::new();
    let taken: Vec<_> = std::iter::from_fn(|| rig.lanes.count_thread()).collect();
    assert_eq!(taken.len(), THREADS_MAX);
    let deadline = Deadline::start(DEADLINE);
    let ride = rig.lanes.ride((Lane::Slow, false), &rig.desk, &deadline.clone(), compute(deadline, 5));
    assert_eq!(ride.await.0, thread_name());
    drop(taken);
    rig.all_end().await;
}

#[tokio::test]
async fn what_a_call_uses_is_charged_to_its_deadline_and_what_it_waits_is_not() {
    let rig = Rig::new();
    // Of wall time it has four times as much.
    let deadline = Deadline::start(SHORT * 200);
    let waits = async { tokio::time::sleep(SHORT * 250).await };
    rig.lanes.ride((Lane::Slow, false), &rig.desk, &deadline, waits).await;
    assert!(!deadline.has_passed());
    rig.lanes.ride((Lane::Slow, false), &rig.desk, &deadline, compute(deadline.clone(), 200)).await;
    assert!(deadline.has_passed());
}
