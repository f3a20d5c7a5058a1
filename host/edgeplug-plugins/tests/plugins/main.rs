//! The plugins from outside: real components, built from source, in a real directory.

// clippy gives leave to test functions only; what they call is test code too.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod calls;
mod files;
mod loading;
mod rig;
mod sending;
mod structure;
mod swapping;
