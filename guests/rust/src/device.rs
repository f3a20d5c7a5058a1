//! The device the plugin runs on, and what the cloud says it looks like.

pub use crate::bindings::connection_events::exports::edgeplug::plugin::connection_events::Connection;
pub use crate::bindings::imports::edgeplug::plugin::device::{
    Attribute, Child, Kind, Member, Model as Template, Setting,
};

impl Kind {
    /// How it is spelt in the interface, for instance `lat-long`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Bit => "bit",
            Self::Integer => "integer",
            Self::Long => "long",
            Self::Number => "number",
            Self::Text => "text",
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "date-time",
            Self::LatLong => "lat-long",
            Self::Object => "object",
        }
    }
}

/// The unique id under which the cloud knows the device.
#[must_use]
pub fn unique_id() -> String {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::device::info().unique_id;
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.unique_id.clone())
}

/// What the cloud last said about this device, `None` before it was ever reached. It may change at any time; ask again
/// when it matters.
///
/// ```
/// use edgeplug_guest::device;
///
/// let children = device::template().map(|template| template.children).unwrap_or_default();
/// for child in children {
///     println!("{} has the tag {}", child.unique_id, child.tag);
/// }
/// ```
#[must_use]
pub fn template() -> Option<Template> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::device::template();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.template.clone())
}

/// Whether the daemon is connected to the cloud. There is no need to ask before sending.
#[must_use]
pub fn connected() -> bool {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::device::connected();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.connected)
}

/// Ends the connection to the cloud until [`reconnect`]. Readings go on being accepted meanwhile. It needs the right
/// `disconnect`; the error says what is missing.
pub fn disconnect() -> Result<(), String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::device::disconnect();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.switch_connection(false))
}

/// Lets the daemon connect again. It needs the right `disconnect`. Without a [`disconnect`] before it nothing happens.
pub fn reconnect() -> Result<(), String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::device::reconnect();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.switch_connection(true))
}
