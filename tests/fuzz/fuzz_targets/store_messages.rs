//! Any stream as what xenstored says.

#![no_main]

use dom0_proxy::xen::wire::{StoreMessage, strings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut stream = data;
    while let Ok(message) = StoreMessage::read(&mut stream) {
        let _ = strings(&message.payload).count();
    }
});
