//! The ranks' output as lines.

use std::collections::BTreeMap;
use std::time::Duration;

use dom0_proxy::control::{OutputPiece, OutputStream};

use super::shown::{Mark, Shown};

/// How long the beginning of a line waits for its end before it is shown alone: a prompt, or a
/// progress bar. Pieces of one line that xenconsoled passes on come up to 0.2 s apart.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// A line is not kept back when it is longer.
const LONGEST: usize = 64 << 10;

/// Some bytes of one line, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Who wrote them.
    pub rank: u32,
    /// Where.
    pub stream: OutputStream,
    /// When the first of them came, in milliseconds since 1970.
    pub at: u64,
    /// The bytes; if the line ends here, with its newline.
    pub bytes: &'a [u8],
    /// An earlier fragment has the line's beginning.
    pub goes_on: bool,
    /// Whether they have been shown before.
    pub mark: Mark,
}

/// A line that has not ended.
#[derive(Debug)]
struct Unfinished {
    bytes: Vec<u8>,
    /// When the first of the bytes came, for people.
    at: u64,
    /// The same, for our patience.
    since: Duration,
    /// Its beginning has been given out.
    begun: bool,
}

/// Puts pieces together to lines. A line is given out when it has ended, or when it takes its time,
/// or is long; then in fragments, none of which ends within a character.
#[derive(Debug, Default)]
pub struct Lines {
    unfinished: BTreeMap<(u32, OutputStream), Unfinished>,
    /// How long we have waited for more in all: while we do not, since whoever reads is slow, the
    /// rest of a line may be there already.
    waited: Duration,
    shown: Shown,
}

impl Lines {
    /// Of a run of a job, of which earlier ones have `shown` something.
    pub fn new(shown: Shown) -> Self {
        Self { shown, ..Self::default() }
    }

    /// Takes a piece, and gives out what it makes complete.
    pub fn push<E>(
        &mut self,
        piece: &OutputPiece,
        mut out: impl FnMut(Fragment<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let OutputPiece { rank, stream, at, .. } = *piece;
        for bytes in piece.bytes.split_inclusive(|&byte| byte == b'\n') {
            let line = self.unfinished.entry((rank, stream)).or_insert_with(|| Unfinished {
                bytes: Vec::new(),
                at,
                since: self.waited,
                begun: false,
            });
            if line.bytes.is_empty() {
                (line.at, line.since) = (at, self.waited);
            }
            line.bytes.extend_from_slice(bytes);
            self.shown.push(rank, bytes);
            if bytes.ends_with(b"\n") {
                let result = out(line.fragment(rank, stream, 0, &self.shown));
                self.unfinished.remove(&(rank, stream));
                result?;
            } else if line.bytes.len() > LONGEST {
                line.give_out(rank, stream, self.waited, &self.shown, &mut out)?;
            }
        }
        Ok(())
    }

    /// We have waited so long for more. Gives out the beginnings of lines that have taken too long.
    pub fn wait<E>(
        &mut self,
        time: Duration,
        mut out: impl FnMut(Fragment<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.waited += time;
        for (&(rank, stream), line) in &mut self.unfinished {
            if !line.bytes.is_empty() && self.waited - line.since >= PATIENCE {
                line.give_out(rank, stream, self.waited, &self.shown, &mut out)?;
            }
        }
        Ok(())
    }

    /// Whether something waits for the clock.
    pub fn has_unfinished(&self) -> bool {
        self.unfinished.values().any(|line| !line.bytes.is_empty())
    }

    /// Gives out all that is left: lines that were never ended.
    pub fn finish<E>(
        &mut self,
        mut out: impl FnMut(Fragment<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for ((rank, stream), line) in std::mem::take(&mut self.unfinished) {
            if !line.bytes.is_empty() {
                out(line.fragment(rank, stream, 0, &self.shown))?;
            }
        }
        Ok(())
    }
}

impl Unfinished {
    /// All that there is, but for the last `kept` bytes.
    fn fragment(
        &self,
        rank: u32,
        stream: OutputStream,
        kept: usize,
        shown: &Shown,
    ) -> Fragment<'_> {
        let bytes = &self.bytes[..self.bytes.len() - kept];
        let mark = shown.mark(rank, kept);
        Fragment { rank, stream, at: self.at, bytes, goes_on: self.begun, mark }
    }

    /// Gives out what there is, up to a character that has not all come yet.
    fn give_out<E>(
        &mut self,
        rank: u32,
        stream: OutputStream,
        now: Duration,
        shown: &Shown,
        out: &mut impl FnMut(Fragment<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let kept = cut_character(&self.bytes);
        let whole = self.bytes.len() - kept;
        if whole == 0 && kept > 0 && now - self.since < 2 * PATIENCE {
            return Ok(());
        }
        // What has waited that long alone is no character.
        let whole = if whole == 0 { kept } else { whole };
        out(self.fragment(rank, stream, self.bytes.len() - whole, shown))?;
        self.bytes.drain(..whole);
        self.begun = true;
        self.since = now;
        Ok(())
    }
}

/// How many bytes at the end begin a character in UTF-8 and do not end it.
fn cut_character(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(3)..];
    for (index, &byte) in last.iter().enumerate().rev() {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let there = last.len() - index;
        return if there < length { there } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    use proptest::prelude::*;

    fn piece(rank: u32, bytes: &[u8]) -> OutputPiece {
        OutputPiece { rank, stream: OutputStream::Output, at: 0, bytes: bytes.to_vec() }
    }

    fn collect(
        into: &mut Vec<(u32, Vec<u8>, bool)>,
        fragment: Fragment<'_>,
    ) -> Result<(), Infallible> {
        into.push((fragment.rank, fragment.bytes.to_vec(), fragment.goes_on));
        Ok(())
    }

    /// What may happen: bytes come, or time passes.
    #[derive(Clone, Debug)]
    enum Happens {
        Comes { rank: u32, bytes: Vec<u8> },
        Waits(Duration),
    }

    fn happens(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Happens> {
        prop_oneof![
            3 => (0..3u32, bytes).prop_map(|(rank, bytes)| Happens::Comes { rank, bytes }),
            1 => (0..700u64).prop_map(|time| Happens::Waits(Duration::from_millis(time))),
        ]
    }

    /// What is given out of all that.
    fn given_out(story: &[Happens]) -> Vec<(u32, Vec<u8>, bool)> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for happens in story {
            let Ok(()) = match happens {
                Happens::Comes { rank, bytes } => {
                    lines.push(&piece(*rank, bytes), |fragment| collect(&mut found, fragment))
                }
                Happens::Waits(time) => lines.wait(*time, |fragment| collect(&mut found, fragment)),
            };
        }
        let Ok(()) = lines.finish(|fragment| collect(&mut found, fragment));
        found
    }

    proptest! {
        /// Each rank's fragments are its bytes; only the last of a line ends it, and only the first
        /// does not go on.
        #[test]
        fn nothing_is_lost_or_out_of_order(
            story in proptest::collection::vec(
                happens(proptest::collection::vec(
                    prop_oneof![Just(b'\n'), Just(0xe2), Just(0x82), Just(0xac), any::<u8>()],
                    0..40,
                )),
                0..40,
            ),
        ) {
            let found = given_out(&story);
            for rank in 0..3 {
                let came = story.iter().filter_map(|happens| match happens {
                    Happens::Comes { rank: of, bytes } if *of == rank => Some(&bytes[..]),
                    _ => None,
                });
                let fragments: Vec<_> = found.iter().filter(|(of, ..)| *of == rank).collect();
                let shown: Vec<&[u8]> = fragments.iter().map(|(_, bytes, _)| &bytes[..]).collect();
                prop_assert_eq!(shown.concat(), came.collect::<Vec<_>>().concat());
                let mut within = false;
                for (_, bytes, goes_on) in fragments {
                    prop_assert_eq!(*goes_on, within);
                    within = !bytes.ends_with(b"\n");
                    let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
                    prop_assert_eq!(newlines, usize::from(!within));
                }
            }
        }

        /// However text is cut into pieces, no fragment breaks a character, as long as its bytes do
        /// not take a second to come.
        #[test]
        fn no_character_is_broken(
            text in "[a€\u{1f600}é\n]{0,200}",
            // From the first byte of four to the last it waits three times.
            cuts in proptest::collection::vec((1..9usize, 0..333u64), 1..60),
        ) {
            let mut rest = text.as_bytes();
            let mut story = Vec::new();
            for (len, time) in cuts.iter().cycle().take(1 + text.len()) {
                let (bytes, later) = rest.split_at(rest.len().min(*len));
                story.push(Happens::Comes { rank: 0, bytes: bytes.into() });
                story.push(Happens::Waits(Duration::from_millis(*time)));
                rest = later;
            }
            for (_, bytes, _) in given_out(&story) {
                prop_assert!(str::from_utf8(&bytes).is_ok(), "{:?}", bytes);
            }
        }
    }

    proptest! {
        /// A job goes back to lines in the middle of whatever: what has been shown before is
        /// marked, byte for byte, and nothing else. If none takes its time, what has no mark is
        /// each line once.
        #[test]
        fn what_is_shown_again_is_marked(
            text in "([ab]{0,9}\n){0,20}[ab]{0,5}",
            runs in proptest::collection::vec((0.0..1.0f64, 0.0..1.0f64), 0..5),
            cuts in proptest::collection::vec((1..9usize, 0..333u64), 1..30),
            is_quick in any::<bool>(),
        ) {
            let place = |part: f64| (part * (text.len() + 1) as f64) as usize;
            let mut shown = Shown::default();
            let mut cuts = cuts.into_iter().cycle();
            let (mut farthest, mut whole_lines) = (0, String::new());
            for (line, end) in runs.into_iter().chain([(0.0, 1.0)]) {
                // A line is behind what was shown in no run.
                let line = place(line).min(farthest);
                let begins = text[..line].rfind('\n').map_or(0, |newline| newline + 1);
                let end = place(end).clamp(begins, text.len());
                shown = shown.next_run(1, &[begins as u64]);
                let mut lines = Lines::new(shown.clone());
                let mut at = begins;
                let mut check = |fragment: Fragment<'_>| {
                    let goes_on = fragment.goes_on;
                    let bytes = str::from_utf8(fragment.bytes).unwrap();
                    assert_eq!(bytes, &text[at..][..bytes.len()]);
                    at += bytes.len();
                    let mark = if at <= farthest { Mark::Again } else { Mark::None };
                    assert_eq!(fragment.mark, mark, "{bytes:?} up to {at}, shown to {farthest}");
                    if mark == Mark::None && bytes.ends_with('\n') && !goes_on {
                        whole_lines.push_str(bytes);
                    }
                    Ok::<_, Infallible>(())
                };
                let mut rest = &text.as_bytes()[begins..end];
                while !rest.is_empty() {
                    let (length, time) = cuts.next().unwrap();
                    let (bytes, later) = rest.split_at(rest.len().min(length));
                    let Ok(()) = lines.push(&piece(0, bytes), &mut check);
                    let time = if is_quick { 0 } else { time };
                    let Ok(()) = lines.wait(Duration::from_millis(time), &mut check);
                    rest = later;
                }
                let Ok(()) = lines.finish(&mut check);
                prop_assert_eq!(at, end);
                farthest = farthest.max(end);
            }
            prop_assert_eq!(farthest, text.len());
            if is_quick {
                let newline = text.rfind('\n').map_or(0, |newline| newline + 1);
                prop_assert_eq!(&whole_lines[..], &text[..newline]);
            }
        }
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for (rank, bytes) in [(0, "a"), (1, "x\n"), (0, "b\r\nc\n"), (0, "\nd")] {
            let Ok(()) = lines
                .push(&piece(rank, bytes.as_bytes()), |fragment| collect(&mut found, fragment));
        }
        let Ok(()) = lines.wait(Duration::ZERO, |fragment| collect(&mut found, fragment));
        assert!(lines.has_unfinished());
        let Ok(()) = lines.finish(|fragment| collect(&mut found, fragment));
        let expected = [(1, "x\n"), (0, "ab\r\n"), (0, "c\n"), (0, "\n"), (0, "d")];
        assert_eq!(found, expected.map(|(rank, text)| (rank, text.as_bytes().to_vec(), false)));
    }

    #[test]
    fn beginnings_are_given_out_after_a_while_and_break_no_character() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let Ok(()) = lines
            .push(&piece(0, "name €".as_bytes().split_last().unwrap().1), |fragment| {
                collect(&mut found, fragment)
            });
        let Ok(()) = lines.wait(Duration::ZERO, |fragment| collect(&mut found, fragment));
        assert_eq!(found, []);
        let Ok(()) = lines.wait(PATIENCE, |fragment| collect(&mut found, fragment));
        let Ok(()) = lines.push(&piece(0, b"\xac?\n"), |fragment| collect(&mut found, fragment));
        let expected = [("name ", false), ("€?\n", true)];
        assert_eq!(found, expected.map(|(text, goes_on)| (0, text.as_bytes().to_vec(), goes_on)));
    }

    #[test]
    fn long_lines_come_in_fragments_that_break_no_character() {
        let text = "€".repeat(100_000) + "\n";
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for bytes in text.as_bytes().chunks(4099) {
            let Ok(()) = lines.push(&piece(0, bytes), |fragment| collect(&mut found, fragment));
        }
        assert!(found.len() > 1);
        for (index, (_, bytes, goes_on)) in found.iter().enumerate() {
            assert!(str::from_utf8(bytes).is_ok());
            assert_eq!(*goes_on, index > 0);
        }
        assert_eq!(
            found.into_iter().flat_map(|(_, bytes, _)| bytes).collect::<Vec<_>>(),
            text.as_bytes()
        );
    }

    #[test]
    fn characters_that_are_cut_are_known() {
        for (bytes, cut) in [
            (&b""[..], 0),
            (b"a", 0),
            ("é".as_bytes(), 0),
            (b"a\xc3", 1),
            (b"\xe2\x82", 2),
            (b"\xf0\x9f\x98", 3),
            ("😀".as_bytes(), 0),
            (b"\xff", 0),
            (b"\x80\x80\x80", 0),
            (b"caf\xe9", 1),
        ] {
            assert_eq!(cut_character(bytes), cut, "{bytes:?}");
        }
    }
}
