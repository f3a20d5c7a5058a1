//! `Plugins::log_tail`: what a plugin said lately.

use edgeplug_plugins::{LogLevel, LogStream};

use crate::rig::{Rig, guest, told, variant};

#[tokio::test]
async fn a_log_outlives_instances_and_versions_and_holds_how_they_died() {
    let mut rig = Rig::start();
    assert_eq!(rig.plugins.log_tail("probe", 0, 10), None);
    rig.put_and_up("probe", &guest("probe")).await;
    for command in ["say info one", "say trace two", "say stdout three", "say stderr four", "say error forged\x1b[2J"] {
        told(rig.command("probe", command).await).expect("said");
    }
    assert!(rig.command("probe", "trap with words").await.is_err());
    rig.up("probe").await;
    rig.put("probe.wasm", &variant(&guest("probe"), 1));
    rig.up("probe").await;
    told(rig.command("probe", "say info after").await).expect("said");
    let page = rig.plugins.log_tail("probe", 0, 1000).expect("a log");
    let line = |words: &str| page.lines.iter().find(|line| line.text.contains(words)).expect(words);
    for (words, level, stream) in [
        ("info one", LogLevel::Info, LogStream::Log),
        ("trace two", LogLevel::Trace, LogStream::Log),
        ("stdout three", LogLevel::Info, LogStream::Stdout),
        ("stderr four", LogLevel::Warn, LogStream::Stderr),
        ("error forged\\u{1b}[2J", LogLevel::Error, LogStream::Log),
        ("trapping as told: with words", LogLevel::Warn, LogStream::Stderr),
        ("info after", LogLevel::Info, LogStream::Log),
    ] {
        assert_eq!((line(words).level, line(words).stream), (level, stream), "{words}");
    }
    let died = page.lines.iter().find(|line| line.stream == LogStream::Panic).expect("how it died");
    assert!(died.text.contains("trapping as told: with words") && died.level == LogLevel::Error, "{died:?}");
    assert!(page.lines.is_sorted_by_key(|line| line.number) && page.dropped == 0);
    assert_eq!(page.next, page.lines.last().expect("lines").number);
    let newer = rig.plugins.log_tail("probe", page.next, 1000).expect("a log");
    assert!(newer.lines.iter().all(|line| line.number > page.next));
}

#[tokio::test]
async fn a_flood_is_cut_and_counted() {
    let mut rig = Rig::start();
    rig.put_and_up("probe", &guest("probe")).await;
    let before = rig.plugins.log_tail("probe", 0, 1000).expect("a log").next;
    told(rig.command("probe", "flood 3000").await).expect("said");
    let page = rig.plugins.log_tail("probe", before, 1000).expect("a log");
    assert!((200..=1000).contains(&page.lines.len()), "{}", page.lines.len());
    assert_eq!(page.dropped + u64::try_from(page.lines.len()).expect("count"), page.next - before);
    assert!(page.dropped >= 2000, "{}", page.dropped);
}
