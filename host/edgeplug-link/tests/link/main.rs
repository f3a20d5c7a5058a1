//! The link against real peers: mosquitto, a broker that misbehaves by script, and a small HTTPS server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

mod bad_network;
mod clock;
mod custody;
mod download;
mod download_secrets;
mod file_server;
mod http;
mod https_server;
mod mosquitto;
mod proxy;
mod rig;
mod scripted;
mod websocket;
mod websocket_front;
