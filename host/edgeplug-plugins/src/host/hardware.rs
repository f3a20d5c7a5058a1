//! `i2c`, `spi`, `gpio`, `serial`: linked, so that a component that uses them loads, and denied.

use crate::bindings::{gpio, hardware_types, i2c, serial, spi};
use crate::host::State;

const DENIED: &str = "this version of the daemon has no hardware interfaces yet";

impl hardware_types::Host for State {}

impl i2c::Host for State {
    fn transaction(
        &mut self,
        bus: String,
        _address: u16,
        _operations: Vec<i2c::Operation>,
    ) -> Result<Vec<Vec<u8>>, hardware_types::Error> {
        self.failed_or_denied("I2C bus", &bus)
    }
}

impl spi::Host for State {
    fn transaction(
        &mut self,
        device: String,
        _operations: Vec<spi::Operation>,
    ) -> Result<Vec<Vec<u8>>, hardware_types::Error> {
        self.failed_or_denied("SPI device", &device)
    }
}

impl gpio::Host for State {
    fn read(&mut self, line: String) -> Result<bool, hardware_types::Error> {
        self.failed_or_denied("GPIO line", &line)
    }

    fn write(&mut self, line: String, _active: bool) -> Result<(), hardware_types::Error> {
        Err(self.denied("GPIO line", &line))
    }

    fn wait(&mut self, line: String, _edge: gpio::Edge, _timeout_ms: u32) -> Result<bool, hardware_types::Error> {
        Err(self.denied("GPIO line", &line))
    }
}

impl serial::Host for State {
    fn read(&mut self, port: String, _length: u32, _timeout_ms: u32) -> Result<Vec<u8>, hardware_types::Error> {
        self.failed_or_denied("serial port", &port)
    }

    fn write(&mut self, port: String, _data: Vec<u8>) -> Result<(), hardware_types::Error> {
        Err(self.denied("serial port", &port))
    }
}

impl State {
    /// A reading call: a trial may want it to fail like a broken bus.
    fn failed_or_denied<T>(&self, what: &str, name: &str) -> Result<T, hardware_types::Error> {
        match self.guest.surroundings.faults.on_read() {
            Some(error) => Err(hardware_types::Error::Other(error)),
            None => Err(self.denied(what, name)),
        }
    }

    fn denied(&self, what: &str, name: &str) -> hardware_types::Error {
        let message = format!("plugin {:?} may not use the {what} {name:?}: {DENIED}", self.guest.plugin);
        self.refuse(&message);
        hardware_types::Error::Denied(message)
    }
}
