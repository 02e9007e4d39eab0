//! The functions themselves.

pub mod allocation;
pub mod collective;
pub mod communicator;
pub mod group;
pub mod handle;
pub mod message;
pub mod mutex;
pub mod order;
pub mod pack;
pub mod reduce;
pub mod rmw;
pub mod start;
pub mod transfer;
pub mod value;
pub mod whereabouts;
