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
//! Build it with `cargo build --release --target wasm32-wasip2` and drop the `.wasm` into the daemon's plugin directory.
//!
//! Every helper here ([`config`], [`files`], [`telemetry`], [`device`], the log macros) also works in ordinary
//! `cargo test` runs on the developer's machine, against the host that [`testing`] plays.

pub mod config;
pub mod device;
pub mod files;
pub mod log;
pub mod telemetry;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

mod command;
mod export;
mod sample;

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub use export::Cell;

pub use bindings::imports::edgeplug::plugin::types::{LatLong, Moment, Sample, Scalar, Value};
pub use command::{Command, Reply};

/// A plugin. Every method has a default, so that a plugin writes only what it is about.
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

    /// Called for every command from the cloud. What is wrong with the command is a [`Reply::failed`]; what is wrong
    /// with the plugin is an error.
    fn handle(&mut self, command: &Command) -> Result<Reply, String> {
        Ok(Reply::failed(format!("this plugin has no command {:?}", command.name())))
    }

    /// Called once before the instance goes; there is a deadline.
    fn stop(&mut self) {}
}
