//! The Device Provisioning Service over HTTPS (Azure REST "Device Provisioning Service – Runtime Registration", 2021-06-01):
//! registration by TPM with real challenges, and by symmetric key.
//!
//! A TPM registers in two rounds: without a token it gets 401 and a challenge blob, with a token signed by the key of that blob
//! it gets 202 and an operation to poll, whose last answer holds the hub key in a second blob. The hub learns a new key in the
//! moment its answer goes out; if a fault switch drops that answer, the device's old key stays good.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blob::{self, Public, Spoil};
use crate::changes::{Changes, TimedOut};
use crate::device::{Device, Identity};
use crate::hub::{Hub, Registration};
use crate::key::Key;
use crate::limits::{CALL_LOG_MAX, OPERATIONS_MAX, REQUEST_BYTES_MAX};
use crate::portal::{HOST, Portal};
use crate::script::Script;

mod http;

/// What goes wrong at DPS; each happens once, at the next call that it fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpsFault {
    /// The challenge blob (first round) is spoiled.
    Challenge(Spoil),
    /// The blob with the hub key (second round) is spoiled; the hub does not learn the key.
    HubKey(Spoil),
    /// 401 without `authenticationKey`: a plain refusal (401002).
    NoChallenge,
    /// Any call: 429 with this `Retry-After` in seconds.
    TooManyRequests(u32),
    /// Any call: this HTTP status.
    Http(u16),
    /// The registration ends as `failed` with this error code, such as 400208.
    Failed(u32),
    /// The last answer, with the hub key, never arrives; the hub does not learn the key.
    DropAssigned,
    /// Any call: the answer comes this many milliseconds late.
    SlowMs(u64),
    /// Any call: the connection is cut instead of an answer.
    Cut,
}

/// Which of the service's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DpsStep {
    /// `PUT …/register`
    Register,
    /// `GET …/operations/…`
    Poll,
    /// `POST …/registrations/{id}`
    Lookup,
}

/// One call as it came and was answered.
#[derive(Clone, Debug, Serialize)]
pub struct DpsCall {
    /// When it came.
    pub at: Timestamp,
    /// Which call.
    pub step: DpsStep,
    /// Whether it had an Authorization header.
    pub authorized: bool,
    /// The HTTP status of the answer; 0 when there was none.
    pub status: u16,
    /// `errorCode` of the answer, if it was an error.
    pub error_code: Option<u32>,
}

/// The simulated Device Provisioning Service. Cheap to clone. Registration ids are `{cpId}-{uniqueId}`.
#[derive(Clone)]
pub struct Dps {
    inner: Arc<Inner>,
}

struct Inner {
    portal: Portal,
    hub: Hub,
    changes: Changes,
    state: Mutex<State>,
}

struct State {
    /// By registration id in lower case: DPS does not tell cases apart.
    registrations: BTreeMap<String, Known>,
    faults: Script<DpsFault>,
    trust_first: bool,
    assigning_polls: u32,
    retry_after_s: u32,
    limit_polls: bool,
    last_operation: u64,
}

#[derive(Default)]
struct Known {
    calls: usize,
    log: Vec<DpsCall>,
    polls: VecDeque<Instant>,
    challenge: Option<Challenge>,
    operations: VecDeque<Operation>,
    assigned: Option<Assignment>,
    disabled: bool,
    /// The hub the device was moved to, and the twin that moves with it.
    moved: Option<(String, Value)>,
}

/// The key sent in the last challenge, and whom it was for.
#[derive(Clone)]
struct Challenge {
    key: Key,
    ek: Vec<u8>,
    srk: Vec<u8>,
}

#[derive(Clone)]
struct Operation {
    id: String,
    polls_left: u32,
    failure: Option<u32>,
    challenge: Option<Challenge>,
}

#[derive(Clone)]
struct Assignment {
    host: String,
    device_id: String,
    substatus: &'static str,
    /// The blob with the hub key, of a TPM.
    blob: Option<String>,
}

/// At most this many polls in this time, per device ("Azure IoT Hub Device Provisioning Service limits").
const POLLS: (usize, Duration) = (5, Duration::from_secs(10));

impl Dps {
    pub(crate) fn new(portal: Portal, hub: Hub, changes: Changes, trust_first: bool) -> Self {
        let state = State {
            registrations: BTreeMap::new(),
            faults: Script::default(),
            trust_first,
            assigning_polls: 1,
            retry_after_s: 0,
            limit_polls: true,
            last_operation: 0,
        };
        Self { inner: Arc::new(Inner { portal, hub, changes, state: Mutex::new(state) }) }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/{scope}/registrations/{registration}/register", put(http::register))
            .route("/{scope}/registrations/{registration}/operations/{operation}", get(http::poll))
            .route("/{scope}/registrations/{registration}", post(http::lookup))
            .fallback(http::not_found)
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(self.clone())
    }

    /// Enrols a device's EK: the bytes of the whole TPM2B_PUBLIC, size prefix included. It must match byte for byte.
    ///
    /// # Errors
    /// When the portal does not know the device, or the bytes are no RSA 2048 public area.
    pub fn enrol(&self, unique_id: &str, endorsement_key: &[u8]) -> anyhow::Result<()> {
        Public::parse(endorsement_key).context("the endorsement key is not a TPM2B_PUBLIC of an RSA 2048 key")?;
        self.inner.portal.enrol(unique_id, Some(endorsement_key.to_vec()))
    }

    /// Enrols an EK as the device prints it, in base64.
    ///
    /// # Errors
    /// As [`Dps::enrol`], and when the text is not base64.
    pub fn enrol_base64(&self, unique_id: &str, endorsement_key: &str) -> anyhow::Result<()> {
        let bytes = STANDARD.decode(endorsement_key.trim()).context("the endorsement key is not standard base64")?;
        self.enrol(unique_id, &bytes)
    }

    /// Enrols whatever EK comes first for a TPM device that has none.
    pub fn trust_first_endorsement_key(&self, trust: bool) {
        self.lock().trust_first = trust;
    }

    /// The enrolled EK.
    #[must_use]
    pub fn endorsement_key(&self, unique_id: &str) -> Option<Vec<u8>> {
        match self.inner.portal.get(unique_id)?.identity {
            Identity::Tpm { endorsement_key } => endorsement_key,
            Identity::SymmetricKey { .. } => None,
        }
    }

    /// Disables an enrolment: its registrations end as `disabled`.
    pub fn disable(&self, registration_id: &str, disabled: bool) {
        self.lock().known(registration_id).disabled = disabled;
    }

    /// Moves a device to the hub of this host name (the simulated hub answers to `localhost` and to `127.0.0.1`): the old hub
    /// forgets it at once, and it has to come to DPS to learn of the new one. Its twin moves with it.
    ///
    /// # Errors
    /// When the portal or the hub does not know the device.
    pub fn reassign(&self, unique_id: &str, host: &str) -> anyhow::Result<()> {
        let portal = &self.inner.portal;
        let device = portal.get(unique_id).with_context(|| format!("the portal does not know {unique_id}"))?;
        let id = portal.hub_id(&device);
        let twin = self.inner.hub.twin_state(&id).with_context(|| format!("the hub does not know {id}"))?;
        self.inner.hub.remove(&id)?;
        self.lock().known(&portal.registration_id(&device)).moved = Some((host.to_owned(), twin));
        Ok(())
    }

    /// How many polls are answered `assigning` before the last one (1 at first).
    pub fn set_assigning_polls(&self, polls: u32) {
        self.lock().assigning_polls = polls;
    }

    /// The `Retry-After` of answers that ask for a poll, in seconds (0 at first).
    pub fn set_retry_after_s(&self, seconds: u32) {
        self.lock().retry_after_s = seconds;
    }

    /// Whether a device may poll only five times in ten seconds, as with the real one; true at first.
    pub fn limit_polls(&self, limit: bool) {
        self.lock().limit_polls = limit;
    }

    /// Lets something go wrong once.
    ///
    /// # Errors
    /// When too many faults wait already.
    pub fn fault(&self, fault: DpsFault) -> anyhow::Result<()> {
        self.lock().faults.extend([fault])
    }

    /// Forgets the faults that wait.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// How many calls came for this registration id, refused ones included.
    #[must_use]
    pub fn calls(&self, registration_id: &str) -> usize {
        self.lock().known(registration_id).calls
    }

    /// The calls for this registration id (the first 1,000).
    #[must_use]
    pub fn call_log(&self, registration_id: &str) -> Vec<DpsCall> {
        self.lock().known(registration_id).log.clone()
    }

    /// Waits until `count` calls have come for this registration id.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_calls(&self, registration_id: &str, count: usize, timeout: Duration) -> Result<(), TimedOut> {
        let look = || (self.calls(registration_id) >= count).then_some(());
        self.inner.changes.until(&format!("{count} DPS calls of {registration_id}"), timeout, look).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, registration_id: &str, call: DpsCall) {
        tracing::info!(registration_id, step = ?call.step, authorized = call.authorized, status = call.status, "dps");
        {
            let mut state = self.lock();
            let known = state.known(registration_id);
            known.calls += 1;
            if known.log.len() < CALL_LOG_MAX {
                known.log.push(call);
            }
        }
        self.inner.changes.ring();
    }

    /// Gives the device its place in the hub: the last step of a registration.
    fn assign(
        &self,
        device: &Device,
        operation: &Operation,
        spoil: Option<Spoil>,
        keep: bool,
    ) -> anyhow::Result<Assignment> {
        let portal = &self.inner.portal;
        let registration_id = portal.registration_id(device);
        let device_id = portal.hub_id(device);
        let moved = self.lock().known(&registration_id).moved.clone();
        let host = match &moved {
            Some((host, _)) => host.clone(),
            None => self.inner.hub.host(&device_id).unwrap_or_else(|| HOST.to_owned()),
        };
        let (key, blob) = match (&device.identity, &operation.challenge) {
            (Identity::SymmetricKey { key, .. }, _) => (key.clone(), None),
            (Identity::Tpm { .. }, Some(challenge)) => {
                let key = Key::random();
                let (ek, srk) = (Public::parse(&challenge.ek)?, Public::parse(&challenge.srk)?);
                let blob = blob::build(&ek, &srk, key.as_bytes(), spoil)?;
                (key, Some(STANDARD.encode(blob)))
            }
            (Identity::Tpm { .. }, None) => anyhow::bail!("the operation has no challenge"),
        };
        let substatus = if moved.is_some() { "deviceDataMigrated" } else { "initialAssignment" };
        let assignment = Assignment { host: host.clone(), device_id: device_id.clone(), substatus, blob };
        if keep {
            let (cpid, unique_id) = (portal.cpid.to_string(), device.unique_id.clone());
            self.inner.hub.register(&device_id, Registration { cpid, unique_id, host, keys: vec![key] })?;
            if let Some((_, twin)) = moved {
                self.inner.hub.restore_twin(&device_id, &twin)?;
            }
            let mut state = self.lock();
            let known = state.known(&registration_id);
            known.assigned = Some(assignment.clone());
            known.moved = None;
        }
        Ok(assignment)
    }
}

impl State {
    fn known(&mut self, registration_id: &str) -> &mut Known {
        self.registrations.entry(registration_id.to_lowercase()).or_default()
    }

    fn start(&mut self, registration_id: &str, challenge: Option<Challenge>) -> Operation {
        self.last_operation += 1;
        let failure = match self.faults.take(|fault| matches!(fault, DpsFault::Failed(_))) {
            Some(DpsFault::Failed(code)) => Some(code),
            _ => None,
        };
        let operation = Operation {
            id: format!("5.{:016x}.edgeplug", self.last_operation),
            polls_left: self.assigning_polls,
            failure,
            challenge,
        };
        let operations = &mut self.known(registration_id).operations;
        if operations.len() >= OPERATIONS_MAX {
            operations.pop_front();
        }
        operations.push_back(operation.clone());
        operation
    }
}

impl Known {
    /// Whether one more poll is allowed now.
    fn may_poll(&mut self, now: Instant) -> bool {
        let (count, within) = POLLS;
        while self.polls.front().is_some_and(|at| now.duration_since(*at) >= within) {
            self.polls.pop_front();
        }
        let allowed = self.polls.len() < count;
        if allowed {
            self.polls.push_back(now);
        }
        allowed
    }
}
