//! Where a plugin may send and connect to: `tcp://api.example.com:443`, `udp://10.0.0.0/24:161`, `tcp://[fd00::/8]:502`.
//!
//! What must stay true:
//! * A name never leads to this machine (loopback), to its neighbours without a router (link-local) or to a group, as
//!   whoever answers for the name decides where it leads. Only an address that is written down does, and `localhost`.
//! * A range leads there only when it lies there as a whole: `0.0.0.0/0` is the world, not this machine.
//! * Some addresses are never reached, whatever is written: none at all, and where clouds keep the secrets of a machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer};

/// Longest text taken: a name, and what stands around it.
const ENDPOINT_LEN_MAX: usize = 300;
/// Longest name (RFC 1035, 2.3.4), without its closing dot.
const NAME_LEN_MAX: usize = 253;
/// Longest part of a name between two dots (RFC 1035, 2.3.4).
const LABEL_LEN_MAX: usize = 63;
/// The name of this machine that is not looked up anywhere (RFC 6761, 6.3).
pub(crate) const LOCALHOST: &str = "localhost";

/// What is spoken over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A checked right to connect or send to some addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    protocol: Protocol,
    host: Host,
    /// None is every port.
    port: Option<u16>,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {problem}")]
pub struct NotAnEndpoint {
    text: String,
    problem: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Range(Range),
    Name(Name),
    /// Every name with exactly one label before this one.
    Below(Name),
    /// Every name, and every address that is nothing special.
    Any,
}

/// A name as DNS knows it, in lower case and without its closing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

/// Addresses with the same beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: IpAddr,
    prefix: u8,
}

/// One address on the way to be reached, and by which names it was found.
#[derive(Clone, Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) names: Vec<&'a Name>,
}

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ordinary,
    /// This machine.
    Loopback,
    LinkLocal,
    Multicast,
    /// Never to be reached.
    Nowhere,
}

impl Endpoint {
    /// Checks and takes `PROTOCOL://HOST:PORT`. HOST is a name, `*.` and a name, `*`, an address, or a range of them
    /// (`10.0.0.0/24`); IPv6 stands in brackets. PORT is 1 to 65535 or `*`.
    pub fn parse(text: &str) -> Result<Self, NotAnEndpoint> {
        let refuse = |problem: String| NotAnEndpoint { text: text.chars().take(ENDPOINT_LEN_MAX).collect(), problem };
        Self::understand(text).map_err(refuse)
    }

    fn understand(text: &str) -> Result<Self, String> {
        if text.len() > ENDPOINT_LEN_MAX {
            return Err(format!("is longer than {ENDPOINT_LEN_MAX} bytes"));
        }
        let shape = || "wants the shape \"tcp://HOST:PORT\" or \"udp://HOST:PORT\"".to_owned();
        let (protocol, rest) = text.split_once("://").ok_or_else(shape)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(shape()),
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(shape)?;
        let port = match port {
            "*" => None,
            port => Some(
                port.parse().ok().filter(|port| *port > 0).ok_or_else(|| "wants a port from 1 to 65535".to_owned())?,
            ),
        };
        let host = Host::parse(host)?;
        Ok(Self { text: text.to_owned(), protocol, host, port })
    }

    /// Whether it stands for hosts or ports that are not written down. A range of addresses is written down.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.port.is_none() || matches!(self.host, Host::Any | Host::Below(_))
    }

    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every destination of `narrower` is one of ours.
    #[must_use]
    pub fn covers(&self, narrower: &Self) -> bool {
        let port = self.port.is_none() || self.port == narrower.port;
        self.protocol == narrower.protocol && port && self.host.covers(&narrower.host)
    }

    /// Whether some destination of the other one is one of ours.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let port = self.port.is_none() || other.port.is_none() || self.port == other.port;
        let host = self.host.covers(&other.host) || other.host.covers(&self.host);
        self.protocol == other.protocol && port && host
    }

    /// Whether this right has to do with the name, so that it may be looked up.
    pub(crate) fn names(&self, name: &Name) -> bool {
        match &self.host {
            Host::Range(_) => false,
            // Nobody means this machine by "anything".
            Host::Any => !name.is_localhost(),
            Host::Name(held) => held == name,
            Host::Below(parent) => name.is_below(parent),
        }
    }

    /// Whether the destination is one of ours.
    pub(crate) fn reaches(&self, to: &Destination<'_>) -> bool {
        let port = self.port.is_none_or(|port| port == to.port);
        self.protocol == to.protocol && to.port > 0 && port && self.host.reaches(to)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(parent) = text.strip_prefix("*.") {
            return Name::parse(parent).map(Self::Below).map_err(str::to_owned);
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let (address, prefix) = match bare.unwrap_or(text).split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (bare.unwrap_or(text), None),
        };
        match address.parse::<IpAddr>() {
            Ok(IpAddr::V6(_)) if bare.is_none() => Err("wants brackets around an IPv6 address".to_owned()),
            Ok(address) => Range::new(address, prefix).map(Self::Range),
            Err(_) if bare.is_some() || prefix.is_some() => Err("holds an address that is none".to_owned()),
            Err(_) => Name::parse(text).map(Self::Name).map_err(str::to_owned),
        }
    }

    fn covers(&self, narrower: &Self) -> bool {
        match (self, narrower) {
            (Self::Any, Self::Range(range)) => place(range.first) == Place::Ordinary,
            (Self::Any, Self::Name(name)) => !name.is_localhost(),
            (Self::Any, Self::Below(_) | Self::Any) => true,
            (Self::Range(one), Self::Range(other)) => one.covers(other),
            (Self::Name(one), Self::Name(other)) | (Self::Below(one), Self::Below(other)) => one == other,
            (Self::Below(parent), Self::Name(name)) => name.is_below(parent),
            _ => false,
        }
    }

    fn reaches(&self, to: &Destination<'_>) -> bool {
        let place = place(to.address);
        match self {
            Self::Range(range) => range.reaches(to.address, place),
            Self::Any => place == Place::Ordinary,
            Self::Below(parent) => place == Place::Ordinary && to.names.iter().any(|name| name.is_below(parent)),
            Self::Name(name) => {
                let may = place == Place::Ordinary || (place == Place::Loopback && name.is_localhost());
                may && to.names.contains(&name)
            }
        }
    }
}

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > NAME_LEN_MAX {
            return Err("wants a name of 1 to 253 bytes");
        }
        let fits = |label: &str| {
            (1..=LABEL_LEN_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if !text.split('.').all(fits) {
            return Err(
                "wants a name of letters, digits, `-` and `_` between dots (others in punycode), or an address",
            );
        }
        let text = text.to_ascii_lowercase();
        // The system's resolver takes `127.1` and `0x7f000001` for addresses (inet_aton(3)).
        let last = text.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
            return Err("looks like an address but is none");
        }
        Ok(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_localhost(&self) -> bool {
        self.0 == LOCALHOST
    }

    /// Whether some right could ever lead to this address by this name.
    pub(crate) fn may_lead_to(&self, address: IpAddr) -> bool {
        match place(address) {
            Place::Ordinary => true,
            Place::Loopback => self.is_localhost(),
            Place::LinkLocal | Place::Multicast | Place::Nowhere => false,
        }
    }

    fn is_below(&self, parent: &Self) -> bool {
        self.0.split_once('.').is_some_and(|(_, rest)| rest == parent.0)
    }
}

impl Range {
    fn new(first: IpAddr, prefix: Option<&str>) -> Result<Self, String> {
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(text) => {
                let prefix = text.parse().ok().filter(|prefix| *prefix <= bits);
                prefix.ok_or_else(|| format!("wants a prefix from 0 to {bits} behind the address"))?
            }
        };
        let begin = Self { first, prefix }.begin(first);
        if begin != first {
            return Err(format!("holds a range that begins in its middle; write {begin}/{prefix}"));
        }
        let range = Self { first, prefix };
        if prefix == bits && place(first) == Place::Nowhere {
            return Err("cannot be granted: no plugin reaches this address".to_owned());
        }
        if first.to_canonical() != first {
            return Err(format!("holds an IPv4 address in IPv6 clothes; write {}", first.to_canonical()));
        }
        Ok(range)
    }

    /// The address with all bits behind the prefix at zero.
    fn begin(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.begin(address) == self.first
    }

    fn covers(&self, narrower: &Self) -> bool {
        self.prefix <= narrower.prefix
            && self.contains(narrower.first)
            && matches!(place(narrower.first), kind if kind == Place::Ordinary || kind == place(self.first))
    }

    fn reaches(&self, address: IpAddr, kind: Place) -> bool {
        let may = match kind {
            Place::Ordinary => true,
            Place::Nowhere => false,
            // The ranges of these places begin where the places begin, so a range that begins inside lies inside.
            Place::Loopback | Place::LinkLocal | Place::Multicast => place(self.first) == kind,
        };
        may && self.contains(address.to_canonical())
    }
}

/// Where clouds tell a machine its secrets: AWS, Azure and Google; AWS containers; Alibaba.
const METADATA: [Ipv4Addr; 3] =
    [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(169, 254, 170, 2), Ipv4Addr::new(100, 100, 100, 200)];
/// The same for AWS by IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// The ranges are those of the IANA special-purpose address registries.
fn place(address: IpAddr) -> Place {
    match address.to_canonical() {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    match address.octets() {
        _ if METADATA.contains(&address) => Place::Nowhere,
        // "This network", which Linux takes for this machine; and what is reserved, with the broadcast.
        [0 | 240..=255, ..] => Place::Nowhere,
        [127, ..] => Place::Loopback,
        [169, 254, ..] => Place::LinkLocal,
        [224..=239, ..] => Place::Multicast,
        _ => Place::Ordinary,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    let embedded = |high: u16, low: u16| {
        // An IPv4 address behind a translator: what is special there is not sent on the way there either.
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        match place_v4(Ipv4Addr::new(a, b, c, d)) {
            Place::Ordinary => Place::Ordinary,
            _ => Place::Nowhere,
        }
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Loopback,
        // Nothing, and the IPv4-compatible addresses that nobody uses any more (RFC 4291, 2.5.5.1).
        [0, 0, 0, 0, 0, 0, ..] => Place::Nowhere,
        // NAT64 (RFC 6052) and 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        [0xfe80..=0xfebf, ..] => Place::LinkLocal,
        [0xff00..=0xffff, ..] => Place::Multicast,
        _ if address == METADATA_V6 => Place::Nowhere,
        _ => Place::Ordinary,
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
