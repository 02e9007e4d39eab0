//! Hosted ranks beside ARMCI-MPI: all on this machine, in turns.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xenolith_tests::Host;

use crate::measurements::{HEADER, Key, Measurements};
use crate::peer::{PEERS, Peer};
use crate::results;
use crate::table::{Table, bytes, microseconds, ratio};

/// Measures and prints the table.
pub fn compare(rounds: u32, with_peers: bool, beside: Option<&Path>) -> Result<()> {
    let results = results::directory()?;
    let peers: &'static [Peer] = if with_peers { &PEERS } else { &[] };
    let programs = peers.iter().map(|peer| peer.build(&results)).collect::<Result<Vec<_>>>()?;
    let host = Host::new()?;
    let other = beside.map(Host::of).transpose()?;
    let mut others = Measurements::default();
    let (mut ours, mut proxy) = (Measurements::default(), Measurements::default());
    // How many ranks, and what to measure on them.
    let barrier: (&[&str], &[&str]) = (&["--rows", "barrier"], &["barrier"]);
    let runs: [(usize, &[&str], &[&str]); 4] = [
        (2, &[], &[]),
        (3, barrier.0, barrier.1),
        (4, barrier.0, barrier.1),
        (8, barrier.0, barrier.1),
    ];
    let mut theirs: Vec<Measurements> = programs.iter().map(|_| Measurements::default()).collect();
    // In turns, so that a busy minute of the machine hits all alike.
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for (ranks, own_arguments, arguments) in runs {
            let ended = host.run(ranks, "bench", own_arguments)?;
            ensure!(ended.status == 0, "bench failed: {}{}", ended.stdout, ended.stderr);
            ours.add_round(&ended.stdout)?;
            if let Some(other) = &other {
                let ended = other.run(ranks, "bench", own_arguments)?;
                ensure!(ended.status == 0, "bench failed: {}{}", ended.stdout, ended.stderr);
                others.add_round(&ended.stdout)?;
            }
            for (program, rows) in programs.iter().zip(&mut theirs) {
                let output = program.run(ranks, arguments)?;
                rows.add_round(&output)
                    .with_context(|| format!("the peer on {}", program.name()))?;
            }
        }
        let ended = host.run(2, "bench", &["--way", "proxy"])?;
        ensure!(ended.status == 0, "bench failed: {}{}", ended.stdout, ended.stderr);
        proxy.add_round(&ended.stdout)?;
    }
    let mut named: Vec<(&str, Measurements)> =
        programs.iter().map(|program| program.name()).zip(theirs).collect();
    if other.is_some() {
        named.push(("other build", others));
    }

    print_machine()?;
    print_table(&ours, &proxy, &named);
    named.iter().for_each(|(name, theirs)| print_verdict(&ours, name, theirs));
    let mut csv = format!("{HEADER}\n{}{}", ours.csv("xenolith"), proxy.csv("xenolith-by-proxy"));
    named.iter().for_each(|(name, rows)| csv.push_str(&rows.csv(name)));
    results::keep("hosted.csv", &csv)
}

/// What the numbers depend on.
pub fn print_machine() -> Result<()> {
    let processors = std::thread::available_parallelism().context("count processors")?;
    let information = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
    let field = |name: &str| {
        information
            .lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(": "))
    };
    let model = field("model name").map_or("unknown", |(_, model)| model);
    let virtual_machine =
        field("flags").is_some_and(|(_, flags)| flags.split(' ').any(|flag| flag == "hypervisor"));
    let load = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    println!(
        "{processors} processors ({model}{}), load {}",
        if virtual_machine { ", a virtual machine" } else { "" },
        load.split(' ').next().unwrap_or_default()
    );
    println!("Microseconds for one operation: the median of the batches in the calmest round.\n");
    Ok(())
}

fn print_table(ours: &Measurements, proxy: &Measurements, peers: &[(&str, Measurements)]) {
    let mut columns =
        ["operation", "size", "xenolith", "by proxy", "memcpy"].map(String::from).to_vec();
    columns.extend(peers.iter().map(|(name, _)| (*name).to_owned()));
    columns.push("/ memcpy".into());
    columns.extend(peers.iter().map(|(name, _)| format!("/ {name}")));
    let mut table = Table::new(columns);
    for key in ours.keys().iter().filter(|(op, _)| op != "memcpy") {
        let Some(own) = ours.cost(key) else { continue };
        let memcpy = memcpy(ours, key);
        let costs: Vec<Option<f64>> =
            peers.iter().map(|(_, rows)| rows.cost(key).map(|cost| cost.median)).collect();
        let time = |cost: &Option<f64>| cost.map_or("-".into(), microseconds);
        let times = |cost: &Option<f64>| cost.map_or("-".into(), |cost| ratio(own.median, cost));
        let by_proxy = proxy.cost(key).map(|cost| cost.median);
        let mut row = vec![
            key.0.clone(),
            bytes(key.1),
            microseconds(own.median),
            time(&by_proxy),
            time(&memcpy),
        ];
        row.extend(costs.iter().map(time));
        row.push(times(&memcpy));
        row.extend(costs.iter().map(times));
        table.push(row);
    }
    table.print();
}

/// The yardstick of a row; operations that move no data have none.
pub fn memcpy(rows: &Measurements, key: &Key) -> Option<f64> {
    match key.0.as_str() {
        op if op.starts_with("barrier") || op.starts_with("fetch-add") || op == "lock" => None,
        _ => rows.cost(&("memcpy".into(), key.1)).map(|cost| cost.median),
    }
}

fn print_verdict(ours: &Measurements, name: &str, theirs: &Measurements) {
    let keys = ours.keys();
    let compared: Vec<(&Key, f64)> = keys
        .iter()
        .filter(|(op, _)| op != "memcpy")
        .filter_map(|key| Some((key, ours.cost(key)?.median / theirs.cost(key)?.median)))
        .collect();
    let lost = compared.iter().filter(|(_, ratio)| *ratio > 1.0).count();
    let ahead = compared.iter().filter(|(_, ratio)| *ratio <= 1.0 / 3.0).count();
    print!(
        "\nThree times as quick as {name} or more in {ahead} of {} rows; slower in {lost}",
        compared.len()
    );
    match compared.iter().max_by(|a, b| a.1.total_cmp(&b.1)) {
        Some(((op, size), worst)) if *worst > 1.0 => {
            println!(", by {worst:.1} at worst ({op} {}).", bytes(*size))
        }
        _ => println!("."),
    }
}
