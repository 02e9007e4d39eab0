//! Writes text that follows from a seed, and ends in the way it is told to. For the soak in
//! `tests/src/bin/soak`, which knows what should be there.
//!
//! `chatter SEED BYTES PAUSES END`: END is `well`, `RANK:exit:STATUS` or `RANK:panic`. All ranks
//! have written everything when one ends badly.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use guest_kernel::{Exit, clock, print};
use test_applications::chatter::Chatter;

guest_kernel::main!(run);

fn run() -> Result<Exit, String> {
    let armci = guest_kernel::armci();
    let [seed, bytes, pauses, end] = guest_kernel::args() else {
        return Err("usage: chatter SEED BYTES PAUSES END".into());
    };
    let number =
        |text: &str| text.parse::<u64>().map_err(|error| format!("{text} is no number: {error}"));
    let (seed, bytes, pauses) = (number(seed)?, number(bytes)?, number(pauses)?);
    for piece in Chatter::new(seed, armci.rank(), bytes as usize, pauses as u32) {
        if !piece.pause.is_zero() {
            clock::sleep(piece.pause);
        }
        print!("{}", piece.text);
    }
    armci.barrier().map_err(|error| format!("{error}"))?;
    let mut words = end.split(':');
    match (words.next(), words.next(), words.next()) {
        (Some("well"), None, None) => return Ok(Exit::SUCCESS),
        (Some(rank), Some(how), status) => {
            if number(rank)? != armci.rank() as u64 {
                // Whoever ends badly ends the job.
                armci.barrier().map_err(|error| format!("{error}"))?;
            }
            match (how, status) {
                ("exit", Some(status)) => return Ok(Exit::from(number(status)? as i32)),
                ("panic", None) => panic!("asked to"),
                _ => {}
            }
        }
        _ => {}
    }
    Err(format!("no such end: {end}"))
}
