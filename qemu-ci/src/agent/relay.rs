//! The agent's side of `on`: passes the calls of scripts to qemu-ci and the answers back.

use std::collections::HashMap;
use std::fs;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::Wire;
use crate::channel::{FromAgent, FromProcess, OnCall, ProcessId, ToProcess};

/// All `on` commands running in this dom0, with the queues of what they are to hear.
#[derive(Clone, Default)]
pub struct Relays(Arc<Mutex<HashMap<ProcessId, Sender<FromProcess>>>>);

impl Relays {
    /// Takes calls on the socket from now on.
    pub fn listen(socket: impl AsRef<Path>, wire: Wire) -> Result<Self> {
        let socket = socket.as_ref();
        let _ = fs::remove_file(socket);
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("cannot listen on {}", socket.display()))?;
        let relays = Self::default();
        let ours = relays.clone();
        thread::spawn(move || {
            for (id, caller) in (1..).zip(listener.incoming().map_while(Result::ok)) {
                let (relays, wire) = (ours.clone(), wire.clone());
                thread::spawn(move || relays.serve(id, &caller, &wire));
            }
        });
        Ok(relays)
    }

    /// Hands the event to the `on` that waits for it, and never waits itself: the caller is the
    /// thread that reads the port.
    pub fn deliver(&self, id: ProcessId, event: FromProcess) {
        let last = !matches!(event, FromProcess::Output(..));
        let mut callers = self.callers();
        // A caller that is gone has had its remote process killed by `serve`.
        if let Some(caller) = callers.get(&id) {
            let _ = caller.send(event);
        }
        if last {
            callers.remove(&id);
        }
    }

    fn serve(&self, id: ProcessId, mut caller: &UnixStream, wire: &Wire) {
        let Ok(copy) = caller.try_clone() else { return };
        let (events_in, events) = mpsc::channel();
        self.callers().insert(id, events_in);
        thread::spawn(move || {
            for event in events {
                if message_frame::send(&copy, &event).is_err() {
                    break;
                }
            }
            let _ = copy.shutdown(Shutdown::Both);
        });
        let mut last_host = None;
        while let Ok(Some(OnCall { host, request })) = message_frame::receive(&mut caller) {
            last_host = Some(host);
            wire.send(&FromAgent::Relay { id, host, request });
        }
        let unfinished = self.callers().remove(&id).is_some();
        if let (true, Some(host)) = (unfinished, last_host) {
            // The caller was killed: so is what it waits for.
            let request = ToProcess::Signal(Signal::KILL.as_raw());
            wire.send(&FromAgent::Relay { id, host, request });
        }
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<ProcessId, Sender<FromProcess>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
