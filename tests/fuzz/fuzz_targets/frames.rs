//! What the proxy of another host sends: frames, cut off or not, or anything else. Each that comes
//! out is in what came in, and the next begins behind it.

#![no_main]

use dom0_proxy::fabric::{Frame, MAX_BODY, PIECE, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut received = data.to_vec();
    let mut rest = &mut received[..];
    while let Ok(Some((frame, count))) = parse(rest) {
        let carried = match frame {
            Frame::Hello(body) => body.len(),
            Frame::Ask { data, .. } => data.len(),
            Frame::Answer { data, .. } => data.len(),
            Frame::Done(_) | Frame::Bye => 0,
        };
        assert!(carried <= PIECE.max(MAX_BODY) && carried < count);
        rest = &mut rest[count..];
    }
});
