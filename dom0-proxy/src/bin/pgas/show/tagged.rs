//! Lines for people.

use std::time::{Duration, SystemTime};

use dom0_proxy::control::OutputStream;

use super::lines::Fragment;
use super::shown::Mark;

/// How lines are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Each begins with its rank: `[3] `, or `[3 again] ` if it was shown in an earlier run.
    pub tags: bool,
    /// Each begins with the time at which it came, in UTC.
    pub times: bool,
    /// They go to a terminal.
    pub terminal: bool,
}

/// What has been written to one file so far, as far as it matters for what is written next.
///
/// A line keeps its tag, however many fragments it comes in, unless another one comes between; then
/// a newline ends what has been shown of it, and the tag of the rest is `[3]+ `. So does the rest
/// of a line of which only the beginning is shown again. Without tags and
/// times bytes pass as they are.
#[derive(Debug)]
pub struct Tagged {
    style: Style,
    /// Whose line has been shown up to some point within it.
    open: Option<(u32, OutputStream, Mark)>,
    /// A terminal's cursor is back at the open line's beginning.
    returned: bool,
}

impl Tagged {
    /// Of a file to which nothing has been written.
    pub fn new(style: Style) -> Self {
        Self { style, open: None, returned: false }
    }

    /// The bytes that show a fragment.
    pub fn show(&mut self, fragment: &Fragment<'_>) -> Vec<u8> {
        let mark = if self.style.tags { fragment.mark } else { Mark::None };
        let source = (fragment.rank, fragment.stream, mark);
        let mut shown = Vec::with_capacity(fragment.bytes.len() + 16);
        let is_open = self.open == Some(source);
        if !is_open {
            shown.extend(self.close());
            self.tag(&mut shown, fragment, fragment.goes_on);
        }
        let bytes = fragment.bytes;
        if self.style.terminal && self.has_prefix() {
            let mut returned = is_open && self.returned;
            for part in bytes.split_inclusive(|&byte| byte == b'\r') {
                // What follows would overwrite the tag.
                if returned && part != b"\n" {
                    self.tag(&mut shown, fragment, false);
                }
                shown.extend_from_slice(part);
                returned = part.ends_with(b"\r");
            }
            self.returned = returned;
        } else {
            shown.extend_from_slice(bytes);
        }
        self.open = (!fragment.bytes.ends_with(b"\n")).then_some(source);
        shown
    }

    /// The bytes that end what has been shown of an unfinished line.
    pub fn close(&mut self) -> &'static [u8] {
        let is_open = self.open.take().is_some();
        self.returned = false;
        if is_open && (self.has_prefix() || self.style.terminal) { b"\n" } else { b"" }
    }

    fn has_prefix(&self) -> bool {
        self.style.tags || self.style.times
    }

    fn tag(&self, shown: &mut Vec<u8>, fragment: &Fragment<'_>, goes_on: bool) {
        let Style { tags, times, .. } = self.style;
        if times {
            shown.extend_from_slice(time(fragment.at).as_bytes());
            shown.push(b' ');
        }
        if tags {
            let mark = match fragment.mark {
                Mark::None => "",
                Mark::Again => " again",
                Mark::Undone => " undone",
            };
            shown.extend_from_slice(format!("[{}{mark}]", fragment.rank).as_bytes());
        }
        match (goes_on, tags) {
            (true, _) if self.has_prefix() => shown.extend_from_slice(b"+ "),
            (false, true) => shown.push(b' '),
            _ => {}
        }
    }
}

/// A time in milliseconds since 1970, as `2026-01-31T23:59:59.999Z`.
pub fn time(at: u64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at));
    let time = time.unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { tags: true, times: false, terminal: false };

    fn fragment(rank: u32, bytes: &str, goes_on: bool) -> Fragment<'_> {
        let bytes = bytes.as_bytes();
        Fragment { rank, stream: OutputStream::Output, at: 1_234, bytes, goes_on, mark: Mark::None }
    }

    fn show(style: Style, fragments: &[(u32, &str, bool)]) -> String {
        let mut tagged = Tagged::new(style);
        let mut shown = Vec::new();
        for &(rank, bytes, goes_on) in fragments {
            shown.extend(tagged.show(&fragment(rank, bytes, goes_on)));
        }
        shown.extend(tagged.close());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_line_keeps_one_tag_unless_another_line_comes_between() {
        let whole = [(0, "one\n", false), (1, "begin", false), (1, "ning\n", true)];
        assert_eq!(show(PLAIN, &whole), "[0] one\n[1] beginning\n");
        let broken = [(1, "begin", false), (0, "one\n", false), (1, "ning\n", true)];
        assert_eq!(show(PLAIN, &broken), "[1] begin\n[0] one\n[1]+ ning\n");
        assert_eq!(show(PLAIN, &[(0, "name? ", false)]), "[0] name? \n");
    }

    #[test]
    fn what_is_shown_again_is_marked() {
        let again = |bytes, goes_on| Fragment { mark: Mark::Again, ..fragment(3, bytes, goes_on) };
        for (style, expected) in [
            (PLAIN, "[3 again] one\n[3 again] half \n[3]+ of it\n[3] three\n"),
            (Style::default(), "one\nhalf of it\nthree\n"),
        ] {
            let mut tagged = Tagged::new(style);
            let fragments = [
                again("one\n", false),
                again("half ", false),
                fragment(3, "of it\n", true),
                fragment(3, "three\n", false),
            ];
            let mut shown: Vec<u8> = fragments.iter().flat_map(|it| tagged.show(it)).collect();
            shown.extend(tagged.close());
            assert_eq!(str::from_utf8(&shown).unwrap(), expected);
        }
    }

    #[test]
    fn times_come_before_tags() {
        let times = Style { times: true, ..PLAIN };
        assert_eq!(show(times, &[(7, "a\n", false)]), "1970-01-01T00:00:01.234Z [7] a\n");
        let times_only = Style { tags: false, ..times };
        assert_eq!(
            show(times_only, &[(7, "a", false), (8, "b\n", false), (7, "c\n", true)]),
            "1970-01-01T00:00:01.234Z a\n1970-01-01T00:00:01.234Z b\n1970-01-01T00:00:01.234Z + c\n"
        );
    }

    #[test]
    fn without_tags_bytes_pass_as_they_are() {
        let bare = Style::default();
        let fragments = [(0, "a\r\n", false), (1, "b", false), (0, "c", false)];
        assert_eq!(show(bare, &fragments), "a\r\nbc");
    }

    #[test]
    fn progress_on_a_terminal_keeps_its_tag() {
        let terminal = Style { terminal: true, ..PLAIN };
        assert_eq!(
            show(terminal, &[(0, "10%\r20%\r", false), (0, "30%\r", true), (0, "\n", true)]),
            "[0] 10%\r[0] 20%\r[0] 30%\r\n"
        );
        assert_eq!(show(terminal, &[(0, "dos\r\n", false)]), "[0] dos\r\n");
        assert_eq!(show(PLAIN, &[(0, "10%\r20%\n", false)]), "[0] 10%\r20%\n");
    }
}
