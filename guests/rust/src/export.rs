//! [`export!`](crate::export) and what it expands to.

use std::cell::RefCell;

use crate::Plugin;

/// Exports a [`Plugin`] from the component. Once per component, at the top of the crate.
///
/// `export!(Thermometer)` exports everything. `export!(Thermometer: sensor)` exports only what it names, out of
/// `sensor`, `commands` and `lifecycle`; the daemon then does not route commands to a plugin that has none. Without
/// `lifecycle`, [`Plugin::start`] runs at the first call and [`Plugin::stop`] never.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        $crate::export!($plugin: sensor, commands, lifecycle);
    };
    ($plugin:ty: $($interface:ident),+ $(,)?) => {
        const _: () = {
            thread_local! {
                static PLUGIN: $crate::Cell<$plugin> = const { $crate::Cell::new() };
            }
            struct Exported;
            $($crate::__export_one!($interface Exported PLUGIN);)+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    (sensor $exported:ident $cell:ident) => {
        impl $crate::bindings::sensor::exports::edgeplug::plugin::sensor::Guest for $exported {
            fn sample() -> ::core::result::Result<::std::vec::Vec<$crate::Sample>, ::std::string::String> {
                $cell.with(|cell| cell.with(|plugin| $crate::Plugin::sample(plugin)))
            }
        }
        $crate::bindings::sensor::export_sensor!($exported with_types_in $crate::bindings::sensor);
    };
    (commands $exported:ident $cell:ident) => {
        impl $crate::bindings::commands::exports::edgeplug::plugin::commands::Guest for $exported {
            fn handle(
                command: $crate::bindings::commands::exports::edgeplug::plugin::commands::Command,
            ) -> ::core::result::Result<
                $crate::bindings::commands::exports::edgeplug::plugin::commands::Reply,
                ::std::string::String,
            > {
                let command = $crate::Command { text: command.text, device: command.device };
                $cell
                    .with(|cell| cell.with(|plugin| $crate::Plugin::handle(plugin, &command)))
                    .map(::core::convert::Into::into)
            }
        }
        $crate::bindings::commands::export_commands!($exported with_types_in $crate::bindings::commands);
    };
    (lifecycle $exported:ident $cell:ident) => {
        impl $crate::bindings::lifecycle::exports::edgeplug::plugin::lifecycle::Guest for $exported {
            fn start() -> ::core::result::Result<(), ::std::string::String> {
                $cell.with(|cell| cell.with(|_| ::core::result::Result::Ok(())))
            }

            fn stop() {
                $cell.with(|cell| cell.stop());
            }
        }
        $crate::bindings::lifecycle::export_lifecycle!($exported with_types_in $crate::bindings::lifecycle);
    };
}

/// Holds the plugin between calls; starts it on first use.
pub struct Cell<P>(RefCell<Option<P>>);

impl<P: Plugin> Cell<P> {
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Runs one call. A plugin that does not start is made anew the next time.
    pub fn with<T>(&self, call: impl FnOnce(&mut P) -> Result<T, String>) -> Result<T, String> {
        let mut plugin = self.0.borrow_mut();
        if let Some(plugin) = plugin.as_mut() {
            return call(plugin);
        }
        let mut fresh = P::default();
        fresh.start()?;
        call(plugin.insert(fresh))
    }

    /// Stops what was started.
    pub fn stop(&self) {
        if let Some(mut plugin) = self.0.take() {
            plugin.stop();
        }
    }
}
