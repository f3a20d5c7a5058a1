//! Where each message goes.
//!
//! A row was made for the protocol and, in 2.1, the template code of its time, and is sent as what it is: under another
//! protocol or code its topic is built from its own. What waited while the link was down goes where the cloud wants that
//! (2.1: `od`); acknowledgements always go to `ack` (IoTConnect device message 2.1, 4.5 and 4.6).

use std::borrow::Cow;

use edgeplug_protocol::azure::hub;
use edgeplug_protocol::telemetry::BodyKind;
use edgeplug_protocol::topics::{self, Topics};
use edgeplug_protocol::version::Version;

use super::item::{Alarm, Code, Content};
use crate::{Online, World};

/// The topic of a row.
pub(super) fn of_content<'a>(content: &Content, offline: bool, online: &'a Online, world: &World) -> Cow<'a, str> {
    let Some((version, kind, code)) = content.wire() else { return Cow::Borrowed(&online.topics.report) };
    let lane = match kind {
        BodyKind::Report => topics::Lane::Report,
        BodyKind::Fault => topics::Lane::Fault,
        BodyKind::EdgeReport => topics::Lane::EdgeReport,
        BodyKind::RuleMatch => topics::Lane::RuleMatch,
    };
    of(version, code, lane, offline, online, world)
}

/// The topic of an acknowledgement.
pub(super) fn of_alarm<'a>(alarm: &Alarm, online: &'a Online, world: &World) -> Cow<'a, str> {
    of(alarm.version, &world.code, topics::Lane::Ack, false, online, world)
}

fn of<'a>(
    version: Version,
    code: &Code,
    lane: topics::Lane,
    offline: bool,
    online: &'a Online,
    world: &World,
) -> Cow<'a, str> {
    match version {
        _ if version == online.topics.version && (version == Version::Legacy || *code == world.code) => {
            Cow::Borrowed(online.topics.topic(lane, offline))
        }
        Version::Legacy => Cow::Owned(hub::events_topic(&online.device_id)),
        Version::V21 => {
            let topics = Topics::v21(&online.device_id, code.as_deref().unwrap_or_default());
            Cow::Owned(topics.topic(lane, offline).to_owned())
        }
    }
}
