//! What is to be seen of a job: bars, marks and arrows, in seconds since it was asked for. How they
//! look is not known here.

use dom0_proxy::control::LineReport;

use crate::history::{Boot, History, Life};

/// Stalls of single ranks that are drawn, at most. With more each is drawn for all ranks in one.
const RANK_STALLS: usize = 20_000;

/// All of it. Lanes are ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// What it is of.
    pub heading: String,
    /// How long it took.
    pub seconds: f64,
    /// How many ranks there are.
    pub lanes: u32,
    /// What the ranks did.
    pub bars: Vec<Bar>,
    /// When they stood still.
    pub stalls: Vec<Stall>,
    /// When images were written.
    pub writes: Vec<Span>,
    /// What went wrong.
    pub accidents: Vec<Mark>,
    /// Where the job went back to.
    pub returns: Vec<Return>,
    /// Its end.
    pub end: Option<Mark>,
}

/// What a rank did for some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The rank.
    pub lane: u32,
    /// What it did.
    pub kind: BarKind,
    /// When.
    pub span: Span,
}

/// What a rank can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// It is created, starts, and has its memory filled if it was saved.
    Boots,
    /// It computes, or waits for others.
    Runs,
}

/// Some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its beginning.
    pub from: f64,
    /// Its end, which is not before.
    pub to: f64,
    /// In words.
    pub title: String,
}

/// The ranks stand still for a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    /// How long, by rank.
    pub ranks: Ranks,
    /// In words.
    pub title: String,
}

/// Beginnings and ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Ranks {
    /// Of all ranks together.
    All([f64; 2]),
    /// Of single ones.
    Each(Vec<(u32, [f64; 2])>),
}

/// A moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When.
    pub at: f64,
    /// In words.
    pub title: String,
}

/// The way back from an accident.
#[derive(Clone, Debug, PartialEq)]
pub struct Return {
    /// When that was.
    pub from: f64,
    /// From which moment on everything is done again.
    pub to: f64,
    /// In words.
    pub title: String,
}

impl Picture {
    /// Of a job that runs `program`.
    pub fn of(program: &str, history: &History) -> Self {
        let lives = history.lives();
        let lanes = lives.iter().map(|life| life.size).max().unwrap_or(0);
        let lines = history.lines().count();
        let time = Time { origin: lives.first().map_or(0, |life| life.asked) };
        let is_each = lines.saturating_mul(lanes as usize) <= RANK_STALLS;
        let mut picture = Self {
            heading: String::new(),
            seconds: lives.iter().map(|life| time.of(gone(life))).fold(0.0, f64::max),
            lanes,
            bars: Vec::new(),
            stalls: Vec::new(),
            writes: Vec::new(),
            accidents: Vec::new(),
            returns: Vec::new(),
            end: None,
        };
        for (number, life) in lives.iter().enumerate() {
            let (before, next) = (&lives[..number], &lives[number + 1..]);
            picture.add_return(time, before, life);
            picture.add_bars(time, life);
            picture.add_lines(time, life, is_each);
            picture.add_end(time, life, next.is_empty());
        }
        let accidents = picture.accidents.len();
        picture.heading = format!(
            "{program}: {}, {:.1} s, {}, {}",
            counted(lanes as usize, "rank"),
            picture.seconds,
            counted(lines, "line"),
            counted(accidents, "accident")
        );
        picture
    }

    fn add_bars(&mut self, time: Time, life: &Life) {
        let (first, last) = (time.of(life.asked), time.of(end(life)));
        let within = |at: u64| time.of(at).clamp(first, last);
        let unknown = Boot { begun: life.started, up: life.up };
        for lane in 0..life.size {
            let boot = match life.boots.is_empty() {
                true => unknown,
                false => life.boots.get(lane as usize).copied().unwrap_or_default(),
            };
            let Some(begun) = boot.begun.map(within) else { continue };
            // A domain that has started is not the rank that was saved before it has its memory.
            let runs = match life.from {
                None => boot.up,
                Some(_) => boot.up.zip(life.running).map(|(up, running)| up.max(running)),
            };
            let runs = runs.map(within).map(|runs| runs.max(begun));
            let mut bar = |kind, does: &str, from: f64, to: f64| {
                let title = format!("rank {lane} of {} {does}: {from:.2} s to {to:.2} s", life.job);
                self.bars.push(Bar { lane, kind, span: Span { from, to, title } });
            };
            bar(BarKind::Boots, "starts", begun, runs.unwrap_or(last));
            if let Some(runs) = runs {
                bar(BarKind::Runs, "runs", runs, last);
            }
        }
    }

    fn add_lines(&mut self, time: Time, life: &Life, is_each: bool) {
        let (first, last) = (time.of(life.asked), time.of(end(life)));
        for report in &life.lines {
            let from = time.of(report.at).clamp(first, last);
            let to = (from + report.stall.max(0.0)).min(last);
            let ranks = match is_each && !report.stalls.is_empty() {
                false => Ranks::All([from, to]),
                true => {
                    let stalls = (0..life.size).zip(&report.stalls);
                    let stalls = stalls.filter(|(_, stall)| **stall > 0.0);
                    Ranks::Each(
                        stalls.map(|(lane, it)| (lane, [(to - it).max(from), to])).collect(),
                    )
                }
            };
            self.stalls.push(Stall { ranks, title: told(report, from) });
            // An image may still be written when the job has met with an accident.
            let from = self.writes.last().map_or(to, |before| to.max(before.to));
            let took = report.write.max(0.0) + report.commit.max(0.0);
            let to = (from + took).min(time.of(gone(life))).max(from);
            let title = format!(
                "line {}: image written in {:.1} ms, {} bytes",
                report.line,
                took * 1000.0,
                report.sizes.packed
            );
            self.writes.push(Span { from, to, title });
        }
    }

    fn add_end(&mut self, time: Time, life: &Life, is_last: bool) {
        let Some(end) = &life.end else { return };
        let at = time.of(end.at);
        let cause = end.cause.as_deref().unwrap_or("none is known");
        if end.is_accident {
            let title = format!("{at:.2} s, accident of {}: {cause}", name(life));
            self.accidents.push(Mark { at, title });
        }
        if is_last {
            let status = end.status.map_or(String::new(), |status| format!(", status {status}"));
            let cause = end.cause.as_ref().map_or(String::new(), |cause| format!(": {cause}"));
            self.end = Some(Mark { at, title: format!("{at:.2} s, the end{status}{cause}") });
        }
    }

    /// Where `life` begins, which comes after those before.
    fn add_return(&mut self, time: Time, before: &[Life], life: &Life) {
        let Some(last) = before.last() else { return };
        // One that has not begun has not gone back anywhere.
        if life.from.is_none() && life.started.is_none() {
            return;
        }
        let from = time.of(end(last));
        let line = |line: &String| {
            let mut lines = before.iter().rev().flat_map(|life| life.lines.iter().rev());
            lines.find(|report| report.line == *line).map(|report| time.of(report.at))
        };
        let (to, title) = match &life.from {
            None => (0.0, "back to the start: all is done again".to_owned()),
            Some(name) => match line(name) {
                Some(to) => (to.min(from), format!("back to line {name}, of {to:.2} s")),
                None if before[0].from.as_ref() == Some(name) => {
                    (0.0, format!("back to line {name}, where it began"))
                }
                // The daemon died before it could tell.
                None => (from, format!("back to line {name}, which had just been saved")),
            },
        };
        self.returns.push(Return { from, to, title });
    }
}

/// Moments as seconds.
#[derive(Clone, Copy)]
struct Time {
    /// When the job was asked for, in milliseconds since 1970.
    origin: u64,
}

impl Time {
    fn of(self, at: u64) -> f64 {
        at.saturating_sub(self.origin) as f64 / 1000.0
    }
}

/// When a life was over.
fn end(life: &Life) -> u64 {
    life.end.as_ref().map_or_else(|| newest(life), |end| end.at).max(life.asked)
}

/// When nothing of a life was left.
fn gone(life: &Life) -> u64 {
    life.end.as_ref().map_or_else(|| newest(life), |end| end.gone).max(end(life))
}

/// The newest of what is known of a life whose end is not.
fn newest(life: &Life) -> u64 {
    let known = [Some(life.asked), life.started, life.up, life.running];
    known.into_iter().flatten().chain(life.lines.iter().map(|line| line.at)).max().unwrap_or(0)
}

fn name(life: &Life) -> &str {
    if life.job.is_empty() { "a job that did not begin" } else { &life.job }
}

/// A line in words.
fn told(report: &LineReport, at: f64) -> String {
    let LineReport { line, drained, stall, .. } = report;
    let stall = stall * 1000.0;
    format!("line {line}: {at:.2} s, stall of {stall:.1} ms, {drained} operations drained")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::history::End;

    /// A job of four ranks with `lines` lines a life, which meets with `accidents` accidents.
    pub fn job(lines: u64, accidents: u64) -> History {
        let mut history = History::default();
        let life_takes = 1_000 + 1_000 * (lines + 1);
        for number in 0..=accidents {
            let asked = 1_700_000_000_000 + number * (life_takes + 700);
            let mut life = Life { asked, job: format!("job{number}"), size: 4, ..Life::default() };
            life.started = Some(asked + 50);
            life.running = Some(asked + 1_000);
            life.from = (number > 0 && lines > 0).then(|| format!("{}-{lines}", number - 1));
            life.boots = (0..4)
                .map(|rank| Boot {
                    begun: Some(asked + 100 + 200 * rank),
                    up: Some(asked + 250 + 200 * rank),
                })
                .collect();
            life.lines = (1..=lines)
                .map(|line| LineReport {
                    line: format!("{number}-{line}"),
                    at: asked + 1_000 * (line + 1),
                    stall: 0.060,
                    stalls: vec![0.055, 0.05, 0.045, 0.0],
                    write: 0.4,
                    commit: 0.01,
                    ..LineReport::default()
                })
                .collect();
            let is_last = number == accidents;
            life.end = Some(End {
                at: asked + life_takes,
                gone: asked + life_takes + 300,
                status: Some(if is_last { 0 } else { 134 }),
                cause: (!is_last).then(|| "rank 1 crashed: <null> & \"more\"".into()),
                is_accident: !is_last,
            });
            history.push(life);
        }
        history
    }

    /// Whether all is within the picture, and nothing lies upon something else of its kind.
    fn check(picture: &Picture) {
        let is_within = |span: [f64; 2]| {
            assert!(0.0 <= span[0] && span[0] <= span[1] && span[1] <= picture.seconds, "{span:?}");
        };
        for lane in 0..picture.lanes {
            let bars = || picture.bars.iter().filter(|bar| bar.lane == lane);
            let mut last = 0.0;
            for bar in bars() {
                is_within([bar.span.from, bar.span.to]);
                assert!(bar.span.from >= last, "{bar:?} begins before {last}");
                last = bar.span.to;
            }
            for stall in &picture.stalls {
                let [from, to] = match &stall.ranks {
                    Ranks::All(span) => *span,
                    Ranks::Each(ranks) => match ranks.iter().find(|(rank, _)| *rank == lane) {
                        Some((_, span)) => *span,
                        None => continue,
                    },
                };
                is_within([from, to]);
                let mut running = bars().filter(|bar| bar.kind == BarKind::Runs);
                assert!(
                    running.any(|bar| bar.span.from <= from && to <= bar.span.to),
                    "{stall:?} is not while rank {lane} runs"
                );
            }
        }
        let mut last = 0.0;
        for write in &picture.writes {
            is_within([write.from, write.to]);
            assert!(write.from >= last, "{write:?} begins before {last}");
            last = write.to;
        }
        for back in &picture.returns {
            assert!(back.to <= back.from, "{back:?}");
            is_within([back.to, back.from]);
        }
    }

    #[test]
    fn nothing_overlaps() {
        for lines in [0, 1, 3, 50] {
            for accidents in [0, 1, 4] {
                let picture = Picture::of("cg.img", &job(lines, accidents));
                check(&picture);
                let all = lines * (accidents + 1);
                assert_eq!(picture.stalls.len() as u64, all);
                assert_eq!(picture.writes.len() as u64, all);
                assert_eq!(picture.accidents.len() as u64, accidents);
                assert_eq!(picture.returns.len() as u64, accidents);
                assert_eq!(picture.bars.len() as u64, 2 * 4 * (accidents + 1));
                assert!(picture.end.is_some());
            }
        }
        assert_eq!(
            Picture::of("cg.img", &job(1, 1)).heading,
            "cg.img: 4 ranks, 7.0 s, 2 lines, 1 accident"
        );
    }

    #[test]
    fn an_arrow_leads_from_the_accident_to_the_line() {
        let picture = Picture::of("cg.img", &job(3, 1));
        let [back] = &picture.returns[..] else { panic!("{:?}", picture.returns) };
        assert_eq!((back.from, back.to), (5.0, 4.0));
        assert_eq!(back.title, "back to line 0-3, of 4.00 s");
        // A daemon may die before it has told of its last line.
        let mut history = job(3, 1);
        history.lives_mut()[0].lines.pop();
        let [back] = &Picture::of("cg.img", &history).returns[..] else { panic!("no arrow") };
        assert_eq!((back.from, back.to), (5.0, 5.0));
        // What was saved before is where it began.
        history.lives_mut()[0].from = Some("0-3".into());
        let [back] = &Picture::of("cg.img", &history).returns[..] else { panic!("no arrow") };
        assert_eq!((back.from, back.to), (5.0, 0.0));
        // Without a line it begins again.
        let [back] = &Picture::of("cg.img", &job(0, 1)).returns[..] else { panic!("no arrow") };
        assert_eq!((back.from, back.to), (2.0, 0.0));
    }

    #[test]
    fn each_rank_has_its_stall_and_one_that_has_ended_none() {
        let picture = Picture::of("cg.img", &job(1, 0));
        let [Stall { ranks: Ranks::Each(ranks), title }] = &picture.stalls[..] else {
            panic!("{:?}", picture.stalls)
        };
        let lengths: Vec<_> =
            ranks.iter().map(|(rank, [from, to])| (*rank, ((to - from) * 1e3).round())).collect();
        assert_eq!(lengths, [(0, 55.0), (1, 50.0), (2, 45.0)]);
        assert_eq!(title, "line 0-1: 2.00 s, stall of 60.0 ms, 0 operations drained");
    }

    #[test]
    fn a_job_of_which_little_is_known_is_drawn() {
        check(&Picture::of("cg.img", &History::default()));
        let mut history = History::default();
        history.begin(2, 5_000);
        check(&Picture::of("cg.img", &history));
        // The daemon dies, and its successor is slow to come; clocks go astray, and reports.
        history.lose("the daemon died".into(), 4_000);
        history.begin(2, 4_500);
        let odd = LineReport {
            line: "9-9".into(),
            at: 1,
            stall: f64::INFINITY,
            stalls: vec![f64::NAN, -1.0],
            write: f64::NAN,
            commit: f64::INFINITY,
            ..LineReport::default()
        };
        history.hear(&dom0_proxy::control::Reply::Saved(odd), 6_000);
        let picture = Picture::of("cg.img", &history);
        assert_eq!((picture.accidents.len(), picture.returns.len()), (1, 0));
        assert!(picture.writes.iter().all(|it| it.from <= it.to && it.to <= picture.seconds));
    }

    #[test]
    fn boots_are_known_from_what_was_heard_if_there_is_no_end_to_tell() {
        let mut history = job(1, 1);
        let life = &mut history.lives_mut()[0];
        life.boots = Vec::new();
        life.up = Some(life.asked + 900);
        check(&Picture::of("cg.img", &history));
        let picture = Picture::of("cg.img", &history);
        let boots = picture.bars.iter().filter(|bar| bar.kind == BarKind::Boots);
        let boots: Vec<_> = boots.take(4).map(|bar| (bar.span.from, bar.span.to)).collect();
        assert_eq!(boots, [(0.05, 0.9); 4]);
    }
}
