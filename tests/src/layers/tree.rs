//! The modules of a crate: what each defines, and which names its code uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, Stmt, TraitItem, UseTree};

use super::cfg::only_for_tests;

/// A file, by its place in [`Tree::files`].
pub type File = usize;

/// A module, by its place in [`Tree::modules`].
pub type ModuleId = usize;

/// The code of a crate and of its programs, without what is there for tests only.
#[derive(Debug, Default)]
pub struct Tree {
    /// The folder of the code, seen from the repository.
    pub source: String,
    /// The files, seen from the repository.
    pub files: Vec<String>,
    /// The modules.
    pub modules: Vec<Module>,
    /// `macro_rules` macros by name, with the files that define them and whether they are exported,
    /// that is, found at the crate's root.
    pub macros: BTreeMap<String, Vec<(File, bool)>>,
}

/// One module.
#[derive(Debug)]
pub struct Module {
    /// Where it is.
    pub file: File,
    /// The module that it is in; none for a root.
    pub parent: Option<ModuleId>,
    /// The module that `crate` means here.
    pub root: ModuleId,
    /// The modules in it.
    pub children: Vec<(String, ModuleId)>,
    /// The names that it defines.
    pub items: BTreeSet<String>,
    /// What its `use` declarations bring in.
    pub uses: Vec<Use>,
    /// The paths in its code.
    pub mentions: Vec<Mention>,
}

/// One name that a `use` declaration brings in.
#[derive(Debug)]
pub struct Use {
    /// The new name; `None` for all names that the path holds (`*`).
    pub name: Option<String>,
    /// The path.
    pub path: Vec<String>,
    /// Whether others may find the name here.
    pub public: bool,
    /// Its line.
    pub line: usize,
}

/// A path in code.
#[derive(Debug)]
pub struct Mention {
    /// The path.
    pub path: Vec<String>,
    /// What it is the name of, as far as can be seen.
    pub kind: Kind,
    /// Its line.
    pub line: usize,
}

/// What a path is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A function that is called, or a constructor.
    Call,
    /// A macro.
    Macro,
    /// A type, a constant, a variable ...
    Other,
}

impl Tree {
    /// Reads `source`, a folder of the repository: `lib.rs`, `main.rs`, the programs in `bin`, and
    /// their modules.
    pub fn read(repository: &Path, source: &str) -> Result<Self> {
        let folder = repository.join(source);
        let mut roots = vec![folder.join("lib.rs"), folder.join("main.rs")];
        if let Ok(entries) = fs::read_dir(folder.join("bin")) {
            for entry in entries {
                let path = entry.context("list programs")?.path();
                roots.push(if path.is_dir() { path.join("main.rs") } else { path });
            }
        }
        roots.retain(|root| root.exists());
        roots.sort();
        if roots.is_empty() {
            bail!("{source} has neither lib.rs nor main.rs");
        }
        let mut reader = Reader {
            repository,
            tree: Self { source: source.to_owned(), ..Self::default() },
            module: 0,
            folder: PathBuf::new(),
            waiting: Vec::new(),
        };
        for root in roots {
            let folder = root.parent().unwrap_or(&root).to_owned();
            reader.read_file(None, &root, folder)?;
            while let Some(declaration) = reader.waiting.pop() {
                let (path, folder) = declaration.find()?;
                reader.read_file(Some(declaration), &path, folder)?;
            }
        }
        Ok(reader.tree)
    }

    /// The room that a file is in; none for what stands above all floors.
    pub fn room(&self, file: File) -> Option<&str> {
        let path = self.files[file].strip_prefix(&self.source)?.trim_start_matches('/');
        let room = path.split('/').next()?;
        match room.strip_suffix(".rs").unwrap_or(room) {
            "lib" | "main" | "bin" => None,
            room => Some(room),
        }
    }

    /// Whether all modules of `file` are in `module`, and none of them is `module` itself.
    pub fn is_below(&self, file: File, module: ModuleId) -> bool {
        let first = self.modules.iter().find(|other| other.file == file);
        let mut parent = first.and_then(|first| first.parent);
        while let Some(id) = parent {
            if id == module {
                return true;
            }
            parent = self.modules[id].parent;
        }
        false
    }
}

/// A `mod` declaration of a module in a file of its own.
struct Declaration {
    parent: ModuleId,
    name: String,
    /// Where the parent's modules are.
    folder: PathBuf,
    /// What a `path` attribute says.
    path: Option<PathBuf>,
    /// The place of the declaration.
    place: String,
}

impl Declaration {
    /// The module's file, and the folder of the modules in it.
    fn find(&self) -> Result<(PathBuf, PathBuf)> {
        if let Some(path) = &self.path {
            return Ok((path.clone(), path.parent().unwrap_or(path).to_owned()));
        }
        let folder = self.folder.join(&self.name);
        let candidates = [folder.with_extension("rs"), folder.join("mod.rs")];
        let Some(path) = candidates.into_iter().find(|path| path.exists()) else {
            bail!("{}: no file of module {}", self.place, self.name);
        };
        Ok((path, folder))
    }
}

struct Reader<'a> {
    repository: &'a Path,
    tree: Tree,
    /// The module that is being read.
    module: ModuleId,
    /// Where its modules are.
    folder: PathBuf,
    /// Modules whose files are still to be read.
    waiting: Vec<Declaration>,
}

impl Reader<'_> {
    fn read_file(
        &mut self,
        declaration: Option<Declaration>,
        path: &Path,
        folder: PathBuf,
    ) -> Result<()> {
        let name = path.strip_prefix(self.repository).unwrap_or(path).display().to_string();
        let text = fs::read_to_string(path).with_context(|| format!("read {name}"))?;
        let code = syn::parse_file(&text)
            .map_err(|error| anyhow::anyhow!("{name}:{}: {error}", error.span().start().line))?;
        self.tree.files.push(name);
        let file = self.tree.files.len() - 1;
        self.module = match declaration {
            Some(declaration) => self.add(Some(declaration.parent), &declaration.name, file),
            None => self.add(None, "", file),
        };
        self.folder = folder;
        self.visit_file(&code);
        Ok(())
    }

    fn add(&mut self, parent: Option<ModuleId>, name: &str, file: File) -> ModuleId {
        let id = self.tree.modules.len();
        let root = parent.map_or(id, |parent| self.tree.modules[parent].root);
        self.tree.modules.push(Module {
            file,
            parent,
            root,
            children: Vec::new(),
            items: BTreeSet::new(),
            uses: Vec::new(),
            mentions: Vec::new(),
        });
        if let Some(parent) = parent {
            self.tree.modules[parent].children.push((name.to_owned(), id));
        }
        id
    }

    fn here(&mut self) -> &mut Module {
        &mut self.tree.modules[self.module]
    }

    fn declare(&mut self, module: &syn::ItemMod) {
        let name = module.ident.to_string();
        let file = self.here().file;
        if let Some((_, items)) = &module.content {
            let (outer, folder) = (self.module, self.folder.clone());
            self.folder.push(&name);
            self.module = self.add(Some(outer), &name, file);
            items.iter().for_each(|item| self.visit_item(item));
            (self.module, self.folder) = (outer, folder);
            return;
        }
        let place = format!("{}:{}", self.tree.files[file], line(module.ident.span()));
        // A path is seen from the folder of the file that has it.
        let beside = self.repository.join(&self.tree.files[file]).with_file_name("");
        self.waiting.push(Declaration {
            parent: self.module,
            path: path_attribute(&module.attrs).map(|path| beside.join(path)),
            name,
            folder: self.folder.clone(),
            place,
        });
    }

    fn use_tree(&mut self, tree: &UseTree, path: &mut Vec<String>, public: bool) {
        let (name, last, span) = match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.use_tree(&part.tree, path, public);
                path.pop();
                return;
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.use_tree(tree, path, public));
                return;
            }
            UseTree::Glob(glob) => (None, None, glob.span()),
            UseTree::Name(name) => (Some(&name.ident), Some(&name.ident), name.ident.span()),
            UseTree::Rename(name) => (Some(&name.rename), Some(&name.ident), name.ident.span()),
        };
        let mut path = path.clone();
        path.extend(last.map(ToString::to_string));
        let mut name = name.map(ToString::to_string);
        // `a::{self}` is `a`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
            if name.as_deref() == Some("self") {
                name = path.last().cloned();
            }
        }
        let line = line(span);
        self.here().uses.push(Use { name, path, public, line });
    }

    fn mention(&mut self, path: Vec<String>, kind: Kind, line: usize) {
        self.here().mentions.push(Mention { path, kind, line });
    }

    /// Notes the paths in what a macro gets or becomes.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |index: usize, sign: char| {
            matches!(
                tokens.get(index), Some(TokenTree::Punct(punct)) if punct.as_char() == sign
            )
        };
        let mut index = 0;
        while let Some(token) = tokens.get(index) {
            let before = index.checked_sub(1);
            match token {
                TokenTree::Group(group) => {
                    // What is in `pub(...)` is no use of it.
                    let limits = group.delimiter() == Delimiter::Parenthesis
                        && matches!(before.map(|before| &tokens[before]),
                            Some(TokenTree::Ident(word)) if word == "pub");
                    if !limits {
                        self.tokens(group.stream());
                    }
                }
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while let (true, true, Some(TokenTree::Ident(next))) =
                        (is(index + 1, ':'), is(index + 2, ':'), tokens.get(index + 3))
                    {
                        path.push(next.to_string());
                        index += 3;
                    }
                    // `.field`, `path::<T>::more`, `$variable`, but not `$crate`.
                    let is_part = before.is_some_and(|before| {
                        is(before, '.')
                            || is(before, ':') && before > 0 && is(before - 1, ':')
                            || is(before, '$') && path[0] != "crate"
                    });
                    let kind = match tokens.get(index + 1) {
                        Some(TokenTree::Group(group))
                            if group.delimiter() == Delimiter::Parenthesis =>
                        {
                            Kind::Call
                        }
                        _ if is(index + 1, '!') && !is(index + 2, '=') => Kind::Macro,
                        _ => Kind::Other,
                    };
                    if !is_part {
                        self.mention(path, kind, line(first.span()));
                    }
                }
                _ => {}
            }
            index += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if only_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Mod(module) => return self.declare(module),
            Item::Use(item) if item.leading_colon.is_none() => {
                let public = !matches!(item.vis, syn::Visibility::Inherited);
                return self.use_tree(&item.tree, &mut Vec::new(), public);
            }
            Item::Use(_) | Item::ExternCrate(_) => return,
            Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    let exported = item.attrs.iter().any(|a| a.path().is_ident("macro_export"));
                    let file = self.here().file;
                    let macros = self.tree.macros.entry(name.to_string()).or_default();
                    macros.push((file, exported));
                    self.here().items.insert(name.to_string());
                    return self.tokens(item.mac.tokens.clone());
                }
            }
            Item::ForeignMod(foreign) => {
                for item in &foreign.items {
                    if let syn::ForeignItem::Fn(function) = item {
                        self.here().items.insert(function.sig.ident.to_string());
                    }
                }
            }
            _ => {}
        }
        if let Some(name) = name(item) {
            self.here().items.insert(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        if !only_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes: &[Attribute] = match item {
            TraitItem::Const(item) => &item.attrs,
            TraitItem::Fn(item) => &item.attrs,
            TraitItem::Type(item) => &item.attrs,
            TraitItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        if !only_for_tests(attributes) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let attributes: &[Attribute] = match statement {
            Stmt::Local(local) => &local.attrs,
            Stmt::Macro(statement) => &statement.attrs,
            Stmt::Expr(Expr::Block(block), _) => &block.attrs,
            _ => &[],
        };
        if !only_for_tests(attributes) {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !only_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !only_for_tests(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !only_for_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !only_for_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        match &*call.func {
            Expr::Path(path) if path.path.leading_colon.is_none() => {
                self.mention(segments(&path.path), Kind::Call, line(path.span()));
                visit::visit_expr_path(self, path);
            }
            function => self.visit_expr(function),
        }
        call.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.mention(segments(&invocation.path), Kind::Macro, line(invocation.path.span()));
        self.tokens(invocation.tokens.clone());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.mention(segments(path), Kind::Other, line(path.span()));
        }
        visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn line(span: Span) -> usize {
    span.start().line
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let named = attribute.meta.require_name_value().ok()?;
        match &named.value {
            Expr::Lit(literal) if named.path.is_ident("path") => match &literal.lit {
                syn::Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        }
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name(item: &Item) -> Option<&proc_macro2::Ident> {
    Some(match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    })
}
