//! A guest's command line (`cmdline=` in xl.cfg), written so that the guest's kernel reads the same
//! words.
//!
//! The kernel splits at spaces, tabs and newlines; double quotes group; a backslash takes the next
//! character as it is. A word may be anything but NUL.

/// Appends each word with a space before it.
pub fn push_words<W: AsRef<str>>(line: &mut String, words: &[W]) {
    for word in words {
        line.push(' ');
        push_word(line, word.as_ref());
    }
}

/// The command line of an image that is started alone: after `--` all words are the application's.
#[must_use]
pub fn of_arguments(arguments: &[String]) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    let mut line = String::from("--");
    push_words(&mut line, arguments);
    line
}

fn push_word(line: &mut String, word: &str) {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '\\';
    if !word.is_empty() && word.chars().all(is_plain) {
        line.push_str(word);
        return;
    }
    line.push('"');
    for character in word.chars() {
        if matches!(character, '"' | '\\') {
            line.push('\\');
        }
        line.push(character);
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        let words = ["a b", "", "say \"x\"", "back\\slash", "plain", "new\nline"];
        assert_eq!(
            of_arguments(&words.map(str::to_owned)),
            "-- \"a b\" \"\" \"say \\\"x\\\"\" \"back\\\\slash\" plain \"new\nline\""
        );
        assert_eq!(of_arguments(&[]), "");
    }
}
