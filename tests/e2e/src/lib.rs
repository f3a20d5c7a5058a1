//! A device in a box: a real TPM (swtpm), the cloud simulator, a directory with everything a device has on disk, and
//! the real daemon as a child process that can be stopped, killed and started again.
//!
//! What was lost is judged here from two witnesses that know nothing of the daemon's counters: the numbers a guest
//! logged once its readings were accepted, and what the simulator recorded.

mod log;
pub mod sensors;
mod signer;
mod world;

pub use log::{Accepted, LogFile, LogLine};
pub use signer::Signer;
pub use world::{Edgeplug, PluginFiles, World, WorldOptions};
