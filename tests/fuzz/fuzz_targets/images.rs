//! Any file as an image: refused or accepted, never a panic; what was sealed is accepted.

#![no_main]

use image_builder::image::{seal, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = verify(data);
    let mut image = data.to_vec();
    if seal(&mut image).is_ok() {
        assert!(verify(&image).is_ok());
    }
});
