//! Items whose turn has come: samples become messages, what is too old is given up.
//!
//! Samples are stored as such while the template or the time of day is unknown, and wait until both are known. A sample
//! without a time of its own then gets the moment it was taken at, by the clock of that boot: exact if the system has not
//! booted since, otherwise what the wall clock showed, if that can be.

use std::collections::VecDeque;

use bytes::Bytes;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry::{self, Body, Dropped, EdgeEncoded, Encoded, Placed};
use edgeplug_protocol::template::Template;
use edgeplug_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::BODY_BYTES_MAX;
use super::complaints::Complaints;
use super::item::{Content, Item, ItemId};
use super::queue::Ripe;
use super::window::Window;
use crate::Step;
use crate::edge::windows;

/// 2024-01-01T00:00:00Z: a wall clock before that was never set.
const WALL_UNIX_MS_MIN: i64 = 1_704_067_200_000;

/// Samples and the moment they were taken, as stored.
#[derive(Debug, Serialize)]
pub(super) struct Unstamped<'a> {
    /// Which boot of the system it was.
    pub(super) boot: &'a str,
    /// The monotonic clock of that boot.
    pub(super) boot_ms: i64,
    /// What the wall clock showed.
    pub(super) wall_ms: i64,
    pub(super) samples: &'a [Sample],
}

/// The same, read back.
#[derive(Debug, Deserialize)]
struct StoredUnstamped {
    boot: String,
    boot_ms: i64,
    wall_ms: i64,
    samples: Vec<Sample>,
}

/// Makes messages of items, and counts what it had to give up.
#[derive(Debug, Default)]
pub(super) struct Ripening {
    /// Samples that no template has a place for, or that cannot be read.
    pub(super) given_up: u64,
    /// Rows older than their time to live.
    pub(super) expired: u64,
    /// Rows in memory only that went this way.
    pub(super) memory_rows: usize,
    /// Rows whose time is a guess, because an earlier boot without a clock took them.
    guessed: u64,
    complaints: Complaints,
}

impl Ripening {
    /// What becomes of an item that may be sent next.
    pub(super) fn ripen(&mut self, item: &Item, window: &mut Window, step: &Step<'_>) -> Ripe {
        if item.is_part || item.published {
            return Ripe::Yes;
        }
        match &item.content {
            Content::Message(..) | Content::Other(..)
                if !item.content.is_alarm() && is_expired(item.created_unix_ms, step) =>
            {
                self.expired += 1;
                self.give_up(item, window)
            }
            Content::Message(..) | Content::Other(..) if item.content.bytes().len() > BODY_BYTES_MAX => {
                let bytes = item.content.bytes().len();
                tracing::error!(bytes, "a stored message is larger than the hub takes and is given up");
                self.given_up += 1;
                self.give_up(item, window)
            }
            Content::Message(..) | Content::Other(..) => Ripe::Yes,
            Content::Samples(_) | Content::Unstamped(_) => {
                match step.world.template.as_ref().filter(|_| step.clock.is_known(step.now)) {
                    Some(template) => self.encode(item, template, window, step),
                    None => Ripe::NotYet,
                }
            }
        }
    }

    fn encode(&mut self, item: &Item, template: &Template, window: &mut Window, step: &Step<'_>) -> Ripe {
        let (samples, taken_unix_ms) = match self.read(item, step) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "stored samples cannot be read and are given up");
                self.given_up += 1;
                return self.give_up(item, window);
            }
        };
        if is_expired(taken_unix_ms, step) {
            self.expired += 1;
            return self.give_up(item, window);
        }
        let bodies = self.bodies(&samples, &Timestamp::from_unix_ms(taken_unix_ms), template, step);
        match bodies.len() {
            0 => return self.give_up(item, window),
            1 => {}
            several => window.part(item.id, several),
        }
        let is_part = bodies.len() > 1;
        let part = |body| {
            let content = Content::Message(body, step.world.code_for(template));
            Item { content, is_part, created_unix_ms: taken_unix_ms, ..item.clone() }
        };
        Ripe::Instead(bodies.into_iter().map(part).collect())
    }

    /// The samples and when they were taken, Unix milliseconds.
    fn read(&mut self, item: &Item, step: &Step<'_>) -> Result<(Vec<Sample>, i64), serde_json::Error> {
        let Content::Unstamped(bytes) = &item.content else {
            return Ok((serde_json::from_slice(item.content.bytes())?, item.created_unix_ms));
        };
        let StoredUnstamped { boot, boot_ms, wall_ms, samples } = serde_json::from_slice(bytes)?;
        let this_boot = !boot.is_empty() && boot == step.config.boot_id;
        if let Some(at) = step.clock.unix_ms_at(boot_ms).filter(|_| this_boot) {
            return Ok((samples, at));
        }
        if self.guessed == 0 {
            tracing::warn!("readings from before the last boot, taken without a clock; their times are guessed");
        }
        self.guessed += 1;
        let plausible = wall_ms > WALL_UNIX_MS_MIN && wall_ms <= step.unix_ms;
        Ok((samples, if plausible { wall_ms } else { step.clock.unix_ms_at(0).unwrap_or(step.unix_ms) }))
    }

    /// Messages made of samples, as few as fit. What a template has no place for is counted, and logged once for each
    /// reason.
    fn bodies(&mut self, samples: &[Sample], at: &Timestamp, template: &Template, step: &Step<'_>) -> Vec<Body> {
        const ABOUT: &str = "a reading from before the template and the time were known";
        let mut bodies = Vec::new();
        let mut pieces = VecDeque::from([samples]);
        while let Some(piece) = pieces.pop_front() {
            let Made { bodies: made, placed, dropped } = make(template, piece, at, step);
            let fits = made.iter().all(|body| body.bytes().len() <= BODY_BYTES_MAX);
            if !fits && piece.len() > 1 {
                let (first, second) = piece.split_at(piece.len() / 2);
                pieces.push_front(second);
                pieces.push_front(first);
                continue;
            }
            if fits {
                bodies.extend(made);
                self.given_up += placed.iter().filter(|placed| !placed.anywhere()).count() as u64;
            } else {
                self.given_up += piece.len() as u64;
                self.complaints.say(ABOUT, "it is larger than a hub message");
            }
            for dropped in dropped {
                self.complaints.say(ABOUT, &dropped.reason.to_string());
            }
        }
        bodies
    }

    fn give_up(&mut self, item: &Item, window: &mut Window) -> Ripe {
        match item.id {
            ItemId::Row(row) => window.discard(row),
            ItemId::Memory(_) => self.memory_rows += 1,
        }
        Ripe::Instead(Vec::new())
    }
}

/// What samples became.
struct Made {
    bodies: Vec<Body>,
    placed: Vec<Placed>,
    dropped: Vec<Dropped>,
}

/// Report and fault; on an edge device a window of just these samples and their fault. Nobody looks at its rules any more.
fn make(template: &Template, samples: &[Sample], at: &Timestamp, step: &Step<'_>) -> Made {
    let sdk = &step.world.sdk;
    if step.world.is_edge() {
        let EdgeEncoded { valid, fault, placed, dropped } = telemetry::encode_edge(template, sdk, samples, at);
        let mut bodies = windows::of_stored(&valid, template, at, BODY_BYTES_MAX, step);
        bodies.extend(fault);
        return Made { bodies, placed, dropped };
    }
    let Encoded { report, fault, placed, dropped } = telemetry::encode(template, sdk, samples, at);
    Made { bodies: report.into_iter().chain(fault).collect(), placed, dropped }
}

/// Whether readings of this moment are too old to be sent. Nothing is while nobody is sure of the time.
fn is_expired(taken_unix_ms: i64, step: &Step<'_>) -> bool {
    let life = step.config.time_to_live.filter(|_| step.clock.is_sure(step.now));
    life.is_some_and(|life| {
        let life_ms = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        taken_unix_ms.saturating_add(life_ms) < step.unix_ms
    })
}

/// Samples as they are stored while they cannot be encoded.
pub(super) fn unstamped(samples: &[Sample], step: &Step<'_>) -> Result<Bytes, serde_json::Error> {
    let (boot, boot_ms, wall_ms) = (&step.config.boot_id, step.now.monotonic_ms(), step.now.wall_unix_ms);
    serde_json::to_vec(&Unstamped { boot, boot_ms, wall_ms, samples }).map(Bytes::from)
}
