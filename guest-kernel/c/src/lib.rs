//! The kernel as a library, for image-builder to link C programs with: an application that does
//! nothing but start C's `main`.
//!
//! Only in a guest. As a Linux program a C program needs no kernel of ours.

#![cfg_attr(xenolith_guest, no_std)]
#![deny(unsafe_code)]

#[cfg(xenolith_guest)]
mod application {
    guest_kernel::main!(run);

    fn run() -> guest_kernel::Exit {
        guest_kernel::run_c_program()
    }
}
