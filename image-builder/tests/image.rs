//! Sealing and verifying: whatever is not exactly what was sealed is refused, with the right
//! reason, and without a panic.

mod common;

use common::{BASE, ENTRY, Fixture};
use image_builder::image::{ImageError, seal, verify};
use image_builder::strip::strip;
use proptest::prelude::*;

fn sealed() -> Vec<u8> {
    let mut image = Fixture::default().build();
    seal(&mut image).expect("the fixture can be sealed");
    image
}

#[test]
fn a_sealed_image_is_accepted_and_told_about() {
    let image = sealed();
    let info = verify(&image).expect("a sealed image is good");
    assert_eq!(info.version, 1);
    assert_eq!(info.entry, ENTRY);
    assert_eq!(info.span.start, BASE);
    assert_eq!(info.span.end, BASE + (image.len() - 64 - 2 * 56) as u64 + 4096);
    assert_eq!(info.minimum_memory, 3 << 20);
}

#[test]
fn sealing_twice_changes_nothing() {
    let once = sealed();
    let mut twice = once.clone();
    seal(&mut twice).expect("a sealed image can be sealed");
    assert_eq!(once, twice);
}

#[test]
fn each_fault_has_its_own_reason() {
    let fails = |fixture: Fixture| {
        let mut image = fixture.build();
        seal(&mut image).and_then(|_| verify(&image)).expect_err("the fixture is faulty")
    };
    assert_eq!(fails(Fixture { pvh_note: false, ..Fixture::default() }), ImageError::NoPvhNote);
    assert_eq!(
        fails(Fixture { xenolith_version: None, ..Fixture::default() }),
        ImageError::NoXenolithNote
    );
    assert_eq!(
        fails(Fixture { xenolith_version: Some(2), ..Fixture::default() }),
        ImageError::OtherVersion { found: 2 }
    );
    assert_eq!(verify(&Fixture::default().build()), Err(ImageError::NotSealed));
    assert_eq!(verify(b"#!/bin/sh\n"), Err(ImageError::NotElf));
    assert_eq!(verify(b""), Err(ImageError::NotElf));
    let own = std::fs::read(std::env::current_exe().expect("this program has a path"))
        .expect("and can be read");
    assert!(matches!(verify(&own), Err(ImageError::WrongElf(_) | ImageError::NoPvhNote)));
}

#[test]
fn every_flipped_bit_is_refused() {
    let image = sealed();
    for at in 0..image.len() {
        for bit in 0..8 {
            let mut damaged = image.clone();
            damaged[at] ^= 1 << bit;
            let error = verify(&damaged).expect_err(&format!("bit {bit} of byte {at} is flipped"));
            assert!(!error.to_string().contains('\n'));
        }
    }
    let code = 64 + 2 * 56;
    let mut damaged = image;
    damaged[code] ^= 1;
    assert!(matches!(verify(&damaged), Err(ImageError::ChecksumDiffers { .. })));
}

#[test]
fn every_truncation_is_refused_and_named() {
    let image = sealed();
    for len in 4..image.len() {
        assert!(
            matches!(verify(&image[..len]), Err(ImageError::Truncated { .. })),
            "cut to {len} bytes"
        );
    }
}

#[test]
fn anything_appended_is_refused() {
    let mut image = sealed();
    image.push(0);
    assert!(matches!(verify(&image), Err(ImageError::ChecksumDiffers { .. })));
}

#[test]
fn notes_are_looked_through_once() {
    let several = Fixture { note_segments: 2, ..Fixture::default() };
    assert!(seal(&mut several.build()).is_ok());
    // Read over and over again, these would take hours.
    let many = Fixture { note_segments: u16::MAX - 2, padding_len: 16 << 20, ..several };
    assert_eq!(verify(&many.build()), Err(ImageError::Damaged("its notes overlap")));
}

#[test]
fn stripping_leaves_what_is_loaded() {
    let lean = Fixture::default().build();
    let fat = Fixture { tail_len: 640, ..Fixture::default() }.build();
    assert_eq!(strip(&fat).expect("the fixture can be stripped"), lean);
    assert_eq!(strip(&lean).expect("and again"), lean);
}

proptest! {
    #[test]
    fn any_size_of_code_can_be_sealed(code_len in 4usize..3000, tail_len in 0usize..20) {
        let fat = Fixture { code_len, tail_len: tail_len * 64, ..Fixture::default() }.build();
        let mut image = strip(&fat).expect("the fixture can be stripped");
        let info = seal(&mut image).expect("and sealed");
        prop_assert_eq!(verify(&image), Ok(info));
    }

    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(verify(&bytes).is_err());
        prop_assert!(strip(&bytes).is_err());
    }

    #[test]
    fn overwritten_stretches_are_refused(
        at in 0usize..300,
        patch in proptest::collection::vec(any::<u8>(), 1..32),
        cut in 0usize..40,
    ) {
        let image = sealed();
        let mut damaged = image.clone();
        let at = at.min(damaged.len() - 1);
        for (byte, new) in damaged[at..].iter_mut().zip(&patch) {
            *byte = *new;
        }
        damaged.truncate(image.len() - cut);
        prop_assume!(damaged != image);
        prop_assert!(verify(&damaged).is_err());
        let mut resealed = damaged;
        if seal(&mut resealed).is_ok() {
            prop_assert!(verify(&resealed).is_ok());
        }
        let _ = strip(&resealed);
    }
}
