//! `pgas logs` of jobs that have gone back to recovery lines.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use dom0_proxy::run_dir::{JobOrigin, RestoredLine};

/// Three runs: the second goes on at a line of the first, has an accident before it is saved, and
/// the third goes on at the same line.
fn three_runs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let restored =
        RestoredLine { line: "0-3".into(), job: "aaaaaa".into(), directory: "/images".into() };
    let restored = |after: Option<&str>| JobOrigin {
        after: after.map(String::from),
        restored: Some(restored.clone()),
        begins: vec![8, 4],
    };
    for (job, origin, texts) in [
        ("aaaaaa", None, ["one\ntwo\nthree\nfou", "eins\nzwei\n"]),
        ("bbbbbb", Some(restored(None)), ["three\nf", ""]),
        ("cccccc", Some(restored(Some("bbbbbb"))), ["three\nfour\n", "\nzwei\n"]),
    ] {
        let logs = dir.path().join("log").join(job);
        fs::create_dir_all(&logs).unwrap();
        for (rank, text) in texts.iter().enumerate() {
            fs::write(logs.join(format!("rank-{rank}.log")), text).unwrap();
        }
        if let Some(origin) = origin {
            origin.keep(&logs).unwrap();
        }
    }
    dir
}

fn logs(dir: &Path, arguments: &[&str]) -> Output {
    let mut pgas = Command::new(env!("CARGO_BIN_EXE_pgas"));
    pgas.arg("logs").args(arguments).env("XENOLITH_RUN_DIR", dir).output().unwrap()
}

fn shown(dir: &Path, arguments: &[&str]) -> String {
    let output = logs(dir, arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_restored_job_says_where_it_comes_from() {
    let dir = three_runs();
    assert_eq!(
        shown(dir.path(), &["bbbbbb"]),
        "-- job bbbbbb: restored from line 0-3 of job aaaaaa --\n[0] three\n[0] f\n"
    );
    // Bytes, as they were written.
    assert_eq!(shown(dir.path(), &["bbbbbb", "--rank", "0"]), "three\nf");
    assert_eq!(shown(dir.path(), &["aaaaaa", "--rank", "1"]), "eins\nzwei\n");
    assert!(shown(dir.path(), &["aaaaaa"]).starts_with("[0] one\n"));
}

#[test]
fn all_runs_are_shown_and_what_was_undone_is_marked() {
    let dir = three_runs();
    assert_eq!(
        shown(dir.path(), &["cccccc", "--all-runs"]),
        "-- job aaaaaa --\n\
         [0] one\n[0] two\n[0 undone] three\n[0 undone] fou\n\
         [1] eins\n[1 undone] zwei\n\
         -- job bbbbbb: restored from line 0-3 of job aaaaaa --\n\
         [0 undone] three\n[0 undone] f\n\
         -- job cccccc: restored from line 0-3 of job aaaaaa, after the accident of job bbbbbb --\n\
         [0] three\n[0] four\n[1] \n[1] zwei\n"
    );
    let json = shown(dir.path(), &["cccccc", "--all-runs", "--json", "--rank", "1"]);
    let lines: Vec<&str> = json.lines().collect();
    assert!(lines[0].contains(r#""run":{"#) && lines[0].contains("aaaaaa"), "{json}");
    assert_eq!(lines[2], r#"{"rank":1,"stream":"output","text":"zwei","undone":true}"#);
    let found = shown(dir.path(), &["aaaaaa", "--all-runs"]);
    assert!(found.starts_with("-- job aaaaaa --\n[0] one\n") && !found.contains("undone"));
}

#[test]
fn logs_that_are_gone_are_said_to_be() {
    let dir = three_runs();
    fs::remove_dir_all(dir.path().join("log/bbbbbb")).unwrap();
    let found = shown(dir.path(), &["cccccc", "--all-runs"]);
    let gone = "-- job bbbbbb: its logs are not here any more --\n-- job cccccc: restored";
    assert!(found.contains(gone), "{found}");
    // Of what was before, the later run knows.
    assert!(found.starts_with("-- job aaaaaa --\n[0] one\n"), "{found}");
    let output = logs(dir.path(), &["bbbbbb", "--all-runs"]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
}

#[test]
fn runs_that_go_on_with_each_other_end_somewhere() {
    let dir = three_runs();
    let origin = JobOrigin { after: Some("cccccc".into()), ..JobOrigin::default() };
    origin.keep(&dir.path().join("log/aaaaaa")).unwrap();
    let found = shown(dir.path(), &["cccccc", "--all-runs"]);
    assert!(
        found.starts_with("-- job aaaaaa: begun again after the accident of job cccccc --\n"),
        "{found}"
    );
    // Nor is any other name than a job's looked for.
    let dir = three_runs();
    let origin = JobOrigin { after: Some("../x".into()), ..JobOrigin::default() };
    origin.keep(&dir.path().join("log/aaaaaa")).unwrap();
    fs::create_dir_all(dir.path().join("x")).unwrap();
    let found = shown(dir.path(), &["aaaaaa", "--all-runs"]);
    assert!(found.starts_with("-- job ../x: its logs are not here any more --\n"), "{found}");
}
