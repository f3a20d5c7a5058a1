//! What is sent of a file: the part that was asked for, spoilt by a fault or not.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::body::{Course, End, body};
use super::fault::FirmwareFault;
use super::range::{Representation, Selected, select, to_http_date};
use super::refusal::{Refusal, set};
use super::{File, Sha256Metadata, sha256};
use crate::changes::Changes;

const SHA256: HeaderName = HeaderName::from_static("x-ms-meta-sha256");
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");

/// Head and bytes of an answer.
pub(super) struct Content {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
    pace: Option<u64>,
    end: End,
}

impl Content {
    /// What `file` has for a GET or HEAD with these headers.
    pub(super) fn of(
        file: &File,
        method: &axum::http::Method,
        asked: &HeaderMap,
        fault: Option<&FirmwareFault>,
    ) -> Result<Self, Refusal> {
        let length = file.content.len() as u64;
        let etag = match fault {
            Some(FirmwareFault::WithoutValidators) => None,
            Some(FirmwareFault::WeakEtag) => Some(format!("W/{}", file.etag)),
            _ => Some(file.etag.clone()),
        };
        let dated = !matches!(fault, Some(FirmwareFault::WithoutValidators | FirmwareFault::WeakEtag));
        let modified = dated.then_some(file.modified);
        let heeds_if_range = fault != Some(&FirmwareFault::IgnoresIfRange);
        let representation = Representation { length, etag: etag.as_deref(), modified, heeds_if_range };
        let mut headers = HeaderMap::new();
        set(&mut headers, header::ACCEPT_RANGES, "bytes");
        set(&mut headers, header::CONTENT_TYPE, "application/octet-stream");
        set(&mut headers, BLOB_TYPE, "BlockBlob");
        if let Some(etag) = &etag {
            set(&mut headers, header::ETAG, etag);
        }
        if let Some(modified) = modified {
            set(&mut headers, header::LAST_MODIFIED, &to_http_date(modified));
        }
        match &file.sha256 {
            Sha256Metadata::Absent => {}
            Sha256Metadata::Right => set(&mut headers, SHA256, &sha256(&file.content)),
            Sha256Metadata::Other(text) => set(&mut headers, SHA256, text),
        }
        let (status, from, to) = match (select(method, asked, &representation), fault) {
            (Selected::PreconditionFailed, _) => return Err(Refusal::precondition()),
            (Selected::NotModified, _) => (StatusCode::NOT_MODIFIED, 0, 0),
            (_, Some(FirmwareFault::WholeForRange)) => (StatusCode::OK, 0, length),
            (Selected::Unsatisfiable, _) => return Err(Refusal::range(length)),
            (Selected::Whole, _) => (StatusCode::OK, 0, length),
            (Selected::Part { from, to }, Some(FirmwareFault::ShiftedRange(by))) => {
                (StatusCode::PARTIAL_CONTENT, from.saturating_add_signed(*by).min(to.saturating_sub(1)), to)
            }
            (Selected::Part { from, to }, _) => (StatusCode::PARTIAL_CONTENT, from, to),
        };
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {from}-{}/{length}", to.saturating_sub(1));
            set(&mut headers, header::CONTENT_RANGE, &range);
        }
        let mut content =
            Self { status, headers, bytes: part(&file.content, from, to), pace: None, end: End::Complete };
        if status != StatusCode::NOT_MODIFIED {
            set(&mut content.headers, header::CONTENT_LENGTH, &(to - from).to_string());
            content.spoil(from, fault);
        }
        Ok(content)
    }

    /// `from` is where its bytes begin in the file.
    fn spoil(&mut self, from: u64, fault: Option<&FirmwareFault>) {
        let length = self.bytes.len() as u64;
        match fault {
            Some(FirmwareFault::CutAfter(bytes) | FirmwareFault::ChangedAfter(bytes)) => {
                self.end_after(*bytes, End::Cut)
            }
            Some(FirmwareFault::StallAfter(bytes)) => self.end_after(*bytes, End::Stall),
            Some(FirmwareFault::Slow(bytes_a_second)) => self.pace = Some(*bytes_a_second),
            Some(FirmwareFault::LengthOff(by)) => {
                let announced = length.saturating_add_signed(*by);
                set(&mut self.headers, header::CONTENT_LENGTH, &announced.to_string());
                if announced > length {
                    self.end = End::Cut;
                } else {
                    self.bytes = part(&self.bytes, 0, announced);
                }
            }
            Some(FirmwareFault::Unannounced) => drop(self.headers.remove(header::CONTENT_LENGTH)),
            Some(FirmwareFault::FlippedByte(offset)) => {
                let mut bytes = self.bytes.to_vec();
                let index = offset.checked_sub(from).and_then(|index| usize::try_from(index).ok());
                if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
                    *byte = !*byte;
                }
                self.bytes = bytes.into();
            }
            Some(FirmwareFault::Encoded) => set(&mut self.headers, header::CONTENT_ENCODING, "gzip"),
            _ => {}
        }
    }

    fn end_after(&mut self, bytes: u64, end: End) {
        self.bytes = part(&self.bytes, 0, bytes);
        self.end = end;
    }

    pub(super) fn answer(self, head_only: bool, sent: Arc<AtomicU64>, changes: Changes) -> Response {
        let Self { status, headers, bytes: content, pace, end } = self;
        let body = if head_only { Body::empty() } else { body(Course { content, pace, end, sent, changes }) };
        (status, headers, body).into_response()
    }
}

/// As much of it as there is.
fn part(bytes: &Bytes, from: u64, to: u64) -> Bytes {
    let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(index(from).min(index(to))..index(to))
}
