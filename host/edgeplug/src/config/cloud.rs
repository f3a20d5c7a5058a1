//! `[cloud]`: which device this is, where the cloud lies, and what is spoken with it.

use std::path::PathBuf;
use std::time::Duration;

use edgeplug_protocol::ack::StatusTable;
use edgeplug_protocol::azure::registration::RegistrationId;
use edgeplug_protocol::legacy::discovery;
use edgeplug_protocol::version::Version;
use edgeplug_session::config::{HardStopPolicy, ProtocolChoice, RegistrationName};
use serde::Deserialize;

use super::context::Context;
use crate::exit::Problem;

/// Life of a hub token; seconds are for tests of its renewal.
const TOKEN_LIFE_S: std::ops::RangeInclusive<u64> = 5..=86_400;
/// Numbers of acknowledgements; published tables stay below 10.
const ACK_STATUS: std::ops::RangeInclusive<i64> = 0..=999;
const DPS_URL: &str = "https://global.azure-devices-provisioning.net";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedCloud {
    cpid: String,
    env: String,
    unique_id: String,
    scope_id: Option<String>,
    discovery_url: Option<String>,
    dps_url: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    registration_id: Option<String>,
    language: Option<String>,
    token_life_s: Option<u64>,
    #[serde(default)]
    protocol: TypedProtocol,
    sid: Option<String>,
    #[serde(default)]
    hard_stop: TypedHardStop,
    #[serde(default)]
    hard_stop_wipes: bool,
    #[serde(default)]
    ack_status: TypedAckStatus,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
enum TypedProtocol {
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "1.0")]
    Legacy,
    #[serde(rename = "2.1")]
    V21,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TypedHardStop {
    #[default]
    UntilRestart,
    UntilResume,
}

/// Numbers of 2.1, each with the newest SDKs' as default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedAckStatus {
    command_done: Option<i64>,
    command_failed: Option<i64>,
    ota_done: Option<i64>,
    ota_failed: Option<i64>,
    ota_downloading: Option<i64>,
    ota_download_failed: Option<i64>,
}

/// What `[cloud]` means for the session.
pub(super) struct Cloud {
    pub(super) cpid: String,
    pub(super) environment: String,
    pub(super) unique_id: String,
    pub(super) language: String,
    pub(super) discovery_url: String,
    pub(super) dps_url: String,
    pub(super) scope_id: Option<String>,
    pub(super) registration: RegistrationName,
    pub(super) token_life: Duration,
    pub(super) protocol: ProtocolChoice,
    pub(super) sid: Option<String>,
    pub(super) hard_stop: HardStopPolicy,
    pub(super) hard_stop_wipes: bool,
    pub(super) ack_status: StatusTable,
}

impl TypedCloud {
    pub(super) fn check(&self, context: &Context<'_>) -> Result<Cloud, Problem> {
        for (key, value) in [("cpid", &self.cpid), ("env", &self.env), ("unique_id", &self.unique_id)] {
            context.name(&format!("cloud.{key}"), value)?;
        }
        if let Some(sid) = &self.sid {
            context.name("cloud.sid", sid)?;
        }
        let url = |key: &str, value: &Option<String>, default: &str| match value {
            None => Ok(default.to_owned()),
            Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
                Ok(url.trim_end_matches('/').to_owned())
            }
            Some(url) => Err(context.invalid(key, &format!("{url:?} is not a URL; write https://host"))),
        };
        let token_life_s = context.range("cloud.token_life_s", self.token_life_s, 3600, TOKEN_LIFE_S, "seconds")?;
        if let Some(ca_file) = &self.ca_file {
            context.file("cloud.ca_file", ca_file)?;
        }
        Ok(Cloud {
            cpid: self.cpid.clone(),
            environment: self.env.clone(),
            unique_id: self.unique_id.clone(),
            language: self.language.clone().unwrap_or_else(|| "M_PYTHON".into()),
            discovery_url: url("cloud.discovery_url", &self.discovery_url, discovery::DEFAULT_URL)?,
            dps_url: url("cloud.dps_url", &self.dps_url, DPS_URL)?,
            scope_id: self.scope_id.clone().filter(|scope| !scope.is_empty()),
            registration: self.registration(context)?,
            token_life: Duration::from_secs(token_life_s),
            protocol: match self.protocol {
                TypedProtocol::Auto => ProtocolChoice::Auto,
                TypedProtocol::Legacy => ProtocolChoice::Only(Version::Legacy),
                TypedProtocol::V21 => ProtocolChoice::Only(Version::V21),
            },
            sid: self.sid.clone(),
            hard_stop: match self.hard_stop {
                TypedHardStop::UntilRestart => HardStopPolicy::UntilRestart,
                TypedHardStop::UntilResume => HardStopPolicy::UntilResume,
            },
            hard_stop_wipes: self.hard_stop_wipes,
            ack_status: self.ack_status.check(context)?,
        })
    }

    fn registration(&self, context: &Context<'_>) -> Result<RegistrationName, Problem> {
        match self.registration_id.as_deref() {
            None | Some("iotconnect") => {
                RegistrationId::iotconnect(&self.cpid, &self.unique_id).map(RegistrationName::Is)
            }
            Some("base32") => Ok(RegistrationName::Base32OfEndorsementKey),
            Some("hex") => Ok(RegistrationName::HexOfEndorsementKey),
            Some(literal) => RegistrationId::new(literal).map(RegistrationName::Is),
        }
        .map_err(|error| context.invalid("cloud.registration_id", &error.to_string()))
    }
}

impl TypedAckStatus {
    fn check(&self, context: &Context<'_>) -> Result<StatusTable, Problem> {
        let usual = StatusTable::default();
        let number = |key: &str, typed, default| {
            context.range(&format!("cloud.ack_status.{key}"), typed, default, ACK_STATUS, "as `st`")
        };
        Ok(StatusTable {
            command_done: number("command_done", self.command_done, usual.command_done)?,
            command_failed: number("command_failed", self.command_failed, usual.command_failed)?,
            ota_done: number("ota_done", self.ota_done, usual.ota_done)?,
            ota_failed: number("ota_failed", self.ota_failed, usual.ota_failed)?,
            ota_downloading: number("ota_downloading", self.ota_downloading, usual.ota_downloading)?,
            ota_download_failed: number("ota_download_failed", self.ota_download_failed, usual.ota_download_failed)?,
        })
    }
}
