//! Bytes to other hosts: the connections of one job's proxy to the proxies of its other hosts.
//!
//! The engine asks a [`Peer`] for what concerns the memory of its ranks, and does what the peer
//! asks for. All of one connection is done in the order in which it was asked for, so what one rank
//! asks for at one target keeps its order, too. The peer says how far it has come, which is what a
//! fence waits for: done means that the target's memory has it.
//!
//! ```text
//! frame   what is said, as bytes
//! peer    what was asked for and is not done yet, on both sides; no I/O
//! link    what carries bytes to one other host: a trait
//! tcp     by TCP
//! ```

mod frame;
mod link;
mod peer;
mod tcp;
#[cfg(test)]
mod tests;

pub use frame::{Frame, FrameError, MAX_BODY, PIECE, parse};
pub(crate) use peer::{Awaited, Peer, PeerTrouble, Serve};
pub(crate) use tcp::TcpLink;
