//! The link against real peers: mosquitto, a broker that misbehaves by script, and a small HTTPS server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

mod http;
mod https_server;
mod mosquitto;
mod rig;
mod scripted;
