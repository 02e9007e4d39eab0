//! Which ranks of a job are on which host.

/// Where the ranks of a job over several hosts run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// This host.
    pub host: u32,
    /// By rank: its host.
    pub of: Vec<u32>,
}
