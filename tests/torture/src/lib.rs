//! The promise "nothing accepted is lost", put to the test from outside: `make torture MODE=…`.
//!
//! Every mode runs the real program (or, for power cuts, the real store) against a disk, a network or a hub that misbehaves,
//! and judges by two witnesses that know nothing of the daemon's counters: the numbers a guest logged once its readings were
//! accepted, and what the cloud simulator recorded. A mode ends with one [`Verdict`], printed as one JSON object.
//!
//! What must stay true: a mode that broke a promise fails; a mode that proved nothing (no kill hit anything, no row was
//! accepted) fails as well; everything random comes from one printed seed. What is deliberately absent: any look at the
//! daemon's status to decide what was lost; it only tells when to stop waiting.

pub mod backlog;
pub mod chaos;
mod drain;
pub mod hostile;
mod integrity;
pub mod kill;
mod load;
pub mod ota;
pub mod powercut;
mod process;
pub mod random;
pub mod reload;
pub mod shim;
pub mod soak;
mod tail;
mod verdict;
pub mod witness;

pub use verdict::{Mode, Verdict};
