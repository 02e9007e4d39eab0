//! What `pgas run` does on signals: it ends the job, or passes them on to the ranks.

use std::process;

use anyhow::Context;
use dom0_proxy::control::{ClientRequest, RankKind, RankSignal};
use dom0_proxy::error::status;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};

use crate::connect::Requests;
use crate::output::print_error;

/// Takes signals from now on, for a job that the daemon has been asked for. Those that this process
/// was started with as ignored, as by `nohup`, stay ignored.
///
/// The first of SIGINT, SIGTERM and SIGHUP asks the daemon to end the job, the second ends this
/// process, which ends the job too. SIGUSR1 and SIGUSR2 reach the ranks; SIGTSTP and SIGCONT stop
/// them and let them go on, together with this process. Ranks in Xen take no signals.
pub fn take_signals(daemon: Requests, kind: RankKind) -> anyhow::Result<()> {
    let ignored = ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT];
    let wanted = wanted.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(wanted).context("take signals")?;
    std::thread::spawn(move || {
        let mut is_interrupted = false;
        for signal in signals.forever() {
            let pass_on = |passed| match kind {
                // A daemon that is gone is found out elsewhere.
                RankKind::Hosted => drop(daemon.send(&ClientRequest::Signal(passed))),
                RankKind::Xen => print_error(&without_effect(signal)),
            };
            match signal {
                SIGUSR1 => pass_on(RankSignal::User1),
                SIGUSR2 => pass_on(RankSignal::User2),
                SIGTSTP => {
                    pass_on(RankSignal::Stop);
                    let _ = emulate_default_handler(SIGTSTP);
                }
                // It follows every stop; in Xen there is nothing to say about it.
                SIGCONT if kind == RankKind::Xen => {}
                SIGCONT => pass_on(RankSignal::GoOn),
                _ => {
                    if is_interrupted || daemon.send(&ClientRequest::Interrupt).is_err() {
                        process::exit(status::INTERRUPTED.into());
                    }
                    is_interrupted = true;
                }
            }
        }
    });
    Ok(())
}

fn without_effect(signal: i32) -> String {
    let name = signal_name(signal).unwrap_or("the signal");
    let so = if signal == SIGTSTP { "they go on" } else { "it has no effect" };
    format!("pgas: {name} does not reach ranks in Xen: {so}")
}

/// The signals that this process ignores, as a bit each from bit 0 for signal 1.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_known() {
        // Rust's runtime ignores SIGPIPE in every program.
        assert_ne!(ignored_signals() & (1 << (signal_hook::consts::SIGPIPE - 1)), 0);
    }

    #[test]
    fn signals_that_ranks_in_xen_do_not_get_are_named() {
        assert_eq!(
            without_effect(SIGUSR1),
            "pgas: SIGUSR1 does not reach ranks in Xen: it has no effect"
        );
        assert_eq!(
            without_effect(SIGTSTP),
            "pgas: SIGTSTP does not reach ranks in Xen: they go on"
        );
    }
}
