//! `wasi:sockets` where WASI's own is not enough: who may have a socket at all, how many, and where names lead.
//!
//! Addresses are judged by [`Network`](crate::network), which WASI asks for each one.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::vec;

use tokio::task::JoinHandle;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, Network as Permit};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, network, tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, SocketResult, TcpSocket, UdpSocket, subscribe};
use wasmtime_wasi::sockets::WasiSocketsView;

use super::State;
use crate::endpoint::Protocol;
use crate::network::{Lookup, Unresolved};

/// Puts these in the place of WASI's own.
pub(super) fn replace(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    tcp_create_socket::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| state)?;
    udp_create_socket::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| state)?;
    ip_name_lookup::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| state)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl tcp_create_socket::Host for State {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.admit_socket(Protocol::Tcp)?;
        self.sockets().create_tcp_socket(family)
    }
}

impl udp_create_socket::Host for State {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.admit_socket(Protocol::Udp)?;
        self.sockets().create_udp_socket(family).await
    }
}

impl State {
    fn admit_socket(&mut self, protocol: Protocol) -> SocketResult<()> {
        if !self.network.admits_protocol(protocol) {
            return Err(ErrorCode::AccessDenied.into());
        }
        if !self.has_room() {
            return Err(ErrorCode::NewSocketLimit.into());
        }
        Ok(())
    }
}

impl network::Host for State {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets().convert_error_code(error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets().network_error_code(error)
    }
}

impl network::HostNetwork for State {
    fn drop(&mut self, permit: Resource<Permit>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), permit)
    }
}

/// Addresses on their way to the guest. In the table it lies under the type that WASI has for it, which cannot be made
/// outside of it.
enum Addresses {
    Coming(JoinHandle<Result<Vec<IpAddr>, Unresolved>>),
    Here(vec::IntoIter<IpAddr>),
    Failed(Unresolved),
}

impl ip_name_lookup::Host for State {
    fn resolve_addresses(
        &mut self,
        permit: Resource<Permit>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.table.get(&permit)?;
        let addresses = match self.network.look_up(&name).map_err(code)? {
            Lookup::Known(addresses) => Addresses::Here(addresses.into_iter()),
            Lookup::Ask(query) => {
                let resolver = self.guest.surroundings.resolver.clone();
                // Not ended with the stream: it keeps its turn until the system is done with it.
                Addresses::Coming(tokio::spawn(async move { query.run(&resolver).await }))
            }
        };
        Ok(Resource::new_own(self.table.push(addresses)?.rep()))
    }
}

impl ip_name_lookup::HostResolveAddressStream for State {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        let addresses = self.table.get_mut(&ours(&stream))?;
        // A guest may ask again without having waited.
        let _ = addresses.poll(&mut Context::from_waker(Waker::noop()));
        match addresses {
            Addresses::Coming(_) => Err(ErrorCode::WouldBlock.into()),
            Addresses::Here(addresses) => Ok(addresses.next().map(IpAddress::from)),
            Addresses::Failed(reason) => Err(code(*reason).into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Addresses>::new_own(stream.rep()))?;
        Ok(())
    }
}

impl Addresses {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Coming(answer) = self {
            *self = match ready!(Pin::new(answer).poll(context)) {
                Ok(Ok(addresses)) => Self::Here(addresses.into_iter()),
                Ok(Err(reason)) => Self::Failed(reason),
                Err(_) => Self::Failed(Unresolved::Later),
            };
        }
        Poll::Ready(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }
}

fn ours(stream: &Resource<ResolveAddressStream>) -> Resource<Addresses> {
    Resource::new_borrow(stream.rep())
}

fn code(reason: Unresolved) -> ErrorCode {
    match reason {
        Unresolved::Invalid => ErrorCode::InvalidArgument,
        Unresolved::Denied => ErrorCode::AccessDenied,
        Unresolved::Later => ErrorCode::TemporaryResolverFailure,
        Unresolved::Unknown => ErrorCode::NameUnresolvable,
    }
}
