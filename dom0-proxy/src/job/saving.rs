//! Writes the image of a job at a recovery line.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::consoles::{AtLine, Consoles};
use super::domains::{IMAGE_IN_RECORD, MODULE_IN_RECORD};
use crate::control::{InputFor, JobSpec};
use crate::error::{Context, Result};
use crate::images::{
    Console, Description, Durable, ImageStore, ImagesError, Input, Layout, Line, Options, Program,
    RankDescription, RankState, Saving, Sizes,
};
use crate::recovery::protocol::Epoch;
use crate::recovery::{ImageWriter, RankCopy};
use crate::xen;

/// What is said if there is nothing to go on with, which cannot be.
const NOT_BEGUN: &str = "the image was not begun";

/// What writes it.
pub struct JobImage<'a> {
    store: &'a ImageStore,
    job: &'a str,
    spec: &'a JobSpec,
    /// Where what its domains were booted from is.
    record: &'a Path,
    /// Tells the statuses of ranks that have ended, by rank.
    ends: &'a dyn Fn() -> Vec<Option<i32>>,
    ended: Vec<Option<i32>>,
    consoles: &'a Consoles,
    /// What its ranks write is read to the line. None if it is not read any more.
    at_line: Option<AtLine>,
    /// What they had written there, by rank.
    written: Vec<Console>,
    saving: Option<Saving>,
    durable: Option<Durable>,
    sizes: Sizes,
}

impl<'a> JobImage<'a> {
    /// Of a job whose domains were booted from what is in `record`, and write to `consoles`. That
    /// is read when the image is written: nothing that takes time is to come between the moment
    /// that was found for a line and the line.
    pub fn new(
        store: &'a ImageStore,
        job: &'a str,
        spec: &'a JobSpec,
        record: &'a Path,
        consoles: &'a Consoles,
        ends: &'a dyn Fn() -> Vec<Option<i32>>,
    ) -> Self {
        Self {
            store,
            job,
            spec,
            record,
            ends,
            ended: Vec::new(),
            consoles,
            at_line: None,
            written: Vec::new(),
            saving: None,
            durable: None,
            sizes: Sizes::default(),
        }
    }

    /// What the image takes.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn description(&self, epoch: Epoch, kernel: &[u8]) -> Description {
        let spec = self.spec;
        let bytes = |text: &std::ffi::OsString| text.as_bytes().to_vec();
        let name = spec.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Description {
            line: Line { incarnation: epoch.incarnation.into(), number: epoch.number },
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            job: self.job.into(),
            program: Program { name, hash: *blake3::hash(kernel).as_bytes() },
            options: Options {
                args: spec.args.iter().map(|arg| arg.clone().into_bytes()).collect(),
                environment: spec
                    .environment
                    .iter()
                    .map(|(name, value)| (bytes(name), bytes(value)))
                    .collect(),
                memory: spec.memory,
                size: spec.size,
                input: match spec.input {
                    InputFor::Nobody => Input::Nobody,
                    InputFor::Rank0 => Input::Rank0,
                    InputFor::All => Input::All,
                },
            },
            // What the processor must have the kernel of each rank looks for itself.
            processor: Vec::new(),
            xen_version: xen::version().unwrap_or_default(),
        }
    }

    fn store_begin(
        &self,
        epoch: Epoch,
        kernel: &[u8],
        modules: &[u8],
    ) -> std::result::Result<Saving, ImagesError> {
        let mut saving = self.store.begin(self.description(epoch, kernel))?;
        saving.kernel(kernel)?;
        saving.modules(modules)?;
        Ok(saving)
    }

    /// What its domains were booted from: the kernel, and the archive of modules if there is one.
    fn read_record(&self) -> Result<[Vec<u8>; 2]> {
        let read = |name: &str| {
            let path = self.record.join(name);
            match fs::read(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound && name == MODULE_IN_RECORD => {
                    Ok(Vec::new())
                }
                read => read.context(|| format!("read {}", path.display())),
            }
        };
        Ok([read(IMAGE_IN_RECORD)?, read(MODULE_IN_RECORD)?])
    }

    fn rank_description(&self, rank: u32, copy: &RankCopy) -> RankDescription {
        let ended = self.end_of(rank);
        RankDescription {
            rank,
            state: ended.map_or(RankState::Running, |status| RankState::Ended { status }),
            window: copy.layout.len,
            layout: Layout {
                runtime: copy.layout.runtime,
                public_start: copy.layout.public_start,
                public_end: copy.layout.public_end,
            },
            traffic: postcard::to_allocvec(&copy.traffic).unwrap_or_default(),
            console: self.written.get(rank as usize).cloned().unwrap_or_default(),
        }
    }

    /// What this rank has ended with, if it has.
    fn end_of(&self, rank: u32) -> Option<i32> {
        self.ended.get(rank as usize).copied().flatten()
    }
}

impl ImageWriter for JobImage<'_> {
    fn reached(&mut self) {
        self.ended = (self.ends)();
        // No rank writes now, but what they have written may be on its way through their consoles'
        // rings, xenconsoled and terminals, which are no part of their memory. So it is only noted
        // how far each has come, which takes no time, and that is waited for before the image is
        // written: what lies before the line is read, logged and shown in this run.
        self.at_line = self.consoles.note_line();
    }

    fn begin(&mut self, epoch: Epoch) -> Result<(), String> {
        // Nothing of it would go on, and it would stand in the way of the image before.
        if self.ended.iter().all(Option::is_some) {
            return Err("all of its ranks have ended".into());
        }
        let written = self.at_line.take().and_then(AtLine::wait);
        self.written = written.ok_or("what its ranks write is not read any more")?;
        let [kernel, modules] = self.read_record().map_err(|error| error.to_string())?;
        let saving = self.store_begin(epoch, &kernel, &modules);
        self.saving = Some(saving.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn rank(&mut self, rank: u32, copy: &mut RankCopy) -> Result<(), String> {
        let description = self.rank_description(rank, copy);
        let saving = self.saving.as_mut().ok_or(NOT_BEGUN)?;
        let stored = saving.rank(description, &mut copy.memory, &copy.free);
        stored.map_err(|error| error.to_string())
    }

    fn finish(&mut self) -> Result<(), String> {
        let durable = self.saving.take().ok_or(NOT_BEGUN)?.finish();
        let durable = durable.map_err(|error| error.to_string())?;
        self.sizes = durable.sizes();
        self.durable = Some(durable);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        let durable = self.durable.take().ok_or(NOT_BEGUN)?;
        durable.commit().map_err(|error| error.to_string())
    }
}
