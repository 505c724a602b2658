//! The laboratory: network namespaces with real HTTP and UDP servers and clients, programs under
//! test, and packet capture.
//!
//! The demo, the end-to-end tests and the benchmarks run in it. A [`Lab`] owns what it makes and
//! removes it on every way out; a [`Layout`] says which networks a [`Site`] has; on a site run
//! [`RealServer`]s, [`Client`]s, [`Process`]es and [`Capture`]s. Everything needs root.
#![warn(missing_docs)]
#![expect(
    clippy::missing_errors_doc,
    reason = "errors are for a person who runs a test: they carry their context, nobody matches them"
)]

mod acceptor;
mod capture;
mod cleanup;
mod client;
mod decapsulate;
mod external;
mod http;
mod lab;
mod layout;
mod link;
mod load;
mod namespace;
pub mod packet;
mod poller;
mod process;
mod server;
mod stop;
mod sys;
mod topology;
mod udp;
mod wait;
mod xdp;

pub use acceptor::Acceptor;
pub use capture::{Capture, Captured};
pub use client::{Client, Connection, DEFAULT_TIMEOUT, Response, UdpAnswer};
pub use decapsulate::{Counts as DecapsulatorCounts, Decapsulator};
pub use external::{curl, find_program, python_http};
pub use http::{HttpServer, checksum_of};
pub use lab::{Bpffs, Lab, Raised, TempDir};
pub use layout::{Layout, Shape, Site};
pub use load::{Failure, Load, Report, Sample};
pub use namespace::Namespace;
pub use poller::{Poller, pin_here};
pub use process::{Line, Process};
pub use server::{Ports, RealServer};
pub use topology::{Family, Method, Network, Node, Port, Role, Route, Topology};
pub use udp::UdpServer;
pub use wait::{wait_for, wait_until};
pub use xdp::TestProgram;
