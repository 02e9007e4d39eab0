//! `pgas images` and `pgas verify`, as a user calls them, without a daemon.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use dom0_proxy::images::{
    Console, Description, ImageStore, Layout, Line, Options, PAGE, RankDescription, RankState,
};

/// Saves a line of two ranks with 70 pages each, of which all but one are equal.
fn save(directory: &Path, number: u64) {
    let store = ImageStore::open_or_create(directory).unwrap();
    let mut saving = store
        .begin(Description {
            line: Line { incarnation: 0, number },
            created: 1_700_000_000,
            job: "ab12cd".into(),
            options: Options { size: 2, ..Options::default() },
            ..Description::default()
        })
        .unwrap();
    for rank in 0..2 {
        let mut memory: Vec<u8> =
            (0..70 * PAGE / 4).flat_map(|word| (word as u32).to_le_bytes()).collect();
        memory[0] = 1 + number as u8 * 2 + rank as u8;
        let description = RankDescription {
            rank,
            state: RankState::Running,
            window: memory.len() as u64,
            layout: Layout::default(),
            traffic: Vec::new(),
            console: Console::default(),
        };
        saving.rank(description, &mut memory.into(), &[]).unwrap();
    }
    saving.finish().unwrap().commit().unwrap();
}

fn pgas(arguments: &[&str], directory: &Path) -> Output {
    // No daemon is to be found, and none is to be needed.
    let run_dir = directory.join("none");
    Command::new(env!("CARGO_BIN_EXE_pgas"))
        .args(arguments)
        .arg(directory)
        .env("XENOLITH_RUN_DIR", &run_dir)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn images_are_listed_and_verified() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("images of ab12cd");
    save(&directory, 1);
    save(&directory, 2);

    let output = pgas(&["images"], &directory);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].contains("2023-11-14T22:13:20Z") && lines[1].ends_with("good"), "{lines:?}");

    let output = pgas(&["verify"], &directory);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).starts_with("2 of 2 images are good"), "{output:?}");
    assert_eq!(text(&output.stderr), "", "nobody looks, so there is no progress bar");

    // A bit flips in what only the second image needs.
    let pack = directory.join("2.pack");
    let mut bytes = fs::read(&pack).unwrap();
    bytes[100] ^= 1;
    fs::write(&pack, &bytes).unwrap();
    let output = pgas(&["verify"], &directory);
    assert_eq!(output.status.code(), Some(126), "{output:?}");
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines[0], "2.pack: block 0: its hash is wrong; image 0-2 is hit: rank 0, rank 1");
    assert!(lines[1].starts_with("1 of 2 images are good"), "{lines:?}");

    fs::write(directory.join("0-2.image"), b"").unwrap();
    let output = pgas(&["images", "--json"], &directory);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed[0]["summary"]["job"], "ab12cd");
    assert_eq!(listed[0]["damage"], serde_json::Value::Null);
    assert!(listed[1]["damage"].as_str().unwrap().contains("cut short"), "{listed}");
}

#[test]
fn a_directory_that_is_none_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let cases = [(directory.path().to_owned(), 127), (directory.path().join("missing"), 127)];
    for ((path, status), command) in cases.iter().zip(["images", "verify"]) {
        let output = pgas(&[command], path);
        assert_eq!(output.status.code(), Some(*status), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with("pgas: ") && said.lines().count() == 1, "{said}");
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
}
