//! The plugins from outside: real components, built from source, in a real directory.

// clippy gives leave to test functions only; what they call is test code too.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod asking;
mod calls;
mod changing;
mod complaints;
mod connection;
mod diagnosis;
mod directories;
mod engines;
mod environment;
mod figures;
mod files;
mod handing_over;
mod images;
mod keeping;
mod lanes;
mod loading;
mod logs;
mod network;
mod operating;
mod over_the_air;
mod probation;
mod rig;
mod routed;
mod sending;
mod signing;
mod structure;
mod swapping;
mod trial;
