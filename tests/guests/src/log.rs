//! What the plugin runtime logs in the guest's name.

use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Under which the runtime passes on what guests say.
const TARGET: &str = "edgeplug::plugin";

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Collects from here on.
pub(crate) fn collect() {
    tracing_subscriber::registry().with(Collector).init();
}

/// What came since the last look.
pub(crate) fn take() -> Vec<String> {
    std::mem::take(&mut LINES.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Collector;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Collector {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let text = match line.stream.as_deref() {
            Some("stdout" | "stderr") => format!("print {}", crate::words::json(&line.message)),
            _ => format!("log {level} {}", crate::words::json(&line.message)),
        };
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

#[derive(Default)]
struct Line {
    message: String,
    /// Where it was said, if not through the `log` interface.
    stream: Option<String>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "stream" {
            self.stream = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
