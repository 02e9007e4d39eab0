//! Tables for people.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use dom0_proxy::control::{JobInfo, LineReport, RankKind, Summary, WRITTEN_THROUGH};
use dom0_proxy::images::Listed;

/// The jobs that run.
pub fn jobs(jobs: &[JobInfo]) -> String {
    let rows = jobs.iter().map(|job| {
        let kind = match job.kind {
            RankKind::Xen => "xen",
            RankKind::Hosted => "hosted",
        };
        let image = job.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [
            job.job.clone(),
            kind.into(),
            ranks_up(job),
            format!("{:.1} s", job.seconds),
            if job.held { "held" } else { "runs" }.into(),
            image,
        ]
    });
    render(["job", "kind", "ranks up", "time", "state", "image"], rows)
}

/// How many of a job's ranks on this host have started, and how many there are on all hosts if
/// those are more.
fn ranks_up(job: &JobInfo) -> String {
    let JobInfo { up, here, size, .. } = job;
    let of_all = if here == size { String::new() } else { format!(" of {size}") };
    format!("{up}/{here}{of_all}")
}

/// A line that was saved: where, how long each part took, and what became of the memory.
pub fn line(report: &LineReport) -> String {
    let LineReport { job, directory, line, stopped, sizes, .. } = report;
    let ends = if *stopped { ", and ends" } else { "" };
    let sizes = [sizes.memory, sizes.zero, sizes.free, sizes.shared, sizes.new, sizes.packed];
    let slow = match report.written_through {
        true => format!("{WRITTEN_THROUGH}\n"),
        false => String::new(),
    };
    format!(
        "job {job} is saved as line {line} in {}{ends}\n{slow}{}{}",
        directory.display(),
        render(COSTS, std::iter::once(costs(report))),
        render(
            ["memory", "zeros", "free", "known", "new", "on disk"],
            std::iter::once(sizes.map(bytes))
        )
    )
}

/// The lines of a job, one below the other.
pub fn lines<'a>(reports: impl Iterator<Item = &'a LineReport>) -> String {
    let [line, drained, park, copy, stall, write, commit] = COSTS;
    let heads = ["line", line, drained, park, copy, stall, write, commit, "memory", "stored"];
    let rows = reports.map(|report| {
        let [to_the_line, drained, park, copy, stall, write, commit] = costs(report);
        let (memory, stored) = (bytes(report.sizes.memory), bytes(report.sizes.packed));
        let line = report.line.clone();
        [line, to_the_line, drained, park, copy, stall, write, commit, memory, stored]
    });
    render(heads, rows)
}

/// A line that was saved, in short.
pub fn short_line(report: &LineReport) -> String {
    let [_, drained, _, _, stall, write, _] = costs(report);
    let (memory, stored) = (bytes(report.sizes.memory), bytes(report.sizes.packed));
    format!(
        "line {}: stall {stall}, {drained} drained, write {write}, {memory}, {stored} stored",
        report.line
    )
}

/// What a line costs.
const COSTS: [&str; 7] = ["to the line", "drained", "park", "copy", "stall", "write", "commit"];

fn costs(report: &LineReport) -> [String; 7] {
    let LineReport { to_the_line, drained, park, copy, stall, write, commit, .. } = report;
    let milliseconds = |seconds: &f64| format!("{:.1} ms", seconds * 1000.0);
    let [to_the_line, park, copy, stall, write, commit] =
        [to_the_line, park, copy, stall, write, commit].map(milliseconds);
    [to_the_line, drained.to_string(), park, copy, stall, write, commit]
}

/// What each rank of a job did.
pub fn ranks(summary: &Summary) -> String {
    let rows = summary.ranks.iter().enumerate().map(|(rank, known)| {
        let traffic = &known.traffic;
        [
            rank.to_string(),
            bytes(known.memory),
            known.boot_seconds.map_or("-".into(), |seconds| format!("{seconds:.3} s")),
            traffic.put.operations.to_string(),
            traffic.get.operations.to_string(),
            traffic.accumulate.operations.to_string(),
            traffic.rmw.operations.to_string(),
            traffic.total().operations.to_string(),
            bytes(traffic.total().bytes),
        ]
    });
    render(["rank", "memory", "boot", "puts", "gets", "accs", "rmws", "all ops", "moved"], rows)
}

/// The saved images of a directory.
pub fn images(images: &[Listed]) -> String {
    let rows = images.iter().map(|image| {
        let state = if image.damage.is_none() { "good" } else { "damaged" }.to_owned();
        let line = image.line().to_string();
        match &image.summary {
            Some(summary) => [
                line,
                time(summary.created),
                summary.job.clone(),
                summary.program.clone(),
                summary.ranks.to_string(),
                bytes(summary.memory),
                bytes(summary.used),
                bytes(summary.new),
                bytes(summary.written),
                state,
            ],
            None => {
                let none = || "-".to_owned();
                let [a, b, c, d, e, f, g, h] = std::array::from_fn(|_| none());
                [line, a, b, c, d, e, f, g, h, state]
            }
        }
    });
    let heads =
        ["line", "saved", "job", "program", "ranks", "memory", "in use", "new", "written", "state"];
    render(heads, rows)
}

/// Seconds since 1970, in UTC.
fn time(seconds: u64) -> String {
    // What no calendar has is shown as its last day.
    const LAST: u64 = 253_402_300_799;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

fn render<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = std::iter::once(heads.map(String::from)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:>width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number of bytes with a unit.
pub fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if value.fract() == 0.0 { format!("{value} {unit}") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dom0_proxy::control::{OperationSummary, OutputSummary, RankSummary, TrafficSummary};
    use dom0_proxy::images::Sizes;

    #[test]
    fn jobs_over_several_hosts_show_what_is_here() {
        let job = |here| JobInfo {
            job: "abcdef".into(),
            kind: RankKind::Hosted,
            size: 8,
            here,
            up: 3,
            image: "/images/cg".into(),
            seconds: 1.25,
            held: false,
        };
        let shown = jobs(&[job(8), job(4)]);
        let rows: Vec<_> = shown.lines().collect();
        assert!(rows[1].contains(" 3/8 ") && !rows[1].contains("of"), "{shown}");
        assert!(rows[2].contains(" 3/4 of 8 "), "{shown}");
    }

    #[test]
    fn units_are_chosen() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(16 << 20), "16 MiB");
        assert_eq!(bytes(1_500_000), "1.4 MiB");
    }

    #[test]
    fn a_row_for_each_image() {
        let summary = dom0_proxy::images::Summary {
            created: u64::MAX,
            host: "here".into(),
            job: "ab12cd".into(),
            program: "cg.img".into(),
            ranks: 4,
            memory: 64 << 20,
            used: 8 << 20,
            new: 1 << 20,
            written: 1 << 19,
        };
        let image = |number, summary, damage: Option<&str>| Listed {
            incarnation: 0,
            number,
            summary,
            damage: damage.map(String::from),
        };
        let list = [image(1, Some(summary), None), image(2, None, Some("it is cut short"))];
        let written = images(&list);
        let cells: Vec<Vec<_>> = written
            .lines()
            .map(|line| line.split("  ").filter(|it| !it.is_empty()).collect())
            .collect();
        let cell = |row: usize, column: usize| cells[row][column].trim();
        let row: Vec<_> = (0..10).map(|column| cell(1, column)).collect();
        assert_eq!(
            row.join(", "),
            "0-1, 9999-12-31T23:59:59Z, ab12cd, cg.img, 4, 64 MiB, 8 MiB, 1 MiB, 512 KiB, good"
        );
        let row: Vec<_> = (0..10).map(|column| cell(2, column)).collect();
        assert_eq!(row.join(" "), "0-2 - - - - - - - - damaged");
    }

    fn report() -> LineReport {
        LineReport {
            job: "ab12cd".into(),
            directory: "/images".into(),
            line: "1-2".into(),
            stopped: true,
            written_through: false,
            at: 1_000,
            to_the_line: 0.0001,
            drained: 3,
            park: 0.002,
            copy: 0.0304,
            stall: 0.05,
            stalls: vec![0.04, 0.045],
            write: 1.25,
            commit: 0.0,
            sizes: Sizes {
                memory: 64 << 20,
                zero: 32 << 20,
                free: 16 << 20,
                shared: 12 << 20,
                new: 4 << 20,
                packed: 1 << 20,
            },
        }
    }

    #[test]
    fn a_line_is_told_in_two_rows() {
        assert_eq!(
            line(&report()),
            "\
job ab12cd is saved as line 1-2 in /images, and ends
to the line  drained    park     copy    stall      write  commit
     0.1 ms        3  2.0 ms  30.4 ms  50.0 ms  1250.0 ms  0.0 ms
memory   zeros    free   known    new  on disk
64 MiB  32 MiB  16 MiB  12 MiB  4 MiB    1 MiB
"
        );
        let slow = line(&LineReport { written_through: true, ..report() });
        assert_eq!(slow.lines().nth(1), Some(WRITTEN_THROUGH));
    }

    #[test]
    fn a_row_for_each_line() {
        let next = LineReport { line: "1-3".into(), drained: 0, ..report() };
        assert_eq!(
            lines([report(), next].iter()),
            "\
line  to the line  drained    park     copy    stall      write  commit  memory  stored
 1-2       0.1 ms        3  2.0 ms  30.4 ms  50.0 ms  1250.0 ms  0.0 ms  64 MiB   1 MiB
 1-3       0.1 ms        0  2.0 ms  30.4 ms  50.0 ms  1250.0 ms  0.0 ms  64 MiB   1 MiB
"
        );
        assert_eq!(
            short_line(&report()),
            "line 1-2: stall 50.0 ms, 3 drained, write 1250.0 ms, 64 MiB, 1 MiB stored"
        );
    }

    #[test]
    fn a_row_for_each_rank() {
        let put = OperationSummary { operations: 3, bytes: 24 };
        let rank = RankSummary {
            memory: 16 << 20,
            begun_seconds: Some(0.0),
            boot_seconds: Some(0.5),
            status: Some(0),
            output: OutputSummary::default(),
            traffic: TrafficSummary { put, ..TrafficSummary::default() },
        };
        let ranks_of = vec![rank, RankSummary::default()];
        let summary = Summary {
            job: "ab".into(),
            status: 0,
            cause: None,
            is_accident: false,
            lost_host: None,
            seconds: 1.0,
            ending_seconds: 1.0,
            ranks: ranks_of,
        };
        assert_eq!(
            ranks(&summary),
            "\
rank  memory     boot  puts  gets  accs  rmws  all ops  moved
   0  16 MiB  0.500 s     3     0     0     0        3   24 B
   1     0 B        -     0     0     0     0        0    0 B
"
        );
    }
}
