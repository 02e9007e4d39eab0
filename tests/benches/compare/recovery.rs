//! Saving and restoring of jobs, beside what Xen's tools take for the same ranks and for Linux
//! guests with the same data, in one boot of a host in QEMU, where times mean nothing by
//! themselves.

use std::collections::BTreeMap;
use std::num::ParseIntError;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

use crate::dom0::{self, Machine};
use crate::results;
use crate::table::{Table, bytes, ratio};

/// Ranks, and what they hold.
type Job = (u32, Data);

/// What a rank holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Data {
    /// Random bytes, in MiB.
    Random(u64),
    /// What it needs for NPB CG, class A.
    Cg,
}

impl FromStr for Data {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        if text == "cg" { Ok(Self::Cg) } else { text.parse().map(Self::Random) }
    }
}

/// What all of the jobs, one after the other, can do with.
fn machine(jobs: &[String]) -> Result<Machine> {
    let mut machine = Machine { guests: 0, rest: 0, ..dom0::USUAL };
    for job in jobs {
        let not_understood = || format!("{job} is no job: write RANKSxMIB or RANKSxcg");
        let (ranks, data) = job.split_once('x').with_context(not_understood)?;
        let ranks: u64 = ranks.parse().with_context(not_understood)?;
        let mib = match data.parse().with_context(not_understood)? {
            Data::Random(mib) => mib,
            Data::Cg => 32,
        };
        // Linux guests need some for themselves. Domain 0 keeps copies of all, images with all of
        // that in them, and what xl saves.
        machine.guests = machine.guests.max(ranks * (mib + 128));
        machine.rest = machine.rest.max(2048 + 3 * ranks * mib);
    }
    Ok(machine)
}

/// What the script tells: microseconds or bytes, by job, kind of guest and what it is.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<(Job, String, String), f64>);

/// Measures and prints the tables.
pub fn compare(jobs: &[String]) -> Result<()> {
    let copying = format!("{}:/root/copying", env!("CARGO_BIN_EXE_copying"));
    let output = dom0::run("recovery.sh", &[copying], machine(jobs)?, jobs)?;
    results::keep("recovery.csv", &format!("guest,ranks,data,what,number\n{output}"))?;
    Numbers::parse(&output)?.print();
    Ok(())
}

impl Numbers {
    fn parse(text: &str) -> Result<Self> {
        let mut numbers = BTreeMap::new();
        for line in text.lines() {
            let not_understood = || format!("the script printed a line that is no row: {line}");
            let words: Vec<_> = line.split(',').collect();
            let [kind, ranks, data, what, number] = words[..] else { continue };
            let job = (
                ranks.parse().with_context(not_understood)?,
                data.parse().with_context(not_understood)?,
            );
            let number = number.parse().with_context(not_understood)?;
            numbers.insert((job, kind.into(), what.into()), number);
        }
        ensure!(!numbers.is_empty(), "the script measured nothing");
        Ok(Self(numbers))
    }

    fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.0.keys().map(|(job, ..)| *job).collect();
        jobs.dedup();
        jobs
    }

    fn get(&self, job: Job, kind: &str, what: &str) -> f64 {
        let key = (job, kind.to_owned(), what.to_owned());
        self.0.get(&key).copied().unwrap_or(f64::NAN)
    }

    fn print(&self) {
        println!(
            "\nA line, as multiples of a plain copy of the ranks' data; the second of a job.\n"
        );
        let steps = ["to_the_line", "park", "copy", "stall", "write", "commit"];
        let columns = ["ranks x data"].into_iter().chain(steps).chain(["restore"]);
        let mut table = Table::new(columns.map(|name| name.replace('_', " ")));
        for job in self.jobs() {
            // One rank's data were copied.
            let copy = self.get(job, "memcpy", "once") * f64::from(job.0);
            let cell = |what: &str| ratio(self.get(job, "xenolith", what), copy);
            let steps = steps.iter().map(|step| cell(&format!("second {step}")));
            table.push([name(job)].into_iter().chain(steps).chain([cell("restore")]).collect());
        }
        table.print();

        println!(
            "\nThe same beside Xen's tools, which save one guest after the other: how much longer"
        );
        println!("those take than a whole job is stopped, or takes to be restored; and how many");
        println!("tenths of a second a restored job takes to be as quick as before.\n");
        let mut table = Table::new([
            "ranks x data",
            "xl save, our ranks",
            "xl save, Linux",
            "xl restore, Linux",
            "tenths until full speed",
        ]);
        for job in self.jobs() {
            let stall = self.get(job, "xenolith", "second stall");
            let restore = self.get(job, "xenolith", "restore");
            table.push(vec![
                name(job),
                ratio(self.get(job, "xenolith", "xl save"), stall),
                ratio(self.get(job, "linux", "xl save"), stall),
                ratio(self.get(job, "linux", "xl restore"), restore),
                ratio(self.get(job, "xenolith", "slow tenths"), 1.0),
            ]);
        }
        table.print();

        println!("\nBytes.\n");
        let mut table = Table::new([
            "ranks x data",
            "memory",
            "zero or free",
            "first image",
            "second",
            "xl, our ranks",
            "xl, Linux",
            "Linux / first",
        ]);
        for job in self.jobs() {
            let ours = |what: &str| self.get(job, "xenolith", what);
            let linux = self.get(job, "linux", "xl size");
            let whole = |number: f64| bytes(number as u64);
            table.push(vec![
                name(job),
                whole(ours("first memory")),
                whole(ours("first zero") + ours("first free")),
                whole(ours("first packed")),
                whole(ours("second packed")),
                whole(ours("xl size")),
                whole(linux),
                ratio(linux, ours("first packed")),
            ]);
        }
        table.print();
    }
}

fn name((ranks, data): Job) -> String {
    match data {
        Data::Random(mib) => format!("{ranks} x {mib} MiB"),
        Data::Cg => format!("{ranks} of cg"),
    }
}
