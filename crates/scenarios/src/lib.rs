//! Packets through the director, and what must become of them. All of it is in `tests/`.
//!
//! A scenario is data: a plan, what happened before, a packet, and the verdict, bytes and table
//! entries that must follow. Each is run twice: through `lvs-core` on the host and through the
//! kernel program, which needs root. The frames are built by code that shares nothing with
//! `lvs-core` and computes every checksum in full.
