//! A picture as an SVG file that needs no other: lanes from top to bottom, time from left to right.
//! What a shape means is told when the mouse is over it.

use std::borrow::Cow;
use std::fmt::Write;

use super::picture::{Bar, BarKind, Mark, Picture, Ranks, Return, Span, Stall};
use crate::escape::escape;

/// The whole width, and where time begins and ends in it.
const WIDTH: f64 = 1200.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 1180.0;
/// Where lanes begin. Above them are heading, legend, and the ways back.
const TOP: f64 = 112.0;
/// From one lane to the next, at most and at least, and of all together if there are many.
const PITCHES: [f64; 2] = [22.0, 3.0];
const LANES: f64 = 640.0;
/// The lane of the images.
const IMAGES: f64 = 20.0;
/// Characters of a title, at most.
const TITLE: usize = 300;

/// Colours, all of them for a light ground, which the file brings along.
const GROUND: &str = "#ffffff";
const INK: &str = "#263238";
const FAINT: &str = "#cfd8dc";
const BOOTS: &str = "#b0bec5";
const RUNS: &str = "#a5d6a7";
const STALLS: &str = "#1a237e";
const WRITES: &str = "#ffb300";
const ACCIDENT: &str = "#c62828";
const BACK: &str = "#8e24aa";

/// The file's text.
pub fn draw(picture: &Picture) -> String {
    let mut drawing = Drawing::new(picture);
    drawing.begin();
    drawing.axis();
    picture.bars.iter().for_each(|bar| drawing.bar(bar));
    picture.writes.iter().for_each(|write| drawing.write(write));
    picture.stalls.iter().for_each(|stall| drawing.stall(stall));
    picture.returns.iter().for_each(|back| drawing.back(back));
    picture.accidents.iter().for_each(|accident| drawing.accident(accident));
    picture.end.iter().for_each(|end| drawing.end(end));
    drawing.text.push_str("</svg>\n");
    drawing.text
}

struct Drawing<'a> {
    picture: &'a Picture,
    /// Width of a second.
    second: f64,
    /// From one lane to the next.
    pitch: f64,
    text: String,
}

/// Writing to a string does not fail.
macro_rules! put {
    ($drawing:expr, $($words:tt)*) => {
        let _ = writeln!($drawing.text, $($words)*);
    };
}

impl<'a> Drawing<'a> {
    fn new(picture: &'a Picture) -> Self {
        // A job that took no time at all.
        let seconds = picture.seconds.max(0.001);
        let pitch = (LANES / f64::from(picture.lanes.max(1))).clamp(PITCHES[1], PITCHES[0]);
        Self { picture, second: (RIGHT - LEFT) / seconds, pitch, text: String::new() }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds * self.second
    }

    fn y(&self, lane: u32) -> f64 {
        TOP + f64::from(lane) * self.pitch
    }

    /// Height of what is in a lane.
    fn thickness(&self) -> f64 {
        if self.pitch > 8.0 { self.pitch - 4.0 } else { self.pitch * 0.8 }
    }

    /// Where the lanes of ranks end, and that of the images begins.
    fn images(&self) -> f64 {
        self.y(self.picture.lanes) + 4.0
    }

    fn bottom(&self) -> f64 {
        self.images() + IMAGES
    }

    fn begin(&mut self) {
        let (width, height) = (WIDTH, self.bottom() + 44.0);
        let heading = xml(&self.picture.heading).into_owned();
        put!(
            self,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width} {height:.0}\" role=\"img\" font-family=\"sans-serif\" \
             font-size=\"12\" fill=\"{INK}\">"
        );
        put!(self, "<title>{heading}</title>");
        put!(
            self,
            "<defs><marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" \
             markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
             <path d=\"M0 0L10 5L0 10z\" fill=\"{BACK}\"/></marker></defs>"
        );
        put!(self, "<rect width=\"100%\" height=\"100%\" fill=\"{GROUND}\"/>");
        put!(self, "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{heading}</text>");
        let legend = [
            (BOOTS, "starts"),
            (RUNS, "runs"),
            (STALLS, "stands still for a line"),
            (WRITES, "image is written"),
            (ACCIDENT, "accident"),
            (BACK, "goes back"),
            (INK, "end"),
        ];
        let mut x = LEFT;
        for (colour, meaning) in legend {
            put!(self, "<rect x=\"{x}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
            put!(self, "<text x=\"{}\" y=\"48\">{meaning}</text>", x + 17.0);
            x += 40.0 + 7.0 * meaning.len() as f64;
        }
        let every = (12.0 / self.pitch).ceil().max(1.0) as usize;
        for lane in (0..self.picture.lanes).step_by(every) {
            let y = self.y(lane) + self.thickness() / 2.0 + 4.0;
            put!(
                self,
                "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">rank {lane}</text>",
                LEFT - 8.0
            );
        }
        put!(
            self,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">image</text>",
            LEFT - 8.0,
            self.images() + 13.0
        );
    }

    fn axis(&mut self) {
        let (bottom, step) = (self.bottom(), step(self.picture.seconds));
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let mut tick = 0;
        while f64::from(tick) * step <= self.picture.seconds {
            let at = f64::from(tick) * step;
            let x = self.x(at);
            put!(
                self,
                "<path d=\"M{x:.1} {TOP}V{:.1}\" stroke=\"{FAINT}\" fill=\"none\"/>",
                bottom + 5.0
            );
            put!(
                self,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at:.decimals$} s</text>",
                bottom + 20.0
            );
            tick += 1;
        }
    }

    fn bar(&mut self, Bar { lane, kind, span }: &Bar) {
        let colour = match kind {
            BarKind::Boots => BOOTS,
            BarKind::Runs => RUNS,
        };
        let (y, height) = (self.y(*lane), self.thickness());
        self.rectangle(span, [y, height], colour);
    }

    fn write(&mut self, span: &Span) {
        self.rectangle(span, [self.images(), IMAGES - 4.0], WRITES);
    }

    fn rectangle(&mut self, span: &Span, [y, height]: [f64; 2], colour: &str) {
        let (x, width) = self.stretch([span.from, span.to]);
        put!(
            self,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{colour}\"><title>{}</title></rect>",
            xml(&span.title)
        );
    }

    /// Where some time is, and how wide: to be seen, however short it is.
    fn stretch(&self, [from, to]: [f64; 2]) -> (f64, f64) {
        (self.x(from), ((to - from) * self.second).max(1.0))
    }

    fn stall(&mut self, Stall { ranks, title }: &Stall) {
        let mut outline = String::new();
        let mut add = |span, y: f64, height: f64| {
            let (x, width) = self.stretch(span);
            let _ = write!(outline, "M{x:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z");
        };
        match ranks {
            Ranks::All(span) => add(*span, TOP, self.images() - TOP - 4.0),
            Ranks::Each(ranks) => {
                ranks.iter().for_each(|(lane, it)| add(*it, self.y(*lane), self.thickness()));
            }
        }
        // The edge that is not seen makes it easier to hit with a mouse.
        put!(
            self,
            "<path d=\"{outline}\" fill=\"{STALLS}\" stroke=\"{STALLS}\" stroke-opacity=\"0\" \
             stroke-width=\"5\"><title>{}</title></path>",
            xml(title)
        );
    }

    fn back(&mut self, Return { from, to, title }: &Return) {
        let (from, to, y) = (self.x(*from), self.x(*to), TOP - 6.0);
        let (middle, top) = ((from + to) / 2.0, TOP - 60.0);
        put!(
            self,
            "<path d=\"M{from:.1} {y}Q{middle:.1} {top} {to:.1} {y}\" fill=\"none\" \
             stroke=\"{BACK}\" stroke-width=\"2\" marker-end=\"url(#head)\">\
             <title>{}</title></path>",
            xml(title)
        );
    }

    fn accident(&mut self, Mark { at, title }: &Mark) {
        let (x, bottom) = (self.x(*at), self.bottom());
        put!(
            self,
            "<path d=\"M{x:.1} {TOP}V{bottom:.1}M{:.1} {}l10 10m0 -10l-10 10\" fill=\"none\" \
             stroke=\"{ACCIDENT}\" stroke-width=\"2\"><title>{}</title></path>",
            x - 5.0,
            TOP - 11.0,
            xml(title)
        );
    }

    fn end(&mut self, Mark { at, title }: &Mark) {
        let (x, bottom) = (self.x(*at), self.bottom());
        put!(
            self,
            "<path d=\"M{x:.1} {TOP}V{bottom:.1}M{:.1} {bottom:.1}h6v5h-6z\" fill=\"{INK}\" \
             stroke=\"{INK}\" stroke-width=\"2\"><title>{}</title></path>",
            x - 3.0,
            xml(title)
        );
    }
}

/// From one number at the axis to the next: ten of them at most, and round ones.
fn step(seconds: f64) -> f64 {
    let least = (seconds / 10.0).max(0.000_1);
    let power = 10f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power);
    factors.into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// Words from anywhere as text of XML, cut off where they are too long for anybody.
fn xml(words: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !matches!(c, '&' | '<' | '>' | '"' | '\'' | '\u{fffe}' | '\u{ffff}');
    let words = escape(words);
    if words.chars().count() <= TITLE && words.chars().all(is_plain) {
        return words;
    }
    let mut text = String::new();
    for c in words.chars().take(TITLE) {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            // XML has no such characters.
            '\u{fffe}' | '\u{ffff}' => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
    if words.chars().count() > TITLE {
        text.push('…');
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::job;
    use super::*;
    use crate::history::History;

    /// Reads a file as strictly as a browser does. The names of its elements, each with its text.
    fn elements(text: &str) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            let (words, tag) = rest.split_at(start);
            check_text(words);
            if let Some(element) = open.last() {
                found[*element].1.push_str(words);
            } else {
                assert!(words.trim().is_empty(), "{words:?} is outside of everything");
            }
            let end = tag.find('>').expect("a tag ends");
            let (inside, after) = (&tag[1..end], &tag[end + 1..]);
            if let Some(name) = inside.strip_prefix('/') {
                let element = open.pop().expect("a tag was open");
                assert_eq!(found[element].0, name);
                assert!(!open.is_empty() || after.trim().is_empty(), "there is more than one root");
            } else {
                let (inside, is_empty) = match inside.strip_suffix('/') {
                    Some(inside) => (inside, true),
                    None => (inside, false),
                };
                let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
                assert!(name.chars().all(char::is_alphabetic), "{name:?}");
                check_attributes(attributes);
                if !is_empty {
                    open.push(found.len());
                }
                found.push((name.to_owned(), String::new()));
            }
            rest = after;
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "it goes on: {rest:?}");
        found
    }

    fn check_text(words: &str) {
        for (at, _) in words.match_indices('&') {
            let name = words[at + 1..].split(';').next().unwrap();
            assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "&{name}");
        }
        assert!(!words.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{words:?}");
        assert!(!words.contains(['\u{fffe}', '\u{ffff}', '>']), "{words:?}");
    }

    fn check_attributes(attributes: &str) {
        let mut names = Vec::new();
        let mut rest = attributes.trim();
        while !rest.is_empty() {
            let (name, after) = rest.split_once("=\"").expect("a value in quotation marks");
            let (value, after) = after.split_once('"').expect("the value ends");
            assert!(!name.contains(char::is_whitespace) && !names.contains(&name), "{name:?}");
            assert!(!value.contains(['<', '&']) && !value.contains("NaN"), "{value:?}");
            assert!(!value.contains("inf"), "{value:?}");
            assert!(after.is_empty() || after.starts_with(' '), "{after:?}");
            names.push(name);
            rest = after.trim_start();
        }
    }

    fn drawn(history: &History) -> String {
        draw(&Picture::of("cg.img", history))
    }

    #[test]
    fn each_picture_is_well_formed_and_each_shape_says_what_it_is() {
        for (lines, accidents) in [(0, 0), (0, 2), (1, 1), (40, 3)] {
            let history = job(lines, accidents);
            let elements = elements(&drawn(&history));
            let titles = elements.iter().filter(|(name, _)| name == "title").count() as u64;
            let lives = accidents + 1;
            // Its own; bars, stalls and images; accidents and ways back; the end.
            assert_eq!(titles, 1 + lives * (2 * 4 + 2 * lines) + 2 * accidents + 1);
            assert!(elements.iter().all(|(name, text)| name != "title" || !text.is_empty()));
            assert!(elements.iter().any(|(name, text)| name == "text" && text == "rank 3"));
        }
        elements(&drawn(&History::default()));
    }

    #[test]
    fn words_from_anywhere_are_words() {
        let hostile = "]]></title><script>alert(1)</script>&amp;'\"\u{0}\u{1b}[31m\u{ffff}\r";
        let mut history = job(1, 1);
        for life in history.lives_mut() {
            life.job = hostile.into();
            life.from = life.from.is_some().then(|| hostile.into());
            life.lines.iter_mut().for_each(|line| line.line = hostile.into());
            life.end.iter_mut().for_each(|end| end.cause = Some(hostile.repeat(1_000)));
        }
        let text = draw(&Picture::of(hostile, &history));
        let elements = elements(&text);
        assert!(elements.iter().all(|(name, _)| name != "script"));
        assert!(text.contains("&lt;script&gt;alert(1)") && text.contains("\\u{1b}[31m"));
        assert!(text.len() < 40_000, "{} bytes", text.len());
        assert_eq!(xml("plain é …"), "plain é …");
        assert_eq!(xml(&"ä".repeat(TITLE + 1)), format!("{}…", "ä".repeat(TITLE)));
    }

    #[test]
    fn a_thousand_lines_stay_small() {
        let mut history = job(1_000, 0);
        let text = drawn(&history);
        elements(&text);
        assert!(text.len() < 1 << 20, "{} bytes", text.len());
        // As many as that are drawn for all ranks in one.
        let life = &mut history.lives_mut()[0];
        life.size = 64;
        life.boots = vec![life.boots[0]; 64];
        life.lines.iter_mut().for_each(|line| line.stalls = vec![0.05; 64]);
        let text = drawn(&history);
        elements(&text);
        assert!(text.len() < 1 << 20, "{} bytes", text.len());
    }

    #[test]
    fn what_is_short_is_seen_and_what_is_long_fits() {
        let mut history = job(1, 0);
        let life = &mut history.lives_mut()[0];
        life.end.iter_mut().for_each(|end| (end.at, end.gone) = (u64::MAX / 2, u64::MAX / 2));
        let text = drawn(&history);
        elements(&text);
        assert!(text.contains("h1.0v"), "a stall is a pixel wide");
        assert!(text.len() < 20_000, "{} bytes", text.len());
    }

    #[test]
    fn numbers_at_the_axis_are_round_and_few() {
        for (seconds, expected) in [(0.5, 0.05), (7.0, 1.0), (11.0, 2.0), (60.0, 10.0)] {
            assert!((step(seconds) - expected).abs() < 1e-9, "{seconds}: {}", step(seconds));
        }
        for seconds in (1..2_000).map(|it| f64::from(it) * 0.37) {
            let count = seconds / step(seconds);
            assert!((3.9..=10.001).contains(&count), "{count} of {seconds}");
        }
    }
}
