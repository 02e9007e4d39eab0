//! Ranks on two hosts that are both this machine.

use anyhow::{Result, ensure};
use xenolith_tests::hosts::Hosts;

use crate::hosted::print_machine;
use crate::measurements::{HEADER, Measurements};
use crate::results;
use crate::table::{Table, bytes, microseconds};

/// Measures and prints the table.
pub fn compare(rounds: u32) -> Result<()> {
    let hosts = Hosts::new(2)?;
    let mut ours = Measurements::default();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        let ended = hosts.run(2, "block", "bench", &["--way", "proxy"])?;
        ensure!(ended.status == 0, "bench failed: {}{}", ended.stdout, ended.stderr);
        ours.add_round(&ended.stdout)?;
    }
    print_machine()?;
    let mut table = Table::new(["operation", "size", "xenolith"]);
    for key in ours.keys().iter().filter(|(op, _)| op != "memcpy") {
        let Some(own) = ours.cost(key) else { continue };
        table.push(vec![key.0.clone(), bytes(key.1), microseconds(own.median)]);
    }
    table.print();
    results::keep("tcp.csv", &format!("{HEADER}\n{}", ours.csv("xenolith-tcp")))
}
