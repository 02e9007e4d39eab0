//! `pgas restore`.

use anyhow::Context;
use dom0_proxy::control::{ClientRequest, RankKind, Reply, RestoreSpec, RestoredFrom};
use dom0_proxy::run_dir::RunDir;

use crate::arguments::RestoreArguments;
use crate::connect::{Requests, unexpected};
use crate::follow::{begin, follow};
use crate::image;
use crate::output::print_error;
use crate::run::{may_read_input, timeout};
use crate::show::Show;
use crate::signals::take_signals;

/// Restores a job and shows it to its end; the status to end with.
pub fn restore(arguments: &RestoreArguments) -> anyhow::Result<u8> {
    let directory = &arguments.dir;
    let spec = RestoreSpec {
        directory: std::path::absolute(directory)
            .with_context(|| directory.display().to_string())?,
        line: arguments.epoch,
        memory: arguments.mem.as_deref().map(image::parse_memory).transpose()?,
        size: arguments.size,
        has_input: may_read_input(),
        timeout: timeout(&arguments.show)?,
    };
    let has_input = spec.has_input;
    let run_dir = RunDir::from_env()?;
    let (daemon, reply) = begin(&run_dir, &ClientRequest::Restore(spec), has_input)?;
    let Reply::Restoring(origin) = reply else { return Err(unexpected(&reply).into()) };
    let RestoredFrom { directory, line, skipped, size } = origin;
    let requests = Requests::new(&daemon)?;
    if let Some(skipped) = skipped {
        print_error(&format!("pgas: {skipped}"));
    }
    print_error(&format!("pgas: restored from {}, line {line}", directory.display()));
    let show = Show::new(&arguments.show, size, &requests)?;
    take_signals(requests, RankKind::Xen)?;
    follow(&run_dir, &daemon, None, show)
}
