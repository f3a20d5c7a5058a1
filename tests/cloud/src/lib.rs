//! The cloud simulator: IoTConnect's discovery and sync, Azure's Device Provisioning Service with real TPM challenges,
//! and a strict IoT Hub, on loopback, with fault switches and a record of everything a device sent.
//!
//! It is an independent witness: it shares no code with the daemon it tests, reads every topic, token and blob with its
//! own parsers, and judges "lost" by its own record. It holds device keys in plain files and trusts whoever reaches its
//! control port, so it listens on 127.0.0.1 only and is never part of what is shipped. A device is offered the legacy
//! protocol unless its [`Offer`] says 2.1 or both.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use edgeplug_cloud::{Attribute, Cloud, CloudOptions, Device};
//!
//! let device = Device::symmetric("GW").attribute(Attribute::number("temp"));
//! let cloud = Cloud::start(CloudOptions::new().device(device)).await?;
//! println!("{}", cloud.connection_block("GW"));
//! cloud.hub().wait_connected("GW", Duration::from_secs(10)).await?;
//! cloud.hub().send_command("GW", "set-interval 5", "ack-1")?;
//! cloud.recorder().wait_for_ack("ack-1", Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

mod blob;
mod c2d;
mod changes;
mod cloud;
mod control;
mod device;
mod dps;
mod files;
mod firmware;
mod hub;
mod iotconnect;
mod judge;
mod key;
mod limits;
mod listen;
mod portal;
mod protocol;
mod recorder;
pub mod sas;
mod script;
mod state;
mod template;
mod tls;
mod topic;

pub use blob::Spoil;
pub use c2d::{
    AckBalance, CloudMessage, Dialect, Downloading, Firmware, FirmwareFile, LEGACY_ROWS, Owed, PendingFirmware, Sent,
    Update, UpdateFile, UpdateTarget, V21_ROWS,
};
pub use changes::TimedOut;
pub use cloud::{Cloud, CloudOptions, Ports};
pub use device::{Device, Identity};
pub use dps::{Dps, DpsCall, DpsFault, DpsStep};
pub use firmware::{FirmwareFault, FirmwareFileStatus, FirmwareRequest, FirmwareStore, Redirect, Sha256Metadata};
pub use hub::{Connection, End, Hub, HubOptions, Pubacks, Refusal, SubscriptionRefusal, TwinRequest};
pub use iotconnect::IotConnect;
pub use judge::Complaint;
pub use key::Key;
pub use protocol::{Offer, Protocol};
pub use recorder::{Ack, AckKind, MessageKind, Reading, Record, Recorder, RuleMatch, Sample, Window};
pub use script::{Answer, Endpoint};
pub use template::{Attribute, Child, Kind, Rule, Template};
pub use topic::Properties;
