//! Xen guests, in one boot of a host in QEMU, where times mean nothing by themselves: all results
//! are ratios.

use anyhow::{Context, Result, bail, ensure};

use crate::dom0;
use crate::hosted::memcpy;
use crate::measurements::{HEADER, Measurements};
use crate::results;
use crate::table::{Table, bytes, ratio};

/// Measures and prints the tables.
pub fn compare(rounds: u32) -> Result<()> {
    let output = dom0::run("guests.sh", &[], dom0::USUAL, &[rounds.to_string()])?;
    let (tables, guests) =
        output.split_once("guests\n").context("the script printed nothing about guests")?;
    let guests = Guests::parse(guests)?;
    let (mut direct, mut proxy) = (Measurements::default(), Measurements::default());
    // Before the first there is nothing.
    for table in tables.split("round ").skip(1) {
        let (way, table) =
            table.split_once('\n').context("the script printed a round without a table")?;
        if way == "direct" { direct.add_round(table)? } else { proxy.add_round(table)? }
    }
    print_ratios("directly", &direct);
    print_ratios("through the proxy", &proxy);
    println!();
    guests.print_table();
    let rows = [direct.csv("xenolith"), proxy.csv("xenolith-by-proxy")].concat();
    results::keep("xen.csv", &format!("{HEADER}\n{rows}"))
}

/// What a kind of guest costs.
#[derive(Debug, Default)]
struct Guest {
    /// Bytes of kernel and initial file system.
    image: u64,
    /// Microseconds: the toolstack's work, and from then to the application's first line.
    boots: Vec<[u64; 2]>,
    /// The least memory with which it boots, in MiB.
    least: u64,
    /// What the host has less for one with that memory, in MiB.
    host: f64,
}

/// Xenolith's guest and Linux's.
#[derive(Debug, Default)]
struct Guests {
    xenolith: Guest,
    linux: Guest,
}

impl Guests {
    fn parse(text: &str) -> Result<Self> {
        let mut guests = Self::default();
        for line in text.lines() {
            let mut words = line.split(',');
            let (Some(what), Some(kind)) = (words.next(), words.next()) else { continue };
            let guest = match kind {
                "xenolith" => &mut guests.xenolith,
                "linux" => &mut guests.linux,
                _ => bail!("the script printed a line that is not understood: {line}"),
            };
            let numbers = words.map(str::parse).collect::<Result<Vec<u64>, _>>();
            match (what, &numbers.with_context(|| format!("no number in the line {line}"))?[..]) {
                ("image", &[bytes]) => guest.image = bytes,
                ("boot", &[create, boot]) => guest.boots.push([create, boot]),
                ("least", &[memory]) => guest.least = memory,
                ("host", &[_, count, less]) => guest.host = less as f64 / count as f64,
                _ => bail!("the script printed a line that is not understood: {line}"),
            }
        }
        ensure!(
            !guests.xenolith.boots.is_empty() && !guests.linux.boots.is_empty(),
            "the script measured no boots"
        );
        Ok(guests)
    }

    fn print_table(&self) {
        let (ours, linux) = (&self.xenolith, &self.linux);
        let times = |ours: f64, linux: f64| ratio(linux, ours);
        let mut table = Table::new(["guest", "xenolith", "linux", "linux / xenolith"]);
        let mut row = |what: &str, ours: String, linux: String, times: String| {
            table.push(vec![what.into(), ours, linux, times]);
        };
        let (our_image, linux_image) = (ours.image as f64, linux.image as f64);
        row("image", bytes(ours.image), bytes(linux.image), times(our_image, linux_image));
        let mib = |mib: f64| format!("{mib} MiB");
        row(
            "least memory that boots",
            mib(ours.least as f64),
            mib(linux.least as f64),
            times(ours.least as f64, linux.least as f64),
        );
        row(
            "of the host, with that",
            mib(ours.host),
            mib(linux.host),
            times(ours.host, linux.host),
        );
        let whole = |[create, boot]: [u64; 2]| create + boot;
        let boot = |[_, boot]: [u64; 2]| boot;
        for (what, time) in [
            ("xl create to first line", whole as fn([u64; 2]) -> u64),
            ("start to first line", boot),
        ] {
            row(
                what,
                "1".into(),
                times(median(&ours.boots, time), median(&linux.boots, time)),
                "".into(),
            );
        }
        table.print();
        println!(
            "\nTimes are multiples of Xenolith's: medians of {} boots each.",
            ours.boots.len()
        );
    }
}

fn median(boots: &[[u64; 2]], time: impl Fn([u64; 2]) -> u64) -> f64 {
    let mut times: Vec<u64> = boots.iter().map(|&boot| time(boot)).collect();
    times.sort_unstable();
    times[times.len() / 2] as f64
}

/// Every row as a multiple of a copy of as many bytes in the guest; what copies nothing, of a copy
/// of 8 bytes.
fn print_ratios(way: &str, rows: &Measurements) {
    let keys = rows.keys();
    let mut ops: Vec<&str> =
        keys.iter().map(|(op, _)| op.as_str()).filter(|op| *op != "memcpy").collect();
    ops.dedup();
    let mut sizes: Vec<u64> =
        keys.iter().map(|(_, bytes)| *bytes).filter(|bytes| *bytes > 0).collect();
    sizes.sort_unstable();
    sizes.dedup();
    println!("\nTwo guests {way}: time of an operation, as a multiple of memcpy in the guest.\n");
    let mut table = Table::new(std::iter::once("size").chain(ops.iter().copied()));
    for size in sizes {
        let cells = ops.iter().map(|op| {
            let without_size = matches!(*op, "barrier" | "lock") && size == 8;
            let cost = rows.cost(&((*op).into(), if without_size { 0 } else { size }));
            let yardstick = memcpy(rows, &("memcpy".into(), size));
            cost.zip(yardstick).map_or("-".into(), |(cost, memcpy)| ratio(cost.median, memcpy))
        });
        table.push(std::iter::once(bytes(size)).chain(cells).collect());
    }
    table.print();
}
