//! Nouns and bytes: IoTConnect messages (legacy and 2.1), Azure DPS and IoT Hub wire forms.
//!
//! Pure: nothing here does I/O, reads a clock or draws a random number.

pub mod ack;
pub mod aggregate;
pub mod azure;
pub mod c2d;
pub mod definition;
pub mod legacy;
pub mod model;
pub mod retry;
pub mod rules;
pub mod sample;
pub mod telemetry;
pub mod template;
pub mod time;
pub mod topics;
pub mod v21;
pub mod validation;
pub mod version;
mod wire;
