//! What it costs to be a domain, and to be saved again and again, in one boot of a host in QEMU,
//! where times mean nothing by themselves: all results are ratios.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::dom0;
use crate::results;
use crate::table::{Table, ratio};

/// What the script tells, by where and what: of each round a number.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<(String, String), Vec<f64>>);

/// Measures and prints the table; also beside another build, whose cargo target directory `other`
/// is.
pub fn compare(rounds: u32, other: Option<&Path>) -> Result<()> {
    let parts = ["release/pgas", "release/dom0-proxy", "images/cg.img", "images/bench.img"];
    let puts: Vec<String> = other
        .iter()
        .flat_map(|target| parts.map(|part| (target.join(part), part)))
        .filter_map(|(path, part)| {
            Some(format!("{}:/root/other/{}", path.display(), part.split_once('/')?.1))
        })
        .collect();
    let output = dom0::run("costs.sh", &puts, dom0::USUAL, &[rounds.to_string()])?;
    results::keep("costs.csv", &format!("cost,where,what,number\n{output}"))?;
    Numbers::parse(&output)?.print();
    Ok(())
}

impl Numbers {
    fn parse(text: &str) -> Result<Self> {
        let mut numbers = Self::default();
        for line in text.lines() {
            let words: Vec<_> = line.split(',').collect();
            let ["cost", place, what, number] = words[..] else { continue };
            let number = number.parse().with_context(|| format!("no number in the row {line}"))?;
            numbers.0.entry((place.into(), what.into())).or_default().push(number);
        }
        ensure!(!numbers.0.is_empty(), "the script measured nothing");
        Ok(numbers)
    }

    /// The calmest round: whatever else the machine does makes things slower, never quicker.
    fn best(&self, place: &str, what: &str) -> f64 {
        let rounds = self.0.get(&(place.to_owned(), what.to_owned()));
        rounds.into_iter().flatten().copied().fold(f64::NAN, f64::min)
    }

    fn print(&self) {
        let mut table = Table::new(["what", "beside", "ratio"]);
        let mut row = |what: &str, beside: &str, ours: f64, theirs: f64| {
            table.push(vec![what.into(), beside.into(), ratio(ours, theirs)]);
        };
        let linux = "as Linux processes in a PVH domain";
        row("cg S, one rank", linux, self.best("xenolith", "cg"), self.best("linux", "cg"));
        let put = |place| self.best(place, "put");
        row("put of 8 bytes, two ranks", linux, put("xenolith"), put("linux"));
        if put("other").is_finite() {
            let other = "on the other build";
            row("put of 8 bytes, two ranks", other, put("xenolith"), put("other"));
            row("cg W, not saved", other, self.best("plain", "cg"), self.best("other", "cg"));
        }
        let saved = format!("cg A, saved every {:.2} s", self.best("saved", "every"));
        row(&saved, "not saved", self.best("saved", "cg"), self.best("unsaved", "cg"));
        println!("\nHow much longer it takes.\n");
        table.print();
    }
}
