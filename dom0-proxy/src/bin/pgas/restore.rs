//! `pgas restore`.

use std::io::ErrorKind;
use std::os::fd::AsFd;

use anyhow::Context;
use armci_nostd::hosted::frame;
use dom0_proxy::Error;
use dom0_proxy::control::{ClientRequest, RankKind, Reply, RestoreSpec, RestoredFrom};
use dom0_proxy::run_dir::RunDir;

use crate::arguments::RestoreArguments;
use crate::connect::{DaemonConnection, Requests, unexpected};
use crate::image;
use crate::output::print_error;
use crate::run::{Show, daemon_lost, follow, may_read_input, timeout};
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
    let mut daemon = DaemonConnection::open_or_start(&run_dir)?;
    let requests = Requests::new(&daemon)?;
    let asked = message_frame::send(&daemon.stream, &ClientRequest::Restore(spec));
    let asked = asked.and_then(|()| match has_input {
        true => frame::send(&daemon.stream, &(), &[std::io::stdin().as_fd()]),
        false => Ok(()),
    });
    let is_lost = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
    };
    let origin = match asked {
        Err(error) if is_lost(&error) => None,
        Err(error) => return Err(error).context("talk with the daemon"),
        Ok(()) => match message_frame::receive(&daemon.stream) {
            Ok(Some(Reply::Restoring(origin))) => Some(origin),
            Ok(Some(Reply::Refused { status, text })) => {
                return Err(Error::Refused { status, text }.into());
            }
            Ok(Some(reply)) => return Err(unexpected(&reply).into()),
            Ok(None) | Err(_) => None,
        },
    };
    let Some(RestoredFrom { directory, line, skipped, size }) = origin else {
        return Err(daemon_lost(&run_dir, &mut daemon, None).into());
    };
    if let Some(skipped) = skipped {
        print_error(&format!("pgas: {skipped}"));
    }
    print_error(&format!("pgas: restored from {}, line {line}", directory.display()));
    let show = Show::new(&arguments.show, size, &requests)?;
    take_signals(requests, RankKind::Xen)?;
    follow(&run_dir, &mut daemon, show)
}
