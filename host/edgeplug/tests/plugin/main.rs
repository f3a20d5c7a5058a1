//! `edgeplug plugin …` from outside, with real components.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod build;
mod compile;
mod logs;
mod rig;
mod trial;
