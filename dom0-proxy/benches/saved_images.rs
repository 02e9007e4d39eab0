//! What saving an image costs, beside a plain copy of the same bytes, in one run.
//!
//! `cargo bench -p dom0-proxy --bench saved_images`, with `-- --mib 64 --rounds 5` as they are
//! otherwise. The table goes to standard output, and as CSV to `bench/saved_images.csv` in the
//! target directory, where it saves too. Each row is that of the quickest round.

#![forbid(unsafe_code)]

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use dom0_proxy::images::{
    BLOCK_CHUNKS, ChunkHash, Console, Description, Durable, ImageStore, Layout, Line, Options,
    PAGE, PageMemory, Pick, RankDescription, RankState,
};

/// Measures saving and loading of images.
#[derive(Debug, Parser)]
struct Cli {
    /// MiB of memory of the rank that is saved
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
    mib: u64,
    /// How often to measure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// What cargo says when it runs benchmarks rather than tests them
    #[arg(long, hide = true)]
    bench: bool,
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// As in the heap of `cg`: a third each of a matrix's values, its sorted columns, and vectors.
fn cg(length: usize) -> Vec<u8> {
    let mut random = Random(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length / 3 {
        bytes.extend((random.fraction() * random.fraction()).to_le_bytes());
    }
    let mut column = 0;
    while bytes.len() < length / 3 * 2 {
        column = (column + random.next() as u32 % 200) % 14_000;
        bytes.extend(column.to_le_bytes());
    }
    let mut place = 0.0_f64;
    while bytes.len() < length {
        bytes.extend(((place * 0.001).sin() / 3.0).to_le_bytes());
        place += 1.0;
    }
    bytes.truncate(length);
    bytes
}

/// This program, again and again, no two copies of it with an equal page.
fn code(length: usize) -> Result<Vec<u8>> {
    let program = fs::read(std::env::current_exe()?).context("read this program")?;
    let mut bytes: Vec<u8> = program.iter().copied().cycle().take(length).collect();
    for (number, page) in bytes.chunks_mut(PAGE).enumerate() {
        page[..8].copy_from_slice(&number.to_le_bytes());
    }
    Ok(bytes)
}

fn random(length: usize) -> Vec<u8> {
    let mut random = Random(2);
    (0..length / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

/// The memory after some work, and the numbers of the pages that have changed: every tenth.
fn worked_on(mut memory: Vec<u8>, round: u32) -> (Vec<u8>, Vec<u32>) {
    for page in memory.chunks_mut(PAGE).step_by(10) {
        page[8..12].copy_from_slice(&round.wrapping_add(0x5555_0000).to_le_bytes());
    }
    let pages = (memory.len() / PAGE) as u32;
    (memory, (0..pages).step_by(10).collect())
}

fn save(store: &ImageStore, number: u64, memory: &mut PageMemory) -> Result<Durable> {
    let line = Line { incarnation: 0, number };
    let options = Options { size: 1, ..Options::default() };
    let mut saving = store.begin(Description { line, options, ..Description::default() })?;
    let description = RankDescription {
        rank: 0,
        state: RankState::Running,
        window: memory.bytes().len() as u64,
        layout: Layout::default(),
        traffic: Vec::new(),
        console: Console::default(),
    };
    saving.rank(description, memory, &[])?;
    Ok(saving.finish()?)
}

/// The quickest of some rounds, by what was done.
#[derive(Debug, Default)]
struct Times(Vec<(&'static str, Duration)>);

impl Times {
    fn note(&mut self, what: &'static str, begun: Instant) {
        let time = begun.elapsed();
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, least)) => *least = time.min(*least),
            None => self.0.push((what, time)),
        }
    }
}

fn measure(memory: &[u8], rounds: u32, directory: &PathBuf) -> Result<(Times, u64)> {
    let mut times = Times::default();
    let mut copy = memory.to_vec();
    let mut packed = 0;
    for round in 0..rounds {
        let _ = fs::remove_dir_all(directory);
        let store = ImageStore::open_or_create(directory)?;

        let begun = Instant::now();
        black_box(&mut copy[..]).copy_from_slice(black_box(memory));
        times.note("plain copy", begun);

        let begun = Instant::now();
        for page in memory.as_chunks::<PAGE>().0 {
            black_box(ChunkHash::of(page));
        }
        times.note("hash", begun);

        let mut block = vec![0; lz4_flex::block::get_maximum_output_size(BLOCK_CHUNKS * PAGE)];
        let begun = Instant::now();
        for chunks in memory.chunks(BLOCK_CHUNKS * PAGE) {
            black_box(lz4_flex::block::compress_into(chunks, &mut block)?);
        }
        times.note("compress", begun);

        let file = directory.with_extension("plain");
        let begun = Instant::now();
        fs::write(&file, memory)?;
        fs::File::open(&file)?.sync_all()?;
        times.note("plain write, fsync", begun);
        fs::remove_file(&file)?;

        let mut pages = PageMemory::from(memory.to_vec());
        let begun = Instant::now();
        let first = save(&store, 1, &mut pages)?;
        times.note("first save", begun);
        packed = first.sizes().packed;
        let begun = Instant::now();
        first.commit()?;
        times.note("commit", begun);

        let begun = Instant::now();
        save(&store, 2, &mut pages)?.commit()?;
        times.note("save, nothing new", begun);

        pages.change(|bytes| anyhow::Ok(worked_on(bytes, round)))?;
        let begun = Instant::now();
        save(&store, 3, &mut pages)?.commit()?;
        times.note("save, a tenth new", begun);

        let begun = Instant::now();
        store.load(Pick::Newest)?.for_each_page(0, |_, page| {
            black_box(page);
        })?;
        times.note("load", begun);

        let begun = Instant::now();
        store.verify(|_, _| {})?;
        times.note("verify", begun);
    }
    fs::remove_dir_all(directory)?;
    Ok((times, packed))
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if !cli.bench {
        println!("nothing measured: run it with `cargo bench`");
        return Ok(());
    }
    let own = std::env::current_exe().context("find the bench program")?;
    // TARGET/release/deps/NAME
    let target =
        own.ancestors().nth(3).context("the bench program is not in a target directory")?;
    let results = target.join("bench");
    fs::create_dir_all(&results).with_context(|| format!("create {}", results.display()))?;
    let length = (cli.mib << 20) as usize;
    let mut csv = String::from("data,step,bytes,seconds,packed\n");
    println!("| data | step | MB/s | times a plain copy |");
    println!("|---|---|---:|---:|");
    for (data, memory) in [("cg", cg(length)), ("code", code(length)?), ("random", random(length))]
    {
        let directory = results.join("saved_images");
        let (times, packed) = measure(&memory, cli.rounds, &directory)?;
        let copy = times.0[0].1.as_secs_f64();
        for (step, time) in &times.0 {
            let seconds = time.as_secs_f64();
            let rate = length as f64 / seconds / 1e6;
            println!("| {data} | {step} | {rate:.0} | {:.1} |", seconds / copy);
            csv.push_str(&format!("{data},\"{step}\",{length},{seconds:.9},{packed}\n"));
        }
        let percent = 100.0 * packed as f64 / length as f64;
        println!("| {data} | pack, percent of memory | {percent:.1} | |");
    }
    let file = results.join("saved_images.csv");
    fs::write(&file, csv).with_context(|| format!("write {}", file.display()))?;
    println!("\nas CSV: {}", file.display());
    Ok(())
}
