//! Buses, lines and ports, by the names that the operator gave them. **This version of the daemon has none yet and
//! answers every call with [`Error::Denied`].**

use std::fmt;

/// What may go wrong on a bus, a line or a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The right is missing, or this daemon has no such hardware; names the plugin, the bus and the file to edit.
    Denied(String),
    /// Nobody answered at this address.
    NoDevice,
    /// The time is over.
    TimedOut,
    /// More bytes or operations than one call may have; says how many.
    TooMuch(String),
    /// Any other failure, in the words of the operating system.
    Other(String),
}

/// I2C buses.
pub mod i2c {
    use super::Error;

    pub use crate::bindings::hardware::edgeplug::plugin::i2c::Operation;

    /// Carries out up to 42 operations on one device without giving up the bus. `address` is 7 bits. The answer has
    /// one list for every read, in order.
    pub fn transaction(bus: &str, address: u16, operations: &[Operation]) -> Result<Vec<Vec<u8>>, Error> {
        #[cfg(target_family = "wasm")]
        return crate::bindings::hardware::edgeplug::plugin::i2c::transaction(bus, address, operations)
            .map_err(Error::from);
        #[cfg(not(target_family = "wasm"))]
        crate::testing::with(|host| (host.i2c)(bus, address, operations))
    }

    /// Writes (a register's address, say), then reads, without giving up the bus in between.
    pub fn write_read(bus: &str, address: u16, write: &[u8], length: u16) -> Result<Vec<u8>, Error> {
        let operations = [Operation::Write(write.to_vec()), Operation::Read(length)];
        Ok(transaction(bus, address, &operations)?.pop().unwrap_or_default())
    }
}

/// SPI devices.
pub mod spi {
    use super::Error;

    pub use crate::bindings::hardware::edgeplug::plugin::spi::Operation;

    /// Carries out up to 32 operations while the device stays selected. The answer has one list for every read and
    /// transfer, in order.
    pub fn transaction(device: &str, operations: &[Operation]) -> Result<Vec<Vec<u8>>, Error> {
        #[cfg(target_family = "wasm")]
        return crate::bindings::hardware::edgeplug::plugin::spi::transaction(device, operations).map_err(Error::from);
        #[cfg(not(target_family = "wasm"))]
        crate::testing::with(|host| (host.spi)(device, operations))
    }
}

/// Lines of general purpose; true is active.
pub mod gpio {
    use std::time::Duration;

    use super::Error;

    pub use crate::bindings::hardware::edgeplug::plugin::gpio::Edge;

    pub fn read(line: &str) -> Result<bool, Error> {
        #[cfg(target_family = "wasm")]
        return crate::bindings::hardware::edgeplug::plugin::gpio::read(line).map_err(Error::from);
        #[cfg(not(target_family = "wasm"))]
        crate::testing::with(|host| host.lines.get(line).copied().ok_or_else(|| super::missing(line)))
    }

    pub fn write(line: &str, active: bool) -> Result<(), Error> {
        #[cfg(target_family = "wasm")]
        return crate::bindings::hardware::edgeplug::plugin::gpio::write(line, active).map_err(Error::from);
        #[cfg(not(target_family = "wasm"))]
        crate::testing::with(|host| match host.lines.get_mut(line) {
            Some(level) => {
                *level = active;
                Ok(())
            }
            None => Err(super::missing(line)),
        })
    }

    /// Waits for an edge, at most a minute: true when there was one since the last call. The host that
    /// `cargo test` plays has none.
    pub fn wait(line: &str, edge: Edge, time_max: Duration) -> Result<bool, Error> {
        let time_max_ms = super::milliseconds(time_max);
        #[cfg(target_family = "wasm")]
        return crate::bindings::hardware::edgeplug::plugin::gpio::wait(line, edge, time_max_ms).map_err(Error::from);
        #[cfg(not(target_family = "wasm"))]
        {
            let _ = (edge, time_max_ms);
            read(line).map(|_| false)
        }
    }
}

/// Serial ports.
pub mod serial {
    use std::time::Duration;

    use super::Error;

    /// Up to so many bytes (4096 at most): what came in since the last call, or what comes within a time of at most a
    /// minute. Nothing within that time is no bytes.
    pub fn read(port: &str, length: u32, time_max: Duration) -> Result<Vec<u8>, Error> {
        let time_max_ms = super::milliseconds(time_max);
        #[cfg(target_family = "wasm")]
        return crate::bindings::hardware::edgeplug::plugin::serial::read(port, length, time_max_ms)
            .map_err(Error::from);
        #[cfg(not(target_family = "wasm"))]
        {
            let _ = time_max_ms;
            crate::testing::with(|host| {
                let port = host.ports.get_mut(port).ok_or_else(|| super::missing(port))?;
                let length = port.incoming.len().min(length as usize);
                Ok(port.incoming.drain(..length).collect())
            })
        }
    }

    /// Writes all of it, 1 to 4096 bytes.
    pub fn write(port: &str, data: &[u8]) -> Result<(), Error> {
        #[cfg(target_family = "wasm")]
        return crate::bindings::hardware::edgeplug::plugin::serial::write(port, data).map_err(Error::from);
        #[cfg(not(target_family = "wasm"))]
        crate::testing::with(|host| {
            host.ports.get_mut(port).ok_or_else(|| super::missing(port))?.outgoing.extend_from_slice(data);
            Ok(())
        })
    }
}

fn milliseconds(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn missing(name: &str) -> Error {
    Error::Denied(format!("the test's host has no {name:?}"))
}

#[cfg(target_family = "wasm")]
impl From<crate::bindings::hardware::edgeplug::plugin::hardware_types::Error> for Error {
    fn from(error: crate::bindings::hardware::edgeplug::plugin::hardware_types::Error) -> Self {
        use crate::bindings::hardware::edgeplug::plugin::hardware_types::Error as Wire;
        match error {
            Wire::Denied(reason) => Self::Denied(reason),
            Wire::NoDevice => Self::NoDevice,
            Wire::TimedOut => Self::TimedOut,
            Wire::TooMuch(reason) => Self::TooMuch(reason),
            Wire::Other(reason) => Self::Other(reason),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(reason) | Self::TooMuch(reason) | Self::Other(reason) => formatter.write_str(reason),
            Self::NoDevice => formatter.write_str("nobody answers at this address"),
            Self::TimedOut => formatter.write_str("the time is over"),
        }
    }
}

impl std::error::Error for Error {}

/// So that `?` works in functions that answer with a text.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}
