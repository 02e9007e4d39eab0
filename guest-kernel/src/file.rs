//! Read-only files that an application is started with.

use alloc::string::String;

/// One read-only file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    name: String,
    content: &'static [u8],
}

impl File {
    pub(crate) fn new(name: String, content: &'static [u8]) -> Self {
        File { name, content }
    }

    /// The file's name, without a leading slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All bytes of the file.
    pub fn content(&self) -> &'static [u8] {
        self.content
    }
}

/// The content of the file of this name, if there is one among them.
pub(crate) fn content_of(name: &str, files: &[File]) -> Option<&'static [u8]> {
    files.iter().find(|file| file.name() == name).map(File::content)
}
