//! Real peers for tests.
//!
//! Everything here is a real program or speaks the real protocol; there is no mock. A peer owns its process, ports and
//! files, and takes them with it when dropped. A tool that is missing fails the test and says which package has it.

pub mod certificates;
pub mod chaos_relay;
pub mod connect_proxy;
pub mod mosquitto;
pub mod ports;
pub mod programs;
pub mod scripted_broker;
pub mod swtpm;
pub mod versions;
