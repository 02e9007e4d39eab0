//! How the proxies of a job agree on a recovery line: state machines without I/O and without a
//! clock.
//!
//! One proxy a host is a [`Participant`]. They form a [`Tree`], so that a line costs a time that
//! grows with the logarithm of the hosts. At the tree's root is also the [`Coordinator`], which
//! takes what users ask for and decides. Orders go down the tree; reports come up, each sent on
//! when it holds for the whole branch:
//!
//! ```text
//!   order   what a participant does                                         report
//!   Close   closes gates, takes no more from rings, completes its own       Quiet
//!           ─ all are quiet: nothing is under way anywhere. This is the line ─
//!   Copy    parks its ranks and copies their memory                         Copied
//!   Write   lets its ranks go on, writes what it has copied, fsyncs         Durable
//!           ─ all is durable: the coordinator commits by one rename ─
//!   Leave   keeps the image or discards it, lets ranks go on if they wait   Left
//! ```
//!
//! No rank goes on before all are copied, so no effect of what it does later is in any copy. While
//! a participant is closed it still serves what other proxies ask for: they wait for that to become
//! quiet themselves.
//!
//! Everything between two participants may be lost, repeated or overtaken. Orders and reports of
//! one line only ever rise, and a participant acts on each once; on a [tick](Event::Tick) it
//! repeats its last order to children that have not followed, and a child answers an order that it
//! knows with its last report. A line that fails anywhere is abandoned everywhere: ranks go on, and
//! the last committed image stays the newest. A host that is lost takes the job along: its ranks'
//! memory is gone, so what is left is to go back to the last image that was committed.

mod coordinator;
mod message;
mod participant;
mod tree;

pub use coordinator::{Answer, Ask, Asked, Coordinator, Decision, Fact, RequestId};
pub use message::{Cause, Epoch, HostId, LineEnd, Message, Order, Progress, Report};
pub use participant::{Action, Event, Participant, Phase};
pub use tree::Tree;
