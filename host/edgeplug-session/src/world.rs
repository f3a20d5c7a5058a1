//! What one part of the session found out and the others need.

use std::sync::Arc;
use std::time::Duration;

use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::template::Template;
use edgeplug_protocol::topics::Topics;
use edgeplug_protocol::version::Version;

use crate::ConnectionId;
use crate::edge::Rules;
use crate::uplink::Code;

/// What one part found out and the others need.
pub(crate) struct World {
    /// What the cloud says about the device; `None` before it ever said anything.
    pub(crate) definition: Option<Arc<Definition>>,
    /// What may be sent, made of the definition; `None` as long as the attributes are not known.
    pub(crate) template: Option<Arc<Template>>,
    /// The same, from the moment that there is a definition, though perhaps without attributes: for all but readings.
    pub(crate) speaks: Option<Arc<Template>>,
    /// The 2.1 template code last heard of, also while the legacy protocol is spoken.
    pub(crate) code: Code,
    /// The rules of an edge device.
    pub(crate) rules: Arc<Rules>,
    /// Why the cloud stopped this device, if it did: nothing is sent or taken.
    pub(crate) stopped: Option<String>,
    /// Where to publish; `None` while there is no link.
    pub(crate) online: Option<Online>,
    /// A planned reconnect: publish nothing new, but this is no outage.
    pub(crate) pausing: bool,
    /// Who we say we are in every body.
    pub(crate) sdk: Sdk,
}

/// An open link.
#[derive(Debug, Clone)]
pub(crate) struct Online {
    pub(crate) connection: ConnectionId,
    pub(crate) topics: Arc<Topics>,
    pub(crate) device_id: String,
}

impl World {
    pub(crate) fn new(sdk: Sdk) -> Self {
        Self {
            definition: None,
            template: None,
            speaks: None,
            code: None,
            rules: Arc::default(),
            stopped: None,
            online: None,
            pausing: false,
            sdk,
        }
    }

    /// Whether windows and rules take the place of reports.
    pub(crate) fn is_edge(&self) -> bool {
        self.definition.as_ref().is_some_and(|definition| definition.edge)
    }

    /// Least time between two calls of a source, if the cloud wants one.
    pub(crate) fn frequency(&self) -> Option<Duration> {
        /// Longer than that is never.
        const FREQUENCY_MAX_S: u64 = 366 * 24 * 3600;
        let definition =
            self.definition.as_ref().filter(|definition| !definition.edge && definition.frequency_s > 0)?;
        Some(Duration::from_secs(definition.frequency_s.min(FREQUENCY_MAX_S)))
    }

    /// Under which code a body made by this template goes.
    pub(crate) fn code_for(&self, template: &Template) -> Code {
        match template.version {
            Version::Legacy => None,
            Version::V21 => self.code.clone(),
        }
    }
}
