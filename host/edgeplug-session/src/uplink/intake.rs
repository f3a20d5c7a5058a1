//! From samples to rows, and from what became of the rows to what each sample is told.
//!
//! Samples handed over together are answered together, once the last of their rows is committed. A row that could not be
//! stored costs only the samples that have values in it, and a sample of which another row is on disk is not called
//! rejected.

use std::ops::Range;

use bytes::Bytes;
use edgeplug_protocol::legacy::telemetry::{self, Dropped, Placed};
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;

use super::BODY_BYTES_MAX;
use super::item::Content;
use super::stored::unstamped;
use crate::action::Outcome;
use crate::{OfferId, Step};

/// What a call's samples become.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) rows: Vec<NewItem>,
    /// What each sample is told if all rows are stored.
    pub(super) outcomes: Vec<Outcome>,
    /// In which rows each sample has values.
    placed: Vec<Placed>,
}

/// A row to be.
#[derive(Debug)]
pub(super) struct NewItem {
    pub(super) content: Content,
    pub(super) share: Share,
}

/// The part of a call that went into one row.
#[derive(Debug, Clone)]
pub(super) struct Share {
    samples: Range<usize>,
    side: Placed,
}

/// Samples that wait for their rows to be committed.
#[derive(Debug)]
pub(super) struct Batch {
    rows_left: usize,
    /// Shares that could not be stored, and why the first could not.
    failed: Vec<Share>,
    reason: Option<String>,
    offer: Option<OfferId>,
    outcomes: Vec<Outcome>,
    placed: Vec<Placed>,
}

impl Prepared {
    /// Encodes samples, or keeps them as they are while the template or the time is unknown.
    pub(super) fn new(samples: &[Sample], now: &Timestamp, step: &Step<'_>) -> Self {
        let mut prepared = Self::default();
        // What stands behind the piece that is next; nothing, unless one was too large.
        let mut pieces = Vec::new();
        let mut next = (!samples.is_empty()).then_some(0..samples.len());
        while let Some(range) = next.take().or_else(|| pieces.pop()) {
            let Some(piece) = samples.get(range.clone()) else { continue };
            if let Err(bytes) = prepared.take(piece, range.start, now, step) {
                if piece.len() > 1 {
                    let middle = range.start + piece.len() / 2;
                    pieces.push(middle..range.end);
                    pieces.push(range.start..middle);
                } else {
                    prepared.outcomes.push(too_large(bytes));
                    prepared.placed.push(Placed::default());
                }
            }
        }
        prepared
    }

    /// Nothing is taken.
    pub(super) fn rejected(samples: usize, reason: &str) -> Self {
        Self { outcomes: vec![Outcome::Rejected(reason.to_owned()); samples], ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.content.bytes().len()).sum()
    }

    /// The rows, and what waits for them.
    pub(super) fn into_batch(self, offer: Option<OfferId>) -> (Vec<NewItem>, Batch) {
        let Self { rows, outcomes, placed } = self;
        let batch = Batch { rows_left: rows.len(), failed: Vec::new(), reason: None, offer, outcomes, placed };
        (rows, batch)
    }

    /// Adds a piece that begins at sample `first`; or says how many bytes it would have needed.
    fn take(&mut self, piece: &[Sample], first: usize, now: &Timestamp, step: &Step<'_>) -> Result<(), usize> {
        let samples = first..first + piece.len();
        let both = Placed { report: true, fault: true };
        let template = step.world.template.as_ref().filter(|_| step.clock.is_known(step.now));
        let Some(template) = template else {
            match unstamped(piece, step) {
                Ok(body) => {
                    check_size(&body)?;
                    self.outcomes.extend(piece.iter().map(|_| Outcome::Accepted));
                    self.placed.extend(piece.iter().map(|_| both));
                    self.rows.push(NewItem { content: Content::Unstamped(body), share: Share { samples, side: both } });
                }
                Err(error) => {
                    self.outcomes.extend(piece.iter().map(|_| Outcome::Rejected(error.to_string())));
                    self.placed.extend(piece.iter().map(|_| Placed::default()));
                }
            }
            return Ok(());
        };
        let encoded = telemetry::encode(template, &step.world.sdk, piece, now);
        for body in encoded.report.iter().chain(&encoded.fault) {
            check_size(body.bytes())?;
        }
        self.outcomes.reserve(encoded.placed.len());
        let mut dropped = encoded.dropped.iter().peekable();
        for (index, placed) in encoded.placed.iter().enumerate() {
            self.outcomes.push(outcome(*placed, first_reason(&mut dropped, index)));
        }
        if self.placed.is_empty() {
            self.placed = encoded.placed;
        } else {
            self.placed.extend(encoded.placed);
        }
        let report = Placed { report: true, fault: false };
        let fault = Placed { report: false, fault: true };
        for (body, side) in [(encoded.report, report), (encoded.fault, fault)] {
            if let Some(body) = body {
                let share = Share { samples: samples.clone(), side };
                self.rows.push(NewItem { content: Content::Message(body), share });
            }
        }
        Ok(())
    }
}

impl Batch {
    /// A row is stored, or not. Says whether it was the last.
    pub(super) fn settle(&mut self, failed: Option<(Share, &str)>) -> bool {
        self.rows_left = self.rows_left.saturating_sub(1);
        if let Some((share, reason)) = failed {
            self.failed.push(share);
            self.reason.get_or_insert_with(|| reason.to_owned());
        }
        self.rows_left == 0
    }

    /// For each sample what became of it, whom to tell, and why rows failed if they did.
    pub(super) fn finish(mut self) -> (Vec<Outcome>, Option<OfferId>, Option<String>) {
        let reason = self.reason.unwrap_or_default();
        for Share { samples, side } in &self.failed {
            let outcomes = self.outcomes.get_mut(samples.clone()).unwrap_or_default();
            let placed = self.placed.get_mut(samples.clone()).unwrap_or_default();
            for (outcome, placed) in outcomes.iter_mut().zip(placed) {
                let left = Placed { report: placed.report && !side.report, fault: placed.fault && !side.fault };
                if left != *placed {
                    *placed = left;
                    *outcome = if left.anywhere() {
                        Outcome::AcceptedInPart(format!("some of its values are not stored: {reason}"))
                    } else {
                        Outcome::Rejected(format!("not stored: {reason}"))
                    };
                }
            }
        }
        (self.outcomes, self.offer, (!self.failed.is_empty()).then_some(reason))
    }
}

fn outcome(placed: Placed, reason: Option<String>) -> Outcome {
    match (placed.anywhere(), reason) {
        (true, None) => Outcome::Accepted,
        (true, Some(reason)) => Outcome::AcceptedInPart(reason),
        (false, reason) => Outcome::Rejected(reason.unwrap_or_else(|| "nothing to send".into())),
    }
}

/// The first complaint about this sample; those about earlier ones are behind us.
fn first_reason<'a>(
    dropped: &mut std::iter::Peekable<impl Iterator<Item = &'a Dropped>>,
    sample: usize,
) -> Option<String> {
    while dropped.next_if(|dropped| dropped.sample < sample).is_some() {}
    dropped.next_if(|dropped| dropped.sample == sample).map(|dropped| dropped.reason.to_string())
}

fn check_size(body: &Bytes) -> Result<(), usize> {
    if body.len() <= BODY_BYTES_MAX { Ok(()) } else { Err(body.len()) }
}

fn too_large(bytes: usize) -> Outcome {
    Outcome::Rejected(format!(
        "one sample makes a message of {bytes} bytes and a hub message holds {BODY_BYTES_MAX}; send fewer or shorter values"
    ))
}
