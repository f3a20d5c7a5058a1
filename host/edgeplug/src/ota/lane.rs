//! Work that takes its time, a thing at a time in a task of its own.

use std::collections::VecDeque;

use edgeplug_firmware::Firmware;
use tokio::sync::{mpsc, watch};

use super::Told;
use super::work::{Asked, Work};

/// Work that may wait here. The session wants one thing at a time; others are what it cancelled, or a session before it
/// wanted. Who brings more waits.
const WAITING_MAX: usize = 8;

pub(super) struct Lane {
    works: mpsc::Sender<(Firmware, Asked)>,
    /// How many have ended.
    ended: watch::Receiver<u64>,
    /// How many were passed on.
    passed: u64,
    /// The jobs of those that may not have ended, and how many have when they do.
    jobs: VecDeque<(String, u64)>,
}

impl Lane {
    pub(super) fn start<F: Future<Output = ()> + Send>(
        work: impl Fn(Firmware, Work, mpsc::Sender<Told>) -> F + Send + 'static,
    ) -> Self {
        let (works, mut waiting) = mpsc::channel::<(Firmware, Asked)>(WAITING_MAX);
        let (end, ended) = watch::channel(0);
        tokio::spawn(async move {
            while let Some((firmware, asked)) = waiting.recv().await {
                work(firmware, asked.work, asked.tell).await;
                end.send_modify(|ended| *ended += 1);
            }
        });
        Self { works, ended, passed: 0, jobs: VecDeque::new() }
    }

    /// Has it done behind what was passed on before.
    pub(super) async fn pass(&mut self, job: String, firmware: Firmware, asked: Asked) {
        let ended = *self.ended.borrow();
        self.jobs.retain(|(_, number)| *number > ended);
        // Only a task that panicked takes nothing.
        if self.works.send((firmware, asked)).await.is_ok() {
            self.passed += 1;
            self.jobs.push_back((job, self.passed));
        }
    }

    /// Until nothing of such a job is under way or waits.
    pub(super) async fn past(&mut self, is_meant: impl Fn(&str) -> bool) {
        let last = self.jobs.iter().rev().find(|(job, _)| is_meant(job)).map(|(_, number)| *number);
        if let Some(number) = last {
            let _ = self.ended.wait_for(|ended| *ended >= number).await;
        }
    }
}
