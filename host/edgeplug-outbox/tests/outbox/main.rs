//! The outbox against real SQLite files, a second process and its own death.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

mod commands;
mod custody;
mod damage;
mod directory;
mod disk;
mod export;
mod groups;
mod kill;
mod model;
mod rig;
mod segments;
mod trouble;
