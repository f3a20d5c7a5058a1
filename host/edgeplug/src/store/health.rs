//! How the store fares, for whoever asks.

use edgeplug_outbox::{Damaged, Eviction, OutboxEvent};
use serde::Serialize;

/// Damaged files named in the status; more are counted only.
const SET_ASIDE_NAMED_MAX: usize = 16;

/// The store as an operator sees it.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Health {
    pub(crate) telemetry: Condition,
    pub(crate) ledger: Condition,
    /// Rows given up to keep the limits of `[outbox]`.
    pub(crate) evicted: Given,
    /// Rows an operator dropped.
    pub(crate) dropped: Given,
    /// Damaged files put beside their place, since start.
    pub(crate) set_aside: u64,
    pub(crate) set_aside_files: Vec<String>,
}

/// Whether one of the two files can be written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum Condition {
    /// Not open yet.
    #[default]
    Opening,
    Ok,
    Degraded {
        reason: String,
    },
}

/// Rows that left undelivered.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Given {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl Health {
    /// Takes in what the outbox reports.
    pub(crate) fn note(&mut self, event: &OutboxEvent) {
        match event {
            OutboxEvent::Degraded { store, reason } => {
                *self.condition(*store) = Condition::Degraded { reason: reason.clone() };
            }
            OutboxEvent::Healed { store, damaged } => {
                *self.condition(*store) = Condition::Ok;
                if let Some(damaged) = damaged {
                    self.set_aside(damaged);
                }
            }
            OutboxEvent::SetAside(damaged) => self.set_aside(damaged),
            OutboxEvent::Evicted { rows, bytes, why, .. } => {
                let given = match why {
                    Eviction::Space => &mut self.evicted,
                    Eviction::Asked => &mut self.dropped,
                };
                given.rows += rows;
                given.bytes += bytes;
            }
            _ => {}
        }
    }

    pub(crate) fn set_aside(&mut self, damaged: &Damaged) {
        self.set_aside += 1;
        if self.set_aside_files.len() < SET_ASIDE_NAMED_MAX {
            self.set_aside_files.push(damaged.set_aside.display().to_string());
        }
    }

    /// Neither file can be used.
    pub(crate) fn degrade(&mut self, reason: &str) {
        self.telemetry = Condition::Degraded { reason: reason.to_owned() };
        self.ledger = self.telemetry.clone();
    }

    pub(crate) fn opened(&mut self) {
        self.telemetry = Condition::Ok;
        self.ledger = Condition::Ok;
    }

    /// One phrase for both files.
    pub(crate) fn words(&self) -> String {
        match (&self.telemetry, &self.ledger) {
            (Condition::Degraded { reason }, _) | (_, Condition::Degraded { reason }) => {
                format!("store cannot be used: {reason}")
            }
            (Condition::Opening, _) | (_, Condition::Opening) => "store opening".to_owned(),
            (Condition::Ok, Condition::Ok) => "store ok".to_owned(),
        }
    }

    fn condition(&mut self, store: edgeplug_outbox::Store) -> &mut Condition {
        match store {
            edgeplug_outbox::Store::Telemetry => &mut self.telemetry,
            edgeplug_outbox::Store::Ledger => &mut self.ledger,
        }
    }
}
