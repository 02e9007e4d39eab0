//! The applications on hosted ranks: right on every number of ranks that they promise.

use anyhow::{Result, ensure};
use xenolith_tests::Host;

fn succeeds(host: &Host, ranks: usize, name: &str, arguments: &[&str], proof: &str) -> Result<()> {
    let ended = host.run(ranks, name, arguments)?;
    let what = format!("{name} {arguments:?} on {ranks} ranks: {ended:#?}");
    ensure!(ended.status == 0, "{what}");
    ensure!(ended.stdout.contains(proof), "no {proof:?} in {what}");
    Ok(())
}

#[test]
fn semantics_hold_on_every_number_of_ranks() -> Result<()> {
    let host = Host::new()?;
    for ranks in [1, 2, 3, 4, 5, 8, 13] {
        succeeds(
            &host,
            ranks,
            "semantics",
            &[],
            &format!("[0] 213 passed, 0 failed on {ranks} ranks"),
        )?;
    }
    Ok(())
}

#[test]
fn cg_finds_the_reference_value() -> Result<()> {
    let host = Host::new()?;
    for class in ["S", "W"] {
        for ranks in [1, 2, 4, 8] {
            succeeds(&host, ranks, "cg", &["--class", class], "VERIFICATION SUCCESSFUL")?;
        }
    }
    succeeds(&host, 4, "cg", &["--class", "A"], "VERIFICATION SUCCESSFUL")
}

#[test]
fn cg_refuses_what_it_cannot_divide() -> Result<()> {
    let ended = Host::new()?.run(3, "cg", &["--class", "S"])?;
    ensure!(ended.status != 0, "{ended:#?}");
    ensure!(ended.stdout.contains("power of two"), "{ended:#?}");
    Ok(())
}

#[test]
fn randomaccess_loses_no_update() -> Result<()> {
    let host = Host::new()?;
    for ranks in 1..=5 {
        succeeds(
            &host,
            ranks,
            "randomaccess",
            &["--log2-table", "10"],
            "errors      0 in 1024 words",
        )?;
    }
    Ok(())
}

#[test]
fn arguments_arrive_as_they_were_given() -> Result<()> {
    let arguments = ["", " ", "tab\there", "new\nline", "\u{1}\u{1f}\u{7f}", "\"'\\", "größer ✓"];
    let ended = Host::new()?.run(1, "arguments", &arguments)?;
    ensure!(ended.status == 0, "{ended:#?}");
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected: String =
        arguments.iter().map(|text| format!("[0] argument {}\n", hex(text))).collect();
    ensure!(ended.stdout == expected, "{ended:#?}");
    Ok(())
}

/// Or who saves and kills it could not tell by its answer whether it went on rightly.
#[test]
fn all_rounds_come_to_the_same_each_time() -> Result<()> {
    let host = Host::new()?;
    for kind in ["registers", "locks", "barriers", "accumulates", "messages"] {
        for ranks in [1, 2, 3, 5] {
            let sums = || -> Result<Vec<String>> {
                let ended = host.run(ranks, "rounds", &[kind, "20"])?;
                ensure!(ended.status == 0, "{kind} on {ranks} ranks: {ended:#?}");
                let ends = ended.stdout.lines().filter(|line| line.contains("20 rounds come to"));
                let mut sums: Vec<String> = ends.map(str::to_owned).collect();
                sums.sort_unstable();
                Ok(sums)
            };
            let (first, second) = (sums()?, sums()?);
            ensure!(first.len() == ranks, "{kind} on {ranks} ranks: {first:#?}");
            ensure!(first == second, "{kind} on {ranks} ranks: {first:#?}, then {second:#?}");
        }
    }
    Ok(())
}

#[test]
fn sixteen_ranks_of_hello() -> Result<()> {
    let ended = Host::new()?.run(16, "hello", &[])?;
    ensure!(ended.status == 0, "{ended:#?}");
    for rank in 0..16 {
        ensure!(
            ended.stdout.contains(&format!("[{rank}] hello from {rank} of 16\n")),
            "{ended:#?}"
        );
    }
    Ok(())
}
