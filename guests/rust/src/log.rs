//! The plugin's voice in the daemon's log: `trace!`, `debug!`, `info!`, `warn!` and `error!`, used like `format!`.

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Logs one message. The macros are shorter.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::imports::edgeplug::plugin::log as wire;
        let level = match level {
            Level::Trace => wire::Level::Trace,
            Level::Debug => wire::Level::Debug,
            Level::Info => wire::Level::Info,
            Level::Warn => wire::Level::Warn,
            Level::Error => wire::Level::Error,
        };
        wire::log(level, message);
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.log.push((level, message.to_owned())));
}

#[macro_export]
macro_rules! trace {
    ($($arguments:tt)*) => { $crate::log::log($crate::log::Level::Trace, &::std::format!($($arguments)*)) };
}

#[macro_export]
macro_rules! debug {
    ($($arguments:tt)*) => { $crate::log::log($crate::log::Level::Debug, &::std::format!($($arguments)*)) };
}

#[macro_export]
macro_rules! info {
    ($($arguments:tt)*) => { $crate::log::log($crate::log::Level::Info, &::std::format!($($arguments)*)) };
}

#[macro_export]
macro_rules! warn {
    ($($arguments:tt)*) => { $crate::log::log($crate::log::Level::Warn, &::std::format!($($arguments)*)) };
}

#[macro_export]
macro_rules! error {
    ($($arguments:tt)*) => { $crate::log::log($crate::log::Level::Error, &::std::format!($($arguments)*)) };
}
