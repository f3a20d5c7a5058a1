//! Where names lead: asked of the system, or of whoever was put in its place.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Lookups of all plugins at a time. Each holds a thread of the pool that also reads files, for as long as the network
/// likes.
const AT_ONCE_MAX: usize = 8;
/// For so long a lookup may wait for its turn and for the answer; the system's own patience is 5 s for each server, twice
/// (resolv.conf(5)).
const PATIENCE: Duration = Duration::from_secs(20);

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name. Cloning shares it.
#[derive(Clone)]
pub struct Resolver {
    ask: Arc<dyn Fn(String) -> Answer + Send + Sync>,
    turns: Arc<Semaphore>,
}

impl Resolver {
    /// Asks this function in place of the system.
    pub fn new<F>(ask: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        Self { ask: Arc::new(move |name| Box::pin(ask(name))), turns: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// The system's: its files, its servers.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|name| async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    /// What the name leads to now. Giving up the wait does not end the system's work, so that keeps its turn.
    pub(crate) async fn resolve(&self, name: String) -> io::Result<Vec<IpAddr>> {
        let (turns, ask) = (Arc::clone(&self.turns), Arc::clone(&self.ask));
        let answer = tokio::spawn(async move {
            // Never closed.
            let _turn = turns.acquire().await;
            ask(name).await
        });
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(io::Error::other)?,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Resolver")
    }
}
