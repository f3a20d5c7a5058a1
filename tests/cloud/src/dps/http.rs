//! The three calls of DPS and the form of its answers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Assignment, Challenge, Dps, DpsCall, DpsFault, DpsStep, Operation};
use crate::blob::{self, Public, Spoil};
use crate::device::{Device, Identity};
use crate::key::Key;
use crate::listen::Cut;
use crate::sas::{SasRefusal, Token, now_unix_s};
use crate::script::HANG_MAX;

/// An answer before it is logged and written.
enum Answer {
    Json { status: u16, body: Value, headers: Vec<(HeaderName, String)> },
    Cut,
}

/// A call that cannot be done, in the words of the service.
struct Refused {
    status: u16,
    code: u32,
    message: String,
    retry_after_s: Option<u32>,
}

type Parameters = Query<HashMap<String, String>>;

pub(super) async fn register(
    State(dps): State<Dps>,
    Extension(cut): Extension<Cut>,
    Path((scope, registration)): Path<(String, String)>,
    Query(query): Parameters,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call =
        Call { dps, scope, registration, step: DpsStep::Register, authorization: authorization(&headers), query };
    call.answer(&cut, |call| call.register(&body)).await
}

pub(super) async fn poll(
    State(dps): State<Dps>,
    Extension(cut): Extension<Cut>,
    Path((scope, registration, operation)): Path<(String, String, String)>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    let call = Call { dps, scope, registration, step: DpsStep::Poll, authorization: authorization(&headers), query };
    call.answer(&cut, |call| call.poll(&operation)).await
}

pub(super) async fn lookup(
    State(dps): State<Dps>,
    Extension(cut): Extension<Cut>,
    Path((scope, registration)): Path<(String, String)>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    let call = Call { dps, scope, registration, step: DpsStep::Lookup, authorization: authorization(&headers), query };
    call.answer(&cut, Call::lookup).await
}

pub(super) async fn not_found() -> Response {
    Refused::new(404, 404_000, "there is no such resource").into_answer().write()
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    // A header that is not text cannot be a token; an empty one is refused as malformed.
    headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default().to_owned())
}

struct Call {
    dps: Dps,
    scope: String,
    registration: String,
    step: DpsStep,
    authorization: Option<String>,
    query: HashMap<String, String>,
}

impl Call {
    async fn answer(self, cut: &Cut, act: impl FnOnce(&Self) -> Result<Answer, Refused>) -> Response {
        let fits_any = |fault: &DpsFault| {
            matches!(fault, DpsFault::TooManyRequests(_) | DpsFault::Http(_) | DpsFault::SlowMs(_) | DpsFault::Cut)
        };
        let fault = self.dps.lock().faults.take(fits_any);
        let answer = match fault {
            Some(DpsFault::Cut) => Answer::Cut,
            Some(DpsFault::TooManyRequests(seconds)) => Refused::throttled(seconds).into_answer(),
            Some(DpsFault::Http(status)) => Refused::new(status, u32::from(status) * 1000, "internal").into_answer(),
            slow => {
                if let Some(DpsFault::SlowMs(milliseconds)) = slow {
                    tokio::time::sleep(Duration::from_millis(milliseconds).min(HANG_MAX)).await;
                }
                self.check().and_then(|()| act(&self)).unwrap_or_else(Refused::into_answer)
            }
        };
        let (status, error_code) = match &answer {
            Answer::Json { status, body, .. } => (*status, body.get("errorCode").and_then(Value::as_u64)),
            Answer::Cut => (0, None),
        };
        let (step, authorized) = (self.step, self.authorization.is_some());
        let error_code = error_code.and_then(|code| u32::try_from(code).ok());
        self.dps.log(&self.registration, DpsCall { at: Timestamp::now(), step, authorized, status, error_code });
        match answer {
            Answer::Cut => cut.now().await,
            answer => answer.write(),
        }
    }

    fn check(&self) -> Result<(), Refused> {
        if self.query.get("api-version").is_none_or(String::is_empty) {
            return Err(Refused::new(400, 400_000, "the api-version is missing"));
        }
        if self.scope != *self.dps.inner.portal.scope_id {
            return Err(Refused::new(404, 404_101, "there is no such id scope"));
        }
        Ok(())
    }

    fn device(&self) -> Result<Device, Refused> {
        let found = self.dps.inner.portal.by_registration(&self.registration);
        found.ok_or_else(|| Refused::new(404, 404_201, "there is no such enrollment"))
    }

    fn register(&self, body: &[u8]) -> Result<Answer, Refused> {
        let device = self.device()?;
        let body: Value =
            serde_json::from_slice(body).map_err(|_| Refused::new(400, 400_001, "the body is not JSON"))?;
        let named = body.get("registrationId").and_then(Value::as_str);
        if !named.is_some_and(|named| named.eq_ignore_ascii_case(&self.registration)) {
            return Err(Refused::new(400, 400_002, "the registration id of body and path differ"));
        }
        let challenge = match (&device.identity, &self.authorization) {
            (Identity::Tpm { endorsement_key }, None) => {
                return self.challenge(&device, endorsement_key.as_deref(), &body);
            }
            (Identity::Tpm { .. }, Some(_)) => Some(self.last_challenge()?),
            (Identity::SymmetricKey { .. }, _) => None,
        };
        self.authorize(&device, challenge.as_ref())?;
        let (operation, retry_after) = {
            let mut state = self.dps.lock();
            (state.start(&self.registration, challenge), state.retry_after_s)
        };
        Ok(self.assigning(&operation, retry_after))
    }

    /// The first round of a TPM: the key it has to prove itself with, wrapped for it.
    fn challenge(&self, device: &Device, enrolled: Option<&[u8]>, body: &Value) -> Result<Answer, Refused> {
        let member = |name: &str| {
            let text = body.get("tpm").and_then(|tpm| tpm.get(name)).and_then(Value::as_str);
            text.and_then(|text| STANDARD.decode(text).ok())
                .ok_or_else(|| Refused::new(400, 400_003, &format!("tpm.{name} is missing or not base64")))
        };
        let (ek, srk) = (member("endorsementKey")?, member("storageRootKey")?);
        let mismatch = || Refused::new(400, 400_004, "Endorsement key is invalid, or does not match the Enrollment");
        let ek_public = Public::parse(&ek).map_err(|_| mismatch())?;
        let srk_public =
            Public::parse(&srk).map_err(|_| Refused::new(400, 400_005, "the storage root key is invalid"))?;
        match enrolled {
            Some(enrolled) if enrolled == ek => {}
            None if self.dps.lock().trust_first => {
                tracing::warn!(registration_id = self.registration, "enrolled the first endorsement key that came");
                self.dps.inner.portal.enrol(&device.unique_id, Some(ek.clone())).map_err(internal)?;
            }
            Some(_) => return Err(mismatch()),
            None => return Err(Refused::new(404, 404_201, "the enrollment has no endorsement key yet")),
        }
        let fault =
            self.dps.lock().faults.take(|fault| matches!(fault, DpsFault::Challenge(_) | DpsFault::NoChallenge));
        let spoil = match fault {
            Some(DpsFault::NoChallenge) => return Err(Refused::unauthorized("Unauthorized")),
            Some(DpsFault::Challenge(spoil)) => Some(spoil),
            _ => None,
        };
        let key = Key::random();
        let blob = blob::build(&ek_public, &srk_public, key.as_bytes(), spoil).map_err(internal)?;
        self.dps.lock().known(&self.registration).challenge = Some(Challenge { key, ek, srk });
        Ok(Answer::Json {
            status: 401,
            body: json!({
                "message": "Authorization required, resend request using supplied key",
                "authenticationKey": STANDARD.encode(blob), "unencryptedAuthenticationKey": null, "keyName": "registration"
            }),
            headers: Vec::new(),
        })
    }

    fn last_challenge(&self) -> Result<Challenge, Refused> {
        let challenge = self.dps.lock().known(&self.registration).challenge.clone();
        challenge.ok_or_else(|| Refused::unauthorized("there was no challenge"))
    }

    /// Strict: resource, policy name, signature, expiry.
    fn authorize(&self, device: &Device, challenge: Option<&Challenge>) -> Result<(), Refused> {
        let check = || -> Result<(), SasRefusal> {
            let token = Token::parse(self.authorization.as_deref().unwrap_or_default())?;
            let wanted = format!("{}/registrations/{}", self.scope, self.registration);
            if !token.resource.eq_ignore_ascii_case(&wanted) {
                return Err(SasRefusal::WrongResource { got: token.resource, wanted });
            }
            if token.policy.as_deref() != Some("registration") {
                return Err(SasRefusal::WrongPolicy(token.policy));
            }
            let key = match &device.identity {
                Identity::SymmetricKey { key, .. } => Some(key),
                Identity::Tpm { .. } => challenge.map(|challenge| &challenge.key),
            };
            token.signed_by(key)?;
            token.valid_at(now_unix_s())
        };
        check().map_err(|why| Refused::unauthorized(&why.to_string()))
    }

    fn poll(&self, id: &str) -> Result<Answer, Refused> {
        let device = self.device()?;
        let (operation, retry_after) = {
            let mut state = self.dps.lock();
            let (retry_after, limited) = (state.retry_after_s, state.limit_polls);
            let known = state.known(&self.registration);
            if limited && !known.may_poll(Instant::now()) {
                return Err(Refused::throttled(2));
            }
            (known.operations.iter().find(|operation| operation.id == id).cloned(), retry_after)
        };
        let operation = operation.ok_or_else(|| Refused::new(404, 404_202, "there is no such operation"))?;
        self.authorize(&device, operation.challenge.as_ref())?;
        if operation.polls_left > 0 {
            let mut state = self.dps.lock();
            let operations = &mut state.known(&self.registration).operations;
            if let Some(operation) = operations.iter_mut().find(|operation| operation.id == id) {
                operation.polls_left -= 1;
            }
            return Ok(self.assigning(&operation, retry_after));
        }
        if self.dps.lock().known(&self.registration).disabled {
            return Ok(self.state(&operation.id, "disabled", None, None));
        }
        if let Some(code) = operation.failure {
            return Ok(self.state(&operation.id, "failed", None, Some(code)));
        }
        let fault = self.dps.lock().faults.take(|fault| matches!(fault, DpsFault::HubKey(_) | DpsFault::DropAssigned));
        let (spoil, drop) = match fault {
            Some(DpsFault::HubKey(spoil)) => (Some(spoil), false),
            Some(DpsFault::DropAssigned) => (None, true),
            _ => (None, false),
        };
        // A blob without its sixth part is still a good one.
        let keep = !drop && spoil.is_none_or(|spoil| spoil == Spoil::NoUriData);
        let assignment = self.dps.assign(&device, &operation, spoil, keep).map_err(internal)?;
        if drop {
            return Ok(Answer::Cut);
        }
        Ok(self.state(&operation.id, "assigned", Some(&assignment), None))
    }

    fn lookup(&self) -> Result<Answer, Refused> {
        let device = self.device()?;
        let (assigned, challenge) = {
            let mut state = self.dps.lock();
            let known = state.known(&self.registration);
            (known.assigned.clone(), known.challenge.clone())
        };
        self.authorize(&device, challenge.as_ref())?;
        let assigned = assigned.ok_or_else(|| Refused::new(404, 404_203, "the device is not registered"))?;
        let Answer::Json { status, mut body, headers } = self.state("", "assigned", Some(&assigned), None) else {
            return Ok(Answer::Cut);
        };
        let body = body.get_mut("registrationState").map(Value::take).unwrap_or_default();
        Ok(Answer::Json { status, body, headers })
    }

    fn assigning(&self, operation: &Operation, retry_after_s: u32) -> Answer {
        let location = format!("/{}/registrations/{}/operations/{}", self.scope, self.registration, operation.id);
        Answer::Json {
            status: 202,
            body: json!({"operationId": operation.id, "status": "assigning"}),
            headers: vec![(header::LOCATION, location), (header::RETRY_AFTER, retry_after_s.to_string())],
        }
    }

    fn state(&self, operation: &str, status: &str, assigned: Option<&Assignment>, failure: Option<u32>) -> Answer {
        let now = Timestamp::now().to_string();
        let mut state = json!({
            "registrationId": self.registration, "createdDateTimeUtc": now, "lastUpdatedDateTimeUtc": now, "status": status,
            "etag": "IjAwMDAwMDAwIg=="
        });
        if let (Some(state), Some(assigned)) = (state.as_object_mut(), assigned) {
            state.insert("assignedHub".to_owned(), assigned.host.clone().into());
            state.insert("deviceId".to_owned(), assigned.device_id.clone().into());
            state.insert("substatus".to_owned(), assigned.substatus.into());
            if let Some(blob) = &assigned.blob {
                state.insert("tpm".to_owned(), json!({"authenticationKey": blob}));
            } else {
                state.insert("symmetricKey".to_owned(), json!({"enrollmentGroupId": null}));
            }
        }
        if let (Some(state), Some(code)) = (state.as_object_mut(), failure) {
            state.insert("errorCode".to_owned(), code.into());
            state.insert("errorMessage".to_owned(), "the registration failed".into());
        }
        let body = json!({"operationId": operation, "status": status, "registrationState": state});
        Answer::Json { status: 200, body, headers: Vec::new() }
    }
}

impl Refused {
    fn new(status: u16, code: u32, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), retry_after_s: None }
    }

    fn unauthorized(message: &str) -> Self {
        Self::new(401, 401_002, message)
    }

    fn throttled(retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(429, 429_001, "too many requests") }
    }

    fn into_answer(self) -> Answer {
        let mut headers = vec![(HeaderName::from_static("x-ms-error-code"), self.code.to_string())];
        headers.extend(self.retry_after_s.map(|seconds| (header::RETRY_AFTER, seconds.to_string())));
        let body = json!({
            "errorCode": self.code, "trackingId": "00000000-0000-0000-0000-000000000000", "message": self.message, "info": {},
            "timestampUtc": Timestamp::now().to_string()
        });
        Answer::Json { status: self.status, body, headers }
    }
}

fn internal(error: anyhow::Error) -> Refused {
    tracing::error!(error = format!("{error:#}"), "the simulator itself failed");
    Refused::new(500, 500_000, "the simulator itself failed")
}

impl Answer {
    fn write(self) -> Response {
        let Self::Json { status, body, headers } = self else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, body.to_string()).into_response();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
