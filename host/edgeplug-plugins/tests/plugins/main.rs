//! The plugins from outside: real components, built from source, in a real directory.

// clippy gives leave to test functions only; what they call is test code too.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod asking;
mod calls;
mod complaints;
mod connection;
mod diagnosis;
mod directories;
mod environment;
mod files;
mod handing_over;
mod keeping;
mod loading;
mod logs;
mod network;
mod rig;
mod routed;
mod sending;
mod structure;
mod swapping;
mod trial;
