//! Xen's own command, `xl`: what is asked of it, and how its answers are read.

mod commands;
mod config;
mod listing;
mod names;
mod tool;

pub use commands::{
    check_installed, create, destroy, domains_of, host_info, host_memory_mib, list,
    memory_of_ranks_mib, most_grant_frames,
};
pub use config::{
    DomainConfig, REST, WORDS_IN_MODULE, can_be_on_command_line, common_words, more_grant_frames,
};
pub use listing::{Domain, HostInfo, StopReason};
pub use names::{domain_name, parse_domain_name};
