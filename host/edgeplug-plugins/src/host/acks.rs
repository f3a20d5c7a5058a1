//! `acks`: ends and progress of what a guest deferred.

use crate::ask::{Answer, Ask, Ending, FinishFailure};
use crate::bindings::{acks, types};
use crate::event::PluginEvent;
use crate::host::{State, another_answer};
use crate::pace::Pace;
use crate::voice::told;

/// Longest id passed on: that of a command is its key in the ledger, which takes no longer one. The cloud's are GUIDs.
const ID_LEN_MAX: usize = 512;

/// Reports of progress a second, and at once: more than anybody can follow.
const PROGRESS_MAX: u32 = 20;

/// For the progress that one instance reports.
pub(super) fn pace() -> Pace {
    Pace::new(PROGRESS_MAX, PROGRESS_MAX)
}

impl acks::Host for State {
    async fn finish(&mut self, id: String, ending: types::Ending) -> wasmtime::Result<Result<(), acks::Error>> {
        if id.len() > ID_LEN_MAX {
            return Ok(Err(acks::Error::Unknown));
        }
        let ending = match ending {
            types::Ending::Done(message) => Ending::Done(told(&message)),
            types::Ending::Failed(message) => Ending::Failed(told(&message)),
        };
        Ok(match self.ask(Ask::Finish { id: id.clone(), ending }).await? {
            Ok(Answer::Finished(Ok(()))) => {
                self.guest.desk.end_update(&id);
                Ok(())
            }
            Ok(Answer::Finished(Err(FinishFailure::Unknown))) => Err(acks::Error::Unknown),
            Ok(Answer::Finished(Err(FinishFailure::NotYours))) => Err(acks::Error::NotYours),
            Ok(Answer::Finished(Err(FinishFailure::Unavailable(reason)))) => Err(acks::Error::Unavailable(reason)),
            Ok(other) => Err(acks::Error::Unavailable(another_answer(&other))),
            Err(reason) => Err(acks::Error::Unavailable(reason)),
        })
    }

    /// Nobody waits for it, so what the daemon has no room for, or what comes too fast, is left out.
    fn progress(&mut self, id: String, percent: u8, message: String) {
        if id.len() > ID_LEN_MAX || !self.pace.admit(1, self.guest.surroundings.clock.elapsed()) {
            return;
        }
        let progress = PluginEvent::Progress {
            plugin: self.guest.plugin.clone(),
            id,
            percent: percent.min(100),
            message: told(&message),
        };
        let _ = self.guest.surroundings.events.try_send(progress);
    }
}
