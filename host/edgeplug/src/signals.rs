//! What an operator says by signals.
//!
//! The first SIGTERM or SIGINT asks for an orderly end. The second ends the process from inside the signal handler, so
//! that nothing can be in its way: no hung disk, no hung TPM, no loop in here. What was accepted is on disk either way.
//! SIGHUP does nothing but say so: the configuration is read at start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// The daemon's ear for signals.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on the signals have this meaning.
    pub(crate) fn listen() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for number in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down and puts it up, the second finds it up.
            flag::register_conditional_shutdown(number, Exit::StoppedAtOnce as i32, Arc::clone(&asked))?;
            flag::register(number, Arc::clone(&asked))?;
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until somebody asks for the end.
    pub(crate) async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP does nothing here: the configuration is read at start, so restart to change it");
                }
            }
        }
    }
}
