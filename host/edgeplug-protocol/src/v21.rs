//! Device message 2.1.
//!
//! Discovery and identity run over HTTPS and say where to connect; attributes, settings, rules and children are asked for
//! by message afterwards. The kind of a message to the cloud stands in its topic, the kind of a message from the cloud in
//! the number `ct`.

pub(crate) mod c2d;
pub mod discovery;
pub mod identity;
pub mod messages;
