//! Lines for programs.

use dom0_proxy::control::OutputStream;
use serde::Serialize;

use super::lines::Fragment;
use super::shown::Mark;
use super::tagged::time;

/// A line, or a part of one, as `pgas run --json` has it.
#[derive(Debug, Serialize)]
pub struct JsonLine {
    rank: u32,
    stream: OutputStream,
    /// Without the newline. JSON has Unicode only: where the bytes are none, with replacement
    /// characters.
    text: String,
    /// The bytes, where the text is not all that they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<Vec<u8>>,
    /// The line does not end here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// All of it was shown in an earlier run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    again: bool,
    /// A later run has gone back to before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

impl JsonLine {
    /// What a program is told of a fragment, with its time or without.
    pub fn new(fragment: &Fragment<'_>, times: bool) -> Self {
        let line = fragment.bytes.strip_suffix(b"\n");
        let bytes = line.unwrap_or(fragment.bytes);
        let text = String::from_utf8_lossy(bytes).into_owned();
        Self {
            rank: fragment.rank,
            stream: fragment.stream,
            bytes: (text.as_bytes() != bytes).then(|| bytes.to_vec()),
            text,
            partial: line.is_none(),
            again: fragment.mark == Mark::Again,
            undone: fragment.mark == Mark::Undone,
            time: times.then(|| time(fragment.at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_can_be_had() {
        let json = |bytes, mark| {
            let stream = OutputStream::Error;
            let fragment = Fragment { rank: 1, stream, at: 0, bytes, goes_on: false, mark };
            serde_json::to_string(&JsonLine::new(&fragment, false)).unwrap()
        };
        assert_eq!(json(b"a\n", Mark::None), r#"{"rank":1,"stream":"error","text":"a"}"#);
        assert_eq!(
            json(b"a\n", Mark::Again),
            r#"{"rank":1,"stream":"error","text":"a","again":true}"#
        );
        assert_eq!(
            json(b"\xe9", Mark::None),
            r#"{"rank":1,"stream":"error","text":"�","bytes":[233],"partial":true}"#
        );
    }
}
