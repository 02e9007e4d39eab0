//! The file with which plain `xl create` boots an image as a job of one rank.

use std::fmt::Write as _;
use std::path::Path;

use crate::memory::Mebibytes;

/// What goes into the configuration.
#[derive(Clone, Debug)]
pub struct XlConfig<'a> {
    /// The domain's name.
    pub name: &'a str,
    /// The image. When relative, xl takes it relative to the folder in which xl is run.
    pub kernel: &'a Path,
    /// The guest's memory.
    pub memory: Mebibytes,
    /// The application's arguments.
    pub args: &'a [String],
}

impl XlConfig<'_> {
    /// The file's contents.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("# One rank of {}: run `xl create -c {}.cfg`", self.name, self.name);
        if self.kernel.is_relative() {
            text.push_str(" in the folder that holds the image");
        }
        text.push_str(".\n");
        let mut string = |key: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key} = {}", quoted(value));
        };
        string("name", self.name);
        string("type", "pvh");
        string("kernel", &self.kernel.to_string_lossy());
        string("cmdline", &command_line(self.args));
        for event in ["on_poweroff", "on_reboot", "on_crash"] {
            string(event, "destroy");
        }
        let _ = writeln!(text, "memory = {}\nvcpus = 1", self.memory.count());
        text
    }
}

/// Arguments as one kernel command line: after `--` all words are the application's; a word is
/// quoted where it must be.
#[must_use]
pub fn command_line(args: &[String]) -> String {
    if args.is_empty() {
        return String::new();
    }
    let words = args.iter().map(|word| {
        let plain = !word.is_empty() && !word.contains([' ', '\t', '"', '\\']);
        if plain { word.clone() } else { quoted(word) }
    });
    std::iter::once("--".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file() {
        let args = ["--class".to_owned(), "S".to_owned()];
        let config = XlConfig {
            name: "cg",
            kernel: Path::new("cg.img"),
            memory: Mebibytes::covering(8 << 20),
            args: &args,
        };
        assert_eq!(
            config.to_text(),
            "# One rank of cg: run `xl create -c cg.cfg` in the folder that holds the image.\n\
             name = \"cg\"\ntype = \"pvh\"\nkernel = \"cg.img\"\ncmdline = \"-- --class S\"\n\
             on_poweroff = \"destroy\"\non_reboot = \"destroy\"\non_crash = \"destroy\"\n\
             memory = 8\nvcpus = 1\n"
        );
    }

    #[test]
    fn words_are_quoted_where_they_must_be() {
        let args = ["a b", "", "say \"x\"", "back\\slash", "plain"].map(str::to_owned);
        assert_eq!(command_line(&args), r#"-- "a b" "" "say \"x\"" "back\\slash" plain"#);
        assert_eq!(command_line(&[]), "");
    }
}
