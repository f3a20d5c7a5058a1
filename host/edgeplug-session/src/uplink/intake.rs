//! From samples to rows, and from what became of the rows to what each sample is told.
//!
//! Samples handed over together are answered together, once the last of their rows is committed. A row that could not be
//! stored costs only the samples that have values in it, and a sample of which another row is on disk is not called
//! rejected.
//!
//! On an edge device, numbers make no row: they are handed on to be folded into windows, which are one more thing that the
//! answer waits for. Rules are asked here, too, where the values are judged.

use std::ops::Range;

use bytes::Bytes;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry::{self, Dropped, Encoded, Placed};
use edgeplug_protocol::template::Template;
use edgeplug_protocol::time::Timestamp;

use super::item::{Code, Content};
use super::stored::unstamped;
use super::{BODY_BYTES_MAX, MATCHES_MAX};
use crate::action::Outcome;
use crate::edge::{Fold, LocalCommand, RuleMatch};
use crate::{OfferId, Step};

/// What a call's samples become.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(super) rows: Vec<NewItem>,
    /// What each sample is told if all rows are stored.
    pub(super) outcomes: Vec<Outcome>,
    /// In which rows each sample has values; on an edge device a report stands for windows.
    placed: Vec<Placed>,
    /// What is done beside on an edge device.
    pub(crate) edge: Option<Box<ForEdge>>,
}

/// What samples of an edge device cause beside rows.
#[derive(Debug, Default)]
pub(crate) struct ForEdge {
    /// Numbers for its windows.
    pub(crate) numbers: Vec<Fold>,
    /// Rules that matched, and the bytes of their messages.
    pub(crate) matches: usize,
    match_bytes: usize,
    /// Matches beyond what one call may cause.
    pub(crate) matches_lost: usize,
    /// What they want to be done.
    pub(crate) commands: Vec<LocalCommand>,
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
    /// `None` if it is the match of a rule.
    side: Option<Placed>,
}

/// Samples that wait for their rows to be committed.
#[derive(Debug)]
pub(super) struct Batch {
    rows_left: usize,
    /// Shares that could not be stored, and why the first could not.
    failed: Vec<Share>,
    reason: Option<String>,
    /// The windows its numbers went into are in memory only.
    windows_unkept: bool,
    offer: Option<OfferId>,
    outcomes: Vec<Outcome>,
    placed: Vec<Placed>,
}

impl Prepared {
    /// Encodes samples, or keeps them as they are while the template or the time is unknown.
    pub(super) fn new(samples: &[Sample], now: &Timestamp, step: &Step<'_>) -> Self {
        let mut prepared = Self { outcomes: Vec::with_capacity(samples.len()), ..Self::default() };
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
        Self::told(samples, &Outcome::Rejected(reason.to_owned()))
    }

    /// Nothing is taken, and all are told the same.
    pub(super) fn told(samples: usize, outcome: &Outcome) -> Self {
        Self { outcomes: vec![outcome.clone(); samples], ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.content.bytes().len()).sum()
    }

    /// The rows, and what waits for them.
    pub(super) fn into_batch(self, offer: Option<OfferId>) -> (Vec<NewItem>, Batch) {
        let Self { rows, outcomes, placed, .. } = self;
        let (rows_left, failed) = (rows.len(), Vec::new());
        let batch = Batch { rows_left, failed, reason: None, windows_unkept: false, offer, outcomes, placed };
        (rows, batch)
    }

    /// Adds a piece that begins at sample `first`; or says how many bytes it would have needed.
    fn take(&mut self, piece: &[Sample], first: usize, now: &Timestamp, step: &Step<'_>) -> Result<(), usize> {
        let samples = first..first + piece.len();
        let both = Placed { report: true, fault: true };
        let Some(template) = step.world.template.as_ref().filter(|_| step.clock.is_known(step.now)) else {
            match unstamped(piece, step) {
                Ok(body) => {
                    check_size(&body)?;
                    self.outcomes.extend(piece.iter().map(|_| Outcome::Accepted));
                    self.placed.extend(piece.iter().map(|_| both));
                    let share = Share { samples, side: Some(both) };
                    self.rows.push(NewItem { content: Content::Unstamped(body), share });
                }
                Err(error) => {
                    self.outcomes.extend(piece.iter().map(|_| Outcome::Rejected(error.to_string())));
                    self.placed.extend(piece.iter().map(|_| Placed::default()));
                }
            }
            return Ok(());
        };
        if step.world.is_edge() {
            return self.take_edge(template, piece, first, now, step);
        }
        let Encoded { report, fault, placed, dropped } = telemetry::encode(template, &step.world.sdk, piece, now);
        for body in report.iter().chain(&fault) {
            check_size(body.bytes())?;
        }
        self.judge(placed, &dropped);
        for (body, side) in [(report, REPORT), (fault, FAULT)] {
            if let Some(body) = body {
                let share = Share { samples: samples.clone(), side: Some(side) };
                self.rows.push(NewItem { content: Content::Message(body, step.world.code_for(template)), share });
            }
        }
        Ok(())
    }

    /// The same on an edge device.
    fn take_edge(
        &mut self,
        template: &Template,
        piece: &[Sample],
        first: usize,
        now: &Timestamp,
        step: &Step<'_>,
    ) -> Result<(), usize> {
        let encoded = telemetry::encode_edge(template, &step.world.sdk, piece, now);
        if let Some(body) = encoded.fault {
            check_size(body.bytes())?;
            let share = Share { samples: first..first + piece.len(), side: Some(FAULT) };
            self.rows.push(NewItem { content: Content::Message(body, step.world.code_for(template)), share });
        }
        self.judge(encoded.placed, &encoded.dropped);
        for sample in &encoded.valid {
            self.edge.get_or_insert_default().numbers.extend(Fold::of(sample));
            for matched in step.world.rules.matches(sample, template, now, step) {
                self.take_match(matched, first + sample.sample, step.world.code_for(template));
            }
        }
        Ok(())
    }

    fn take_match(&mut self, matched: RuleMatch, sample: usize, code: Code) {
        let RuleMatch { body, command } = matched;
        let bytes = body.bytes().len();
        let edge = self.edge.get_or_insert_default();
        edge.commands.extend(command);
        if edge.matches >= MATCHES_MAX || edge.match_bytes + bytes > MATCH_BYTES_MAX {
            edge.matches_lost += 1;
            return;
        }
        edge.matches += 1;
        edge.match_bytes += bytes;
        let share = Share { samples: sample..sample + 1, side: None };
        self.rows.push(NewItem { content: Content::Message(body, code), share });
    }

    /// Notes what each sample of a piece is told.
    fn judge(&mut self, placed: Vec<Placed>, dropped: &[Dropped]) {
        let mut dropped = dropped.iter().peekable();
        for (index, placed) in placed.iter().enumerate() {
            self.outcomes.push(outcome(*placed, first_reason(&mut dropped, index)));
        }
        if self.placed.is_empty() {
            self.placed = placed;
        } else {
            self.placed.extend(placed);
        }
    }
}

/// Bytes of all rule matches of one call: of ordinary samples more than as many as there may be.
const MATCH_BYTES_MAX: usize = 1024 * 1024;
const REPORT: Placed = Placed { report: true, fault: false };
const FAULT: Placed = Placed { report: false, fault: true };

impl Batch {
    /// It also waits for windows.
    pub(super) fn wait_for_windows(&mut self) {
        self.rows_left += 1;
    }

    /// The windows are on disk, or not. Says whether they were the last.
    pub(super) fn settle_windows(&mut self, kept: bool) -> bool {
        self.windows_unkept = !kept;
        self.settle(None)
    }

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
        for (outcome, placed) in self.outcomes.iter_mut().zip(&self.placed) {
            if self.windows_unkept && placed.report && *outcome == Outcome::Accepted {
                *outcome = Outcome::AcceptedInMemory;
            }
        }
        for Share { samples, side } in &self.failed {
            let outcomes = self.outcomes.get_mut(samples.clone()).unwrap_or_default();
            let placed = self.placed.get_mut(samples.clone()).unwrap_or_default();
            for (outcome, placed) in outcomes.iter_mut().zip(placed) {
                let Some(side) = side else {
                    if matches!(outcome, Outcome::Accepted | Outcome::AcceptedInMemory) {
                        *outcome = Outcome::AcceptedInPart(format!("the match of a rule is not stored: {reason}"));
                    }
                    continue;
                };
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
