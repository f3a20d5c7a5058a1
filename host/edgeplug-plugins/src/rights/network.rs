//! The right to connect and send.

use super::Rights;
use crate::endpoint::{Destination, Endpoint, Name, Protocol};

impl Rights {
    /// Whether there is anything at all it may reach by this protocol; if not, what to do about it.
    pub(crate) fn check_protocol(&self, protocol: Protocol) -> Result<(), String> {
        let what = format!("use the network by {protocol}");
        let has = |endpoints: &[Endpoint]| endpoints.iter().any(|endpoint| endpoint.protocol() == protocol);
        if !has(&self.network_asked) {
            return Err(self.not_asked(&what, "network"));
        }
        if !has(&self.network_allowed) {
            return Err(self.not_allowed(&what, "network"));
        }
        Ok(())
    }

    /// Whether it may ask where a name leads. Asking is telling: whoever answers for the name hears of it.
    pub(crate) fn check_lookup(&self, name: &Name) -> Result<(), String> {
        let named = |endpoints: &[Endpoint]| endpoints.iter().any(|endpoint| endpoint.names(name));
        self.both(format!("look up {}", name.as_str()), named)
    }

    /// Whether it may connect or send there.
    pub(crate) fn check_destination(&self, to: &Destination<'_>) -> Result<(), String> {
        let mut there = format!("reach {}://{}", to.protocol, std::net::SocketAddr::new(to.address, to.port));
        let names: Vec<_> = to.names.iter().map(|name| name.as_str()).collect();
        if !names.is_empty() {
            there.push_str(&format!(" ({})", names.join(", ")));
        }
        self.both(there, |endpoints| endpoints.iter().any(|endpoint| endpoint.reaches(to)))
    }

    /// The operator's word comes first, as for files.
    fn both(&self, what: String, fits: impl Fn(&[Endpoint]) -> bool) -> Result<(), String> {
        if !fits(&self.network_allowed) {
            return Err(self.not_allowed(&what, "network"));
        }
        if !fits(&self.network_asked) {
            return Err(self.not_asked(&what, "network"));
        }
        Ok(())
    }
}
