//! A device without a clock of its own, and clocks that jump: readings carry the right time all the same, and the link
//! holds. The wall clock is faked for the daemon's process alone by libfaketime; its monotonic clocks are the system's.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgeplug_cloud::{Attribute, Template};
use edgeplug_e2e::{Edgeplug, PluginFiles, World, WorldOptions};
use jiff::Timestamp;

const LONG: Duration = Duration::from_secs(60);
/// How far a stamp may be from the moment the reading was taken: HTTPS tells the time in whole seconds.
const STAMP_ERROR_MS_MAX: i64 = 2_500;

/// A world whose daemon believes the time that stands in a file, such as `-10y` or `+0`.
struct FakedTime {
    world: World,
    file: PathBuf,
}

impl FakedTime {
    async fn new(cloud_lines: &str) -> Self {
        let template = Template {
            attributes: vec![Attribute::string("run"), Attribute::number("sequence")],
            ..Template::default()
        };
        // Rows go at once, so that a stamp can be compared with the moment of arrival.
        let tables = "[uplink.batch]\nbytes = 0\n[link]\nretry_max_s = 2\n".to_owned();
        let options = WorldOptions { template, tables, symmetric_key: true, ..WorldOptions::default() };
        let mut world = World::new(options).await.unwrap();
        world.write_config(cloud_lines).unwrap();
        let file = world.directory().join("faketime");
        world.set_environment(
            [
                ("LD_PRELOAD", library().to_str().unwrap()),
                ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                // The file is read again at every look at the clock.
                ("FAKETIME_NO_CACHE", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        );
        let manifest = "interval_ms = 200\n[config]\nrun = \"r\"\n";
        world.drop_plugin(PluginFiles { name: "one", guest: "sequence", manifest: Some(manifest) }).unwrap();
        let faked = Self { world, file };
        faked.set("+0");
        faked
    }

    fn set(&self, offset: &str) {
        let arriving = self.file.with_extension("new");
        std::fs::write(&arriving, format!("{offset}\n")).unwrap();
        std::fs::rename(arriving, &self.file).unwrap();
    }

    async fn online(&self, edgeplug: &Edgeplug) {
        edgeplug.wait_status(|status| status["link"] == "online", LONG).await.unwrap();
    }

    /// Waits for `count` more messages.
    async fn more_readings(&self, count: usize) {
        let enough = self.world.cloud.recorder().len() + count;
        self.world.cloud.recorder().wait_for(|records| records.len() >= enough, LONG).await.unwrap();
    }

    /// The stamps of all readings that arrived while the link was up, each against its arrival.
    fn assert_stamped_at_arrival(&self) {
        let recorder = self.world.cloud.recorder();
        let records = recorder.records();
        let readings = recorder.readings("sequence");
        assert!(!readings.is_empty());
        for reading in readings.iter().filter(|reading| !reading.offline) {
            let arrived = records[usize::try_from(reading.record).unwrap()].at;
            let stamped: Timestamp = reading.time.parse().unwrap();
            let error_ms = arrived.as_millisecond() - stamped.as_millisecond();
            assert!(error_ms.abs() < STAMP_ERROR_MS_MAX, "{} arrived at {arrived}", reading.time);
        }
    }
}

fn library() -> PathBuf {
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    let path = Path::new("/usr/lib").join(triple).join("faketime/libfaketime.so.1");
    assert!(path.exists(), "{} is missing; install it: apt-get install libfaketime", path.display());
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_years_behind_at_start_changes_nothing_for_a_device_that_knew_the_time_once() {
    let faked = FakedTime::new("").await;
    let edgeplug = faked.world.start().unwrap();
    faked.online(&edgeplug).await;
    faked.more_readings(3).await;
    assert!(edgeplug.terminate().await.unwrap().success());
    faked.set("-10y");
    let edgeplug = faked.world.start().unwrap();
    faked.online(&edgeplug).await;
    faked.more_readings(5).await;
    assert!(edgeplug.terminate().await.unwrap().success());
    faked.assert_stamped_at_arrival();
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_from_before_the_time_was_known_are_stamped_right_once_it_is() {
    let faked = FakedTime::new("").await;
    let world = &faked.world;
    faked.set("-30y");
    // Without the portal nothing can tell the time; readings are taken all the same.
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let nowhere = config.replace(&world.cloud.discovery_url(), "https://127.0.0.1:9");
    std::fs::write(world.config_file(), nowhere).unwrap();
    let begun = Timestamp::now();
    let edgeplug = world.start().unwrap();
    let stored =
        |status: &serde_json::Value| status["uplink"]["waiting"].as_u64() > Some(5) && status["time_known"] == false;
    edgeplug.wait_status(stored, LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
    let ended = Timestamp::now();
    assert!(world.cloud.recorder().is_empty());

    // The next run is of the same boot, and its clock is as wrong: the portal's answer tells the time.
    std::fs::write(world.config_file(), config).unwrap();
    std::fs::remove_file(world.plugins_directory().join("one.wasm")).unwrap();
    let edgeplug = world.start().unwrap();
    faked.online(&edgeplug).await;
    let first = world.cloud.recorder().wait_for_readings("sequence", 5, LONG).await.unwrap();
    let stamps: Vec<Timestamp> = first.iter().map(|reading| reading.time.parse().unwrap()).collect();
    assert!(stamps.is_sorted(), "{stamps:?}");
    let taken = begun.as_millisecond() - STAMP_ERROR_MS_MAX..ended.as_millisecond() + STAMP_ERROR_MS_MAX;
    assert!(stamps.iter().all(|stamp| taken.contains(&stamp.as_millisecond())), "{stamps:?}, {begun} to {ended}");
    assert!(edgeplug.terminate().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn jumps_of_ten_years_under_way_change_neither_stamps_nor_renewals() {
    // Renewed every eight seconds, so that renewals fall into either time.
    let faked = FakedTime::new("token_life_s = 10").await;
    let device = faked.world.hub_device_id();
    let edgeplug = faked.world.start().unwrap();
    faked.online(&edgeplug).await;
    faked.more_readings(3).await;
    for (offset, connections) in [("+10y", 2), ("-10y", 3)] {
        faked.set(offset);
        faked.world.cloud.hub().wait_connections(&device, connections, LONG).await.unwrap();
        faked.more_readings(3).await;
    }
    let status = edgeplug.status().await.unwrap();
    assert_eq!((&status["link"], &status["trouble"]), (&"online".into(), &serde_json::Value::Null));
    assert!(edgeplug.terminate().await.unwrap().success());
    assert!(faked.world.cloud.recorder().readings("sequence").iter().all(|reading| !reading.offline));
    faked.assert_stamped_at_arrival();
    assert!(faked.world.cloud.complaints().is_empty(), "{:?}", faked.world.cloud.complaints());
}
