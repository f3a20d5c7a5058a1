//! Where each kind of message is published.
//!
//! Legacy has one topic for all; the kind stands in the body. In 2.1 the kind stands in the topic's property bag, and
//! the cloud names the topics.

use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};

use crate::azure::hub;
use crate::azure::sas::RESERVED;
use crate::version::Version;

/// A kind of message to the cloud, by its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Values that fit the template.
    Report,
    /// Values that do not.
    Fault,
    /// A window of an edge device.
    EdgeReport,
    /// A rule of an edge device matched.
    RuleMatch,
    /// Outcome of a command or firmware update.
    Ack,
    /// "Still there" (2.1).
    Heartbeat,
    /// Questions about the device (2.1).
    DeviceInfo,
}

/// Topics and filters of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    /// Of which protocol.
    pub version: Version,
    /// Readings (`pub` of the legacy protocol, where it is the topic of everything; `rpt`).
    pub report: String,
    /// `flt`.
    pub fault: String,
    /// `erpt`.
    pub edge_report: String,
    /// `erm`.
    pub rule_match: String,
    /// `od`: what waited while the link was down.
    pub offline: String,
    /// `hb`.
    pub heartbeat: String,
    /// `ack`.
    pub ack: String,
    /// `di`.
    pub device_info: String,
    /// Filter of cloud-to-device messages.
    pub devicebound: String,
}

impl Topics {
    /// Legacy: everything on one topic.
    #[must_use]
    pub fn legacy(publish: &str, devicebound: &str) -> Self {
        let topic = || publish.to_owned();
        Self {
            version: Version::Legacy,
            report: topic(),
            fault: topic(),
            edge_report: topic(),
            rule_match: topic(),
            offline: topic(),
            heartbeat: topic(),
            ack: topic(),
            device_info: topic(),
            devicebound: devicebound.to_owned(),
        }
    }

    /// 2.1, as the cloud builds them for a hub device id and a template code.
    #[must_use]
    pub fn v21(device_id: &str, code: &str) -> Self {
        let code = utf8_percent_encode(code, RESERVED);
        let topic = |kind: &str| {
            format!("{}cd={code}&v=2.1&{kind}&$.ct=application%2Fjson&$.ce=utf-8", hub::events_topic(device_id))
        };
        Self {
            version: Version::V21,
            report: topic("mt=0"),
            edge_report: topic("mt=1"),
            rule_match: topic("mt=2"),
            fault: topic("mt=3"),
            offline: topic("mt=4"),
            heartbeat: topic("mt=5"),
            ack: topic("mt=6"),
            device_info: topic("di=1"),
            devicebound: hub::devicebound_filter(device_id),
        }
    }

    /// The same for another hub device id: DPS assigned one that the cloud's topics do not name yet.
    #[must_use]
    pub fn of_device(&self, named: &str, device_id: &str) -> Self {
        let (old, new) = (format!("devices/{named}/"), format!("devices/{device_id}/"));
        let topic = |topic: &str| topic.replacen(&old, &new, 1);
        Self {
            version: self.version,
            report: topic(&self.report),
            fault: topic(&self.fault),
            edge_report: topic(&self.edge_report),
            rule_match: topic(&self.rule_match),
            offline: topic(&self.offline),
            heartbeat: topic(&self.heartbeat),
            ack: topic(&self.ack),
            device_info: topic(&self.device_info),
            devicebound: topic(&self.devicebound),
        }
    }

    /// Where to publish; `offline` says that it waited while the link was down.
    #[must_use]
    pub fn topic(&self, lane: Lane, offline: bool) -> &str {
        match lane {
            Lane::Report | Lane::Fault | Lane::EdgeReport | Lane::RuleMatch if offline => &self.offline,
            Lane::Report => &self.report,
            Lane::Fault => &self.fault,
            Lane::EdgeReport => &self.edge_report,
            Lane::RuleMatch => &self.rule_match,
            Lane::Ack => &self.ack,
            Lane::Heartbeat => &self.heartbeat,
            Lane::DeviceInfo => &self.device_info,
        }
    }
}

#[cfg(test)]
mod tests;
