//! Samples that guests offered and whose fate the daemon has not told yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::event::{OfferId, SampleOutcome};

/// Cloning shares the list. It is bounded by the number of living instances (a plugin has one, and for a moment those that
/// start and stop): a guest waits for its answer.
#[derive(Clone, Default)]
pub(crate) struct Offers(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    next: u64,
    waiting: HashMap<OfferId, oneshot::Sender<Vec<SampleOutcome>>>,
}

/// One offer whose answer is awaited; dropping it forgets the offer.
pub(crate) struct Offer {
    pub(crate) id: OfferId,
    pub(crate) answer: oneshot::Receiver<Vec<SampleOutcome>>,
    offers: Offers,
}

impl Offers {
    pub(crate) fn open(&self) -> Offer {
        let (sender, answer) = oneshot::channel();
        let mut inner = self.lock();
        let id = OfferId(inner.next);
        inner.next += 1;
        inner.waiting.insert(id, sender);
        Offer { id, answer, offers: self.clone() }
    }

    /// Tells the guest; an offer that nobody waits for any more (its plugin was stopped) is no error.
    pub(crate) fn answer(&self, id: OfferId, outcomes: Vec<SampleOutcome>) {
        if let Some(sender) = self.lock().waiting.remove(&id) {
            let _ = sender.send(outcomes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.offers.lock().waiting.remove(&self.id);
    }
}
