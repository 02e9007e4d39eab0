//! What each rank has written, out of what `pgas` shows.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What one rank has written to standard output, as far as it was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub bytes: Vec<u8>,
    /// Whether a newline follows, which may be `pgas`'s own, cannot be told.
    pub newline: bool,
}

/// Out of lines with a tag.
pub fn tagged(text: &[u8], ranks: usize) -> Result<Vec<Shown>> {
    let mut shown = vec![Shown::default(); ranks];
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let (rank, goes_on, text) =
            untag(line).with_context(|| format!("no tag: {:?}", String::from_utf8_lossy(line)))?;
        let shown = shown.get_mut(rank).with_context(|| format!("there is no rank {rank}"))?;
        if shown.newline && !goes_on {
            shown.bytes.push(b'\n');
        }
        shown.newline = text.ends_with(b"\n");
        shown.bytes.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
    }
    Ok(shown)
}

/// `[RANK] TEXT`, or `[RANK]+ TEXT` where it goes on with a line.
fn untag(line: &[u8]) -> Option<(usize, bool, &[u8])> {
    let rest = line.strip_prefix(b"[")?;
    let end = rest.iter().position(|&byte| byte == b']')?;
    let rank = str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    let rest = &rest[end + 1..];
    match rest.strip_prefix(b"+ ") {
        Some(text) => Some((rank, true, text)),
        None => Some((rank, false, rest.strip_prefix(b" ")?)),
    }
}

/// Out of JSON objects; and what the last says about the job.
pub fn json(text: &[u8], ranks: usize) -> Result<(Vec<Shown>, Option<Value>)> {
    let mut shown = vec![Shown::default(); ranks];
    let mut ended = None;
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let value: Value = serde_json::from_slice(line)
            .with_context(|| format!("no JSON: {:?}", String::from_utf8_lossy(line)))?;
        let line = &value["line"];
        if line.is_null() {
            ensure!(ended.is_none(), "something follows the end: {value}");
            ended = Some(value["ended"].clone());
            continue;
        }
        if line["stream"] != "output" {
            continue;
        }
        let (rank, text) = line["rank"]
            .as_u64()
            .zip(line["text"].as_str())
            .with_context(|| format!("no rank or no text: {value}"))?;
        let shown =
            shown.get_mut(rank as usize).with_context(|| format!("there is no rank {rank}"))?;
        shown.bytes.extend_from_slice(text.as_bytes());
        if line["partial"] != true {
            shown.bytes.push(b'\n');
        }
    }
    Ok((shown, ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_pieces_are_put_together() {
        let shown = tagged(b"[0] a\n[1] pro\n[0] b\n[1]+ mpt\n[1] end", 2).expect("tagged");
        assert_eq!(shown[0], Shown { bytes: b"a\nb".into(), newline: true });
        assert_eq!(shown[1], Shown { bytes: b"prompt\nend".into(), newline: false });
        assert!(tagged(b"[2] a\n", 2).is_err());
        assert!(tagged(b"a\n", 2).is_err());
    }

    #[test]
    fn objects_are_put_together() {
        let text = br#"{"line":{"rank":0,"stream":"output","text":"a","partial":true}}
{"line":{"rank":0,"stream":"error","text":"panic"}}
{"line":{"rank":0,"stream":"output","text":"b"}}
{"ended":{"status":0}}
"#;
        let (shown, ended) = json(text, 1).expect("objects");
        assert_eq!(shown[0].bytes, b"ab\n");
        assert_eq!(ended.expect("an end")["status"], 0);
    }
}
