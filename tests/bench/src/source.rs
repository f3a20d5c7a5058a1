//! Where the readings of the durable path come from: the guest alone, or through the plugin runtime.

use anyhow::Context as _;
use edgeplug_plugins::{EngineKind, PluginEvent};
use edgeplug_protocol::sample::Sample;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::guest::{Instance, Supervised};

/// Readings that may wait for the main loop.
const QUEUE: usize = 64;
/// Plugins at work at once.
const COPIES: usize = 4;
/// Calls waiting for each; the runtime takes up to sixteen.
const CALLS_PER_PLUGIN: usize = 8;

pub(crate) enum Source {
    /// A task that calls an instance without a runtime around it.
    Direct { readings: mpsc::Receiver<Vec<Sample>>, task: JoinHandle<anyhow::Result<()>> },
    /// Four plugins under the runtime, each with a few calls waiting.
    Supervised(Box<Supervised>),
}

impl Source {
    pub(crate) async fn direct() -> anyhow::Result<Self> {
        let mut instance = Instance::new(EngineKind::Native).await?;
        let (sender, readings) = mpsc::channel(QUEUE);
        let task = tokio::spawn(async move {
            while sender.send(instance.sample().await?).await.is_ok() {}
            Ok(())
        });
        Ok(Self::Direct { readings, task })
    }

    pub(crate) async fn supervised() -> anyhow::Result<Self> {
        let runtime = Supervised::start(COPIES).await?;
        for plugin in &runtime.names {
            for _ in 0..CALLS_PER_PLUGIN {
                runtime.plugins.sample(plugin, 0)?;
            }
        }
        Ok(Self::Supervised(Box::new(runtime)))
    }

    /// The next readings. May be given up while it waits.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Vec<Sample>> {
        match self {
            Self::Direct { readings, .. } => readings.recv().await.context("the guest failed"),
            Self::Supervised(runtime) => {
                let (plugin, samples) = runtime.sampled().await?;
                runtime.plugins.sample(&plugin, 0)?;
                Ok(samples)
            }
        }
    }

    /// Readings that are there already.
    pub(crate) fn ready(&mut self) -> anyhow::Result<Option<Vec<Sample>>> {
        match self {
            Self::Direct { readings, .. } => Ok(readings.try_recv().ok()),
            Self::Supervised(runtime) => match runtime.events.try_recv() {
                Ok(PluginEvent::Sampled { plugin, result, .. }) => {
                    runtime.plugins.sample(&plugin, 0)?;
                    Ok(Some(result?))
                }
                _ => Ok(None),
            },
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::Direct { task, .. } = self {
            task.abort();
        }
    }
}
