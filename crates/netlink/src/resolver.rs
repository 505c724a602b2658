//! The task that keeps the ways to the real servers current: sockets and time for [`Cache`].
//!
//! ```text
//! set_addresses ──watch──┐                        ┌──mpsc──> changes
//!                        ├─> task: Cache, Client ─┤
//! kernel's notifications ┘                        └──watch─> links
//! ```
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use crate::{
    cache::{Cache, Change, Serial},
    client::Client,
    error::Error,
    link::Links,
    socket::Socket,
    wire,
};

/// Notifications come in swarms (one route per server, four of one new address): what arrives
/// within this time after the first is answered together.
const GATHER: Duration = Duration::from_millis(20);

/// How often neighbours that the kernel does not manage are asked for again.
const REFRESH: Duration = Duration::from_secs(5);

/// Batches of changes that wait for the daemon before the task waits too.
const BATCHES: usize = 16;

/// Keeps the way to each of a set of addresses current.
///
/// Dropping it ends the task and leaves the neighbours that it had the kernel manage: packets may
/// go on flowing without a daemon, and the next resolver knows the entries as lvs's own.
pub struct Resolver {
    wanted: watch::Sender<Wanted>,
    links: watch::Receiver<Links>,
    /// One, which ends at once when this is dropped: it must not go on making neighbours again.
    task: JoinSet<Result<(), Error>>,
}

impl Resolver {
    /// Starts the task in the network namespace of the calling thread.
    ///
    /// Changes arrive in batches, each address at most once in a batch, and as soon as the kernel
    /// has answered: first for every new address, then whenever its way changes. A receiver that
    /// ends means that the task has failed: [`Resolver::finish`] says why.
    ///
    /// # Errors
    /// When the sockets cannot be made or the links not be read.
    pub async fn start() -> Result<(Self, mpsc::Receiver<Vec<Change>>), Error> {
        // Subscribed before the first reading, so that nothing falls between them.
        let events = Socket::open(wire::GROUPS)?;
        let mut client = Client::open()?;
        let mut cache = Cache::default();
        cache.on_links(client.links().await?);
        let (wanted, to_follow) = watch::channel(Wanted::default());
        let (links_out, links) = watch::channel(cache.links().clone());
        let (changes, receiver) = mpsc::channel(BATCHES);
        let task = Task { cache, client, events, wanted: to_follow, links: links_out, changes };
        let task = JoinSet::from_iter([task.run()]);
        Ok((Self { wanted, links, task }, receiver))
    }

    /// Follows exactly these addresses from now on.
    ///
    /// What is known of those that stay is kept and not reported again. One that comes back after
    /// a call without it is reported as a new one is.
    pub fn set_addresses(&self, addresses: BTreeSet<IpAddr>) {
        self.wanted.send_modify(|wanted| wanted.replace(addresses));
    }

    /// The interfaces of the namespace, and word of each change of them.
    pub fn links(&self) -> watch::Receiver<Links> {
        self.links.clone()
    }

    /// Removes the neighbours that lvs made and ends the task.
    ///
    /// The receiver of changes should be dropped before, or be read meanwhile.
    ///
    /// # Errors
    /// With which the task ended, now or before.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.set_addresses(BTreeSet::new());
        drop(self.wanted);
        self.task.join_next().await.and_then(Result::ok).unwrap_or(Ok(()))
    }
}

/// Addresses to follow, each with the serial of the call that brought it. The task may see only
/// the last of several calls, and must tell who stayed from who went and came back.
#[derive(Default)]
struct Wanted {
    last_serial: Serial,
    addresses: BTreeMap<IpAddr, Serial>,
}

impl Wanted {
    fn replace(&mut self, addresses: BTreeSet<IpAddr>) {
        self.last_serial += 1;
        let serial = |known: Option<&Serial>| known.copied().unwrap_or(self.last_serial);
        let addresses = addresses.into_iter();
        self.addresses = addresses.map(|one| (one, serial(self.addresses.get(&one)))).collect();
    }
}

struct Task {
    cache: Cache,
    client: Client,
    events: Socket,
    wanted: watch::Receiver<Wanted>,
    links: watch::Sender<Links>,
    changes: mpsc::Sender<Vec<Change>>,
}

impl Task {
    async fn run(mut self) -> Result<(), Error> {
        let ended = self.follow().await;
        if let Err(error) = &ended {
            tracing::error!(%error, "next hops are not kept current any more");
        }
        ended
    }

    async fn follow(&mut self) -> Result<(), Error> {
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut adopted = false;
        loop {
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let addresses = self.wanted.borrow_and_update().addresses.clone();
                    self.cache.set_addresses(&addresses);
                    if !adopted {
                        // Only now is it known which neighbours of an earlier daemon are needed.
                        self.ask_routes().await?;
                        self.cache.on_gateways(self.client.gateways().await?);
                        self.cache.on_neighbours(&self.client.neighbours().await?);
                        adopted = true;
                    }
                }
                received = self.events.receive() => {
                    let lost = take_in(&mut self.cache, received)?;
                    if self.gather(lost).await? {
                        self.read_anew().await?;
                    }
                    self.tell_links();
                }
                _ = refresh.tick() => self.cache.refresh(),
            }
            self.settle().await?;
        }
    }

    /// Takes in what follows shortly; true: notifications were lost, now or before.
    async fn gather(&mut self, mut lost: bool) -> Result<bool, Error> {
        let until = Instant::now() + GATHER;
        while let Ok(received) = timeout_at(until, self.events.receive()).await {
            lost |= take_in(&mut self.cache, received)?;
        }
        Ok(lost)
    }

    async fn read_anew(&mut self) -> Result<(), Error> {
        tracing::info!("notifications of the kernel were lost: reading everything anew");
        self.cache.on_links(self.client.links().await?);
        self.ask_routes().await?;
        self.cache.on_gateways(self.client.gateways().await?);
        self.cache.on_neighbours(&self.client.neighbours().await?);
        Ok(())
    }

    fn tell_links(&self) {
        self.links.send_if_modified(|told| {
            let changed = told != self.cache.links();
            if changed {
                told.clone_from(self.cache.links());
            }
            changed
        });
    }

    /// Asks and does what the cache wants, and passes changes on.
    async fn settle(&mut self) -> Result<(), Error> {
        self.ask_routes().await?;
        self.ask_neighbours().await?;
        let released = self.cache.take_released();
        self.client.release(&released).await?;
        let changes = self.cache.take_changes();
        // A daemon that does not listen any more is about to drop or finish the resolver.
        if !changes.is_empty() && self.changes.send(changes).await.is_err() {
            tracing::debug!("nobody listens to changes of next hops");
        }
        Ok(())
    }

    async fn ask_routes(&mut self) -> Result<(), Error> {
        let questions = self.cache.take_questions();
        let answers = self.client.resolve_all(&questions).await?;
        for (address, resolution) in questions.into_iter().zip(answers) {
            self.cache.on_resolution(address, resolution);
        }
        Ok(())
    }

    async fn ask_neighbours(&mut self) -> Result<(), Error> {
        let mut wanted = self.cache.take_wanted();
        for neighbour in self.client.neighbours_of(&wanted).await?.iter().flatten() {
            self.cache.on_neighbour(neighbour);
        }
        wanted.retain(|key| self.cache.is_ours_to_manage(*key));
        let answers = self.client.manage(&wanted).await?;
        for (key, answer) in wanted.into_iter().zip(answers) {
            match answer {
                Ok(()) => self.cache.on_managed(key),
                // The link is just going down, or the table is full: asked again at the refresh.
                Err(error) => {
                    tracing::debug!(address = %key.address, interface = key.interface, %error,
                        "the kernel does not take a neighbour");
                }
            }
        }
        Ok(())
    }
}

/// Feeds a datagram of notifications to the cache; true: some before it were lost.
fn take_in(cache: &mut Cache, received: Result<&[u8], Error>) -> Result<bool, Error> {
    let datagram = match received {
        Ok(datagram) => datagram,
        Err(Error::Overflow) => return Ok(true),
        Err(error) => return Err(error),
    };
    for frame in wire::frames(datagram) {
        if let Ok(Some(gateways)) = wire::gateways(&frame) {
            cache.on_gateways(gateways);
        }
        match wire::event(&frame) {
            Ok(Some(event)) => cache.on_event(event),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, kind = frame.kind, "ignored a notification"),
        }
    }
    Ok(false)
}
