//! What an operation costs that goes through the proxy of one emulated host, quiet and beside other
//! work, as multiples of a copy in the guest. Every round is told: how far they are apart matters.

use std::collections::BTreeMap;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::dom0;
use crate::results;
use crate::table::{Table, ratio};

/// Processors of the host, and busy loops beside it.
const SITUATIONS: [(u32, u32); 4] = [(2, 0), (1, 0), (2, 2), (1, 2)];

/// The rows: what, and bytes.
const ROWS: [(&str, u32); 4] = [("put", 8), ("nbput", 64), ("put", 64), ("get", 8)];

/// Measures and prints the table.
pub fn compare(rounds: u32) -> Result<()> {
    let mut table =
        Table::new(["operation", "processors", "busy loops", "least", "median", "most"]);
    let mut csv = String::from("processors,loops,what,bytes,nanoseconds\n");
    for (cpus, loops) in SITUATIONS {
        let output = beside(loops, || {
            let machine = dom0::Machine { cpus, ..dom0::USUAL };
            dom0::run("path.sh", &[], machine, &[rounds.to_string()])
        })?;
        for line in output.lines().filter_map(|line| line.strip_prefix("path,")) {
            csv.push_str(&format!("{cpus},{loops},{line}\n"));
        }
        let numbers = parse(&output)?;
        for (what, bytes) in ROWS {
            let of = |what: &str| {
                let key = (what.to_owned(), bytes);
                numbers.get(&key).with_context(|| format!("no {what} of {bytes} bytes"))
            };
            let mut ratios: Vec<f64> =
                of(what)?.iter().zip(of("memcpy")?).map(|(cost, copy)| cost / copy).collect();
            ratios.sort_by(f64::total_cmp);
            let cell = |at: usize| ratio(ratios[at], 1.0);
            table.push(vec![
                format!("{what}, {bytes} B"),
                cpus.to_string(),
                loops.to_string(),
                cell(0),
                cell(ratios.len() / 2),
                cell(ratios.len() - 1),
            ]);
        }
    }
    println!("\nThrough the proxy, as multiples of a copy of as many bytes; of {rounds} rounds.\n");
    table.print();
    results::keep("path.csv", &csv)
}

/// Does `work` beside as many threads that compute without end.
fn beside<T>(loops: u32, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..loops {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
        }
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

/// By what was done and with how many bytes: nanoseconds, of each round.
fn parse(text: &str) -> Result<BTreeMap<(String, u32), Vec<f64>>> {
    let mut numbers: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<_> = line.split(',').collect();
        let ["path", what, bytes, number] = words[..] else { continue };
        let not_understood = || format!("the script printed a line that is no row: {line}");
        let key = (what.to_owned(), bytes.parse().with_context(not_understood)?);
        numbers.entry(key).or_default().push(number.parse().with_context(not_understood)?);
    }
    ensure!(!numbers.is_empty(), "the script measured nothing");
    Ok(numbers)
}
