//! The rules, tried on small made-up crates.

use std::fs;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::faults;

/// What is wrong with a crate of these files, whose picture has these floors.
fn tried(floors: &str, files: &[(&str, &str)]) -> Result<Vec<String>> {
    let repository = TempDir::with_prefix("layers-")?;
    let picture = format!("# House\n\n```layers house/src\n{floors}\n```\n");
    let document = repository.path().join("docs/architecture.md");
    fs::create_dir_all(document.parent().context("no folder")?)?;
    fs::write(document, picture)?;
    for (name, text) in files {
        let path = repository.path().join("house/src").join(name);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(path, text)?;
    }
    faults(repository.path(), "house/src")
}

const LIB: (&str, &str) = ("lib.rs", "mod roof;\nmod left;\nmod right;\nmod ground;\n");
const FLOORS: &str = "roof\nleft  right\nground";

#[test]
fn arrows_down_are_right() -> Result<()> {
    let found = tried(
        FLOORS,
        &[
            LIB,
            ("roof.rs", "use crate::left::Left;\nuse crate::right;\nfn f() { right::f(); }\n"),
            ("left.rs", "pub use crate::ground::Ground as Left;\n"),
            ("right.rs", "pub fn f() -> crate::ground::Ground { loop {} }\n"),
            ("ground.rs", "use std::fmt;\npub struct Ground;\n"),
        ],
    )?;
    assert_eq!(found, Vec::<String>::new());
    Ok(())
}

#[test]
fn an_arrow_turned_round_is_told_with_file_and_line() -> Result<()> {
    let found = tried(
        FLOORS,
        &[
            LIB,
            ("roof.rs", "pub struct Roof;\n"),
            ("left.rs", "use std::fmt;\n\nuse crate::{ground, roof::Roof};\n"),
            ("right.rs", "fn f() {\n    let x = super::left::f();\n}\n"),
            ("ground.rs", ""),
        ],
    )?;
    assert_eq!(
        found,
        [
            "house/src/left.rs:3: room left (floor 2) imports room roof (floor 3), which is above: \
             crate::roof::Roof of house/src/roof.rs",
            "house/src/right.rs:2: room right (floor 2) imports room left (floor 2), which is \
             beside: super::left::f of house/src/left.rs",
        ]
    );
    Ok(())
}

#[test]
fn arrows_are_seen_wherever_a_path_may_stand() -> Result<()> {
    let up = |code: &str| -> Result<Vec<String>> {
        let files = [
            ("lib.rs", "mod roof;\nmod ground;\n"),
            ("roof.rs", "pub struct Roof;\npub trait Up {}\npub fn f() {}\n"),
            ("ground.rs", code),
        ];
        tried("roof\nground", &files)
    };
    for code in [
        "struct S {\n    a: crate::roof::Roof,\n}",
        "impl crate::roof::Up for () {}",
        "fn g() { use super::roof::f; }",
        "fn g(x: u8) { match x { crate::roof::A => {} _ => {} } }",
        "fn g<T: super::roof::Up>() {}",
        "fn g() { println!(\"{:?}\", crate::roof::Roof); }",
        "macro_rules! m { () => { $crate::roof::f() }; }",
        "mod inner { fn g() { super::super::roof::f(); } }",
        "use crate::roof as other;",
        "use crate::roof::*;",
    ] {
        let found = up(code)?;
        let [fault] = found.as_slice() else { anyhow::bail!("{code}: {found:?}") };
        assert!(fault.contains("room ground (floor 1) imports room roof (floor 2)"), "{fault}");
    }
    for code in [
        "#[doc = \"crate::roof::Roof\"] struct S;",
        "//! [`Roof`](crate::roof::Roof)\n",
        "mod inner { pub(in crate::ground) fn f() {} pub(super) fn g() {} }",
        "macro_rules! m { () => { pub(crate) fn f() {} }; }",
        "fn g() { let roof = 1; println!(\"crate::roof {}\", roof.f); }",
        "use ::roof::f;",
        "fn g() { ::roof::f(); }",
    ] {
        assert_eq!(up(code)?, Vec::<String>::new(), "{code}");
    }
    Ok(())
}

#[test]
fn a_circle_of_three_files_is_printed() -> Result<()> {
    let found = tried(
        "room",
        &[
            ("lib.rs", "mod room;\n"),
            ("room/mod.rs", "mod a;\nmod b;\nmod c;\nmod d;\n"),
            ("room/a.rs", "use super::b::B;\npub struct A(B);\n"),
            ("room/b.rs", "pub struct B;\nfn f() { super::c::f(); }\n"),
            ("room/c.rs", "\n\nuse crate::room::a;\npub fn f() {}\n"),
            ("room/d.rs", "use super::a::A;\n"),
        ],
    )?;
    assert_eq!(
        found,
        ["3 files import each other in a circle:
    house/src/room/a.rs:1 imports house/src/room/b.rs: super::b::B
    house/src/room/b.rs:2 imports house/src/room/c.rs: super::c::f
    house/src/room/c.rs:3 imports house/src/room/a.rs: crate::room::a"]
    );
    Ok(())
}

#[test]
fn the_shortest_circle_stands_for_a_knot() -> Result<()> {
    let found = tried(
        "a b c",
        &[
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "use crate::b::B;\npub struct A;\n"),
            ("b.rs", "use crate::{a::A, c::C};\npub struct B;\n"),
            ("c.rs", "use crate::a::A;\npub struct C;\n"),
        ],
    )?;
    let circle = found.last().context("nothing found")?;
    assert!(circle.starts_with("2 files import each other"), "{circle}");
    assert!(circle.ends_with("in longer circles with them 1 more: house/src/c.rs"), "{circle}");
    Ok(())
}

#[test]
fn a_facade_is_looked_through() -> Result<()> {
    // `inner` shows what `thing` defines, so whoever imports it imports `thing`; and `room` shows
    // what is in it without importing it, so `thing` may use what `room` itself defines.
    let files = [
        ("lib.rs", "mod high;\nmod room;\nmod low;\npub use room::Thing;\n"),
        ("high.rs", "pub struct High;\n"),
        ("room/mod.rs", "mod inner;\npub use inner::Thing;\npub struct Own;\n"),
        ("room/inner/mod.rs", "mod thing;\npub(crate) use thing::*;\n"),
        ("room/inner/thing.rs", "use crate::room::Own;\npub struct Thing;\n"),
        ("low.rs", "use crate::Thing;\n"),
    ];
    let found = tried("high\nroom\nlow", &files)?;
    assert_eq!(
        found,
        ["house/src/low.rs:1: room low (floor 1) imports room room (floor 2), which is above: \
          crate::Thing of house/src/room/inner/thing.rs"]
    );

    // One that uses what it shows does import it.
    let mut files = files;
    files[2].1 = "mod inner;\npub use inner::Thing;\npub struct Own;\nfn f(_: Thing) {}\n";
    files[5].1 = "";
    let found = tried("high\nroom\nlow", &files)?;
    let [circle] = found.as_slice() else { anyhow::bail!("{found:?}") };
    assert!(circle.contains("room/mod.rs:4 imports house/src/room/inner/thing.rs: Thing"));

    // What a facade shows of other rooms it does import.
    files[2].1 = "mod inner;\npub use inner::Thing;\npub use crate::high::High;\npub struct Own;\n";
    let found = tried("high\nroom\nlow", &files)?;
    let [fault] = found.as_slice() else { anyhow::bail!("{found:?}") };
    assert!(fault.starts_with("house/src/room/mod.rs:3: room room (floor 2) imports room high"));
    Ok(())
}

#[test]
fn what_no_file_is_seen_to_define_belongs_to_the_module() -> Result<()> {
    let found = tried(
        "roof\nground",
        &[
            ("lib.rs", "mod roof;\nmod ground;\n"),
            ("roof.rs", "make!(pub struct Made);\n"),
            ("ground.rs", "use crate::roof::Made;\n"),
        ],
    )?;
    let [fault] = found.as_slice() else { anyhow::bail!("{found:?}") };
    assert!(fault.ends_with("crate::roof::Made of house/src/roof.rs"), "{fault}");
    Ok(())
}

#[test]
fn nothing_imports_the_root() -> Result<()> {
    let found = tried(
        "macros\nroom",
        &[
            ("lib.rs", "#[macro_use]\nmod macros;\nmod room;\npub fn f() {}\n"),
            ("macros.rs", "#[macro_export]\nmacro_rules! say { () => {}; }\n"),
            ("room.rs", "fn g() {\n    crate::f();\n    say!();\n}\n"),
        ],
    )?;
    assert_eq!(
        found,
        [
            "house/src/room.rs:2: room room (floor 1) imports house/src/lib.rs, which is above all \
             rooms: crate::f",
            "house/src/room.rs:3: room room (floor 1) imports room macros (floor 2), which is \
             above: say of house/src/macros.rs",
        ]
    );
    Ok(())
}

#[test]
fn code_for_tests_may_import_anything() -> Result<()> {
    let found = tried(
        "roof\nground",
        &[
            ("lib.rs", "mod roof;\nmod ground;\n#[cfg(test)]\nmod tests;\n"),
            ("roof.rs", "pub fn f() {}\n"),
            (
                "ground.rs",
                "#[cfg(test)]\nmod tests { use crate::roof::f; }\n\
                 #[cfg(all(test, feature = \"x\"))]\nuse crate::roof::f;\n\
                 #[test]\nfn g() { crate::roof::f(); }\n\
                 struct S;\nimpl S {\n    #[cfg(test)]\n    fn g() { crate::roof::f(); }\n}\n",
            ),
        ],
    )?;
    assert_eq!(found, Vec::<String>::new());
    Ok(())
}

#[test]
fn programs_stand_above_all_rooms_but_not_above_circles() -> Result<()> {
    let found = tried(
        "room",
        &[
            ("lib.rs", "pub mod room;\n"),
            ("room.rs", ""),
            ("bin/one.rs", "use house::room;\nfn main() {}\n"),
            ("bin/two/main.rs", "mod part;\npub struct Options;\nfn main() { part::run(); }\n"),
            ("bin/two/part.rs", "use crate::Options;\npub fn run() {}\n"),
        ],
    )?;
    let [circle] = found.as_slice() else { anyhow::bail!("{found:?}") };
    assert!(circle.contains("bin/two/part.rs:1 imports house/src/bin/two/main.rs"), "{circle}");
    Ok(())
}

#[test]
fn the_picture_shows_the_rooms_that_there_are() -> Result<()> {
    let found = tried(
        "cellar\nroom",
        &[("lib.rs", "mod room;\nmod attic;\n"), ("room.rs", ""), ("attic/mod.rs", "")],
    )?;
    assert_eq!(
        found,
        [
            "house/src/attic/mod.rs: room attic is not in the picture at docs/architecture.md:3",
            "docs/architecture.md:3: room cellar is in the picture but not in house/src",
        ]
    );
    Ok(())
}
