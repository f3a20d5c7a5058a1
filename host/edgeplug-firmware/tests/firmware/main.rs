//! Updates through the public interface: staging, verifying, installing, deploying.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "this is a test")]

mod deploying;
mod installing;
mod rig;
mod staging;
mod verifying;
