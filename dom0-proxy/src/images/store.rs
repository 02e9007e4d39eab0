//! The directory of images as a whole.

use std::path::Path;
use std::sync::Arc;

use super::collect::{self, Removed};
use super::description::{Description, Line};
use super::distrust::Distrusted;
use super::error::{ImagesError, Result};
use super::folder::{Folder, Watch};
use super::image::{Image, Pick};
use super::index::Index;
use super::listing::{Contents, Listed};
use super::lock::SaveLock;
use super::names::{MARK, Name};
use super::saving::Saving;
use super::verify::{self, Report};

/// A directory of images.
#[derive(Debug)]
pub struct ImageStore {
    folder: Arc<Folder>,
    /// Packs in which this process has found damage: nothing new is built on them.
    distrusted: Distrusted,
}

impl ImageStore {
    /// Makes the directory, for this user alone, or takes the one that is there.
    ///
    /// # Errors
    /// [`ImagesError`], if it cannot be made, others can write into it, or there is something else
    /// in it.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        Self::create_watched(path, None)
    }

    /// The same, where somebody hears of each change.
    pub(super) fn create_watched(path: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Self> {
        let folder = Arc::new(Folder::open_or_create(path, watch)?);
        if !has_mark(&folder)? {
            if !folder.is_empty()? {
                return Err(ImagesError::NotEmpty { path: folder.path().into() });
            }
            // Makes the mark.
            SaveLock::take(&folder)?;
            folder.sync()?;
        }
        Ok(Self { folder, distrusted: Distrusted::default() })
    }

    /// Takes a directory that has been made.
    ///
    /// # Errors
    /// [`ImagesError`], if there is none, or others can write into it.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Arc::new(Folder::open(path, None)?);
        if !has_mark(&folder)? {
            return Err(ImagesError::NoStore { path: folder.path().into() });
        }
        Ok(Self { folder, distrusted: Distrusted::default() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Begins to save a line, which must be of the job whose images are there, and newer than all
    /// of them. Only one can be saved at a time. What a saver has left that died is removed.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub fn begin(&self, description: Description) -> Result<Saving> {
        let lock = SaveLock::take(&self.folder)?;
        let contents = Contents::read(&self.folder)?;
        for read in contents.manifests.values() {
            if let Err(ImagesError::OtherVersion { path, found, known }) = read {
                let (path, found, known) = (path.clone(), *found, *known);
                return Err(ImagesError::OtherVersion { path, found, known });
            }
        }
        for (manifest, _) in contents.manifests.values().flatten() {
            let there = &manifest.description;
            if !there.can_be_same_job(&description) {
                let (path, job) = (self.folder.path().into(), there.job.clone());
                let program = there.program.name.clone();
                return Err(ImagesError::OtherJob { path, job, program });
            }
        }
        let line = description.line;
        let newest = contents.manifests.keys().next_back();
        if let Some(newest) = newest.filter(|newest| **newest >= line) {
            let (path, newest) = (self.folder.path().into(), *newest);
            return Err(ImagesError::NotNewer { path, line, newest });
        }
        collect::remove_leftovers(&self.folder, &contents, &lock)?;
        let number = contents.packs.keys().next_back().map_or(1, |last| last.saturating_add(1));
        let index = Index::new(&contents, &self.distrusted.packs());
        Ok(Saving::new(Arc::clone(&self.folder), lock, index, number, description))
    }

    /// The images, newest last. Those whose damage shows without reading their pages are listed as
    /// damaged.
    ///
    /// # Errors
    /// [`ImagesError`], if the directory cannot be read.
    pub fn images(&self) -> Result<Vec<Listed>> {
        Ok(Contents::read(&self.folder)?.list())
    }

    /// Opens an image to be restored. While it is open nobody removes it.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub fn load(&self, pick: Pick) -> Result<Image> {
        let before = match pick {
            Pick::Line(line) => return self.load_line(line),
            Pick::Newest => None,
            Pick::Before(line) => Some(line),
        };
        loop {
            let mut lines = self.lines()?;
            lines.retain(|line| before.is_none_or(|before| *line < before));
            let tried = lines.len();
            let mut is_changing = false;
            for line in lines.into_iter().rev() {
                match self.load_line(line) {
                    Err(error) if error.is_damage() => {}
                    Err(ImagesError::NoImage { .. }) => is_changing = true,
                    done => return done,
                }
            }
            // Whoever removes images has made newer ones.
            if !is_changing {
                return Err(ImagesError::NoGoodImage { path: self.folder.path().into(), tried });
            }
        }
    }

    fn load_line(&self, line: Line) -> Result<Image> {
        Image::open(&self.folder, line, self.distrusted.clone())
    }

    /// The lines that there are images of, in order.
    fn lines(&self) -> Result<Vec<Line>> {
        let names = self.folder.names()?;
        let mut lines: Vec<_> = names
            .iter()
            .filter_map(|name| match Name::parse(name)? {
                Name::Manifest(line) => Some(line),
                _ => None,
            })
            .collect();
        lines.sort_unstable();
        Ok(lines)
    }

    /// Reads everything, and names what is damaged and which images and ranks are hit. `progress`
    /// hears how many bytes of how many have been read.
    ///
    /// # Errors
    /// [`ImagesError`], if the directory cannot be read.
    pub fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Report> {
        let report = verify::verify(&self.folder, progress)?;
        for damage in &report.damages {
            if let Some(Name::Pack(number)) = Name::parse(&damage.file) {
                self.distrusted.add(number);
            }
        }
        Ok(report)
    }

    /// Removes the oldest images until `count` good ones are left, at least 1, and the packs that
    /// none of these needs. An image that is being read stays.
    ///
    /// # Errors
    /// [`ImagesError`]; [`Busy`](ImagesError::Busy) while somebody saves.
    pub fn keep(&self, count: usize) -> Result<Removed> {
        let lock = SaveLock::take(&self.folder)?;
        collect::keep(&self.folder, count, &lock)
    }
}

/// Whether the directory is one of images.
fn has_mark(folder: &Folder) -> Result<bool> {
    Ok(folder.names()?.iter().any(|name| name == MARK))
}
