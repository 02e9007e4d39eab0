//! A job that was saved, to be restored: what its image says, checked.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use armci_nostd::serve::Bounds;
use armci_nostd::wire::MAX_RANKS;
use armci_nostd::wire::attach::WindowLayout;

use crate::control::{InputFor, JobSpec, RankKind, RestoreSpec, RestoredFrom, SavedLine};
use crate::engine::Traffic;
use crate::error::{Error, Result};
use crate::images::{
    Console, Description, Image, ImageStore, ImagesError, Input, Line, Options, Pick, RankState,
    StoredRank,
};
use crate::inheritance::Inheritance;
use crate::recovery::available_memory;
use crate::run_dir::RestoredLine;

const MIB: u64 = 1 << 20;

/// A job that was saved.
#[derive(Debug)]
pub struct SavedJob {
    directory: PathBuf,
    line: Line,
    /// The job's name then.
    job: String,
    /// Why this is not the newest line.
    skipped: Option<String>,
    /// How often it will have been restored.
    incarnation: u32,
    spec: JobSpec,
    layouts: Vec<WindowLayout>,
    traffic: Vec<Traffic>,
    ended: Vec<Option<i32>>,
    written: Vec<Console>,
    /// Until its memory has been taken.
    image: Mutex<Option<Image>>,
}

impl SavedJob {
    /// The job that `asked` names, with all of its image found to be good.
    ///
    /// # Errors
    /// [`Error`], if there is none, or none that can be restored so.
    pub fn open(asked: &RestoreSpec) -> Result<Self> {
        let store = ImageStore::open(&asked.directory).map_err(refused)?;
        let image = load(&store, asked.line).map_err(refused)?;
        let listed = store.images().map_err(refused)?;
        let line = image.line();
        let newer = listed.iter().rev().find(|listed| listed.line() > line);
        let skipped = newer.filter(|_| asked.line.is_none()).map(|newer| {
            let newer = newer.line();
            format!("line {newer} is damaged, as `pgas verify` tells: line {line} is used instead")
        });
        let newest = listed.iter().map(|listed| listed.incarnation).max().unwrap_or(0);
        let bad = |why: String| Error::BadImage {
            directory: asked.directory.clone(),
            line: line.to_string(),
            why,
        };
        let incarnation = newest.max(line.incarnation).checked_add(1);
        let incarnation = incarnation.and_then(|next| u32::try_from(next).ok());
        let Checked { spec, layouts, traffic, ended, written } =
            check(&image, asked).map_err(bad)?;
        Ok(Self {
            directory: asked.directory.clone(),
            line,
            job: image.description().job.clone(),
            skipped,
            incarnation: incarnation.ok_or_else(|| bad("it has been restored too often".into()))?,
            spec,
            layouts,
            traffic,
            ended,
            written,
            image: Mutex::new(Some(image)),
        })
    }

    /// The job that is to be.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// What is told of it.
    pub fn origin(&self) -> RestoredFrom {
        RestoredFrom {
            directory: self.directory.clone(),
            line: self.line.to_string(),
            skipped: self.skipped.clone(),
            size: self.spec.size,
            begins: self.begins(),
        }
    }

    /// The line that it is restored from.
    pub(super) fn restored_line(&self) -> RestoredLine {
        RestoredLine {
            line: self.line.to_string(),
            job: self.job.clone(),
            directory: self.directory.display().to_string(),
        }
    }

    /// The directory that it is in.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// How often it will have been restored.
    pub(super) fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Where the memory of this rank was.
    pub(super) fn layout(&self, rank: u32) -> Option<&WindowLayout> {
        self.layouts.get(rank as usize)
    }

    /// What had been served for each rank.
    pub(super) fn traffic(&self) -> &[Traffic] {
        &self.traffic
    }

    /// The ranks that had ended, with their statuses.
    pub(super) fn ended(&self) -> impl Iterator<Item = (u32, i32)> {
        (0..).zip(&self.ended).filter_map(|(rank, status)| Some((rank, (*status)?)))
    }

    /// By rank, how much it had written before what is shown of it now.
    pub(super) fn begins(&self) -> Vec<u64> {
        self.written.iter().map(Console::begins).collect()
    }

    /// What each rank had written.
    pub(super) fn written(&self) -> &[Console] {
        &self.written
    }

    /// The image that its ranks were booted from, and the boot module, which may be empty.
    pub(super) fn program(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut image = self.image();
        let image = image.as_mut().ok_or(Error::SupervisorPanicked)?;
        let kernel = image.kernel().map_err(refused)?;
        Ok((kernel, image.modules().map_err(refused)?))
    }

    /// Hands out the image, for the memory of all ranks: nothing can be had here any more then.
    pub(super) fn take_image(&self) -> Result<Image> {
        self.image().take().ok_or(Error::SupervisorPanicked)
    }

    fn image(&self) -> MutexGuard<'_, Option<Image>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error for the user that an error of the images is.
pub(super) fn refused(error: ImagesError) -> Error {
    Error::Refused { status: error.exit_status(), text: error.to_string() }
}

/// Loads the image of that line, or the newest that is good. All of it is read, so that what is
/// damaged shows before any domain is made, and kept if there is memory for that.
fn load(store: &ImageStore, line: Option<SavedLine>) -> Result<Image, ImagesError> {
    let line = line.map(|SavedLine { incarnation, number }| Line { incarnation, number });
    let mut pick = line.map_or(Pick::Newest, Pick::Line);
    loop {
        let mut image = store.load(pick)?;
        match image.read_ahead(available_memory()) {
            Ok(()) => return Ok(image),
            Err(error) if error.is_damage() && line.is_none() => {
                tracing::warn!(%error, line = %image.line(), "a saved image is damaged");
                pick = Pick::Before(image.line());
            }
            Err(error) => return Err(error),
        }
    }
}

/// What was checked of an image.
#[derive(Debug)]
struct Checked {
    spec: JobSpec,
    layouts: Vec<WindowLayout>,
    traffic: Vec<Traffic>,
    ended: Vec<Option<i32>>,
    written: Vec<Console>,
}

/// Whether the image is of a whole job, and goes with what is asked for; why not. Of what it says
/// nothing is believed.
fn check(image: &Image, asked: &RestoreSpec) -> Result<Checked, String> {
    let Description { program, options, .. } = image.description();
    let Options { args, environment, memory, size, input } = options;
    if *size == 0 || *size > MAX_RANKS {
        return Err(format!("it is said to be of {size} ranks"));
    }
    if *memory < 4 * MIB || !memory.is_multiple_of(MIB) {
        return Err(format!("its ranks are said to have {memory} bytes of memory"));
    }
    if let Some(other) = asked.memory.filter(|other| other != memory) {
        return Err(format!(
            "its ranks have {} MiB of memory, and are restored with as much, not with {} MiB: \
             leave --mem out",
            memory / MIB,
            other / MIB
        ));
    }
    if let Some(other) = asked.size.filter(|other| other != size) {
        return Err(format!(
            "it is of {size} ranks, and restored with as many, not with {other}: leave -n out"
        ));
    }
    let ranks = image.ranks();
    if ranks.len() != *size as usize {
        return Err(format!("it has {} of {size} ranks", ranks.len()));
    }
    let text = |bytes: &Vec<u8>| {
        String::from_utf8(bytes.clone()).map_err(|_| "an argument is not UTF-8".to_owned())
    };
    let spec = JobSpec {
        kind: RankKind::Xen,
        size: *size,
        memory: *memory,
        // For people.
        image: PathBuf::from(&program.name),
        args: args.iter().map(text).collect::<Result<_, _>>()?,
        files: Vec::new(),
        environment: environment
            .iter()
            .map(|(name, value)| {
                (OsString::from_vec(name.clone()), OsString::from_vec(value.clone()))
            })
            .collect(),
        inheritance: Inheritance::default(),
        input: match input {
            Input::Nobody => InputFor::Nobody,
            Input::Rank0 => InputFor::Rank0,
            Input::All => InputFor::All,
        },
        directory: "/".into(),
        timeout: asked.timeout,
        saving: asked.saving.clone(),
        after: asked.after.clone(),
        part: None,
    };
    let mut checked = Checked {
        spec,
        layouts: Vec::new(),
        traffic: Vec::new(),
        ended: Vec::new(),
        written: Vec::new(),
    };
    for (rank, StoredRank { description, .. }) in (0..).zip(ranks) {
        let wrong = |why: String| format!("what it has of rank {rank} makes no sense: {why}");
        let layout = WindowLayout {
            window: 0,
            len: description.window,
            runtime: description.layout.runtime,
            public_start: description.layout.public_start,
            public_end: description.layout.public_end,
        };
        if layout.len > *memory {
            return Err(wrong(format!("a window of {} bytes", layout.len)));
        }
        Bounds::new(&layout).map_err(|error| wrong(error.to_string()))?;
        let traffic = postcard::from_bytes(&description.traffic);
        checked.traffic.push(traffic.map_err(|_| wrong("its traffic".into()))?);
        checked.layouts.push(layout);
        checked.ended.push(match description.state {
            RankState::Running => None,
            RankState::Ended { status } => Some(status),
        });
        // The last line of a rank that has ended is as whole as it will ever be.
        let ended = matches!(description.state, RankState::Ended { .. });
        let partial = if ended { Vec::new() } else { description.console.partial.clone() };
        checked.written.push(Console { partial, ..description.console.clone() });
    }
    if checked.ended.iter().all(Option::is_some) {
        return Err("all of its ranks had ended".into());
    }
    Ok(checked)
}
