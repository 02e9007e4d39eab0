//! Rows of the table that `bench` and its peers print.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// The first line of every table.
pub const HEADER: &str = "bench,op,bytes,median_ns,min_ns";

/// What a row is about: operation and bytes.
pub type Key = (String, u64);

/// The cost of one operation in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// The median of the batches.
    pub median: f64,
    /// The quickest batch.
    pub min: f64,
}

/// All rows of one program, over several rounds.
#[derive(Debug, Default)]
pub struct Measurements {
    costs: BTreeMap<Key, Cost>,
    /// The order in which the program measures.
    order: Vec<Key>,
}

impl Measurements {
    /// Takes the rows out of what a program has printed in one round. `pgas` puts the rank before
    /// each line.
    ///
    /// Of several rounds the calmest counts: whatever else the machine does makes operations
    /// slower, never quicker.
    pub fn add_round(&mut self, output: &str) -> Result<()> {
        let lines: Vec<&str> =
            output.lines().map(|line| line.strip_prefix("[0] ").unwrap_or(line)).collect();
        let start = lines
            .iter()
            .position(|line| *line == HEADER)
            .context("no table in what was printed")?;
        let mut any = false;
        for line in &lines[start + 1..] {
            let [_, op, bytes, median, min] = line.split(',').collect::<Vec<_>>()[..] else {
                continue;
            };
            let number = |text: &str| {
                text.parse::<f64>().with_context(|| format!("no number in the row {line}"))
            };
            let bytes = bytes.parse().with_context(|| format!("no number in the row {line}"))?;
            self.add((op.to_owned(), bytes), Cost { median: number(median)?, min: number(min)? });
            any = true;
        }
        ensure!(any, "a table without rows");
        Ok(())
    }

    fn add(&mut self, key: Key, cost: Cost) {
        match self.costs.get_mut(&key) {
            Some(known) => {
                known.median = known.median.min(cost.median);
                known.min = known.min.min(cost.min);
            }
            None => {
                self.order.push(key.clone());
                self.costs.insert(key, cost);
            }
        }
    }

    /// What the program measures: operation by operation, each from few to many bytes.
    pub fn keys(&self) -> Vec<Key> {
        let place = |op: &str| self.order.iter().position(|(other, _)| op == other);
        let mut keys = self.order.clone();
        keys.sort_by_key(|(op, bytes)| (place(op), *bytes));
        keys
    }

    /// The cost of an operation.
    pub fn cost(&self, key: &Key) -> Option<Cost> {
        self.costs.get(key).copied()
    }

    /// As the program prints them.
    pub fn csv(&self, name: &str) -> String {
        let mut text = String::new();
        for key in self.keys() {
            if let Some(Cost { median, min }) = self.cost(&key) {
                text.push_str(&format!("{name},{},{},{median:.1},{min:.1}\n", key.0, key.1));
            }
        }
        text
    }
}
