//! The plugin's settings: the `[config]` table of its manifest.

use std::str::FromStr;

/// The value of one key, `None` when the manifest does not have it.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::config::get(key);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.config.get(key).cloned())
}

/// Every key with its value, ordered by key.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::config::all();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The value of one key, parsed; an error names the key and the value.
pub fn parsed<T: FromStr>(key: &str) -> Result<Option<T>, String> {
    get(key)
        .map(|text| text.trim().parse().map_err(|_| format!("config key `{key}` is {text:?}, which does not parse")))
        .transpose()
}
