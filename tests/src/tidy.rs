//! What every source and document keeps to: a width, clean ends of lines, and plain words.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Characters in a line, at most.
const WIDTH: usize = 100;

/// Files that are looked at: sources and documents. Whatever else is there is data or generated.
const ENDINGS: [&str; 11] =
    ["rs", "md", "c", "h", "S", "ld", "sh", "bash", "toml", "service", "gitignore"];

/// Words that are not used, and what to write instead.
const WORDS: [(&str, &str); 4] = [
    ("can not", "it is one word, cannot"),
    ("for ever", "it is one word, forever"),
    ("so many", "name the number, or what is counted"),
    ("so much", "name the amount, or what is measured"),
];

/// Parts of names that say nothing about what has the name, and why.
const NAMES: [(&str, &str); 5] = [
    ("manager", "what does it do? name it so"),
    ("helper", "whom does it help, and with what? name that"),
    ("helpers", "whom do they help, and with what? name that"),
    ("util", "everything is useful; name the one thing that it is for"),
    ("utils", "everything is useful; name the one thing that it is for"),
];

/// The file that has to write what no other may.
const THIS_FILE: &str = "tests/src/tidy.rs";

/// A file that git tracks.
#[derive(Debug)]
pub struct File {
    /// Its path in the repository.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// All sources and documents of the repository.
pub fn files(repository: &Path) -> Result<Vec<File>> {
    let listed = Command::new("git").arg("ls-files").arg("-z").current_dir(repository).output();
    let listed = listed.context("run git ls-files")?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let paths = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
    let mut files = Vec::new();
    for path in paths.split_terminator('\0').filter(|path| has_ending(path)) {
        let place = repository.join(path);
        // It may have been removed, and git not told yet.
        if place.exists() {
            let text = fs::read_to_string(&place).with_context(|| format!("read {path}"))?;
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn has_ending(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}

/// Lines that are too long. A row of a table may be, since it cannot be broken, and so may a line
/// that is one address.
pub fn too_wide(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let width = line.chars().count();
        if width > WIDTH && !is_row(line) && !is_address(line) {
            found.push(format!("{}:{number}: {width} characters, {WIDTH} at most", file.path));
        }
    }
    found
}

/// A row of a table in Markdown, be it in the documentation of Rust code.
fn is_row(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("//!").or_else(|| line.strip_prefix("///")).unwrap_or(line);
    line.trim_start().starts_with('|')
}

fn is_address(line: &str) -> bool {
    let is_word = |word: &&str| word.contains(char::is_alphanumeric);
    let mut words = line.split_whitespace().filter(is_word);
    words.next().is_some_and(|word| word.contains("://")) && words.next().is_none()
}

/// White space where nobody sees it, and a last line without an end.
pub fn untidy_ends(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.text.split('\n')) {
        if line.ends_with(char::is_whitespace) {
            found.push(format!("{}:{number}: white space at the end of the line", file.path));
        }
    }
    let lines = file.text.lines().count();
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        found.push(format!("{}:{lines}: the last line does not end", file.path));
    } else if file.text.ends_with("\n\n") {
        found.push(format!("{}:{lines}: an empty line at the end", file.path));
    }
    found
}

/// Words and names that are not used.
pub fn unwanted_words(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    if file.path == THIS_FILE {
        return found;
    }
    for (part, instead) in NAMES {
        if parts(&file.path).any(|other| other == part) {
            found.push(format!("{}: a file named {part}: {instead}", file.path));
        }
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        let lower = line.to_lowercase().replace('_', " ");
        for (word, instead) in WORDS {
            if contains(&lower, word) {
                found.push(format!("{}:{number}: {word:?}: {instead}", file.path));
            }
        }
        for name in type_names(file, line) {
            for (part, instead) in NAMES {
                if parts(name).any(|other| other == part) {
                    found.push(format!("{}:{number}: {name}: {instead}", file.path));
                }
            }
        }
    }
    found
}

/// Whether a text has these words, and not only as a part of longer ones.
fn contains(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + words.len()..].chars().next();
        ![before, behind].into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// The types and modules that a line of Rust declares.
fn type_names<'a>(file: &File, line: &'a str) -> impl Iterator<Item = &'a str> {
    let is_rust = file.path.ends_with(".rs") && !line.trim_start().starts_with("//");
    let mut words = line.split_whitespace();
    let declared = std::iter::from_fn(move || {
        let kind = ["struct", "enum", "union", "trait", "type", "mod"];
        words.find(|word| kind.contains(word))?;
        words.next()
    });
    let name = |name: &'a str| name.split(|c: char| !c.is_alphanumeric() && c != '_').next();
    declared.filter_map(name).filter(move |_| is_rust)
}

/// The words that a name or path is made of, in small letters.
fn parts(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || letter.is_uppercase() && was_small {
            words.push(String::new());
        }
        was_small = letter.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_line_has_a_hundred_characters_at_most() {
        let long = "ä".repeat(101);
        assert_eq!(too_wide(&file("a.md", &"ä".repeat(100))), Vec::<String>::new());
        assert_eq!(
            too_wide(&file("a.md", &format!("\n{long}\n"))),
            ["a.md:2: 101 characters, 100 at most"]
        );
        assert_eq!(too_wide(&file("a.rs", &format!("// {long}"))).len(), 1);
        for exempt in ["| a | ", "    //! | a | ", "    /// | ", "- https://a/", "# <http://b/"] {
            let text = format!("{exempt}{}", long.replace(' ', ""));
            assert_eq!(too_wide(&file("a.md", &text)), Vec::<String>::new(), "{text}");
        }
        assert_eq!(too_wide(&file("a.md", &format!("see https://a/{long}"))).len(), 1);
    }

    #[test]
    fn lines_end_where_they_seem_to() {
        assert_eq!(untidy_ends(&file("a.rs", "a\n\nb\n")), Vec::<String>::new());
        assert_eq!(untidy_ends(&file("a.rs", "")), Vec::<String>::new());
        assert_eq!(
            untidy_ends(&file("a.rs", "a\nb \n\t\nc")),
            [
                "a.rs:2: white space at the end of the line",
                "a.rs:3: white space at the end of the line",
                "a.rs:4: the last line does not end",
            ]
        );
        assert_eq!(untidy_ends(&file("a.rs", "a\n\n")), ["a.rs:2: an empty line at the end"]);
    }

    #[test]
    fn words_are_found_whole() {
        let found = unwanted_words(&file("a.md", "It can\nnot. Cannot.\n\nA rank Can not.\n"));
        assert_eq!(found, ["a.md:4: \"can not\": it is one word, cannot"]);
        assert_eq!(unwanted_words(&file("a.rs", "fn it_can_not_fail() {}\n")).len(), 1);
        assert_eq!(unwanted_words(&file("a.md", "also many\n")), Vec::<String>::new());
    }

    #[test]
    fn names_say_what_has_them() {
        let found = |text| unwanted_words(&file("a.rs", text)).len();
        assert_eq!(found("pub struct RankManager<T> {"), 1);
        assert_eq!(found("pub(crate) mod test_utils;"), 1);
        assert_eq!(found("struct Utility; // no manager"), 0);
        assert_eq!(found("let manager = 1; /// mod utils"), 1);
        assert_eq!(found("/// mod utils"), 0);
        assert_eq!(unwanted_words(&file("src/helpers/a.rs", "")).len(), 1);
    }
}
