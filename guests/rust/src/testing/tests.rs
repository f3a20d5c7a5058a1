use super::*;
use std::io::Read as _;
use std::time::Duration;

use crate::firmware::Update;
use crate::hardware::{self, gpio, serial};
use crate::{Cell, Command, Plugin, Reply, acks, config, device, files, info, telemetry};

#[derive(Default)]
struct Counter {
    calls: u32,
}

impl Plugin for Counter {
    fn start(&mut self) -> Result<(), String> {
        self.calls = config::parsed("first")?.unwrap_or(0);
        Ok(())
    }

    fn sample(&mut self) -> Result<Vec<Sample>, String> {
        self.calls += 1;
        info!("call {}", self.calls);
        Ok(vec![Sample::new().with("calls", self.calls)])
    }
}

#[test]
fn a_plugin_starts_on_first_use_and_keeps_its_state() {
    with(|host| host.config.insert("first".to_owned(), "41".to_owned()));
    let cell = Cell::<Counter>::new();
    let sampled = cell.with(Plugin::sample).expect("sample");
    assert_eq!(sampled, [Sample::new().with("calls", 42u32)]);
    cell.with(Plugin::sample).expect("sample");
    assert_eq!(with(|host| host.log.last().cloned()), Some((Level::Info, "call 43".to_owned())));
    let reply = cell.with(|plugin| plugin.handle(&Command::from("go now")));
    assert_eq!(reply, Ok(Reply::failed("this plugin has no command \"go\"")));
}

#[test]
fn a_plugin_that_does_not_start_says_why_every_time() {
    with(|host| host.config.insert("first".to_owned(), "many".to_owned()));
    let cell = Cell::<Counter>::new();
    for _ in 0..2 {
        let error = cell.with(Plugin::sample).expect_err("no number");
        assert!(error.contains("`first`") && error.contains("many"), "{error}");
    }
}

#[test]
fn the_test_host_answers_like_the_real_one() {
    with(|host| host.files.insert("/sys/a/temp".to_owned(), b"1".to_vec()));
    assert_eq!(files::find("/sys/*/temp"), Ok(vec!["/sys/a/temp".to_owned()]));
    assert_eq!(files::find("/sys/*"), Ok(vec![]));
    assert_eq!(files::read_to_string("/sys/a/temp"), Ok("1".to_owned()));
    assert_eq!(files::read("/other"), Err(files::Error::NotFound));
    assert_eq!(telemetry::send(&[Sample::new().with("a", 1)]), [Outcome::Accepted]);
    with(|host| host.outcome = Outcome::Rejected("full".to_owned()));
    assert_eq!(telemetry::send(&[Sample::new().with("a", 2)]), [Outcome::Rejected("full".to_owned())]);
    assert_eq!(with(|host| host.sent.len()), 1);
}

#[test]
fn a_file_that_grows_is_read_in_parts() {
    with(|host| host.files.insert("/var/log/a".to_owned(), b"0123456789".to_vec()));
    assert_eq!(files::read_at("/var/log/a", 4, 3), Ok(b"456".to_vec()));
    assert_eq!(files::read_at("/var/log/a", 8, 30), Ok(b"89".to_vec()));
    assert_eq!(files::read_at("/var/log/a", u64::MAX, 30), Ok(Vec::new()));
    assert_eq!(files::read_at("/var/log/b", 0, 1), Err(files::Error::NotFound));
    assert_eq!(files::read_at("/var/log/a", 0, (1 << 20) + 1), Err(files::Error::TooLarge(1 << 20)));
}

#[test]
fn state_is_kept_within_its_limits() {
    state::set("a", "1").expect("room");
    state::set("b", vec![0; 60_000]).expect("room");
    assert_eq!(state::get("a"), Ok(Some(b"1".to_vec())));
    assert_eq!(state::keys(), Ok(vec!["a".to_owned(), "b".to_owned()]));
    state::set("b", vec![1; 65_000]).expect("what it replaces does not count");
    for (key, length) in [("", 0), ("c", 1000), (&"k".repeat(129), 0)] {
        assert!(matches!(state::set(key, vec![0; length]), Err(state::Error::Quota(_))), "{key:?}");
    }
    state::delete("b").expect("there");
    state::delete("b").expect("not there");
    for number in 1..KEYS_MAX {
        state::set(&number.to_string(), "").expect("room");
    }
    assert!(matches!(state::set("more", ""), Err(state::Error::Quota(_))));
}

#[test]
fn the_twin_answers_and_remembers_what_was_reported() {
    assert_eq!(twin::report(r#"{"on": true}"#), Ok(2));
    assert_eq!(twin::get().map(|twin| twin.reported_version), Ok(2));
    with(|host| host.twin = Err(twin::Error::Refused(429)));
    assert_eq!(twin::report("{}"), Err(twin::Error::Refused(429)));
    assert_eq!(with(|host| host.reported.clone()), [r#"{"on": true}"#]);
}

#[test]
fn what_was_deferred_ends_once() {
    acks::progress("c1", 50, "half");
    acks::finish("c1", Ending::done("closed")).expect("the first end");
    assert_eq!(acks::finish("c1", Ending::failed("stuck")), Err(acks::Error::Unknown));
    assert_eq!(with(|host| host.finished.clone()), BTreeMap::from([("c1".to_owned(), Ending::done("closed"))]));
}

#[test]
fn a_firmware_file_is_read_like_any_other() {
    let file: Vec<u8> = (0..=u8::MAX).cycle().take(10_000).collect();
    with(|host| host.firmware.insert("u1".to_owned(), file.clone()));
    let update = Update {
        id: "u1".to_owned(),
        device: None,
        name: "fw.bin".to_owned(),
        version: "2".to_owned(),
        size: 10_000,
        sha256: String::new(),
    };
    let mut read = Vec::new();
    update.reader().read_to_end(&mut read).expect("read");
    assert_eq!(read, file);
    assert_eq!(update.read_at(9_999, 10), Ok(file[9_999..].to_vec()));
    let unknown = Update { id: "u2".to_owned(), ..update };
    let error = unknown.reader().read(&mut [0; 4]).expect_err("no such update");
    assert!(error.to_string().contains("u2"), "{error}");
}

#[test]
fn a_device_can_be_disconnected_when_that_is_granted() {
    assert_eq!(device::template(), None);
    assert!(device::disconnect().is_err());
    with(|host| host.may_disconnect = true);
    device::disconnect().expect("granted");
    assert!(!device::connected());
    device::reconnect().expect("granted");
    assert!(device::connected());
}

#[test]
fn hardware_is_played_by_the_test() {
    assert!(matches!(i2c::write_read("bus", 0x76, &[0xd0], 1), Err(hardware::Error::Denied(_))));
    with(|host| {
        host.i2c = Box::new(|bus, address, operations| {
            assert_eq!((bus, address, operations.len()), ("bus", 0x76, 2));
            Ok(vec![vec![0x60]])
        });
        host.lines.insert("relay".to_owned(), false);
        host.ports
            .insert("meter".to_owned(), TestPort { incoming: b"12.5\r\n".to_vec().into(), ..TestPort::default() });
    });
    assert_eq!(i2c::write_read("bus", 0x76, &[0xd0], 1), Ok(vec![0x60]));
    gpio::write("relay", true).expect("there");
    assert_eq!(gpio::read("relay"), Ok(true));
    assert!(gpio::read("other").is_err());
    serial::write("meter", b"?").expect("there");
    assert_eq!(serial::read("meter", 4, Duration::ZERO), Ok(b"12.5".to_vec()));
    assert_eq!(serial::read("meter", 4096, Duration::ZERO), Ok(b"\r\n".to_vec()));
    assert_eq!(with(|host| host.ports["meter"].outgoing.clone()), b"?");
}

#[test]
fn a_plugin_without_the_methods_refuses_kindly() {
    let cell = Cell::<Counter>::new();
    let samples = vec![Sample::new().with("a", 1)];
    assert_eq!(cell.with(|plugin| plugin.transform(samples.clone())), Ok(samples));
    assert_eq!(cell.with(Plugin::save_state), Ok(Vec::new()));
    assert_eq!(cell.with(|plugin| plugin.restore_state(b"")), Ok(()));
    cell.tell(|plugin| plugin.connection_changed(&device::Connection::Connected));
    with(|host| host.config.insert("first".to_owned(), "many".to_owned()));
    Cell::<Counter>::new().tell(|_| ());
    assert!(matches!(with(|host| host.log.pop()), Some((Level::Error, text)) if text.contains("`first`")));
}
