use std::fs::File;
use std::time::{Duration, SystemTime};

use super::*;

#[test]
fn the_oldest_go_first_and_what_is_in_use_stays() {
    let directory = tempfile::tempdir().expect("directory");
    let cache = Cache::open(&directory.path().join("cache"), Vec::new(), EngineKind::Native).expect("cache");
    let path = |name: &str| cache.directory.join(format!("{name}.cwasm"));
    for (age_s, name) in [(5, "used"), (4, "left"), (3, "old"), (2, "newer"), (1, "newest")] {
        fs::write(path(name), [0; 100]).expect("write");
        fs::write(vouched::voucher(&path(name)), "hash").expect("write");
        let modified = SystemTime::now() - Duration::from_secs(age_s);
        File::options().write(true).open(path(name)).and_then(|file| file.set_modified(modified)).expect("time");
    }
    let kept = || ["used", "left", "old", "newer", "newest"].map(|name| path(name).exists());
    let used = cache.lease(path("used"));
    let again = cache.lease(path("used"));
    drop(cache.lease(path("left")));
    cache.prune(3, 1000).expect("prune");
    assert_eq!(kept(), [true, false, true, true, true]);
    assert!(!vouched::voucher(&path("left")).exists());
    cache.prune(3, 200).expect("prune");
    assert_eq!(kept(), [true, false, false, true, true]);
    drop(used);
    cache.prune(2, 1000).expect("prune");
    assert_eq!(kept(), [true, false, false, true, true], "somebody else still has it");
    drop(again);
    cache.prune(2, 1000).expect("prune");
    assert_eq!(kept(), [false, false, false, true, true]);
}
