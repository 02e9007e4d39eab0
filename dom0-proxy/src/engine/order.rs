//! What the engine's thread is asked for.

use std::sync::mpsc::Sender;

use super::gates::GateError;
use crate::attach::Attachment;

/// One order.
pub(super) enum Order {
    /// Take up this rank.
    Attach(u32, Attachment),
    /// Close the gates, and say when nobody is inside.
    CloseGates(Sender<Result<(), GateError>>),
    /// Open them again.
    OpenGates,
}
