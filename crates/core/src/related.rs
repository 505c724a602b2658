//! ICMP errors about balanced connections: to the server that they concern, or back to the client.
//!
//! An error embeds the start of the packet that caused it, at least 8 bytes after its IP header, so
//! the ports are there and nothing else need be.
use crate::{
    connection::{self, Name, Slot},
    director::Verdict,
    family::{Family, Ip},
    forward::{self, Method},
    index::{self, Endpoint, Transport},
    moved,
    packet::{Packet, Truncated},
    scheduler::Client,
    tables::{Event, Handle, Server, Tables},
    wire::{
        Raw16,
        checksum::Sum,
        ethernet,
        icmp::{self, Icmp},
    },
};

/// The embedded packet, as far as it is needed.
#[repr(C)]
struct Embedded<F: Family> {
    ip: Ip<F>,
    source_port: u16,
    destination_port: u16,
}

impl<F: Family> Embedded<F> {
    #[inline(always)]
    fn read(packet: &impl Packet, at: usize) -> Result<Self, Verdict> {
        let ip = F::read(packet, at, false)?;
        let [source, destination]: [Raw16; 2] = *packet.view(ip.l4())?;
        Ok(Self { ip, source_port: source.get(), destination_port: destination.get() })
    }

    #[inline(always)]
    fn endpoint(&self, address: F::Address, port: u16) -> Endpoint {
        Endpoint {
            address: F::words(address),
            transport: Transport::new(port, self.ip.protocol, F::VERSION),
        }
    }
}

/// Handles an ICMP message; one that is no error or concerns none of our connections goes up the
/// stack.
#[inline(always)]
pub fn process<F: Family>(packet: &mut impl Packet, tables: &impl Tables) -> Verdict {
    let Ok((_, l3)) = ethernet::parse(packet) else { return Verdict::pass(Event::Truncated) };
    let ip = &match F::read(packet, l3, true) {
        Ok(ip) => ip,
        Err(verdict) => return verdict,
    };
    let Ok(&Icmp { kind, .. }) = packet.view(ip.l4()) else {
        return Verdict::pass(Event::Truncated);
    };
    if !F::is_icmp_error(kind) {
        return Verdict::pass(Event::NotOurs);
    }
    let embedded = match Embedded::<F>::read(packet, ip.l4() + icmp::LEN) {
        Ok(embedded) => embedded,
        Err(verdict) => return verdict,
    };
    if let Some(server) = about_answer(tables, &embedded) {
        return to_server(packet, ip, &embedded, server);
    }
    match about_request(tables, &embedded) {
        Some(server) => to_client(packet, tables, ip, &embedded, server),
        None => Verdict::pass(Event::NotOurs),
    }
}

/// The server that sent the embedded packet: from a service of ours to its client.
#[inline(never)]
fn about_answer<'t, F: Family>(
    tables: &'t impl Tables,
    embedded: &Embedded<F>,
) -> Option<&'t Server> {
    let at = embedded.endpoint(embedded.ip.source, embedded.source_port);
    let service = index::service(tables, &at)?;
    let (client, port) = (embedded.ip.destination, embedded.destination_port);
    let name = F::name(tables, client, port, service.number, service.virtual_hash);
    let found = connection::find_apart::<F>(tables, &name);
    let number = found.map_or_else(
        || {
            let client = Client { address: F::words(client), port };
            moved::unknown(tables, service, &client, false).server()
        },
        |found| found.word.server(),
    );
    if number == 0 { None } else { server_of(tables, number) }
}

/// The server behind NAT to which the embedded packet went.
#[inline(never)]
fn about_request<'t, F: Family>(
    tables: &'t impl Tables,
    embedded: &Embedded<F>,
) -> Option<&'t Server> {
    let ends = Ends {
        server: embedded.ip.destination,
        client: embedded.ip.source,
        server_port: embedded.destination_port,
        client_port: embedded.source_port,
        protocol: embedded.ip.protocol,
    };
    nat_connection::<F, _>(tables, &ends).map(|(_, server)| server)
}

/// Services that one server address behind NAT may belong to.
pub const SHARED: usize = 8;

/// Both ends of a connection through NAT, as the server's packets name them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Ends<F: Family> {
    /// Address of the server.
    pub server: F::Address,
    /// Address of the client.
    pub client: F::Address,
    /// Port of the server, as it stands in packets.
    pub server_port: u16,
    /// Port of the client, likewise.
    pub client_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl<F: Family> Ends<F> {
    #[inline(always)]
    fn endpoint(&self) -> Endpoint {
        Endpoint {
            address: F::words(self.server),
            transport: Transport::new(self.server_port, self.protocol, F::VERSION),
        }
    }
}

/// The connection between these ends with the service of the server behind NAT with this number.
#[inline(always)]
pub fn connection_of<'t, F: Family, T: Tables>(
    tables: &'t T,
    number: u32,
    ends: &Ends<F>,
) -> Option<(connection::Found<'t, F::Slot>, &'t Server)> {
    let server = server_of(tables, number)?;
    let name = name(tables, server, ends)?;
    let found = connection::find::<F>(tables, &name)?;
    (found.word.server() == number).then_some((found, server))
}

/// The connection between these ends with one of the services that the server behind NAT serves.
#[inline(always)]
pub fn nat_connection<'t, F: Family, T: Tables>(
    tables: &'t T,
    ends: &Ends<F>,
) -> Option<(connection::Found<'t, F::Slot>, &'t Server)> {
    let mut number = index::server(tables, &ends.endpoint())?;
    // One loop, not eight times the same: the kernel would verify each.
    for _ in 0..tables.forget(SHARED, SHARED) {
        let server = server_of(tables, number)?;
        let found = name(tables, server, ends)
            .and_then(|name| connection::find_apart::<F>(tables, &name))
            .filter(|found| found.word.server() == number);
        match found {
            Some(found) => return Some((found, server)),
            None => number = server.next,
        }
    }
    None
}

/// What names the connection between these ends with the server's service; `None`: it is another
/// server.
#[inline(always)]
fn name<F: Family>(
    tables: &impl Tables,
    server: &Server,
    ends: &Ends<F>,
) -> Option<Name<<F::Slot as Slot>::Key>> {
    let (client, port) = (ends.client, ends.client_port);
    index::is_at(server, &ends.endpoint())
        .then(|| F::name(tables, client, port, server.service, server.virtual_hash))
}

/// The record of a server.
#[inline(always)]
pub fn server_of(tables: &impl Tables, number: u32) -> Option<&Server> {
    tables.server(Handle(tables.handle(number)?.get()).record())
}

#[inline(always)]
fn to_server<F: Family>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    embedded: &Embedded<F>,
    server: &Server,
) -> Verdict {
    // Two calls, one after the other: their stacks do not add up.
    if server.method == Method::Nat as u8
        && server.interface != 0
        && translate_to_server(packet, ip, embedded, server).is_err()
    {
        return Verdict::drop(Event::NoRoom);
    }
    carry(packet, ip, server)
}

#[inline(never)]
fn translate_to_server<F: Family>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    embedded: &Embedded<F>,
    server: &Server,
) -> Result<(), Truncated> {
    translate(
        packet,
        ip,
        false,
        embedded,
        true,
        (F::address(server.address), server.transport.port()),
    )
}

#[inline(never)]
fn carry<F: Family>(packet: &mut impl Packet, ip: &Ip<F>, server: &Server) -> Verdict {
    forward::carry(packet, ip, server, Event::Related)
}

#[inline(never)]
fn to_client<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    ip: &Ip<F>,
    embedded: &Embedded<F>,
    server: &Server,
) -> Verdict {
    let new = (F::address(server.virtual_address), server.virtual_port);
    if translate(packet, ip, true, embedded, false, new).is_err() {
        return Verdict::drop(Event::NoRoom);
    }
    forward::route(packet, tables, ip, new.0, Event::Related)
}

/// Exchanges an address of the outer header, and an address and a port of the embedded packet, and
/// brings the checksums up to date.
#[inline(always)]
fn translate<F: Family>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    outer_source: bool,
    embedded: &Embedded<F>,
    inner_source: bool,
    (address, port): (F::Address, u16),
) -> Result<(), Truncated> {
    let (old_outer, old_inner, old_port) = (
        if outer_source { ip.source } else { ip.destination },
        if inner_source { embedded.ip.source } else { embedded.ip.destination },
        if inner_source { embedded.source_port } else { embedded.destination_port },
    );
    F::set_address(packet, ip.l3(), outer_source, address)?;
    F::set_address(packet, embedded.ip.l3(), inner_source, address)?;
    let at = embedded.ip.l4() + if inner_source { 0 } else { 2 };
    packet.put(at, Raw16::new(port))?;
    // The embedded IPv4 header sums up to nothing before and after, thanks to its own checksum.
    let mut change = Sum::default().sub16(old_port).add16(port);
    if F::VERSION == 6 {
        change = change
            .sub_words(F::words(old_inner))
            .add_words(F::words(address))
            .sub_words(F::words(old_outer))
            .add_words(F::words(address));
    }
    let header: &mut Icmp = packet.view_mut(ip.l4())?;
    header.checksum = change.update(header.checksum.get()).into();
    Ok(())
}
