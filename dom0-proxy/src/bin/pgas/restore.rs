//! `pgas restore`.

use anyhow::Context;
use dom0_proxy::control::{ClientRequest, RankKind, RestoreSpec};

use crate::arguments::RestoreArguments;
use crate::lives::{Lives, live};
use crate::run::{may_read_input, timeout};
use crate::{image, saving};

/// Restores a job and shows it to its end; the status to end with.
pub fn restore(arguments: &RestoreArguments) -> anyhow::Result<u8> {
    let directory = &arguments.dir;
    let directory =
        std::path::absolute(directory).with_context(|| directory.display().to_string())?;
    let spec = RestoreSpec {
        line: arguments.epoch,
        memory: arguments.mem.as_deref().map(image::parse_memory).transpose()?,
        size: arguments.size,
        has_input: may_read_input(),
        timeout: timeout(&arguments.show)?,
        saving: Some(saving::of_directory(&arguments.saving, directory.clone())),
        directory,
        after: None,
    };
    live(&Lives {
        // Later on its newest line is one that it has been saved as since.
        again: Some(RestoreSpec { line: None, ..spec.clone() }),
        // What it is restored with is what was saved.
        size: 0,
        kind: RankKind::Xen,
        hub: None,
        has_input: spec.has_input,
        first: ClientRequest::Restore(spec),
        restarts: arguments.saving.restart,
        grace: arguments.saving.grace,
        show: &arguments.show,
    })
}
