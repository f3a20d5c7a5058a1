//! Nouns and bytes: IoTConnect messages, Azure DPS and IoT Hub wire forms.
//!
//! Pure: nothing here does I/O, reads a clock or draws a random number.

pub mod azure;
pub mod legacy;
pub mod model;
pub mod sample;
pub mod time;
