//! Questions to the kernel and their answers.
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REPLACE, NLM_F_REQUEST,
};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;

use crate::{
    error::Error,
    link::Links,
    neighbour::{Neighbour, NeighbourKey},
    route::{Resolution, Unreachable},
    socket::Socket,
    wire::{self, Frame},
};

/// Requests per datagram: few system calls, and answers that fit any receive buffer.
const BATCH: usize = 64;

/// A listing that something changed under is begun anew at most this often.
const ATTEMPTS: usize = 5;

/// Asks the kernel about links and routes, in the network namespace of the thread that opened it.
pub struct Client {
    socket: Socket,
    sequence: u32,
}

impl Client {
    /// Opens a socket of its own.
    ///
    /// # Errors
    /// When the socket cannot be made. Must be called within a tokio runtime.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(0)?, sequence: 0 })
    }

    /// All interfaces.
    ///
    /// # Errors
    /// When the socket fails or the kernel refuses.
    pub async fn links(&mut self) -> Result<Links, Error> {
        let links = self.list("links", wire::links_request(), wire::link).await?;
        Ok(links.into_iter().collect())
    }

    /// The way to one address.
    ///
    /// # Errors
    /// When the socket fails; that there is no way is a [`Resolution`].
    pub async fn resolve(&mut self, address: IpAddr) -> Result<Resolution, Error> {
        let answers = self.resolve_all(&[address]).await?;
        Ok(answers.into_iter().next().unwrap_or(Resolution::Unreachable(Unreachable::NoRoute)))
    }

    /// The ways to many addresses, in their order.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn resolve_all(&mut self, addresses: &[IpAddr]) -> Result<Vec<Resolution>, Error> {
        let request = |address: &IpAddr| wire::route_request(*address);
        let answers = self
            .ask(addresses, NLM_F_REQUEST, request, |frame, address| {
                wire::resolution(frame, *address)
                    .unwrap_or(Resolution::Unreachable(Unreachable::NoRoute))
            })
            .await?;
        let resolution = |answer: Result<Option<_>, Errno>| match answer {
            Ok(found) => found.unwrap_or(Resolution::Unreachable(Unreachable::NoRoute)),
            Err(error) => Resolution::Unreachable(error.into()),
        };
        Ok(answers.into_iter().map(resolution).collect())
    }

    /// The gateways of all routes; one is named for each route that it is in.
    pub(crate) async fn gateways(&mut self) -> Result<Vec<NeighbourKey>, Error> {
        let routes = self.list("routes", wire::routes_request(), wire::gateways).await?;
        Ok(routes.into_iter().flatten().collect())
    }

    /// All neighbours.
    pub(crate) async fn neighbours(&mut self) -> Result<Vec<Neighbour>, Error> {
        self.list("neighbours", wire::neighbours_request(), wire::neighbour).await
    }

    /// These neighbours, in their order; `None`: the kernel has no entry.
    pub(crate) async fn neighbours_of(
        &mut self,
        keys: &[NeighbourKey],
    ) -> Result<Vec<Option<Neighbour>>, Error> {
        let request = |key: &NeighbourKey| wire::neighbour_request(*key);
        let answers = self
            .ask(keys, NLM_F_REQUEST, request, |frame, _| wire::neighbour(frame).ok().flatten())
            .await?;
        Ok(answers.into_iter().map(|answer| answer.ok().flatten().flatten()).collect())
    }

    /// Has the kernel resolve these neighbours and keep them fresh.
    pub(crate) async fn manage(
        &mut self,
        keys: &[NeighbourKey],
    ) -> Result<Vec<Result<(), Errno>>, Error> {
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let request = |key: &NeighbourKey| wire::manage_request(*key);
        let answers = self.ask(keys, flags, request, |_, _| ()).await?;
        Ok(answers.into_iter().map(|answer| answer.map(|_| ())).collect())
    }

    /// Removes these neighbours; those that are gone already are no error.
    pub(crate) async fn release(&mut self, keys: &[NeighbourKey]) -> Result<(), Error> {
        let request = |key: &NeighbourKey| wire::release_request(*key);
        self.ask(keys, NLM_F_REQUEST | NLM_F_ACK, request, |_, _| ()).await.map(|_| ())
    }

    /// Sends one request for each item and returns the answers in the same order: data, a mere
    /// acknowledgement (`None`), or a refusal. The kernel answers each request exactly once.
    async fn ask<Q, A>(
        &mut self,
        items: &[Q],
        flags: u16,
        request: impl Fn(&Q) -> RouteNetlinkMessage,
        answer: impl Fn(&Frame<'_>, &Q) -> A,
    ) -> Result<Vec<Result<Option<A>, Errno>>, Error> {
        let mut answers = Vec::with_capacity(items.len());
        for batch in items.chunks(BATCH) {
            let first = self.sequence.wrapping_add(1);
            let mut datagram = Vec::new();
            for item in batch {
                self.sequence = self.sequence.wrapping_add(1);
                wire::push(&mut datagram, request(item), flags, self.sequence);
            }
            self.socket.send(&datagram).await?;
            let mut got: Vec<_> = batch.iter().map(|_| None).collect();
            while got.iter().any(Option::is_none) {
                for frame in wire::frames(self.socket.receive().await?) {
                    // An answer to a question whose asker gave up matches nothing.
                    let place = usize::try_from(frame.sequence.wrapping_sub(first)).ok();
                    let place = place.and_then(|place| got.get_mut(place).zip(batch.get(place)));
                    if let Some((slot, item)) = place {
                        *slot = Some(match wire::verdict(&frame) {
                            None => Ok(Some(answer(&frame, item))),
                            Some(verdict) => verdict.map(|()| None),
                        });
                    }
                }
            }
            answers.extend(got.into_iter().flatten());
        }
        Ok(answers)
    }

    /// Lists what `decode` understands, anew when the kernel says that it changed meanwhile.
    async fn list<T, E: std::fmt::Display>(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
        decode: impl Fn(&Frame<'_>) -> Result<Option<T>, E>,
    ) -> Result<Vec<T>, Error> {
        let mut attempt = 1;
        loop {
            let (found, torn) = self.list_once(what, request.clone(), &decode).await?;
            if !torn || attempt == ATTEMPTS {
                return Ok(found);
            }
            attempt += 1;
        }
    }

    async fn list_once<T, E: std::fmt::Display>(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
        decode: impl Fn(&Frame<'_>) -> Result<Option<T>, E>,
    ) -> Result<(Vec<T>, bool), Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        wire::push(&mut datagram, request, NLM_F_REQUEST | NLM_F_DUMP, self.sequence);
        self.socket.send(&datagram).await?;
        let (mut found, mut torn) = (Vec::new(), false);
        loop {
            for frame in wire::frames(self.socket.receive().await?) {
                if frame.sequence != self.sequence {
                    continue;
                }
                torn |= frame.flags & NLM_F_DUMP_INTR != 0;
                match wire::verdict(&frame) {
                    Some(Ok(())) => return Ok((found, torn)),
                    Some(Err(source)) => return Err(Error::Refused { what, source }),
                    None => match decode(&frame) {
                        Ok(item) => found.extend(item),
                        Err(error) => tracing::warn!(%error, what, "ignored one of the kernel's"),
                    },
                }
            }
        }
    }
}
