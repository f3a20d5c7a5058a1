//! `telemetry`: readings a guest sends of its own accord.

use std::sync::Arc;

use edgeplug_protocol::sample::Sample;

use crate::bindings::{telemetry, types};
use crate::convert;
use crate::event::{OfferId, PluginEvent, SampleOutcome};
use crate::host::State;

impl telemetry::Host for State {
    async fn send(&mut self, samples: Vec<types::Sample>) -> wasmtime::Result<Vec<telemetry::Outcome>> {
        let desk = Arc::clone(&self.guest.desk);
        if let Err(reason) = convert::check_list(&samples) {
            desk.book.rejected(samples.len());
            return Ok(vec![telemetry::Outcome::Rejected(reason); samples.len()]);
        }
        let (taken, refused): (Vec<_>, Vec<_>) = samples
            .into_iter()
            .map(|sample| match convert::sample(sample).and_then(|sample| desk.admit(&sample).map(|()| sample)) {
                Ok(sample) => (Some(sample), None),
                Err(reason) => (None, Some(reason)),
            })
            .unzip();
        let taken: Vec<_> = taken.into_iter().flatten().collect();
        desk.book.took(&taken);
        let mut answers = if taken.is_empty() { Vec::new() } else { self.offer(taken).await? }.into_iter();
        let outcomes = refused.into_iter().map(|refused| match refused {
            Some(reason) => telemetry::Outcome::Rejected(reason),
            None => match answers.next() {
                Some(SampleOutcome::Accepted) => telemetry::Outcome::Accepted,
                Some(SampleOutcome::AcceptedInMemory) => telemetry::Outcome::AcceptedInMemory,
                Some(SampleOutcome::HeldBack) => telemetry::Outcome::HeldBack,
                Some(SampleOutcome::Rejected(reason)) => telemetry::Outcome::Rejected(reason),
                None => telemetry::Outcome::Rejected("the store did not confirm it".to_owned()),
            },
        });
        let outcomes: Vec<_> = outcomes.collect();
        desk.book
            .rejected(outcomes.iter().filter(|outcome| matches!(outcome, telemetry::Outcome::Rejected(_))).count());
        Ok(outcomes)
    }
}

impl State {
    /// Hands samples to the daemon and waits for their fate. Once they are handed over only the daemon knows it, so
    /// there is no giving up but by the end of the whole call, which promises nothing.
    async fn offer(&mut self, samples: Vec<Sample>) -> wasmtime::Result<Vec<SampleOutcome>> {
        let _waiting = self.wait()?;
        let count = samples.len();
        let mut offer = self.guest.surroundings.offers.open();
        let offered = PluginEvent::Offered { plugin: self.guest.plugin.clone(), offer: OfferId(offer.number), samples };
        Ok(match self.guest.tell(offered).await {
            Ok(()) => (&mut offer.answer).await.unwrap_or_default(),
            Err(reason) => vec![SampleOutcome::Rejected(reason); count],
        })
    }
}
