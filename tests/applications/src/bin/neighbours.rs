//! Ranks of a job that reach into each other's memory without the proxy: what ARMCI builds on,
//! tried by itself.
//!
//! `neighbours [ROUNDS [PAGES]]`: in each round every rank shares some pages, maps those of all
//! others, writes a pattern into its own part of each, and finds the others' patterns in its own
//! pages. What must fail is tried too: memory that was not granted, and memory that is taken back
//! while it is mapped. At the end nothing may have been lost on the way. Rank 0 then says what
//! mapping and writing cost beside copying and writing at home.
//!
//! `neighbours suspended`: every rank maps the others' pages and uses them until rank 0 has been
//! suspended, as by `xl save -c`; then it must find the mapping gone, and map the pages again. If
//! it was restored in another domain, it says what it still knows, and ends with status 7.
//!
//! `neighbours again`: every rank works on the memory of the next by ARMCI, and says in which
//! generation of its mappings it does that directly, until rank 0 has done so in the third.
//!
//! `neighbours exhausted PAGES`: rank 0 maps the pages of rank 1 again and again until something
//! runs out, and undoes it.
//!
//! Only Xen can do this; a Linux process says so.

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

    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use core::hint::black_box;
    use core::ptr::NonNull;
    use core::sync::atomic::{AtomicU64, Ordering};
    use core::time::Duration;

    use guest_kernel::armci::Armci;
    use guest_kernel::neighbours::{self, GrantError, MapError};
    use guest_kernel::{Exit, clock, println};

    const PAGE: usize = 4096;
    const WORDS: usize = PAGE / 8;
    /// Pages that are measured.
    const MEASURED: usize = 256;

    /// Memory that others may change at any moment.
    #[repr(C, align(4096))]
    struct Page([AtomicU64; WORDS]);

    fn pages(count: usize) -> Vec<Page> {
        (0..count).map(|_| Page([const { AtomicU64::new(0) }; WORDS])).collect()
    }

    fn start(pages: &[Page]) -> NonNull<u8> {
        NonNull::from(pages).cast()
    }

    /// What this rank has been told by all.
    struct Job<'a> {
        armci: &'a Armci,
        tokens: Vec<u64>,
        /// How many pages each rank shares at a time.
        pages: usize,
    }

    impl Job<'_> {
        fn own(&self) -> usize {
            self.armci.rank()
        }

        fn others(&self) -> impl Iterator<Item = usize> + use<> {
            let own = self.own();
            (0..self.armci.size()).filter(move |rank| *rank != own)
        }

        /// Every rank's number.
        fn gather(&self, number: u64) -> Result<Vec<u64>, String> {
            let global = self.armci.malloc::<u64>(self.armci.size()).map_err(text)?;
            for rank in 0..self.armci.size() {
                self.armci.put(&[number], global.at(rank, self.own())).map_err(text)?;
            }
            self.armci.all_fence().map_err(text)?;
            self.barrier()?;
            let mut numbers = alloc::vec![0; self.armci.size()];
            self.armci.get(&mut numbers, global.at(self.own(), 0)).map_err(text)?;
            self.armci.free(global).map_err(text)?;
            Ok(numbers)
        }

        fn barrier(&self) -> Result<(), String> {
            self.armci.barrier().map_err(text)
        }

        fn share(&mut self, memory: &[Page]) -> Result<u64, String> {
            let token = neighbours::share(start(memory), size_of_val(memory)).map_err(text)?;
            self.tokens = self.gather(token)?;
            Ok(token)
        }

        fn map(&self, rank: usize, pages: usize) -> Result<NonNull<u8>, MapError> {
            neighbours::map(rank as u32, self.tokens[rank], pages * PAGE)
        }
    }

    /// The words of mapped pages.
    fn words<'a>(mapped: NonNull<u8>, pages: usize) -> &'a [AtomicU64] {
        // SAFETY: the pages are mapped as long as the caller uses them, and atomics allow any
        // change by others.
        unsafe { core::slice::from_raw_parts(mapped.cast().as_ptr(), pages * WORDS) }
    }

    fn text(error: impl ToString) -> String {
        error.to_string()
    }

    macro_rules! check {
        ($condition:expr, $($what:tt)+) => {
            if !$condition {
                return Err(alloc::format!($($what)+));
            }
        };
    }

    pub fn run() -> Exit {
        let number =
            |index: usize| guest_kernel::args().get(index).and_then(|word| word.parse().ok());
        let mode = guest_kernel::args().first().map_or("", |word| word.as_str());
        let (rounds, pages) = (number(0).unwrap_or(20), number(1).unwrap_or(12));
        let job = Job { armci: guest_kernel::armci(), tokens: Vec::new(), pages };
        match try_all(job, rounds as u64, mode) {
            Ok(()) => Exit::SUCCESS,
            Err(error) => {
                println!("FAILED: {error}");
                Exit::FAILURE
            }
        }
    }

    fn try_all(mut job: Job<'_>, rounds: u64, mode: &str) -> Result<(), String> {
        let memory = pages(job.pages);
        check!(
            matches!(neighbours::map(job.own() as u32, 8, PAGE), Err(MapError::NoNeighbour(_))),
            "a rank's own memory is mapped as if it were a neighbour's"
        );
        let domain = neighbours::own_domain().ok_or("no own domain")?;
        let domains: Vec<u32> =
            job.gather(u64::from(domain))?.into_iter().map(|number| number as u32).collect();
        neighbours::set_neighbours(&domains).map_err(text)?;
        // Nobody maps before all know whom to let in.
        job.barrier()?;

        match mode {
            "suspended" => return suspension(&mut job, &memory, &domains),
            "again" => return directly_again(&job),
            "exhausted" => return exhaustion(&mut job, &memory),
            _ => (),
        }
        wrong_numbers(&job, &memory)?;
        // What was wrong a moment ago is right when the others have shared something.
        job.barrier()?;
        if job.armci.size() == 1 {
            let result = neighbours::share(start(&memory), size_of_val(&memory[..]));
            check!(
                result == Err(GrantError::NoNeighbours),
                "memory is shared with nobody: {result:?}"
            );
            println!("no neighbours: ok");
            return Ok(());
        }
        let mut before = None;
        for round in 1..=rounds {
            let places = exchange(&mut job, &memory, round)?;
            // The first round makes page tables and frames of the grant table, which stay. Later
            // ones get the references and addresses that the one before has given back, and the
            // heap is as full as after it.
            let now = (places, neighbours::heap_used());
            check!(
                before.as_ref().is_none_or(|before| *before == now),
                "round {round} lost something: {before:?}, {now:?}"
            );
            before = Some(now);
        }
        in_use(&mut job, &memory)?;
        all_taken_away(&mut job, &memory)?;
        println!(
            "{rounds} rounds of {} pages with {} neighbours: ok",
            job.pages,
            job.others().count()
        );
        measure(&mut job)
    }

    /// Numbers that nobody has given out.
    fn wrong_numbers(job: &Job<'_>, memory: &[Page]) -> Result<(), String> {
        let (address, len) = (start(memory), size_of_val(memory));
        for rank in job.others().map(|rank| rank as u32) {
            // The neighbour's first references let in domain 0 alone; others are empty or do not
            // exist.
            for token in [8, 30_000, 1 << 31, u64::from(u32::MAX), u64::MAX] {
                let result = neighbours::map(rank, token, PAGE);
                check!(
                    matches!(result, Err(MapError::Foreign(_) | MapError::BadToken)),
                    "token {token}: {result:?}"
                );
            }
            let result = neighbours::map(rank, 8, PAGE + 1);
            check!(matches!(result, Err(MapError::BadToken)), "half a page: {result:?}");
            let result = neighbours::map(rank, 8, usize::MAX & !(PAGE - 1));
            check!(result.is_err(), "all of memory: {result:?}");
        }
        let own = job.own() as u32;
        check!(
            neighbours::map(own, 8, PAGE) == Err(MapError::NoNeighbour(own)),
            "this rank is its own neighbour"
        );
        check!(neighbours::map(u32::MAX, 8, PAGE).is_err(), "a rank that does not exist");
        check!(
            neighbours::unmap(address, len) == Err(MapError::NotMapped),
            "own memory is unmapped"
        );
        check!(
            neighbours::unshare(address, len, 5) == Err(GrantError::NotShared),
            "memory is taken back that was not shared"
        );
        for (address, len) in [
            (0x1000, PAGE),
            (start(memory).addr().get() + 8, PAGE),
            (start(memory).addr().get(), 8),
        ] {
            let memory = NonNull::new(address as *mut u8).ok_or("null")?;
            check!(
                neighbours::share(memory, len).is_err(),
                "{len} bytes at {address:#x} are shared"
            );
        }
        Ok(())
    }

    fn pattern(round: u64, from: usize, to: usize, word: usize) -> u64 {
        round << 48 | (from as u64) << 40 | (to as u64) << 32 | word as u64
    }

    /// Shares, maps, writes, looks, and undoes it all. Returns a sum of the token and of where the
    /// others' memory was.
    fn exchange(job: &mut Job<'_>, memory: &[Page], round: u64) -> Result<u64, String> {
        let token = job.share(memory)?;
        let size = job.armci.size();
        let mut mapped = Vec::new();
        for rank in job.others() {
            let at = job.map(rank, memory.len()).map_err(text)?;
            // Every rank has every size-th word of every other one.
            for (index, word) in words(at, memory.len())
                .iter()
                .enumerate()
                .filter(|(index, _)| index % size == job.own())
            {
                word.store(pattern(round, job.own(), rank, index), Ordering::Relaxed);
            }
            mapped.push(at);
        }
        job.barrier()?;
        let here = words(start(memory), memory.len());
        for (index, word) in here.iter().enumerate().filter(|(index, _)| index % size != job.own())
        {
            let (value, expected) =
                (word.load(Ordering::Relaxed), pattern(round, index % size, job.own(), index));
            check!(value == expected, "word {index} is {value:#x}, not {expected:#x}");
        }
        // What is read through a mapping is what is there.
        for (rank, at) in job.others().zip(&mapped) {
            let index = (0..).find(|index| index % size == job.own()).ok_or("no word")?;
            let value = words(*at, memory.len())[index].load(Ordering::Relaxed);
            check!(value == pattern(round, job.own(), rank, index), "read {value:#x} back");
        }
        let mut places = token;
        for at in mapped {
            neighbours::unmap(at, size_of_val(memory)).map_err(text)?;
            places = places.wrapping_mul(31).wrapping_add(at.addr().get() as u64);
        }
        job.barrier()?;
        neighbours::unshare(start(memory), size_of_val(memory), token).map_err(text)?;
        // What is not shared any more is not mapped any more.
        job.barrier()?;
        for rank in job.others() {
            check!(
                job.map(rank, memory.len()).is_err(),
                "memory of rank {rank} that is not shared any more is mapped"
            );
        }
        job.barrier()?;
        Ok(places)
    }

    /// Memory is not taken back while somebody has it mapped.
    fn in_use(job: &mut Job<'_>, memory: &[Page]) -> Result<(), String> {
        let token = job.share(memory)?;
        let (address, len) = (start(memory), size_of_val(memory));
        let mut mapped = Vec::new();
        for rank in job.others() {
            mapped.push(job.map(rank, memory.len()).map_err(text)?);
        }
        job.barrier()?;
        let result = neighbours::unshare(address, len, token);
        check!(
            matches!(result, Err(GrantError::InUse(_))),
            "mapped memory is taken back: {result:?}"
        );
        job.barrier()?;
        for at in mapped {
            neighbours::unmap(at, len).map_err(text)?;
        }
        job.barrier()?;
        neighbours::unshare(address, len, token).map_err(text)?;
        job.barrier()
    }

    /// As by a suspension, but without one.
    fn all_taken_away(job: &mut Job<'_>, memory: &[Page]) -> Result<(), String> {
        let token = job.share(memory)?;
        let len = size_of_val(memory);
        let mut mapped = Vec::new();
        for rank in job.others() {
            mapped.push(job.map(rank, memory.len()).map_err(text)?);
        }
        let before = neighbours::generation();
        neighbours::unmap_all();
        check!(neighbours::generation() != before, "the generation stays");
        for at in mapped {
            check!(neighbours::unmap(at, len) == Err(MapError::NotMapped), "it is still mapped");
        }
        job.barrier()?;
        neighbours::unshare(start(memory), len, token).map_err(text)?;
        job.barrier()
    }

    /// Running out of whatever is first is an error, and no more than that.
    fn exhaustion(job: &mut Job<'_>, memory: &[Page]) -> Result<(), String> {
        let token = job.share(memory)?;
        let len = size_of_val(memory);
        if job.own() == 0 && job.armci.size() > 1 {
            let mut most = 0;
            for _ in 0..2 {
                let mut mapped = Vec::new();
                let error = loop {
                    match job.map(1, memory.len()) {
                        Ok(at) => mapped.push(at),
                        Err(error) => break error,
                    }
                };
                println!("after {} pages: {error}", mapped.len() * memory.len());
                let count = mapped.len();
                for (number, at) in mapped.iter().enumerate() {
                    words(*at, memory.len()).iter().step_by(WORDS).for_each(|word| {
                        word.store(number as u64, Ordering::Relaxed);
                    });
                }
                for at in mapped {
                    neighbours::unmap(at, len).map_err(text)?;
                }
                check!(count > 0 && count >= most, "less than the first time");
                most = count;
            }
            println!("undone: ok");
        }
        job.barrier()?;
        neighbours::unshare(start(memory), len, token).map_err(text)
    }

    /// Uses mappings until a suspension has taken rank 0's away, and goes on with new ones.
    fn suspension(job: &mut Job<'_>, memory: &[Page], domains: &[u32]) -> Result<(), String> {
        let token = job.share(memory)?;
        let len = size_of_val(memory);
        let stop = job.armci.malloc::<u64>(1).map_err(text)?;
        let mut mapped = Vec::new();
        for rank in job.others() {
            mapped.push((rank, job.map(rank, memory.len()).map_err(text)?));
        }
        let before = neighbours::generation();
        println!("mapped");
        let mut counted = 0;
        loop {
            neighbours::hold();
            // A word for each writer in each of the others' pages.
            let still = neighbours::generation() == before;
            for (_, at) in mapped.iter().filter(|_| still) {
                for page in words(*at, memory.len()).chunks(WORDS) {
                    page[job.own()].store(counted, Ordering::Relaxed);
                }
            }
            neighbours::release();
            let mut stopped = [0];
            stop.read(0, &mut stopped).map_err(text)?;
            match (still, stopped[0]) {
                (false, _) if job.own() == 0 => break,
                (false, _) => return Err("this rank was not to be suspended".to_string()),
                (true, 0) => counted += 1,
                (true, _) => break,
            }
        }
        if job.own() == 0 && elsewhere(job, memory, domains)? {
            guest_kernel::exit(7);
        }
        for rank in job.others().filter(|_| job.own() == 0) {
            job.armci.put(&[1], stop.at(rank, 0)).map_err(text)?;
        }
        let gone = job.own() == 0;
        for (rank, at) in mapped {
            let expected = if gone { Err(MapError::NotMapped) } else { Ok(()) };
            let result = neighbours::unmap(at, len);
            check!(result == expected, "unmapping memory of rank {rank}: {result:?}");
        }
        job.barrier()?;
        println!("{}", if gone { "the mappings are gone" } else { "the mappings stayed" });
        for rank in job.others() {
            let at = job.map(rank, memory.len()).map_err(text)?;
            let last = words(at, memory.len())[job.own()].swap(0, Ordering::Relaxed);
            check!(last <= counted && last + 1 >= counted, "rank {rank} has {last} of {counted}");
            neighbours::unmap(at, len).map_err(text)?;
        }
        job.barrier()?;
        neighbours::unshare(start(memory), len, token).map_err(text)?;
        job.armci.free(stop).map_err(text)?;
        println!("mapped again: ok");
        Ok(())
    }

    /// Operations that a rank has done directly, as it counts them.
    fn done_directly(armci: &Armci) -> u64 {
        let Some(platform) = armci.platform() else { return 0 };
        let tally = &platform.area().header.tally;
        [&tally.put, &tally.get, &tally.accumulate, &tally.rmw]
            .iter()
            .map(|kind| kind[0].load(Ordering::Relaxed))
            .sum()
    }

    /// Works on the next rank's memory while suspensions take mappings away, of which ARMCI knows
    /// by itself.
    fn directly_again(job: &Job<'_>) -> Result<(), String> {
        const LEN: usize = 300;
        const IN_A_ROW: u32 = 50;
        let (armci, own) = (job.armci, job.own());
        let next = (own + 1) % armci.size();
        let words = armci.malloc::<i64>(LEN).map_err(text)?;
        let counts = armci.malloc::<u64>(armci.size()).map_err(text)?;
        let stop = armci.malloc::<u64>(1).map_err(text)?;
        let (mut round, mut in_a_row, mut said) = (0, 0, None);
        loop {
            round += 1;
            let (before, generation) = (done_directly(armci), neighbours::generation());
            armci.put(&[round; LEN], words.at(next, 0)).map_err(text)?;
            armci.accumulate(2, &[round; LEN], words.at(next, 0)).map_err(text)?;
            let mut got = [0; LEN];
            armci.get(&mut got, words.at(next, 0)).map_err(text)?;
            check!(got == [3 * round; LEN], "round {round}: {} after {}", got[0], 3 * round);
            armci.fetch_add(counts.at(next, own), 1).map_err(text)?;
            in_a_row = if done_directly(armci) - before == 4 { in_a_row + 1 } else { 0 };
            if in_a_row == IN_A_ROW && said != Some(generation) {
                println!("directly in generation {generation}");
                said = Some(generation);
                in_a_row = 0;
                if own == 0 && generation == 2 {
                    for rank in 0..armci.size() {
                        armci.put(&[1], stop.at(rank, 0)).map_err(text)?;
                    }
                }
            }
            in_a_row %= IN_A_ROW;
            let mut stopped = [0];
            stop.read(0, &mut stopped).map_err(text)?;
            if stopped[0] != 0 {
                break;
            }
        }
        let mut counted = [0];
        armci.get(&mut counted, counts.at(next, own)).map_err(text)?;
        check!(counted[0] == round as u64, "{} of {round} fetch-and-adds", counted[0]);
        job.barrier()?;
        armci.free(words).map_err(text)?;
        armci.free(counts).map_err(text)?;
        armci.free(stop).map_err(text)?;
        println!("all done once: ok");
        Ok(())
    }

    /// Whether this rank has come to another domain, where it knows no neighbours, and is known to
    /// none of them. Without the proxy, which has not come along.
    fn elsewhere(job: &Job<'_>, memory: &[Page], before: &[u32]) -> Result<bool, String> {
        let domain = neighbours::own_domain().ok_or("no own domain")?;
        if domain == before[job.own()] {
            return Ok(false);
        }
        for rank in job.others() {
            let result = job.map(rank, memory.len());
            check!(
                result == Err(MapError::NoNeighbour(rank as u32)),
                "rank {rank} is known in domain {domain}: {result:?}"
            );
        }
        // They are where they were, and let in the domain that this rank was in.
        neighbours::set_neighbours(before).map_err(text)?;
        for rank in job.others() {
            let result = job.map(rank, memory.len());
            check!(
                matches!(result, Err(MapError::Foreign(_))),
                "rank {rank} lets domain {domain} in: {result:?}"
            );
        }
        let (address, len, token) = (start(memory), size_of_val(memory), job.tokens[job.own()]);
        neighbours::unshare(address, len, token).map_err(text)?;
        check!(neighbours::share(address, len) == Ok(token), "the references are not the same");
        println!("in another domain: ok");
        Ok(true)
    }

    fn time(work: impl FnOnce()) -> Duration {
        let start = clock::now();
        work();
        clock::now() - start
    }

    /// The median of some times of the same work.
    fn median(work: impl FnMut() -> Duration) -> Duration {
        let mut times: Vec<Duration> = core::iter::repeat_with(work).take(9).collect();
        times.sort();
        times[times.len() / 2]
    }

    fn ratio(this: Duration, that: Duration) -> f64 {
        this.as_secs_f64() / that.as_secs_f64().max(1e-9)
    }

    fn measure(job: &mut Job<'_>) -> Result<(), String> {
        let memory = pages(MEASURED);
        let token = job.share(&memory)?;
        let (address, len) = (start(&memory), size_of_val(&memory[..]));
        if job.own() == 0
            && let Some(rank) = job.others().next()
        {
            let copy = pages(MEASURED);
            let (from, to) = (words(start(&memory), MEASURED), words(start(&copy), MEASURED));
            let copying = |from: &[AtomicU64], to: &[AtomicU64]| {
                // SAFETY: `to` is only looked at here; `from` does not change meanwhile, since all
                // others wait.
                time(|| unsafe {
                    core::ptr::copy_nonoverlapping(
                        from.as_ptr(),
                        to.as_ptr().cast_mut(),
                        from.len(),
                    )
                })
            };
            let at_home = median(|| copying(from, to));
            let (mut mapping, mut unmapping, mut unmapped) = (Vec::new(), Vec::new(), Ok(()));
            for _ in 0..9 {
                let mut at = None;
                mapping.push(time(|| at = job.map(rank, MEASURED).ok()));
                let at = at.ok_or("it is not mapped")?;
                unmapping.push(time(|| unmapped = neighbours::unmap(at, len)));
            }
            unmapped.map_err(text)?;
            mapping.sort();
            unmapping.sort();
            let at = job.map(rank, MEASURED).map_err(text)?;
            let away = words(at, MEASURED);
            let through = median(|| copying(from, away));
            let stores = |words: &[AtomicU64]| {
                time(|| {
                    (0..100_000).for_each(|n| {
                        black_box(words)[n as usize % WORDS].store(n, Ordering::Relaxed)
                    })
                })
            };
            let held = |words: &[AtomicU64]| {
                time(|| {
                    for n in 0..100_000 {
                        neighbours::hold();
                        black_box(words)[n as usize % WORDS].store(n, Ordering::Relaxed);
                        neighbours::release();
                    }
                })
            };
            let (plain, mapped, checked) =
                (median(|| stores(to)), median(|| stores(away)), median(|| held(away)));
            neighbours::unmap(at, len).map_err(text)?;
            println!(
                "{MEASURED} pages: copied {at_home:?}, mapped {:?} = {:.1} copies, \
                 unmapped {:?} = {:.1} copies, copied through the mapping {:.2}",
                mapping[4],
                ratio(mapping[4], at_home),
                unmapping[4],
                ratio(unmapping[4], at_home),
                ratio(through, at_home),
            );
            println!(
                "a word stored through the mapping: {:.2} of a plain store, \
                 {:.2} with suspensions held off",
                ratio(mapped, plain),
                ratio(checked, plain)
            );
        }
        job.barrier()?;
        neighbours::unshare(address, len, token).map_err(text)
    }
}
