//! The consoles, as the job's other threads hold them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};

use super::log::Log;
use super::reader::{ConsoleOrder, ConsoleReader};
use crate::control::{JobSpec, OutputStream, RankKind};
use crate::error::{Context, Result};
use crate::job::client::JobClient;
use crate::job::event::JobEvent;

/// The consoles of one job. Clones are the same.
#[derive(Clone, Debug)]
pub struct Consoles {
    orders: Sender<ConsoleOrder>,
    wake: Arc<OwnedFd>,
}

impl Consoles {
    /// Starts the thread. Logs go to files in `logs`, lines to `client`, and what matters to the
    /// job to `events`: of ranks that are domains, what their kernels say.
    pub fn start(
        job: &str,
        spec: &JobSpec,
        logs: &Path,
        client: Arc<JobClient>,
        events: Sender<JobEvent>,
    ) -> Result<(Self, JoinHandle<()>)> {
        let context = || "start the job's consoles";
        let wake =
            Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context(context)?);
        let (orders, incoming) = channel();
        let log = |rank| Log::create(&logs.join(format!("rank-{rank}.log")));
        let logs = (0..spec.size).map(log).collect::<Result<Vec<_>>>()?;
        let has_kernel = spec.kind == RankKind::Xen;
        let reader = ConsoleReader::new(incoming, wake.clone(), logs, has_kernel, client, events);
        let thread = thread::Builder::new()
            .name(format!("console-{job}"))
            .spawn(move || reader.run())
            .context(context)?;
        Ok((Self { orders, wake }, thread))
    }

    /// Reads this too. `fd` must not block.
    pub fn add(&self, rank: u32, stream: OutputStream, fd: OwnedFd) {
        self.tell(ConsoleOrder::Add { rank, stream, fd });
    }

    /// The rank has ended: [`JobEvent::Drained`] is to follow when its last words have been read.
    pub fn drain(&self, rank: u32) {
        self.tell(ConsoleOrder::Drain { rank });
    }

    /// Tells the client how many ranks have started.
    pub fn progress(&self, up: u32) {
        self.tell(ConsoleOrder::Progress { up });
    }

    /// From now on the client is not shown what kernels say; the logs still have it.
    pub fn hide_kernels(&self) {
        self.tell(ConsoleOrder::HideKernels);
    }

    /// Reads what is there, and ends.
    pub fn finish(&self) {
        self.tell(ConsoleOrder::Finish);
    }

    fn tell(&self, order: ConsoleOrder) {
        // A thread that has ended has nothing to read.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}
