//! What can go wrong with a download, and for how many requests.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::limits::SCRIPT_MAX;

/// One thing that goes wrong with the answer to a signed request.
///
/// As JSON: `"hang"`, `{"cut_after":1000}`, `{"status":{"status":503,"retry_after_s":1}}`, `{"redirect":{"hops":2}}`.
/// Bytes are counted in the body of the answer, offsets in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirmwareFault {
    /// The connection is cut after so many bytes of the body.
    CutAfter(u64),
    /// After so many bytes nothing comes any more, and the connection stays.
    StallAfter(u64),
    /// No answer at all, and the connection stays.
    Hang,
    /// So many bytes a second.
    Slow(u64),
    /// The announced length is off by this. Too long a one is followed by the end of the connection, too short a one by
    /// as many bytes as announced.
    LengthOff(i64),
    /// No length is announced (chunked).
    Unannounced,
    /// The byte at this offset of the file is another one.
    FlippedByte(u64),
    /// The connection is cut after so many bytes, and from then on the file has other bytes, as many as before, another
    /// ETag and another Last-Modified.
    ChangedAfter(u64),
    /// Each signed URL is good for this many requests and refused as expired afterwards. Holds for the file until its
    /// faults are cleared, whatever number of requests it was asked for, and beside other faults.
    ForbiddenAfter(u32),
    /// 200 with the whole file, whatever range was asked for.
    WholeForRange,
    /// A range is served although the file is not the one that If-Range names.
    IgnoresIfRange,
    /// 206 with a range that begins so many bytes beside the one that was asked for, and says so.
    ShiftedRange(i64),
    /// Neither ETag nor Last-Modified.
    WithoutValidators,
    /// A weak ETag and no Last-Modified.
    WeakEtag,
    /// The answer says that it is compressed.
    Encoded,
    /// This status, 400 and up, with the store's words for it.
    Status {
        /// Such as 500, 503, 429, 404, 416.
        status: u16,
        /// What stands in Retry-After, in seconds.
        #[serde(default)]
        retry_after_s: Option<u32>,
    },
    /// 302.
    Redirect(Redirect),
}

/// Where a redirect leads. What it leads to within the simulator is served without faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirect {
    /// To the file, over so many redirects; at least one.
    Hops(u32),
    /// To the same URL again, each time.
    Loop,
    /// To the file, over plain HTTP on loopback.
    PlainHttp,
    /// To the file, on this machine under another name (`127.0.0.1`).
    OtherHost,
    /// To this URL.
    To(String),
}

/// The faults of one file, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    queue: VecDeque<(FirmwareFault, Lasting)>,
    /// Of each signed URL.
    requests_max: Option<u32>,
}

/// For how many requests.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lasting {
    Next(u32),
    Always,
}

impl Faults {
    pub(super) fn add(&mut self, fault: FirmwareFault, lasting: Lasting) -> anyhow::Result<()> {
        anyhow::ensure!(self.queue.len() < SCRIPT_MAX, "at most {SCRIPT_MAX} faults can wait");
        match (fault, lasting) {
            (FirmwareFault::ForbiddenAfter(requests), _) => self.requests_max = Some(requests),
            (FirmwareFault::Status { status, .. }, _) if !(400..600).contains(&status) => {
                anyhow::bail!("a fault is a status from 400 to 599, not {status}")
            }
            (FirmwareFault::Redirect(Redirect::To(url)), _) if url.contains(char::is_control) => {
                anyhow::bail!("a URL without control characters can stand in a header")
            }
            (FirmwareFault::Slow(0), _) => anyhow::bail!("zero bytes a second is a stall: say stall_after"),
            (_, Lasting::Next(0)) => {}
            (fault, lasting) => self.queue.push_back((fault, lasting)),
        }
        Ok(())
    }

    /// The one for this request.
    pub(super) fn next(&mut self) -> Option<FirmwareFault> {
        let (fault, lasting) = self.queue.front_mut()?;
        let fault = fault.clone();
        match lasting {
            Lasting::Always => return Some(fault),
            Lasting::Next(left) => *left = left.saturating_sub(1),
        }
        if matches!(lasting, Lasting::Next(0)) {
            self.queue.pop_front();
        }
        Some(fault)
    }

    pub(super) fn requests_max(&self) -> Option<u32> {
        self.requests_max
    }

    pub(super) fn waiting(&self) -> Vec<FirmwareFault> {
        let limit = self.requests_max.map(FirmwareFault::ForbiddenAfter);
        self.queue.iter().map(|(fault, _)| fault.clone()).chain(limit).collect()
    }
}
