//! Any bytes as the manifest of a saved image, sealed and not, and as a block of a pack: refused or
//! accepted, never a panic; what is accepted fits together and can be written again.

#![no_main]

use dom0_proxy::images::{Manifest, read_block, seal_block};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Manifest::from_bytes(data);
    if let Ok(manifest) = Manifest::from_bytes(&Manifest::frame(data)) {
        assert_eq!(manifest.chunks().count(), manifest.hashes.len());
        assert_eq!(manifest.pack_ends().len(), manifest.packs.len());
        let again = manifest.to_bytes().expect("what was read can be written");
        assert_eq!(Manifest::from_bytes(&again), Ok(manifest));
    }
    let _ = read_block(data);
    let mut block = data.to_vec();
    seal_block(&mut block);
    let _ = read_block(&block);
});
