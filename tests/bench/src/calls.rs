//! What the plugin runtime adds to a call: deadline, limits, conversion of the readings, the hop between tasks.

use std::time::Instant;

use anyhow::Context as _;
use edgeplug_plugins::EngineKind;
use tokio::sync::mpsc;

use crate::figures::median;
use crate::guest::{Instance, Supervised};

pub(crate) const ROUNDS: usize = 9;
pub(crate) const CALLS: u32 = 5_000;

pub(crate) struct Calls {
    pub(crate) bare_us: f64,
    /// The bare call where nothing is compiled to machine code (`plugins.engine = "interpreter"`).
    pub(crate) interpreted_us: f64,
    pub(crate) plugins_us: f64,
    pub(crate) hop_us: f64,
}

impl Calls {
    pub(crate) fn ratio(&self) -> f64 {
        self.plugins_us / self.bare_us
    }

    pub(crate) fn interpreter_ratio(&self) -> f64 {
        self.interpreted_us / self.bare_us
    }
}

/// All in turn, round by round, so that noise hits them alike.
pub(crate) async fn measure() -> anyhow::Result<Calls> {
    let mut bare = Instance::new(EngineKind::Native).await?;
    let mut interpreted = Instance::new(EngineKind::Interpreter).await?;
    let mut runtime = Supervised::start(1).await?;
    let (mut bare_us, mut interpreted_us, mut plugins_us, mut hop_us) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        bare_us.push(bare_round(&mut bare).await?);
        interpreted_us.push(bare_round(&mut interpreted).await?);
        plugins_us.push(supervised_round(&mut runtime).await?);
        hop_us.push(hops().await?);
    }
    Ok(Calls {
        bare_us: median(bare_us),
        interpreted_us: median(interpreted_us),
        plugins_us: median(plugins_us),
        hop_us: median(hop_us),
    })
}

async fn bare_round(instance: &mut Instance) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for _ in 0..CALLS {
        instance.call().await?;
    }
    Ok(per_call_us(begun))
}

async fn supervised_round(runtime: &mut Supervised) -> anyhow::Result<f64> {
    let plugin = runtime.names.first().context("no plugin runs")?.clone();
    let begun = Instant::now();
    for call in 0..CALLS {
        runtime.plugins.sample(&plugin, u64::from(call))?;
        runtime.sampled().await?;
    }
    Ok(per_call_us(begun))
}

/// There and back between two tasks through two channels: what no runtime with a task per plugin can avoid.
async fn hops() -> anyhow::Result<f64> {
    let (there, mut asked) = mpsc::channel::<u32>(1);
    let (answer, mut back) = mpsc::channel::<u32>(1);
    let echo = tokio::spawn(async move {
        while let Some(number) = asked.recv().await {
            if answer.send(number).await.is_err() {
                break;
            }
        }
    });
    let begun = Instant::now();
    for number in 0..CALLS {
        there.send(number).await?;
        back.recv().await.context("the other task ended")?;
    }
    let us = per_call_us(begun);
    drop(there);
    echo.await?;
    Ok(us)
}

fn per_call_us(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}
