//! The simulator against clients that speak its protocols byte by byte: that it does what the real services do, and refuses what
//! they refuse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

mod device;
mod dps;
mod firmware;
mod hub;
mod iotconnect;
mod program;
mod swtpm;
mod to_device;
mod updates;
mod v21;
mod websocket;

use std::time::Duration;

/// Long enough for two busy cores; a test that waits it out has failed.
const PATIENCE: Duration = Duration::from_secs(20);
