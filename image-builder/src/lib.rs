//! Turns applications written for guest-kernel into bootable Xenolith images.
//!
//! - [`image`]: seal an image, verify one, read what it says about itself. dom0-proxy uses it to refuse a corrupt image.

#![forbid(unsafe_code)]

pub mod image;
mod note;
