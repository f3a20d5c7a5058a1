//! What the hub does wrong, when: from a seed.

use std::time::Duration;

use edgeplug_cloud::{Hub, Pubacks};

use crate::random::Random;

/// Pause between two faults, in milliseconds.
const PAUSE_MS: (u64, u64) = (50, 700);

/// Faults in order; afterwards the hub behaves again.
pub(super) struct HubScript {
    steps: Vec<(Duration, Fault)>,
    length: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Pubacks(Pubacks),
    /// The next so many are never sent.
    DropPubacks(u32),
    /// The next so many are sent twice.
    DuplicatePubacks(u32),
    /// Whether sessions are forgotten from now on: CONNACK says session_present 0.
    ForgetSessions(bool),
    /// The next so many CONNECTs get this code.
    RefuseConnects(u32, u8),
    Kick,
    ExpireToken,
    /// The connection is cut right after this many messages, before their PUBACK.
    CutAfter(u32),
    /// The hub neither reads nor writes on this connection any more.
    Freeze,
}

impl HubScript {
    pub(super) fn from_seed(seed: u64, length: Duration) -> Self {
        let mut random = Random::new(seed);
        let mut steps = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            at += Duration::from_millis(random.between(PAUSE_MS.0, PAUSE_MS.1));
            if at >= length {
                return Self { steps, length };
            }
            steps.push((at, Fault::any(&mut random)));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    pub(super) async fn play(self, hub: &Hub, device: &str) {
        let start = tokio::time::Instant::now();
        for (at, fault) in self.steps {
            tokio::time::sleep_until(start + at).await;
            fault.strike(hub, device);
        }
        tokio::time::sleep_until(start + self.length).await;
        hub.pubacks(Pubacks::AtOnce);
        hub.drop_pubacks(0);
        hub.duplicate_pubacks(0);
        hub.forget_sessions(false);
        hub.refuse_connects(0, 0);
    }
}

impl Fault {
    fn any(random: &mut Random) -> Self {
        let count = |random: &mut Random, most| u32::try_from(random.between(1, most)).unwrap_or(1);
        match random.between(0, 12) {
            0 => Self::Pubacks(Pubacks::Delayed(Duration::from_millis(random.between(5, 400)))),
            1 => Self::Pubacks(Pubacks::Reordered(usize::try_from(random.between(2, 20)).unwrap_or(2))),
            2 => Self::Pubacks(Pubacks::Held),
            3 | 4 => Self::Pubacks(Pubacks::AtOnce),
            5 => Self::DropPubacks(count(random, 5)),
            6 => Self::DuplicatePubacks(count(random, 20)),
            7 => Self::ForgetSessions(random.percent(50)),
            // 3 is "unavailable", 5 "not authorised" (MQTT 3.1.1, table 3.1).
            8 => Self::RefuseConnects(count(random, 2), if random.percent(50) { 3 } else { 5 }),
            9 => Self::Kick,
            10 => Self::ExpireToken,
            11 => Self::CutAfter(count(random, 50)),
            _ => Self::Freeze,
        }
    }

    /// A device that is not connected at the moment cannot be kicked.
    fn strike(self, hub: &Hub, device: &str) {
        let struck = match self {
            Self::Pubacks(mode) => {
                hub.pubacks(mode);
                Ok(())
            }
            Self::DropPubacks(count) => {
                hub.drop_pubacks(count);
                Ok(())
            }
            Self::DuplicatePubacks(count) => {
                hub.duplicate_pubacks(count);
                Ok(())
            }
            Self::ForgetSessions(forget) => {
                hub.forget_sessions(forget);
                Ok(())
            }
            Self::RefuseConnects(count, code) => {
                hub.refuse_connects(count, code);
                Ok(())
            }
            Self::Kick => hub.kick(device),
            Self::ExpireToken => hub.expire_token(device),
            Self::CutAfter(count) => hub.cut_after(device, count),
            Self::Freeze => hub.freeze(device),
        };
        drop(struck);
    }
}
