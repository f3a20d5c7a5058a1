//! What the session is told once, by the operator's configuration.

use std::time::Duration;

use edgeplug_protocol::azure::registration::RegistrationId;

/// Settings of a session. The shell has checked them.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Company id.
    pub cpid: String,
    /// Environment of the portal.
    pub environment: String,
    /// The device's unique id.
    pub unique_id: String,
    /// Language tag in URLs and bodies.
    pub language: String,
    /// Discovery service: scheme and host.
    pub discovery_url: String,
    /// DPS: scheme and host.
    pub dps_url: String,
    /// DPS scope; without it a device that is not registered stays so.
    pub scope_id: Option<String>,
    /// Name of the DPS enrolment.
    pub registration_id: RegistrationId,
    /// How long a token for the hub is valid.
    pub token_life: Duration,
    /// Publishes left unacknowledged at most.
    pub window: u16,
}
