//! What ranks do together: groups, their collectives, and messages.

pub(crate) mod collective;
pub(crate) mod group;
pub(crate) mod message;
