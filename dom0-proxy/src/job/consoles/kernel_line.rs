//! Lines of a console that the guest's kernel wrote, and what they mean for the job.

/// A line that the guest's kernel wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelLine {
    /// The first one.
    Up,
    /// Why the domain is about to crash.
    Fatal(String),
    /// The exit status; the last one.
    Exit(i32),
    /// Anything else, such as a backtrace.
    Detail,
}

impl KernelLine {
    /// The kernel's line that `line` is, if it is one.
    pub fn parse(line: &str) -> Option<Self> {
        let text = line.strip_prefix("xenolith: ")?;
        Some(if text.starts_with("up ") {
            Self::Up
        } else if let Some(cause) = text.strip_prefix("fatal: ") {
            Self::Fatal(without_rank(cause).to_owned())
        } else if let Some(status) = text.strip_prefix("exit ").and_then(|word| word.parse().ok()) {
            Self::Exit(status)
        } else {
            Self::Detail
        })
    }
}

/// The cause alone: which rank it was is known from the console, whatever the text says.
fn without_rank(cause: &str) -> &str {
    let rest = cause.strip_prefix("rank ").and_then(|rest| rest.split_once(": "));
    match rest {
        Some((rank, cause)) if rank.bytes().all(|byte| byte.is_ascii_digit()) => cause,
        _ => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_recognised() {
        let of = KernelLine::parse;
        assert_eq!(
            of("xenolith: up rank=2 size=4 memory=16777216 version=0.1.0"),
            Some(KernelLine::Up)
        );
        assert_eq!(
            of("xenolith: fatal: rank 2: panic at src/main.rs:3: boom: bang"),
            Some(KernelLine::Fatal("panic at src/main.rs:3: boom: bang".into()))
        );
        assert_eq!(of("xenolith: fatal: no memory"), Some(KernelLine::Fatal("no memory".into())));
        assert_eq!(of("xenolith: exit 3"), Some(KernelLine::Exit(3)));
        assert_eq!(of("xenolith: exit -1"), Some(KernelLine::Exit(-1)));
        assert_eq!(of("xenolith: exit soon"), Some(KernelLine::Detail));
        assert_eq!(of("xenolith:   0x1012ab"), Some(KernelLine::Detail));
        assert_eq!(of("xenolithic: exit 3"), None);
        assert_eq!(of("hello"), None);
    }
}
