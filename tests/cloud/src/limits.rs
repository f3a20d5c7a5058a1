//! Every bound of the simulator, with its reason. "Hub" limits are Azure's own.

use std::time::Duration;

/// More than any test opens; a runaway reconnect loop shows as waiting connects instead of memory.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// Linux caps it anyway; enough for a reconnect storm of the largest test.
pub(crate) const LISTEN_BACKLOG: u32 = 256;
/// A peer that does not finish its TLS handshake or send its CONNECT holds a slot no longer than this.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A peer that stops reading for this long is dropped.
pub(crate) const WRITE_MAX: Duration = Duration::from_secs(30);

/// Hub: device-to-cloud message, body and properties together.
pub(crate) const D2C_BYTES_MAX: usize = 256 * 1024;
/// Room around a largest message for its fixed header and topic; MQTT topics end at 64 KiB.
pub(crate) const PACKET_BYTES_MAX: usize = D2C_BYTES_MAX + 64 * 1024;
/// Hub: cloud-to-device message.
pub(crate) const C2D_BYTES_MAX: usize = 64 * 1024;
/// Hub: cloud-to-device messages waiting for one device.
pub(crate) const C2D_QUEUE_MAX: usize = 50;
/// Hub: each of the twin's two sections.
pub(crate) const TWIN_BYTES_MAX: usize = 32 * 1024;
/// Hub: subscriptions of one device.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 5;
/// Hub: its own longest keepalive (29.45 minutes).
pub(crate) const KEEPALIVE_MAX: Duration = Duration::from_secs(1767);

/// PUBACKs owed to one connection; a window past 65535 cannot exist in MQTT.
pub(crate) const OWED_ACKS_MAX: usize = 65_535;
/// Orders to one connection that it has not taken yet (pushes, method calls); past it the connection is cut as too slow.
pub(crate) const ORDERS_MAX: usize = 256;
/// Records kept in memory; at half a kilobyte each about a gigabyte. Past it messages are refused, never dropped in silence.
pub(crate) const RECORDS_MAX: usize = 2_000_000;
/// Connections remembered; the oldest is forgotten, ended ones only matter to the test that made them.
pub(crate) const CONNECTION_LOG_MAX: usize = 10_000;
/// Devices of one simulator.
pub(crate) const DEVICES_MAX: usize = 10_000;
/// Scripted answers waiting at one endpoint, and faults waiting at DPS.
pub(crate) const SCRIPT_MAX: usize = 1_000;
/// Messages to devices remembered with what they are owed; past it none is sent, or a balance would be wrong.
pub(crate) const SENT_MAX: usize = 100_000;
/// Twin requests remembered per device; the oldest is forgotten.
pub(crate) const TWIN_LOG_MAX: usize = 1_000;
/// 2.1: longest unique id of a child that a gateway may create (221, `ec` 9).
pub(crate) const CHILD_ID_MAX: usize = 128;
/// DPS calls remembered per registration; only the count goes on past it.
pub(crate) const CALL_LOG_MAX: usize = 1_000;
/// A request body past this is refused. DPS: 96 KB; sync bodies are under a kilobyte.
pub(crate) const REQUEST_BYTES_MAX: usize = 96 * 1024;
/// Operations DPS remembers per registration; a device uses one at a time.
pub(crate) const OPERATIONS_MAX: usize = 16;
/// Files of the firmware store, and names that are asked for.
pub(crate) const FIRMWARE_FILES_MAX: usize = 1_000;
/// All of them together, which lie in memory.
pub(crate) const FIRMWARE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// One upload through the control port.
pub(crate) const FIRMWARE_UPLOAD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Requests remembered for each file; the oldest is forgotten. Past a run of 500 resumes.
pub(crate) const FIRMWARE_LOG_MAX: usize = 10_000;
/// Signed URLs whose requests are counted for each file; past it the counts begin anew.
pub(crate) const FIRMWARE_URLS_MAX: usize = 10_000;
