//! One request to the store: may it, is there such a file, what goes wrong, which bytes.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::content::Content;
use super::fault::{FirmwareFault, Redirect};
use super::refusal::{Refusal, set};
use super::sas::{self, Grant};
use super::{CONTAINER, File, FirmwareRequest, FirmwareStore, REDIRECTED, State as Store};
use crate::limits::FIRMWARE_URLS_MAX;
use crate::listen::Cut;
use crate::script::HANG_MAX;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const API_VERSION: HeaderName = HeaderName::from_static("x-ms-version");

/// The store as one port serves it.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) store: FirmwareStore,
    pub(super) tls: bool,
}

pub(super) async fn serve(State(served): State<Served>, Extension(cut): Extension<Cut>, request: Request) -> Response {
    let (asked, _) = request.into_parts();
    let answer = served.answer(&asked);
    served.store.inner.changes.ring();
    match answer {
        Some(answer) => answer,
        None => {
            tokio::time::sleep(HANG_MAX).await;
            cut.now().await
        }
    }
}

/// What a request is after.
struct Wanted {
    name: String,
    /// Decoded, as it is signed.
    path: String,
    /// Redirects still to come, where one led here.
    hops: Option<u32>,
}

impl Wanted {
    fn read(asked: &Parts) -> Option<Self> {
        let path = percent_decode_str(asked.uri.path()).decode_utf8().ok()?.into_owned();
        if let Some(name) = path.strip_prefix(CONTAINER) {
            return Some(Self { name: name.to_owned(), hops: None, path });
        }
        let (hops, name) = path.strip_prefix(REDIRECTED)?.split_once('/')?;
        Some(Self { name: name.to_owned(), hops: Some(hops.parse().ok()?), path })
    }
}

/// What comes of a request.
enum Outcome {
    Refused(Refusal),
    Redirected(String),
    Silence,
    Content(Content),
}

impl Outcome {
    fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status.as_u16()),
            Self::Redirected(_) => Some(StatusCode::FOUND.as_u16()),
            Self::Silence => None,
            Self::Content(content) => Some(content.status.as_u16()),
        }
    }
}

impl Served {
    /// `None` leaves the client without one.
    fn answer(&self, asked: &Parts) -> Option<Response> {
        let mut state = self.store.lock();
        let request_id = format!("{:08x}-0000-4000-8000-000000000000", state.next_number());
        let wanted = Wanted::read(asked);
        let (outcome, fault) = match &wanted {
            Some(wanted) => self.outcome(asked, wanted, &mut state),
            None => (Outcome::Refused(Refusal::no_such_blob()), None),
        };
        let changes = matches!(fault, Some(FirmwareFault::ChangedAfter(_)));
        let file = wanted.as_ref().and_then(|wanted| state.files.get_mut(&wanted.name));
        let sent = file.zip(wanted.as_ref()).map(|(file, wanted)| {
            file.log(FirmwareRequest { status: outcome.status(), fault, ..self.seen(asked, wanted) })
        });
        if let Some(wanted) = wanted.filter(|_| changes) {
            state.invert(&wanted.name);
        }
        let mut answer = match outcome {
            Outcome::Silence => return None,
            Outcome::Refused(refusal) => refusal.answer(&asked.method, &request_id),
            Outcome::Redirected(location) => {
                let mut answer = StatusCode::FOUND.into_response();
                set(answer.headers_mut(), header::LOCATION, &location);
                answer
            }
            Outcome::Content(content) => {
                let head_only = asked.method == Method::HEAD;
                content.answer(head_only, sent.unwrap_or_default(), self.store.inner.changes.clone())
            }
        };
        let headers = answer.headers_mut();
        set(headers, REQUEST_ID, &request_id);
        set(headers, API_VERSION, sas::VERSION);
        set(headers, header::SERVER, "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0");
        Some(answer)
    }

    /// Whoever may not read does not learn whether there is such a file, and meets no fault.
    fn outcome(&self, asked: &Parts, wanted: &Wanted, state: &mut Store) -> (Outcome, Option<FirmwareFault>) {
        let now = Timestamp::now();
        let query = asked.uri.query().unwrap_or_default();
        let allowed = sas::check(&state.key, &wanted.path, query, now, self.tls).and_then(|signature| {
            match asked.method {
                Method::GET | Method::HEAD => Ok(signature),
                // Every other operation needs another permission than to read.
                _ => Err(Refusal::wrong_permission()),
            }
        });
        let counted = allowed.and_then(|signature| {
            let file = state.files.get_mut(&wanted.name).ok_or_else(Refusal::no_such_blob)?;
            if file.use_up(&signature) { Ok(()) } else { Err(sas::expired(now)) }
        });
        if let Err(refusal) = counted {
            return (Outcome::Refused(refusal), None);
        }
        if let Some(hops @ 1..) = wanted.hops {
            return (Outcome::Redirected(state.redirect(&wanted.name, &Redirect::Hops(hops), asked)), None);
        }
        // What a redirect leads to is served without faults, or one that always comes would be a loop.
        let file = state.files.get_mut(&wanted.name);
        let fault = file.filter(|_| wanted.hops.is_none()).and_then(|file| file.faults.next());
        let outcome = match &fault {
            Some(FirmwareFault::Redirect(redirect)) => {
                Outcome::Redirected(state.redirect(&wanted.name, redirect, asked))
            }
            Some(FirmwareFault::Hang) => Outcome::Silence,
            other => match state.files.get(&wanted.name) {
                Some(file) => content(asked, file, other.as_ref()),
                None => Outcome::Refused(Refusal::no_such_blob()),
            },
        };
        (outcome, fault)
    }

    fn seen(&self, asked: &Parts, wanted: &Wanted) -> FirmwareRequest {
        let text = |name| asked.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        FirmwareRequest {
            at: Timestamp::now(),
            method: asked.method.to_string(),
            tls: self.tls,
            redirected: wanted.hops.is_some(),
            host: text(header::HOST),
            range: text(header::RANGE),
            if_range: text(header::IF_RANGE),
            status: None,
            fault: None,
            sent: 0,
        }
    }
}

fn content(asked: &Parts, file: &File, fault: Option<&FirmwareFault>) -> Outcome {
    if let Some(FirmwareFault::Status { status, retry_after_s }) = fault {
        let mut refusal = Refusal::of_status(*status, file.content.len() as u64);
        if let Some(seconds) = retry_after_s {
            refusal = refusal.header(header::RETRY_AFTER, &seconds.to_string());
        }
        return Outcome::Refused(refusal);
    }
    match Content::of(file, &asked.method, &asked.headers, fault) {
        Ok(content) => Outcome::Content(content),
        Err(refusal) => Outcome::Refused(refusal),
    }
}

impl Store {
    /// Where a redirect leads.
    fn redirect(&mut self, name: &str, redirect: &Redirect, asked: &Parts) -> String {
        let mut signed = |base: &str, hops: u32, plain: bool| {
            let grant = Grant { plain, ..Grant::of_redirect(self.number) };
            self.number += 1;
            format!("{base}{}", sas::sign(&self.key, &format!("{REDIRECTED}{hops}/{name}"), &grant))
        };
        match redirect {
            Redirect::Hops(hops) => signed(&self.base, hops.saturating_sub(1), false),
            Redirect::Loop => format!("{}{}", self.base, asked.uri),
            Redirect::PlainHttp => signed(&self.plain_base, 0, true),
            Redirect::OtherHost => signed(&self.base.replace("localhost", "127.0.0.1"), 0, false),
            Redirect::To(url) => url.clone(),
        }
    }

    /// Gives a file as many other bytes.
    fn invert(&mut self, name: &str) {
        let Some(file) = self.files.get(name) else { return };
        let other: Vec<u8> = file.content.iter().map(|byte| !byte).collect();
        // It was there just now.
        self.replace(name, other.into()).ok();
    }
}

impl File {
    /// Counts one more request by this signature; whether it was still good.
    fn use_up(&mut self, signature: &str) -> bool {
        let Some(most) = self.faults.requests_max() else { return true };
        if self.used.len() >= FIRMWARE_URLS_MAX {
            self.used.clear();
        }
        let used = self.used.entry(signature.to_owned()).or_default();
        *used = used.saturating_add(1);
        *used <= most
    }
}
