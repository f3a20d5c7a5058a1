//! The identity against a real software TPM: every test has one of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the rigs around tests may fail as tests do"
)]

mod activation;
mod blob;
mod bus;
mod cleanliness;
mod outages;
mod rig;
mod roots;
