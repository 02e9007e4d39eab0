//! What ranks say when they attach: a xenstore node, a frame, a layout.

#![no_main]

use armci_nostd::wire::attach::{Attach, AttachReply, XenAttach, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(node) = text.parse::<XenAttach>()
    {
        assert_eq!(node.to_string().parse(), Ok(node));
    }
    if let Ok(attach) = decode::<Attach>(data) {
        let frame = encode(&attach).expect("what was decoded can be encoded");
        assert_eq!(decode::<Attach>(&frame[4..]), Ok(attach));
    }
    let _ = decode::<AttachReply>(data);
});
