use notify::Event;
use notify::event::{CreateKind, Flag};

use super::*;

#[tokio::test]
async fn lost_events_are_told_once_and_reading_is_no_change() {
    let hints = Hints::default();
    hints.take(&Ok(Event::new(EventKind::Access(AccessKind::Close(AccessMode::Read)))));
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(1), hints.wait()).await;
    assert!(nothing.is_err(), "our own reading announces nothing");
    hints.take(&Ok(Event::new(EventKind::Create(CreateKind::File))));
    hints.wait().await;
    assert!(!hints.take_overflow());
    // What the kernel says when its queue overflowed (inotify(7), IN_Q_OVERFLOW).
    hints.take(&Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    hints.wait().await;
    assert!(hints.take_overflow() && !hints.take_overflow());
}
