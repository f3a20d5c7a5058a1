//! [`export!`](crate::export) and what it expands to.

use std::cell::RefCell;

use crate::Plugin;

/// Exports a [`Plugin`] from the component. Once per component, at the top of the crate.
///
/// `export!(Thermometer)` exports `sensor`, `commands` and `lifecycle`. `export!(Thermometer: sensor, twin_events)`
/// exports what it names, and only that:
///
/// | name | methods of the plugin that the daemon calls |
/// |---|---|
/// | `sensor` | [`sample`](Plugin::sample) |
/// | `commands` | [`handle`](Plugin::handle) |
/// | `twin_events` | [`desired_changed`](Plugin::desired_changed) |
/// | `connection_events` | [`connection_changed`](Plugin::connection_changed) |
/// | `firmware` | [`update`](Plugin::update) |
/// | `transform` | [`transform`](Plugin::transform) |
/// | `lifecycle` | [`start`](Plugin::start), [`stop`](Plugin::stop), `save_state`, `restore_state` |
///
/// Name only what the plugin implements: the daemon sends commands, firmware and other plugins' readings to whoever
/// exports the interface. Without `lifecycle`, [`Plugin::start`] runs at the first call and the other three never.
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
                $cell.with(|cell| cell.with($crate::Plugin::sample))
            }
        }
        $crate::bindings::sensor::export_sensor!($exported with_types_in $crate::bindings::sensor);
    };
    (commands $exported:ident $cell:ident) => {
        impl $crate::bindings::commands::exports::edgeplug::plugin::commands::Guest for $exported {
            fn handle(command: $crate::Command) -> ::core::result::Result<$crate::Reply, ::std::string::String> {
                $cell.with(|cell| cell.with(|plugin| $crate::Plugin::handle(plugin, &command)))
            }
        }
        $crate::bindings::commands::export_commands!($exported with_types_in $crate::bindings::commands);
    };
    (twin_events $exported:ident $cell:ident) => {
        impl $crate::bindings::twin_events::exports::edgeplug::plugin::twin_events::Guest for $exported {
            fn desired_changed(change: $crate::twin::Change) -> ::core::result::Result<(), ::std::string::String> {
                $cell.with(|cell| cell.with(|plugin| $crate::Plugin::desired_changed(plugin, &change)))
            }
        }
        $crate::bindings::twin_events::export_twin_events!($exported with_types_in $crate::bindings::twin_events);
    };
    (connection_events $exported:ident $cell:ident) => {
        impl $crate::bindings::connection_events::exports::edgeplug::plugin::connection_events::Guest for $exported {
            fn changed(connection: $crate::device::Connection) {
                $cell.with(|cell| cell.tell(|plugin| $crate::Plugin::connection_changed(plugin, &connection)));
            }
        }
        $crate::bindings::connection_events::export_connection_events!(
            $exported with_types_in $crate::bindings::connection_events
        );
    };
    (firmware $exported:ident $cell:ident) => {
        impl $crate::bindings::firmware::exports::edgeplug::plugin::firmware::Guest for $exported {
            fn update(
                update: $crate::firmware::Update,
            ) -> ::core::result::Result<$crate::Reply, ::std::string::String> {
                $cell.with(|cell| cell.with(|plugin| $crate::Plugin::update(plugin, &update)))
            }
        }
        $crate::bindings::firmware::export_firmware!($exported with_types_in $crate::bindings::firmware);
    };
    (transform $exported:ident $cell:ident) => {
        impl $crate::bindings::transform::exports::edgeplug::plugin::transform::Guest for $exported {
            fn process(
                samples: ::std::vec::Vec<$crate::Sample>,
            ) -> ::core::result::Result<::std::vec::Vec<$crate::Sample>, ::std::string::String> {
                $cell.with(|cell| cell.with(|plugin| $crate::Plugin::transform(plugin, samples)))
            }
        }
        $crate::bindings::transform::export_transform!($exported with_types_in $crate::bindings::transform);
    };
    (lifecycle $exported:ident $cell:ident) => {
        impl $crate::bindings::lifecycle::exports::edgeplug::plugin::lifecycle::Guest for $exported {
            fn start() -> ::core::result::Result<(), ::std::string::String> {
                $cell.with(|cell| cell.with(|_| ::core::result::Result::Ok(())))
            }

            fn stop() {
                $cell.with(|cell| cell.stop());
            }

            fn save_state() -> ::core::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                $cell.with(|cell| cell.with($crate::Plugin::save_state))
            }

            fn restore_state(saved: ::std::vec::Vec<u8>) -> ::core::result::Result<(), ::std::string::String> {
                $cell.with(|cell| cell.with(|plugin| $crate::Plugin::restore_state(plugin, &saved)))
            }
        }
        $crate::bindings::lifecycle::export_lifecycle!($exported with_types_in $crate::bindings::lifecycle);
    };
    ($unknown:ident $exported:ident $cell:ident) => {
        ::core::compile_error!(::core::concat!(
            "there is no interface `",
            ::core::stringify!($unknown),
            "` to export; there are: sensor, commands, twin_events, connection_events, firmware, transform, lifecycle",
        ));
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

    /// Runs one call that has no answer. A plugin that does not start says so in the log.
    pub fn tell(&self, call: impl FnOnce(&mut P)) {
        let told = self.with(|plugin| {
            call(plugin);
            Ok(())
        });
        if let Err(error) = told {
            crate::log::log(crate::log::Level::Error, &error);
        }
    }

    /// Stops what was started.
    pub fn stop(&self) {
        if let Some(mut plugin) = self.0.take() {
            plugin.stop();
        }
    }
}
