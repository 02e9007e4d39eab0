//! The pictures of the layers, as they stand in the documentation.
//!
//! A picture is a block of Markdown that begins with `layers` and the folder of the crate's code:
//!
//! ````text
//! ```layers armci-nostd/src
//! api                  # what applications call path  serve          # neither knows the other
//! wire
//! ```
//! ````
//!
//! Each line is a floor, the top one first. What is behind `#` is for readers.

use anyhow::{Result, bail, ensure};

use super::DOCUMENT;

/// The floors of one crate.
#[derive(Debug)]
pub struct Picture {
    /// The folder of its code, seen from the repository.
    pub source: String,
    /// Where the picture begins in the document.
    pub line: usize,
    /// The rooms of each floor, the ground floor first.
    floors: Vec<Vec<String>>,
}

impl Picture {
    /// The floor that a room is on; 1 is the ground floor.
    pub fn floor(&self, room: &str) -> Option<usize> {
        let floor = self.floors.iter().position(|rooms| rooms.iter().any(|name| name == room));
        floor.map(|index| index + 1)
    }

    /// All rooms.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        self.floors.iter().flatten().map(String::as_str)
    }
}

/// The pictures in a document.
pub fn pictures(document: &str) -> Result<Vec<Picture>> {
    let mut pictures = Vec::new();
    let mut lines = (1..).zip(document.lines());
    while let Some((line, text)) = lines.next() {
        let Some(source) = text.strip_prefix("```layers ") else { continue };
        let mut floors: Vec<Vec<String>> = Vec::new();
        loop {
            let Some((line, text)) = lines.next() else {
                bail!("{DOCUMENT}:{line}: the picture does not end");
            };
            if text.starts_with("```") {
                break;
            }
            let rooms = text.split('#').next().unwrap_or_default().split_whitespace();
            let rooms: Vec<String> = rooms.map(str::to_owned).collect();
            for room in &rooms {
                let twice = floors.iter().flatten().any(|other| other == room)
                    || rooms.iter().filter(|other| *other == room).count() > 1;
                ensure!(!twice, "{DOCUMENT}:{line}: room {room} is in the picture twice");
            }
            if !rooms.is_empty() {
                floors.push(rooms);
            }
        }
        floors.reverse();
        pictures.push(Picture { source: source.trim().to_owned(), line, floors });
    }
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_top_first() -> Result<()> {
        let document =
            "# Title\n\n```layers a/src\ntop  # seen by all\nleft  right\n\nground\n```\n";
        let pictures = pictures(document)?;
        let [picture] = pictures.as_slice() else { bail!("{pictures:?}") };
        assert_eq!((picture.source.as_str(), picture.line), ("a/src", 3));
        assert_eq!(picture.floor("ground"), Some(1));
        assert_eq!(picture.floor("left"), picture.floor("right"));
        assert_eq!(picture.floor("top"), Some(3));
        assert_eq!(picture.floor("seen"), None);
        Ok(())
    }

    #[test]
    fn a_room_is_on_one_floor() {
        let error = pictures("```layers a/src\nb\nc\nb\n```\n").unwrap_err();
        assert_eq!(error.to_string(), "docs/architecture.md:4: room b is in the picture twice");
    }

    #[test]
    fn a_picture_ends() {
        assert!(pictures("```layers a/src\nb\n").is_err());
    }
}
