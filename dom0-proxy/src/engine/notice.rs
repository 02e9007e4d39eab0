//! What the engine tells its job.

/// Something that the job must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// All ranks are attached and served.
    Open,
    /// All domains of a job that is restored are attached, and wait for their memory.
    Waiting,
    /// A rank broke the protocol; the job has failed.
    Violation {
        /// The rank.
        rank: u32,
        /// What it did.
        cause: String,
    },
    /// The engine itself failed; the job has too.
    Broken(String),
    /// The proxy of another host cannot be reached any more; the job has failed.
    HostLost {
        /// The host.
        host: u32,
        /// What was seen of that.
        why: String,
    },
}
