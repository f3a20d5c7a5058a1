//! Generated from `wit/` by `generate.sh`: the imports once, and each export in a world of its own, so that a plugin
//! can export some of them. `wit/` is a copy of the daemon's, so that this crate builds on its own.

#[rustfmt::skip]
pub mod imports;
#[rustfmt::skip]
pub mod hardware;
#[rustfmt::skip]
pub mod sensor;
#[rustfmt::skip]
pub mod commands;
#[rustfmt::skip]
pub mod twin_events;
#[rustfmt::skip]
pub mod connection_events;
#[rustfmt::skip]
pub mod firmware;
#[rustfmt::skip]
pub mod transform;
#[rustfmt::skip]
pub mod lifecycle;
