//! Real clients and servers, the real daemon and kernel program between them.
//!
//! Each test has a laboratory of its own, so they run at the same time. All need root.
mod changes;
mod connections;
mod drain;
mod failures;
mod health;
mod mistakes;
mod moved;
mod network;
mod reload;
mod scale;
mod spread;
mod takeover;
mod transfer;
mod world;
