//! What is wrong: arrows that do not point down, circles, and rooms that the picture lacks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::DOCUMENT;
use super::imports::Arrow;
use super::rules::Picture;
use super::tree::{File, Tree};

/// All that is wrong with a crate.
pub fn faults(tree: &Tree, picture: &Picture, arrows: &[Arrow]) -> Vec<String> {
    let mut faults = rooms(tree, picture);
    faults.extend(arrows.iter().filter_map(|arrow| upward(tree, picture, arrow)));
    faults.extend(circles(tree, arrows));
    faults
}

/// Rooms that are only in the picture, or only in the crate.
fn rooms(tree: &Tree, picture: &Picture) -> Vec<String> {
    let mut real: BTreeMap<&str, &str> = BTreeMap::new();
    for (file, path) in tree.files.iter().enumerate() {
        if let Some(room) = tree.room(file) {
            real.entry(room).or_insert(path);
        }
    }
    let place = format!("{DOCUMENT}:{}", picture.line);
    let drawn: BTreeSet<&str> = picture.rooms().collect();
    let missing = real.iter().filter(|(room, _)| !drawn.contains(*room));
    let missing =
        missing.map(|(room, path)| format!("{path}: room {room} is not in the picture at {place}"));
    let imagined = drawn.iter().filter(|room| !real.contains_key(*room));
    let imagined = imagined
        .map(|room| format!("{place}: room {room} is in the picture but not in {}", tree.source));
    missing.chain(imagined).collect()
}

/// What is wrong with an arrow, if anything is.
fn upward(tree: &Tree, picture: &Picture, arrow: &Arrow) -> Option<String> {
    let from = tree.room(arrow.from)?;
    let place = format!("{}:{}", tree.files[arrow.from], arrow.line);
    let (name, defined) = (&arrow.name, &tree.files[arrow.to]);
    // A room that is not in the picture has been told of.
    let floor = picture.floor(from)?;
    let Some(to) = tree.room(arrow.to) else {
        return Some(format!(
            "{place}: room {from} (floor {floor}) imports {defined}, which is above all rooms: \
             {name}"
        ));
    };
    let other = picture.floor(to)?;
    if from == to || other < floor {
        return None;
    }
    let way = if other > floor { "above" } else { "beside" };
    Some(format!(
        "{place}: room {from} (floor {floor}) imports room {to} (floor {other}), which is {way}: \
         {name} of {defined}"
    ))
}

/// The shortest circle in each knot of files that all reach each other.
fn circles(tree: &Tree, arrows: &[Arrow]) -> Vec<String> {
    let mut out: BTreeMap<File, Vec<&Arrow>> = BTreeMap::new();
    for arrow in arrows {
        out.entry(arrow.from).or_default().push(arrow);
    }
    let mut told: BTreeSet<File> = BTreeSet::new();
    let mut circles = Vec::new();
    let mut files: Vec<File> = out.keys().copied().collect();
    files.sort_by_key(|file| &tree.files[*file]);
    for &file in &files {
        if told.contains(&file) || way(&out, file, file).is_none() {
            continue;
        }
        let reach = |from, to| way(&out, from, to).is_some();
        let others = files.iter().copied();
        let knot: Vec<File> =
            others.filter(|&other| reach(file, other) && reach(other, file)).collect();
        told.extend(&knot);
        let shortest = knot.iter().filter_map(|&file| way(&out, file, file)).min_by_key(Vec::len);
        circles.extend(shortest.map(|circle| describe(tree, &circle, &knot)));
    }
    circles
}

/// The shortest way from a file to another, or round to itself.
fn way<'a>(out: &BTreeMap<File, Vec<&'a Arrow>>, from: File, to: File) -> Option<Vec<&'a Arrow>> {
    let mut before: BTreeMap<File, &Arrow> = BTreeMap::new();
    let mut waiting = VecDeque::from([from]);
    while let Some(file) = waiting.pop_front() {
        for arrow in out.get(&file).into_iter().flatten() {
            if before.contains_key(&arrow.to) {
                continue;
            }
            before.insert(arrow.to, arrow);
            waiting.push_back(arrow.to);
        }
    }
    let mut way = vec![*before.get(&to)?];
    while let Some(arrow) = way.last().filter(|arrow| arrow.from != from) {
        way.push(*before.get(&arrow.from)?);
    }
    way.reverse();
    Some(way)
}

fn describe(tree: &Tree, circle: &[&Arrow], knot: &[File]) -> String {
    let mut text = format!("{} files import each other in a circle:", circle.len());
    for arrow in circle {
        let (from, to) = (&tree.files[arrow.from], &tree.files[arrow.to]);
        text += &format!("\n    {from}:{} imports {to}: {}", arrow.line, arrow.name);
    }
    let others: Vec<&str> = knot
        .iter()
        .filter(|file| !circle.iter().any(|arrow| arrow.from == **file))
        .map(|file| tree.files[*file].as_str())
        .collect();
    if !others.is_empty() {
        text += &format!(
            "\n    and in longer circles with them {} more: {}",
            others.len(),
            others.join(", ")
        );
    }
    text
}
