//! What can go wrong with saved images, each as one line for the user.

use std::io;
use std::path::PathBuf;

use super::description::Line;
use crate::error::{is_want, status};

/// An error about saved images. `Display` is the whole line for the user.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The system refused something.
    #[error("{action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it did not work.
        source: io::Error,
    },
    /// A directory that is not safely the user's own.
    #[error(
        "directory of images {}: {why}: use one of your own that nobody else can write into \
         (chmod go-w)",
        path.display()
    )]
    UnsafeFolder {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There are other things in it.
    #[error(
        "{} is no directory of images, and not empty: give a new or an empty directory",
        path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A directory without images.
    #[error(
        "{} is no directory of images: give the one that the job was saved to",
        path.display()
    )]
    NoStore {
        /// The directory.
        path: PathBuf,
    },
    /// Another saver has the directory.
    #[error(
        "{} is being saved to by {holder}: wait until that is done, or use another directory",
        path.display()
    )]
    Busy {
        /// The directory.
        path: PathBuf,
        /// What the other says of itself.
        holder: String,
    },
    /// The line is not newer than all images.
    #[error(
        "{} has an image of line {newest}, and line {line} is not newer: use another directory",
        path.display()
    )]
    NotNewer {
        /// The directory.
        path: PathBuf,
        /// The line that was to be saved.
        line: Line,
        /// The newest that there is.
        newest: Line,
    },
    /// The images are another job's.
    #[error(
        "{} has images of another job, {job} of {program}: use another directory",
        path.display()
    )]
    OtherJob {
        /// The directory.
        path: PathBuf,
        /// The name of that job.
        job: String,
        /// Its program.
        program: String,
    },
    /// Not that image.
    #[error(
        "there is no image of line {line} in {}: `pgas images` lists what there is",
        path.display()
    )]
    NoImage {
        /// The directory.
        path: PathBuf,
        /// The line.
        line: Line,
    },
    /// No image at all that could be used.
    #[error(
        "there is no good image in {}: {tried} damaged; `pgas verify` names what is wrong",
        path.display()
    )]
    NoGoodImage {
        /// The directory.
        path: PathBuf,
        /// How many there are that are damaged.
        tried: usize,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {why}: use an older image (`pgas images` lists them)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of another version of this program.
    #[error(
        "{} has format {found}, and this program knows format {known}: \
         use the version of Xenolith that wrote it",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// That of this program.
        known: u32,
    },
    /// What was to be saved cannot be.
    #[error("the job cannot be saved: {0}")]
    NotSavable(String),
}

/// What to do about an error of the system.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": free some space or use another directory; older images are as they were"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            ": use a directory that you can write into"
        }
        io::ErrorKind::NotFound => ": it has been removed, or was never there",
        _ => "",
    }
}

/// A result about saved images.
pub type Result<T, E = ImagesError> = std::result::Result<T, E>;

impl ImagesError {
    /// The exit status with which `pgas` ends for this error.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Damaged { .. } | Self::NoGoodImage { .. } | Self::OtherVersion { .. } => {
                status::NOT_RUNNABLE
            }
            Self::NoImage { .. } | Self::NoStore { .. } => status::NOT_FOUND,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                status::NOT_FOUND
            }
            Self::Io { source, .. } if is_want(source) => status::HOST,
            _ => status::USAGE,
        }
    }

    /// Whether a file is not as it was written, or gone.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::OtherVersion { .. }) || self.is_missing()
    }

    /// Whether a file is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
