//! A domain that writes garbage into all that others read of it, and rings without end, to see that
//! nobody but its own job is harmed. What takes an attached ring and one wrong request is in
//! `hostile`.
//!
//! `vandal KIND SEED STEPS`: the last rank takes as many steps of that kind, which follow from the
//! seed, and ends with status 77; 0 is without end. The others say that it has begun, and wait for
//! it in a barrier. Without arguments the kinds are listed.
//!
//! Only in Xen: what Linux processes can do is in `tests/src/bin/hostile_process.rs`.

#![cfg_attr(xenolith_guest, no_std, no_main)]

use guest_kernel::Exit;

guest_kernel::main!(run);

#[cfg(not(xenolith_guest))]
fn run() -> Exit {
    guest_kernel::eprintln!("error: this is about memory of Xen domains: start it with pgas run");
    Exit::FAILURE
}

#[cfg(xenolith_guest)]
fn run() -> Exit {
    on_xen::run()
}

#[cfg(xenolith_guest)]
mod on_xen {
    extern crate alloc;

    use alloc::format;
    use alloc::string::{String, ToString};
    use core::mem::offset_of;
    use core::ops::Range;
    use core::ptr;

    use guest_kernel::armci::Platform;
    use guest_kernel::armci::wire::{Header, RuntimeArea};
    use guest_kernel::{Exit, eprintln, println, xenstore};
    use test_applications::random::Random;

    /// With what it ends when it has taken all of its steps and nobody has stopped it.
    const SPENT: i32 = 77;
    /// Where the toolstack puts the console's page of a PVH guest (libxc, `xg_dom_x86.c`).
    const CONSOLE: Range<usize> = 0xfeff_f000..0xff00_0000;
    /// Of the console's page the indices of its rings, and the words of our own behind them.
    const CONSOLE_WORDS: Range<usize> = CONSOLE.start + 3072..CONSOLE.start + 3088;
    const CONSOLE_HOLD: Range<usize> = CONSOLE.end - 20..CONSOLE.end;
    const PAGE: usize = 4096;
    /// Frames of the grant table that hold the grants of 8 MiB.
    const GRANT_FRAMES: usize = 4;

    /// One of its steps.
    type Step = fn(&Vandal, &mut Random);

    const KINDS: &[(&str, Step)] = &[
        ("bell", |vandal, _| vandal.platform.notify()),
        ("rings", |vandal, random| {
            vandal.scribble(vandal.rings(), random);
            vandal.scribble(vandal.indices(), random);
            vandal.platform.notify();
        }),
        ("words", |vandal, random| {
            vandal.scribble(vandal.words(), random);
            vandal.platform.notify();
        }),
        ("area", |vandal, random| {
            vandal.scribble(vandal.area(), random);
            vandal.platform.notify();
        }),
        ("console", |vandal, random| {
            let places = [CONSOLE, CONSOLE_WORDS, CONSOLE_HOLD];
            vandal.scribble(places[random.below(3) as usize].clone(), random);
        }),
        ("grants", |vandal, random| vandal.scribble(vandal.grants(), random)),
        ("store", |_, random| write_to_store(random)),
        ("all", |vandal, random| {
            // Without itself.
            let kinds = &KINDS[..KINDS.len() - 1];
            kinds[random.below(kinds.len() as u64) as usize].1(vandal, random);
        }),
    ];

    pub fn run() -> Exit {
        let words = guest_kernel::args();
        let [kind, seed, steps] = words else {
            KINDS.iter().for_each(|(name, _)| println!("{name}"));
            return Exit::SUCCESS;
        };
        let step = KINDS.iter().find(|(name, _)| name == kind).map(|(_, step)| *step);
        let (Some(step), Ok(seed), Ok(steps)) = (step, seed.parse(), steps.parse::<u64>()) else {
            eprintln!("usage: vandal KIND SEED STEPS");
            return Exit::from(2);
        };
        let armci = guest_kernel::armci();
        let Some(platform) = armci.platform() else {
            eprintln!("error: there is no proxy to be hostile to: start this with pgas run");
            return Exit::from(2);
        };
        if armci.barrier().is_err() {
            return Exit::FAILURE;
        }
        if armci.rank() < armci.size() - 1 {
            println!("attacked");
            return match armci.barrier() {
                Ok(()) => Exit::SUCCESS,
                Err(_) => Exit::FAILURE,
            };
        }
        let vandal = Vandal { platform };
        let mut random = Random::new(seed);
        let mut taken = 0;
        while steps == 0 || taken < steps {
            step(&vandal, &mut random);
            taken += 1;
        }
        Exit::from(SPENT)
    }

    struct Vandal {
        platform: &'static dyn Platform,
    }

    impl Vandal {
        fn area(&self) -> Range<usize> {
            let start = ptr::from_ref(self.platform.area()).expose_provenance();
            start..start + size_of::<RuntimeArea>()
        }

        /// The words by which rank and proxy follow each other.
        fn words(&self) -> Range<usize> {
            let start = self.area().start + offset_of!(RuntimeArea, header);
            start..start + size_of::<Header>()
        }

        /// How far the rings are.
        fn indices(&self) -> Range<usize> {
            let start = self.words().start;
            start + offset_of!(Header, submission_tail)..start + offset_of!(Header, proxy_asleep)
        }

        fn rings(&self) -> Range<usize> {
            let start = self.area().start;
            start + offset_of!(RuntimeArea, submissions)..start + offset_of!(RuntimeArea, mailbox)
        }

        /// What it has granted to whom: behind the page that is shared with Xen, above the memory.
        fn grants(&self) -> Range<usize> {
            let start = (self.platform.public().end as usize).next_multiple_of(2 << 20) + PAGE;
            start..start + GRANT_FRAMES * PAGE
        }

        /// Writes up to 64 bytes of garbage somewhere in there; every other time a small number.
        fn scribble(&self, place: Range<usize>, random: &mut Random) {
            let words = (place.len() / 4) as u64;
            let first = random.below(words);
            let count = random.below(16).min(words - 1 - first) + 1;
            let small = random.once_in(2);
            for word in first..first + count {
                let bits = random.bits() as u32;
                let value = if small { bits % 4 } else { bits };
                let address = place.start + 4 * word as usize;
                // SAFETY: the places above are mapped for as long as the domain lives, and others
                // write to them too. That what is there makes no sense afterwards is what this is
                // for; nothing of this program lies there.
                unsafe {
                    ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(value);
                }
            }
        }
    }

    /// Anything in the nodes that the daemon reads. No other exit status than that which is true.
    fn write_to_store(random: &mut Random) {
        let node = random.one_of(&["attach", "up", "exit", "fatal", "exit/deeper", "stranger"]);
        let mut number = || match random.below(4) {
            0 => 4,
            1 => random.below(1 << 12),
            2 => u64::from(random.bits() as u32),
            _ => random.bits(),
        };
        let value = match number() % 8 {
            0 => String::new(),
            1 => SPENT.to_string(),
            2 => format!("{}{}", u64::MAX, number()),
            3 => "\u{1b}]0;owned\u{7}\n\0\u{85}".into(),
            4 => "9".repeat(20 + number() as usize % 3000),
            5 => format!("rank={} size={} memory={} version={}", number(), 2, number(), number()),
            _ => {
                let mut numbers = String::from("4");
                for _ in 0..7 {
                    numbers.push_str(&format!(" {}", number()));
                }
                numbers
            }
        };
        // What xenstore refuses is as good.
        let _ = xenstore::write(&format!("data/xenolith/{node}"), value.as_bytes());
    }
}
