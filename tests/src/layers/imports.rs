//! From the names that code uses to the files that define them.

use std::collections::BTreeMap;

use super::tree::{File, Kind, Mention, ModuleId, Tree};

/// One file uses what another defines.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The file that uses it.
    pub from: File,
    /// The first line that does.
    pub line: usize,
    /// The file that defines it.
    pub to: File,
    /// The name, as it stands in that line.
    pub name: String,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Module(ModuleId),
    /// Something defined in a file.
    Item(File),
    /// Something of another crate, or a local variable.
    Elsewhere,
}

/// The arrows between the files of a crate, one for each pair of files, in the order of files and
/// lines.
///
/// A facade, a module that shows what the modules in it define (`pub use inner::Item`), is looked
/// through: whoever imports `facade::Item` imports the file of `inner`, and the facade itself
/// imports nothing. A name that is not found, such as one that a macro defines, counts as defined
/// by the module where it was sought.
pub fn arrows(tree: &Tree) -> Vec<Arrow> {
    let mut first: BTreeMap<(File, File), (usize, String)> = BTreeMap::new();
    for (id, module) in tree.modules.iter().enumerate() {
        let mut add = |line: usize, path: &[String], to: File| {
            if to == module.file {
                return;
            }
            let entry = first.entry((module.file, to));
            let known = entry.or_insert_with(|| (line, path.join("::")));
            if line < known.0 {
                *known = (line, path.join("::"));
            }
        };
        for item in &module.uses {
            for target in walk(tree, id, &item.path, &mut Vec::new()) {
                let Some(file) = file(tree, target) else { continue };
                if !(item.public && tree.is_below(file, id)) {
                    add(item.line, &item.path, file);
                }
            }
        }
        for mention in &module.mentions {
            for file in mentioned(tree, id, mention) {
                add(mention.line, &mention.path, file);
            }
        }
    }
    let arrows = first.into_iter();
    let mut arrows: Vec<Arrow> =
        arrows.map(|((from, to), (line, name))| Arrow { from, line, to, name }).collect();
    arrows.sort_by_key(|arrow| (&tree.files[arrow.from], arrow.line));
    arrows
}

/// The files that define what a path in code means.
fn mentioned(tree: &Tree, module: ModuleId, mention: &Mention) -> Vec<File> {
    let targets = match mention.path.as_slice() {
        [word] if matches!(word.as_str(), "crate" | "self" | "super") => Vec::new(),
        [name] => shown(tree, module, name, mention.kind),
        path => walk(tree, module, path, &mut Vec::new()),
    };
    // Code uses what is in modules; a module of the same name is not meant.
    let is_module = |target: &Target| matches!(target, Target::Module(_));
    let all_modules = targets.iter().all(is_module);
    let targets = targets.into_iter().filter(|target| all_modules || !is_module(target));
    targets.filter_map(|target| file(tree, target)).collect()
}

/// What a name without a path means, if a `use` declaration that was not counted brought it in: a
/// facade's, or one of all names of a module.
fn shown(tree: &Tree, id: ModuleId, name: &str, kind: Kind) -> Vec<Target> {
    let module = &tree.modules[id];
    // Others may be local variables.
    let is_type = name.starts_with(char::is_uppercase);
    if module.items.contains(name) || !(is_type || kind != Kind::Other) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for item in &module.uses {
        match &item.name {
            Some(other) if other == name => {
                found.extend(walk(tree, id, &item.path, &mut Vec::new()));
            }
            Some(_) => {}
            None => found.extend(within(tree, id, &item.path, name, &mut Vec::new())),
        }
    }
    // Macros are also known without an import.
    if found.is_empty() && kind == Kind::Macro {
        let macros = tree.macros.get(name).into_iter().flatten();
        found.extend(macros.map(|(file, _)| Target::Item(*file)));
    }
    found
}

/// Names whose meaning is being sought, so that none is sought for its own sake.
type Sought = Vec<(ModuleId, String)>;

/// What a path means in a module.
fn walk(tree: &Tree, module: ModuleId, path: &[String], sought: &mut Sought) -> Vec<Target> {
    let Some((first, rest)) = path.split_first() else { return vec![Target::Module(module)] };
    match first.as_str() {
        "crate" => inside(tree, tree.modules[module].root, rest, sought),
        "self" => inside(tree, module, rest, sought),
        "super" => match tree.modules[module].parent {
            Some(parent) => inside(tree, parent, rest, sought),
            None => vec![Target::Elsewhere],
        },
        _ if named(tree, module, first, sought).is_empty() => vec![Target::Elsewhere],
        _ => inside(tree, module, path, sought),
    }
}

/// What a path means that begins in a module of this crate.
fn inside(tree: &Tree, module: ModuleId, path: &[String], sought: &mut Sought) -> Vec<Target> {
    let Some((first, rest)) = path.split_first() else { return vec![Target::Module(module)] };
    if first == "super" {
        return walk(tree, module, path, sought);
    }
    let found = named(tree, module, first, sought);
    if found.is_empty() {
        return vec![Target::Item(tree.modules[module].file)];
    }
    if rest.is_empty() {
        return found;
    }
    // More of the path is in a module, if there is one of that name, or else belongs to an item, as
    // an enum's variant does.
    let is_item = |target: &Target| matches!(target, Target::Item(_));
    if found.iter().all(is_item) {
        return found;
    }
    let mut further = Vec::new();
    for target in found {
        match target {
            Target::Module(module) => further.extend(inside(tree, module, rest, sought)),
            Target::Item(_) => {}
            Target::Elsewhere => further.push(target),
        }
    }
    further
}

/// What a name means in a module.
fn named(tree: &Tree, id: ModuleId, name: &str, sought: &mut Sought) -> Vec<Target> {
    let here = (id, name.to_owned());
    if sought.contains(&here) {
        return Vec::new();
    }
    sought.push(here);
    let module = &tree.modules[id];
    let children = module.children.iter().filter(|(child, _)| child == name);
    let mut found: Vec<Target> = children.map(|(_, child)| Target::Module(*child)).collect();
    if module.items.contains(name) {
        found.push(Target::Item(module.file));
    }
    if module.parent.is_none() {
        let macros = tree.macros.get(name).into_iter().flatten();
        found.extend(macros.filter(|(_, exported)| *exported).map(|(file, _)| Target::Item(*file)));
    }
    for item in &module.uses {
        if item.name.as_deref() == Some(name) {
            found.extend(walk(tree, id, &item.path, sought));
        }
    }
    if found.is_empty() {
        for item in module.uses.iter().filter(|item| item.name.is_none()) {
            found.extend(within(tree, id, &item.path, name, sought));
        }
    }
    sought.pop();
    found
}

/// What a name means in the modules that a path means.
fn within(
    tree: &Tree,
    id: ModuleId,
    path: &[String],
    name: &str,
    sought: &mut Sought,
) -> Vec<Target> {
    let mut found = Vec::new();
    for target in walk(tree, id, path, sought) {
        if let Target::Module(module) = target {
            found.extend(named(tree, module, name, sought));
        }
    }
    found
}

fn file(tree: &Tree, target: Target) -> Option<File> {
    match target {
        Target::Module(module) => Some(tree.modules[module].file),
        Target::Item(file) => Some(file),
        Target::Elsewhere => None,
    }
}
