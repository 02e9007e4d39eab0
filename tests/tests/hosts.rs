//! Jobs over several hosts, by TCP: what holds on one holds there, and whoever is lost is named.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use xenolith_tests::hosts::Hosts;
use xenolith_tests::{Ended, ended};

fn succeeds(ended: &Ended, what: &str, proof: &str) -> Result<()> {
    ensure!(ended.status == 0, "{what}: {ended:#?}");
    ensure!(ended.stdout.contains(proof), "no {proof:?} in {what}: {ended:#?}");
    Ok(())
}

#[test]
fn semantics_hold_over_two_hosts_and_three() -> Result<()> {
    for (count, jobs) in [(2, &[2, 3, 5][..]), (3, &[3, 5])] {
        let hosts = Hosts::new(count)?;
        for ranks in jobs {
            for placement in ["block", "cyclic"] {
                let what = format!("semantics on {ranks} ranks of {count} hosts, {placement}");
                let proof = format!("[0] 213 passed, 0 failed on {ranks} ranks");
                succeeds(&hosts.run(*ranks, placement, "semantics", &[])?, &what, &proof)?;
            }
        }
        (0..count).try_for_each(|number| hosts.check_clean(number))?;
    }
    Ok(())
}

#[test]
fn applications_find_the_same_as_on_one_host() -> Result<()> {
    let hosts = Hosts::new(2)?;
    for ranks in [2, 4, 8] {
        let ended = hosts.run(ranks, "block", "cg", &["--class", "S"])?;
        succeeds(&ended, &format!("cg on {ranks} ranks"), "VERIFICATION SUCCESSFUL")?;
    }
    let three = Hosts::new(3)?;
    for (hosts, ranks) in [(&hosts, 4), (&three, 3)] {
        let ended = hosts.run(ranks, "cyclic", "randomaccess", &["--log2-table", "8"])?;
        let proof = "errors      0 in 256 words";
        succeeds(&ended, &format!("randomaccess on {ranks} ranks"), proof)?;
    }
    Ok(())
}

#[test]
fn a_rank_that_fails_ends_the_job_on_all_hosts() -> Result<()> {
    let hosts = Hosts::new(2)?;
    for (rank, host) in [(0, 0), (3, 1)] {
        let arguments = ["--rank", &rank.to_string(), "exit", "7"];
        let ended = hosts.run(4, "block", "faults", &arguments)?;
        ensure!(ended.status == 7, "rank {rank} on host {host}: {ended:#?}");
        let verdict = ended.verdict();
        ensure!(verdict.contains(&format!("rank {rank} exited with status 7")), "{verdict}");
        (0..2).try_for_each(|number| hosts.check_clean(number))?;
    }
    Ok(())
}

#[test]
fn a_daemon_that_dies_is_named_and_its_host_takes_the_next_job() -> Result<()> {
    let mut hosts = Hosts::new(2)?;
    for lost in [1, 0] {
        let mut job = hosts.job(4, "block", "pace", &["100000"])?;
        let mut pgas = job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(pgas.stdout.take().context("no output")?);
        let mut line = String::new();
        while !line.starts_with("[0] pace") {
            line.clear();
            ensure!(output.read_line(&mut line)? > 0, "it has ended too early");
        }
        hosts.kill(lost)?;
        // Whatever it still prints.
        std::io::copy(&mut output, &mut std::io::sink())?;
        let ended = ended(pgas.wait_with_output()?)?;
        ensure!(ended.status == 121, "{ended:#?}");
        let (verdict, address) = (ended.verdict(), hosts.address(lost).to_owned());
        ensure!(verdict.contains(&address), "{address} is not named in: {verdict}");
        hosts.check_clean(1 - lost)?;
        hosts.start(lost)?;
        hosts.check_clean(lost)?;
        succeeds(&hosts.run(4, "cyclic", "cg", &[])?, "cg", "VERIFICATION SUCCESSFUL")?;
    }
    Ok(())
}

#[test]
fn a_pgas_that_dies_takes_its_job_along() -> Result<()> {
    let hosts = Hosts::new(2)?;
    let mut pgas = hosts.job(4, "block", "pace", &["100000"])?.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(pgas.stdout.as_mut().context("no output")?).read_line(&mut line)?;
    pgas.kill()?;
    pgas.wait()?;
    (0..2).try_for_each(|number| hosts.check_clean(number))
}

#[test]
fn a_job_that_is_killed_on_one_host_ends_on_all() -> Result<()> {
    let hosts = Hosts::new(2)?;
    for asked in [0, 1] {
        let mut job = hosts.job(4, "block", "pace", &["100000"])?;
        let mut pgas = job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(pgas.stdout.take().context("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let listed = hosts.host(asked).pgas(["ps", "--json"])?.output()?.stdout;
        let listed = String::from_utf8(listed)?;
        let name = listed.split("\"job\":\"").nth(1).and_then(|rest| rest.get(..6));
        let name = name.with_context(|| format!("no job in {listed}"))?;
        ensure!(hosts.host(asked).pgas(["kill", name])?.status()?.success(), "pgas kill failed");
        std::io::copy(&mut output, &mut std::io::sink())?;
        let ended = ended(pgas.wait_with_output()?)?;
        ensure!(ended.status == 137, "killed on host {asked}: {ended:#?}");
        ensure!(ended.verdict().contains("killed by pgas kill"), "{}", ended.verdict());
        (0..2).try_for_each(|number| hosts.check_clean(number))?;
    }
    Ok(())
}

#[test]
fn who_does_not_know_the_secret_is_turned_away() -> Result<()> {
    let hosts = Hosts::new(2)?;
    let mut job = hosts.job(2, "block", "hello", &[])?;
    let other = hosts.other_secret()?;
    let ended = ended(job.env("XENOLITH_SECRET", &other).output()?)?;
    succeeds(&ended, "--secret comes first", "hello from 0 of 2")?;
    let addresses = format!("{},{}", hosts.address(0), hosts.address(1));
    let mut job = hosts.host(0).pgas(["run", "--hosted", "-n", "2", "--hosts", &addresses])?;
    job.arg(hosts.host(0).application("hello")).env("XENOLITH_SECRET", &other);
    let ended = xenolith_tests::ended(job.output()?)?;
    let verdict = ended.verdict();
    ensure!(ended.status == 125 && verdict.contains("secret"), "{ended:#?}");
    ensure!(verdict.contains(hosts.address(0)), "{verdict}");
    Ok(())
}
