//! What test applications share with the tests that run them.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chatter;
pub mod random;
