//! The network of one instance: which names it looked up, where they led, and so where it may connect and send to.
//!
//! What must stay true:
//! * A plugin reaches an address only by a right that holds this address, or one that holds a name which led *this
//!   instance* there.
//! * It only goes out: nothing listens, and no socket is bound to an address or a port of its choice.
//! * A name that is not granted is not even asked for.
//!
//! An answer counts until the instance ends or many others came after it; names that wander are looked up again by those
//! who connect again. Deliberately absent: any look at what is sent.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi::sockets::SocketAddrUse;

use crate::endpoint::{Destination, Name, Protocol};
use crate::host::Guest;
use crate::pace::Pace;
use crate::resolver::Resolver;
use crate::voice::Voice;

/// Addresses of names that count at a time. Of more the oldest is forgotten.
const LEARNED_MAX: usize = 64;
/// Addresses taken of one answer. Large services answer with a dozen.
const ADDRESSES_MAX: usize = 16;
/// Lookups of one instance under way.
const LOOKUPS_MAX: usize = 2;
/// Lookups of one instance a second on average, and at once: more than any plugin that keeps its connections needs.
const LOOKUPS_PER_SECOND: u32 = 2;
const LOOKUPS_AT_ONCE: u32 = 20;

/// One per instance; shared by its lookups and sockets.
pub(crate) struct Network {
    guest: Arc<Guest>,
    voice: Voice,
    learned: Mutex<Learned>,
    pace: Mutex<Pace>,
    lookups: Arc<Semaphore>,
}

/// Why a name has no addresses for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// It is none.
    Invalid,
    Denied,
    /// Too many were looked up.
    Later,
    Unknown,
}

/// A lookup that may go out.
pub(crate) struct Query {
    network: Arc<Network>,
    name: Name,
    _turn: OwnedSemaphorePermit,
}

/// A name that was checked.
pub(crate) enum Lookup {
    /// Nobody has to be asked.
    Known(Vec<IpAddr>),
    Ask(Query),
}

impl Network {
    pub(crate) fn new(guest: &Arc<Guest>, voice: &Voice) -> Self {
        Self {
            guest: Arc::clone(guest),
            voice: voice.clone(),
            learned: Mutex::default(),
            pace: Mutex::new(Pace::new(LOOKUPS_PER_SECOND, LOOKUPS_AT_ONCE)),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }

    /// Whether there is anything it may reach by this protocol; says so if not.
    pub(crate) fn admits_protocol(&self, protocol: Protocol) -> bool {
        self.judge(self.guest.rights.check_protocol(protocol))
    }

    /// Whether a socket may do this with this address; says so if not.
    pub(crate) fn admits(&self, address: SocketAddr, what: SocketAddrUse) -> bool {
        match what {
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                // What the system chooses, so nobody finds it.
                let may = address.ip().is_unspecified() && address.port() == 0;
                let plugin = &self.guest.plugin;
                self.judge(may.then_some(()).ok_or_else(|| {
                    format!(
                        "plugin {plugin:?} may not bind to {address}: plugins choose no address or port of this machine"
                    )
                }))
            }
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => {
                let plugin = &self.guest.plugin;
                self.judge(Err(format!("plugin {plugin:?} may not listen: plugins only connect to others")))
            }
            SocketAddrUse::TcpConnect => self.judge(self.check(Protocol::Tcp, address)),
            SocketAddrUse::UdpSend => self.judge(self.check(Protocol::Udp, address)),
            // Not said: whoever sends there chooses how often.
            SocketAddrUse::UdpReceive => self.check(Protocol::Udp, address).is_ok(),
        }
    }

    fn check(&self, protocol: Protocol, address: SocketAddr) -> Result<(), String> {
        let ip = address.ip().to_canonical();
        let learned = self.learned();
        let names = learned.names(ip);
        self.guest.rights.check_destination(&Destination { protocol, address: ip, port: address.port(), names })
    }

    /// Checks a name before anybody is asked for it.
    pub(crate) fn look_up(self: &Arc<Self>, text: &str) -> Result<Lookup, Unresolved> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            // Whether it may be reached is decided when it is.
            return Ok(Lookup::Known(vec![address]));
        }
        let name = Name::parse(text).map_err(|_| Unresolved::Invalid)?;
        if !self.judge(self.guest.rights.check_lookup(&name)) {
            return Err(Unresolved::Denied);
        }
        if name.is_localhost() {
            let here = vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            self.learned().learn(&name, &here);
            return Ok(Lookup::Known(here));
        }
        let turn = Arc::clone(&self.lookups).try_acquire_owned().ok().filter(|_| self.admit());
        let Some(turn) = turn else {
            let plugin = &self.guest.plugin;
            self.guest.refuse(
                &self.voice,
                &format!(
                    "plugin {plugin:?} looks up too many names: at most {LOOKUPS_MAX} at a time, {LOOKUPS_AT_ONCE} in a row \
                     and {LOOKUPS_PER_SECOND} a second"
                ),
            );
            return Err(Unresolved::Later);
        };
        Ok(Lookup::Ask(Query { network: Arc::clone(self), name, _turn: turn }))
    }

    fn admit(&self) -> bool {
        let now = self.guest.surroundings.clock.elapsed();
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).admit(1, now)
    }

    /// Says why not.
    fn judge(&self, verdict: Result<(), String>) -> bool {
        verdict.inspect_err(|reason| self.guest.refuse(&self.voice, reason)).is_ok()
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Query {
    /// Asks, and remembers what came back.
    pub(crate) async fn run(self, resolver: &Resolver) -> Result<Vec<IpAddr>, Unresolved> {
        let Self { network, name, .. } = &self;
        let found = resolver.resolve(name.as_str().to_owned()).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::TimedOut => Unresolved::Later,
            _ => Unresolved::Unknown,
        })?;
        let count = found.len();
        let found: Vec<_> = found.into_iter().map(|address| address.to_canonical()).collect();
        let may: Vec<_> = found.into_iter().filter(|address| name.may_lead_to(*address)).take(ADDRESSES_MAX).collect();
        if may.is_empty() && count > 0 {
            network.guest.refuse(
                &network.voice,
                &format!(
                    "plugin {:?} may not reach {}: the name leads to this machine or its link; grant the address itself",
                    network.guest.plugin,
                    name.as_str()
                ),
            );
        }
        if may.is_empty() {
            return Err(Unresolved::Unknown);
        }
        network.learned().learn(name, &may);
        Ok(may)
    }
}

/// Which addresses names led to, the oldest first.
#[derive(Debug, Default)]
struct Learned(VecDeque<(IpAddr, Name)>);

impl Learned {
    fn learn(&mut self, name: &Name, addresses: &[IpAddr]) {
        for address in addresses {
            self.0.retain(|(held, by)| held != address || by != name);
            if self.0.len() >= LEARNED_MAX {
                self.0.pop_front();
            }
            self.0.push_back((*address, name.clone()));
        }
    }

    fn names(&self, address: IpAddr) -> Vec<&Name> {
        self.0.iter().filter(|(held, _)| *held == address).map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests;
