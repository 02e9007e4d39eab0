//! The file with which plain `xl create` boots an image as a job of one rank.

use std::fmt::Write as _;
use std::path::Path;

use crate::command_line;
use crate::mebibytes::Mebibytes;

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
        let mut set = |key: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key} = {}", string(value));
        };
        set("name", self.name);
        set("type", "pvh");
        set("kernel", &self.kernel.to_string_lossy());
        set("cmdline", &command_line::of_arguments(self.args));
        for event in ["on_poweroff", "on_reboot", "on_crash"] {
            set(event, "destroy");
        }
        let _ = writeln!(text, "memory = {}\nvcpus = 1", self.memory.count());
        text
    }
}

/// A string as xl's parser reads it. It may hold anything but NUL.
///
/// A newline would end the line, so it is escaped; any other character may stand as it is. The
/// parser has escapes by number too, but does not understand its own: `\x0a` is an error and `\012`
/// is lost (seen in Xen 4.17).
#[must_use]
pub fn string(text: &str) -> String {
    let mut string = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => string.extend(['\\', character]),
            '\n' => string.push_str("\\n"),
            '\r' => string.push_str("\\r"),
            '\t' => string.push_str("\\t"),
            _ => string.push(character),
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    /// What xl's parser makes of a string, if it accepts it: by the rules of its lexer.
    fn as_xl_reads(string: &str) -> Option<String> {
        let inside = string.strip_prefix('"')?.strip_suffix('"')?;
        let mut text = String::new();
        let mut characters = inside.chars();
        while let Some(character) = characters.next() {
            text.push(match character {
                '"' | '\n' | '\0' => return None,
                '\\' => match characters.next()? {
                    escaped @ ('"' | '\'' | '\\') => escaped,
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    _ => return None,
                },
                character => character,
            });
        }
        Some(text)
    }

    #[test]
    fn strings_of_several_lines_stay_on_one() {
        assert_eq!(string("a\tb\n\"c\\"), r#""a\tb\n\"c\\""#);
    }

    proptest! {
        #[test]
        fn xl_reads_every_string_as_it_was(text in "[^\0]*") {
            prop_assert_eq!(as_xl_reads(&string(&text)), Some(text));
        }
    }
}
