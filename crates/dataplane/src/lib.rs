//! Loads the kernel program and owns its tables.
//!
//! [`Dataplane::apply`] is the one way to change what packets meet: a plan is compared with what the
//! tables hold, all that is new is written beside the old, and single words switch packets over.
//! The rest reads the same memory: [`Dataplane::sweep`], [`Dataplane::connections`],
//! [`Dataplane::counters`], [`Dataplane::explain`].
#![warn(missing_docs)]

mod apply;
mod attach;
mod bits;
mod clock;
mod connections;
mod counters;
mod crossed;
mod cursor;
mod dataplane;
mod draft;
mod entries;
mod error;
mod evict;
mod explain;
mod host;
mod index;
mod journal;
mod kernel;
mod memory;
mod mirror;
mod moved;
mod pins;
mod ranges;
mod records;
mod region;
mod sizes;
mod spill;
mod sweep;
mod sys;
mod takeover;
mod watch;

pub use apply::Applied;
pub use attach::{Attached, Mode, Warning};
pub use connections::{Connection, Connections, Filter};
pub use counters::{Load, Readings};
pub use dataplane::{Dataplane, Opened, Settings, Shared, Suffices, detach};
pub use entries::{Entries, Entry, Key};
pub use error::Error;
pub use explain::{Explained, MetServer, MetService};
pub use host::{Host, Routing};
pub use journal::{Changed, Journal};
pub use kernel::{Footprint, OBJECT};
pub use sizes::Capacity;
pub use sweep::Swept;
pub use watch::{Seen, Watch};
