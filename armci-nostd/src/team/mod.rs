//! What ranks do together: getting acquainted, groups and their collectives, and messages.

pub(crate) mod acquaint;
pub(crate) mod collective;
pub(crate) mod creation;
pub(crate) mod group;
pub(crate) mod message;
pub(crate) mod world;
