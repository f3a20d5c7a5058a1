//! Write plugins for the Edgeplug daemon in Rust.
//!
//! A plugin is a type with [`Plugin`] and one line that exports it:
//!
//! ```
//! use edgeplug_guest::{Command, Plugin, Reply, Sample, config, info};
//!
//! #[derive(Default)]
//! struct Thermometer {
//!     offset: f64,
//! }
//!
//! impl Plugin for Thermometer {
//!     fn start(&mut self) -> Result<(), String> {
//!         self.offset = config::parsed("offset")?.unwrap_or(0.0);
//!         info!("measuring with an offset of {} degrees", self.offset);
//!         Ok(())
//!     }
//!
//!     fn sample(&mut self) -> Result<Vec<Sample>, String> {
//!         Ok(vec![Sample::new().with("temperature", 21.5 + self.offset)])
//!     }
//!
//!     fn handle(&mut self, command: &Command) -> Result<Reply, String> {
//!         match command.name() {
//!             "reset" => {
//!                 self.offset = 0.0;
//!                 Ok(Reply::done("offset is 0"))
//!             }
//!             other => Ok(Reply::failed(format!("no command {other:?}; there is: reset"))),
//!         }
//!     }
//! }
//!
//! edgeplug_guest::export!(Thermometer);
//! # fn main() {}
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2` and drop the `.wasm` into the daemon's plugin
//! directory.
//!
//! Every function here ([`config`], [`files`], [`telemetry`], [`device`], [`twin`], [`acks`], [`state`], [`firmware`],
//! [`hardware`], the log macros) also works in ordinary `cargo test` runs on the developer's machine, against the host
//! that [`testing`] plays.

pub mod acks;
pub mod config;
pub mod device;
pub mod files;
pub mod firmware;
pub mod hardware;
pub mod log;
pub mod state;
pub mod telemetry;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod twin;

mod command;
mod export;
mod sample;

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub use export::Cell;

pub use bindings::commands::exports::edgeplug::plugin::commands::Command;
pub use bindings::imports::edgeplug::plugin::types::{Ending, LatLong, Moment, Reply, Sample, Scalar, Value};

/// A plugin. Every method has a default, so that a plugin writes only what it is about, and exports only that; see
/// [`export!`].
///
/// There is one instance of the type for one instance of the component, and the host calls one method at a time. A
/// panic ends the instance; the host logs it and starts a new one.
pub trait Plugin: Default + 'static {
    /// Called once, before anything else. An error keeps the plugin from running; the host tries again later.
    fn start(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Called once per interval. An error is logged and counted; the plugin keeps running.
    fn sample(&mut self) -> Result<Vec<Sample>, String> {
        Ok(Vec::new())
    }

    /// Called for every command from the cloud. What is wrong with the command is a [`Reply::Failed`]; what is wrong
    /// with the plugin is an error. What takes longer than a call is a [`Reply::Deferred`], ended by [`acks::finish`].
    fn handle(&mut self, command: &Command) -> Result<Reply, String> {
        Ok(Reply::failed(format!("this plugin has no command {:?}", command.name())))
    }

    /// Called after every change of the twin's desired properties, and once with all of them after a connection was
    /// made. An error is logged and counted.
    fn desired_changed(&mut self, _change: &twin::Change) -> Result<(), String> {
        Ok(())
    }

    /// Called at every change of the connection to the cloud, and once after `start`.
    fn connection_changed(&mut self, _connection: &device::Connection) {}

    /// Called once for every firmware file that was downloaded and verified; its bytes are behind
    /// [`Update::reader`](firmware::Update::reader). Most answer [`Reply::Deferred`] and end it by [`acks::finish`].
    fn update(&mut self, _update: &firmware::Update) -> Result<Reply, String> {
        Ok(Reply::failed("this plugin installs no firmware"))
    }

    /// Called with other plugins' readings on their way to the store, where the operator wired it. What it returns is
    /// stored in their place; on an error they are stored as they were.
    fn transform(&mut self, samples: Vec<Sample>) -> Result<Vec<Sample>, String> {
        Ok(samples)
    }

    /// Called before `stop` when the component's file has changed: what the new version shall know, at most 1 MiB. No
    /// bytes are nothing. An error is logged, and the new version starts with nothing.
    fn save_state(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    /// Called after `start` with what the version before saved. An error says that this version cannot go on from
    /// there: the daemon keeps the old one running.
    fn restore_state(&mut self, _saved: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// Called once before the instance goes; there is a deadline.
    fn stop(&mut self) {}
}
