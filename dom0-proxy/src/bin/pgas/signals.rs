//! What `pgas run` does on signals: it ends the job, or passes them on to the ranks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{process, thread};

use anyhow::Context;
use dom0_proxy::control::{ClientRequest, RankKind, RankSignal};
use dom0_proxy::error::status;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals as SignalsInfo;
use signal_hook::low_level::{emulate_default_handler, signal_name};

use crate::connect::Requests;
use crate::output::print_error;

/// The job that signals reach. It may have several lives, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<Mutex<Reached>>);

#[derive(Debug, Default)]
struct Reached {
    /// The daemon that has been asked for the job.
    daemon: Option<Requests>,
    /// Whether a signal has asked for the job's end.
    is_ending: bool,
}

impl Signals {
    /// Has signals reach the job that this daemon has been asked for, from now on. Those that this
    /// process was started with as ignored, as by `nohup`, stay ignored.
    ///
    /// The first of SIGINT, SIGTERM and SIGHUP asks the daemon to end the job, the second ends this
    /// process, which ends the job too. With `grace` SIGTERM asks it to save the job first, which
    /// may take so long. SIGUSR1 and SIGUSR2 reach the ranks; SIGTSTP and SIGCONT stop them and let
    /// them go on, together with this process. Ranks in Xen take no signals.
    pub fn reach(
        &self,
        daemon: Requests,
        kind: RankKind,
        grace: Option<Duration>,
    ) -> anyhow::Result<()> {
        let mut reached = self.reached();
        if reached.is_ending {
            // It came between two lives.
            let _ = daemon.send(&ClientRequest::Interrupt);
        }
        if reached.daemon.replace(daemon).is_none() {
            self.start(kind, grace)?;
        }
        Ok(())
    }

    /// Whether a signal has asked for the job's end.
    pub fn have_ended_it(&self) -> bool {
        self.reached().is_ending
    }

    fn start(&self, kind: RankKind, grace: Option<Duration>) -> anyhow::Result<()> {
        let ignored = ignored_signals();
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT];
        let wanted = wanted.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let mut signals = SignalsInfo::new(wanted).context("take signals")?;
        let this = self.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                this.take(signal, kind, grace);
            }
        });
        Ok(())
    }

    fn take(&self, signal: i32, kind: RankKind, grace: Option<Duration>) {
        let pass_on = |passed| match kind {
            // A daemon that is gone is found out elsewhere.
            RankKind::Hosted => drop(self.send(&ClientRequest::Signal(passed))),
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
            _ if self.is_second() => process::exit(status::INTERRUPTED.into()),
            _ => {
                let asked = match grace.filter(|_| signal == SIGTERM) {
                    Some(grace) => {
                        let this = self.clone();
                        thread::spawn(move || {
                            thread::sleep(grace);
                            let _ = this.send(&ClientRequest::Interrupt);
                        });
                        self.send(&ClientRequest::Leave)
                    }
                    None => self.send(&ClientRequest::Interrupt),
                };
                if asked.is_err() {
                    process::exit(status::INTERRUPTED.into());
                }
            }
        }
    }

    /// Notes that a signal asks for the job's end; whether one has done so before.
    fn is_second(&self) -> bool {
        std::mem::replace(&mut self.reached().is_ending, true)
    }

    fn send(&self, request: &ClientRequest) -> std::io::Result<()> {
        let daemon = self.reached().daemon.clone();
        daemon.map_or(Ok(()), |daemon| daemon.send(request))
    }

    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
