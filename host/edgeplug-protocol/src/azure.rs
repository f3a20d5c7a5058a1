//! Azure wire forms: the Device Provisioning Service, IoT Hub over MQTT, SAS tokens, the TPM challenge.

pub mod challenge;
pub mod dps;
pub mod hub;
pub mod registration;
pub mod sas;
