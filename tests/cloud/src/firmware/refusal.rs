//! What blob storage says when it does not answer: a status, its error code in `x-ms-error-code`, its XML in the body
//! (Azure Storage REST API, "Status and error codes").

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

pub(super) const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// Why the store does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
    /// Said of failed authentication only.
    pub(super) detail: Option<String>,
    /// What stands in the head besides.
    headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, detail: None, headers: Vec::new() }
    }

    /// The URL opens nothing.
    pub(super) fn unauthenticated(detail: impl Into<String>) -> Self {
        let message = "Server failed to authenticate the request. Make sure the value of Authorization header is formed \
                       correctly including the signature.";
        Self { detail: Some(detail.into()), ..Self::new(StatusCode::FORBIDDEN, "AuthenticationFailed", message) }
    }

    /// The URL opens something, but not by this protocol.
    pub(super) fn wrong_protocol() -> Self {
        let message = "This request is not authorized to perform this operation using this protocol.";
        Self::new(StatusCode::FORBIDDEN, "AuthorizationProtocolMismatch", message)
    }

    /// The URL opens something, but not for this.
    pub(super) fn wrong_permission() -> Self {
        let message = "This request is not authorized to perform this operation using this permission.";
        Self::new(StatusCode::FORBIDDEN, "AuthorizationPermissionMismatch", message)
    }

    pub(super) fn no_such_blob() -> Self {
        Self::new(StatusCode::NOT_FOUND, "BlobNotFound", "The specified blob does not exist.")
    }

    pub(super) fn precondition() -> Self {
        let message = "The condition specified using HTTP conditional header(s) is not met.";
        Self::new(StatusCode::PRECONDITION_FAILED, "ConditionNotMet", message)
    }

    pub(super) fn range(length: u64) -> Self {
        let message = "The range specified is invalid for the current size of the resource.";
        let refusal = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message);
        refusal.header(header::CONTENT_RANGE, &format!("bytes */{length}"))
    }

    /// The store's words for a status that somebody asked for.
    pub(super) fn of_status(status: u16, length: u64) -> Self {
        match status {
            403 => Self::unauthenticated("Signature did not match. String to sign used was r"),
            404 => Self::no_such_blob(),
            412 => Self::precondition(),
            416 => Self::range(length),
            429 | 503 => {
                let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", "The server is busy.");
                Self { status: StatusCode::from_u16(status).unwrap_or(refusal.status), ..refusal }
            }
            other => {
                let status = StatusCode::from_u16(other).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Self::new(
                    status,
                    "InternalError",
                    "Server encountered an internal error. Please try again after some time.",
                )
            }
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// A HEAD learns the code from the head.
    pub(super) fn answer(self, method: &Method, request_id: &str) -> Response {
        let Self { status, code, message, detail, headers } = self;
        let detail =
            detail.map(|detail| format!("<AuthenticationErrorDetail>{}</AuthenticationErrorDetail>", escaped(&detail)));
        let body = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{}\nRequestId:{request_id}\n\
             Time:{}</Message>{}</Error>",
            escaped(message),
            Timestamp::now(),
            detail.unwrap_or_default()
        );
        let body = if method == Method::HEAD { Body::empty() } else { Body::from(body) };
        let mut answer = (status, body).into_response();
        for (name, value) in headers {
            set(answer.headers_mut(), name, &value);
        }
        set(answer.headers_mut(), header::CONTENT_TYPE, "application/xml");
        set(answer.headers_mut(), ERROR_CODE, code);
        answer
    }
}

/// Our own values have no character that a header cannot have; one that had would not be sent.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
