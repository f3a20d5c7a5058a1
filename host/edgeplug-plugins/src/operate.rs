//! What an operator may do to one plugin: restart it, switch it off and on.
//!
//! What must stay true: a plugin that was switched off stays so until it is switched on, across restarts of the daemon and
//! whatever becomes of its files.

use tokio::sync::oneshot;

/// Operations waiting. Each is a person or a script that waits for the answer.
pub(crate) const OPERATIONS_MAX: usize = 16;
/// Names listed for somebody who mistyped one.
const NAMES_TOLD_MAX: usize = 20;

/// What to do with a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A fresh instance now, with what the old one saved. Strikes are forgotten and a quarantine is lifted.
    Restart,
    /// Lifts [`Operation::Disable`] and a quarantine.
    Enable,
    /// Ends the instance; none is started until [`Operation::Enable`], also after restarts of the daemon.
    Disable,
}

/// Why an operation was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOperated {
    #[error("there is no plugin {plugin:?}; {}", told(.known))]
    Unknown {
        plugin: String,
        /// Those there are, by name.
        known: Vec<String>,
    },
    /// The plugin is as it was; the reason in words.
    #[error("plugin {plugin:?}: {reason}")]
    Refused { plugin: String, reason: String },
    #[error("the plugins are busy with other operations; try again")]
    Busy,
    #[error("the plugins are being stopped")]
    Stopping,
}

/// An operation on its way to the keeper.
pub(crate) struct Operating {
    pub(crate) plugin: String,
    pub(crate) operation: Operation,
    /// Answered with what was done, in words.
    pub(crate) done: oneshot::Sender<Result<String, NotOperated>>,
}

fn told(known: &[String]) -> String {
    let names = known.iter().take(NAMES_TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match known.len() {
        0 => "there is none at all".to_owned(),
        len if len > NAMES_TOLD_MAX => format!("there are {len}, among them {names}"),
        _ => format!("there are: {names}"),
    }
}
