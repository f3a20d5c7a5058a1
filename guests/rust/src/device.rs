//! The device the plugin runs on.

/// The unique id under which the cloud knows the device.
#[must_use]
pub fn unique_id() -> String {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::device::info().unique_id;
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.unique_id.clone())
}

/// Whether the daemon is connected to the cloud. There is no need to ask before sending.
#[must_use]
pub fn connected() -> bool {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::device::connected();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.connected)
}
