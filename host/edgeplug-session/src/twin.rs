//! What plugins may do with the device twin. So far every question is answered: not yet.

use crate::action::{Answer, TwinFailure};

/// The answer to a question for the twin.
pub(crate) fn get() -> Answer {
    Answer::Twin(Err(unavailable()))
}

/// The answer to a report.
pub(crate) fn report() -> Answer {
    Answer::Reported(Err(unavailable()))
}

fn unavailable() -> TwinFailure {
    TwinFailure::Unavailable("the twin comes with a later version of this daemon".to_owned())
}
