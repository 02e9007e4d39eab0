//! Ranks on two hosts that are both this machine, beside ARMCI-MPI over TCP, in turns.

use anyhow::{Context, Result, ensure};
use xenolith_tests::hosts::Hosts;

use crate::hosted::{print_machine, print_verdict};
use crate::measurements::{HEADER, Measurements};
use crate::peer::{PEERS_BY_TCP, Peer};
use crate::results;
use crate::table::{Table, bytes, microseconds, ratio};

/// Measures and prints the table.
pub fn compare(rounds: u32, with_peers: bool) -> Result<()> {
    let directory = results::directory()?;
    let peers: &'static [Peer] = if with_peers { &PEERS_BY_TCP } else { &[] };
    let programs = peers.iter().map(|peer| peer.build(&directory)).collect::<Result<Vec<_>>>()?;
    let hosts = Hosts::new(2)?;
    let mut ours = Measurements::default();
    let mut theirs: Vec<Measurements> = programs.iter().map(|_| Measurements::default()).collect();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        let ended = hosts.run(2, "block", "bench", &["--way", "proxy"])?;
        ensure!(ended.status == 0, "bench failed: {}{}", ended.stdout, ended.stderr);
        ours.add_round(&ended.stdout)?;
        for (program, rows) in programs.iter().zip(&mut theirs) {
            let output = program.run(2, &[])?;
            rows.add_round(&output).with_context(|| format!("the peer on {}", program.name()))?;
        }
    }
    let named: Vec<(&str, Measurements)> =
        programs.iter().map(|program| program.name()).zip(theirs).collect();

    print_machine()?;
    let columns = ["operation", "size", "xenolith"].map(String::from);
    let names = named.iter().map(|(name, _)| (*name).to_owned());
    let ratios = named.iter().map(|(name, _)| format!("/ {name}"));
    let mut table = Table::new(columns.into_iter().chain(names).chain(ratios));
    for key in ours.keys().iter().filter(|(op, _)| op != "memcpy") {
        let Some(own) = ours.cost(key) else { continue };
        let costs: Vec<Option<f64>> =
            named.iter().map(|(_, rows)| rows.cost(key).map(|cost| cost.median)).collect();
        let mut row = vec![key.0.clone(), bytes(key.1), microseconds(own.median)];
        row.extend(costs.iter().map(|cost| cost.map_or("-".into(), microseconds)));
        row.extend(costs.iter().map(|cost| cost.map_or("-".into(), |it| ratio(own.median, it))));
        table.push(row);
    }
    table.print();
    named.iter().for_each(|(name, theirs)| print_verdict(&ours, name, theirs));
    let mut csv = format!("{HEADER}\n{}", ours.csv("xenolith-tcp"));
    named.iter().for_each(|(name, rows)| csv.push_str(&rows.csv(name)));
    results::keep("tcp.csv", &csv)
}
