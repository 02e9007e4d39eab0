//! Connects qemu-ci with the agents of all hosts, and the agents with each other.
//!
//! One thread per host reads what its agent says. Events of a process go to whoever started it: to
//! qemu-ci itself through a queue, or, if a script's `on` asked for it, on to the agent of that
//! script's host.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

use crate::channel::{Dom0Command, FromAgent, FromProcess, ProcessId, ToAgent, ToProcess};

/// The lines to all hosts' agents. Hosts count from 1.
#[derive(Clone)]
pub struct Switchboard(Arc<Vec<AgentLine>>);

struct AgentLine {
    outgoing: Mutex<UnixStream>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: ProcessId,
    gone: bool,
    /// Who gets the events of which of the host's processes.
    listeners: HashMap<ProcessId, Listener>,
    /// What this host's scripts run elsewhere: their number for it, and where it is.
    relays: HashMap<ProcessId, (usize, ProcessId)>,
}

enum Listener {
    Here(Sender<FromProcess>),
    Relay { asker: usize, id: ProcessId },
}

/// A process that qemu-ci itself has started on a host.
pub struct RunningProcess {
    requester: Requester,
    events: Receiver<FromProcess>,
}

impl RunningProcess {
    /// What it tells; ends when the host is gone.
    pub fn events(&self) -> &Receiver<FromProcess> {
        &self.events
    }

    /// The way to ask something of it.
    pub fn requester(&self) -> Requester {
        self.requester.clone()
    }
}

/// Asks something of a running process.
#[derive(Clone)]
pub struct Requester {
    switchboard: Switchboard,
    host: usize,
    id: ProcessId,
}

impl Requester {
    /// Sends it. When the host is gone, the process's events say so.
    pub fn request(&self, request: ToProcess) {
        let _ = self.switchboard.say(self.host, &ToAgent::Process(self.id, request));
    }
}

impl Switchboard {
    /// Takes the lines over, and gives for each a receiver that hears once when its agent is ready.
    pub fn connect(streams: Vec<UnixStream>) -> Result<(Self, Vec<Receiver<()>>)> {
        let mut lines = Vec::new();
        let mut incoming = Vec::new();
        for stream in streams {
            incoming.push(stream.try_clone().context("cannot share an agent's socket")?);
            lines.push(AgentLine { outgoing: Mutex::new(stream), state: Mutex::default() });
        }
        let switchboard = Self(Arc::new(lines));
        let mut all_ready = Vec::new();
        for (index, stream) in incoming.into_iter().enumerate() {
            let (tell_ready, ready) = mpsc::channel();
            all_ready.push(ready);
            let switchboard = switchboard.clone();
            thread::spawn(move || switchboard.listen(index + 1, &stream, &tell_ready));
        }
        Ok((switchboard, all_ready))
    }

    /// Starts a process on a host.
    pub fn start(&self, host: usize, command: Dom0Command) -> RunningProcess {
        let (events_in, events) = mpsc::channel();
        let id = self.start_for(host, command, Listener::Here(events_in));
        let requester = Requester { switchboard: self.clone(), host, id };
        RunningProcess { requester, events }
    }

    /// Closes all lines; the reading threads end.
    pub fn close(&self) {
        for line in self.0.iter() {
            let _ = lock(&line.outgoing).shutdown(Shutdown::Both);
        }
    }

    fn line(&self, host: usize) -> Option<&AgentLine> {
        self.0.get(host.checked_sub(1)?)
    }

    fn state(&self, host: usize) -> Option<MutexGuard<'_, State>> {
        self.line(host).map(|line| lock(&line.state))
    }

    fn say(&self, host: usize, message: &ToAgent) -> io::Result<()> {
        let line = self.line(host).ok_or_else(|| io::Error::other("no such host"))?;
        message_frame::send(&*lock(&line.outgoing), message)
    }

    fn start_for(&self, host: usize, command: Dom0Command, listener: Listener) -> ProcessId {
        let id = match self.state(host) {
            Some(mut state) if !state.gone => {
                state.last_id += 1;
                let id = state.last_id;
                state.listeners.insert(id, listener);
                id
            }
            _ => {
                let why = format!("host {host} is not there: this run has {}", self.0.len());
                self.tell(&listener, FromProcess::Failed(why));
                return 0;
            }
        };
        // If the line breaks now, the listening thread finds out and tells.
        let _ = self.say(host, &ToAgent::Process(id, ToProcess::Start(command)));
        id
    }

    fn tell(&self, listener: &Listener, event: FromProcess) {
        match listener {
            Listener::Here(events) => {
                // Whoever waited may have given up.
                let _ = events.send(event);
            }
            Listener::Relay { asker, id } => {
                if !matches!(event, FromProcess::Output(..))
                    && let Some(mut state) = self.state(*asker)
                {
                    state.relays.remove(id);
                }
                let _ = self.say(*asker, &ToAgent::Relayed(*id, event));
            }
        }
    }

    fn listen(&self, host: usize, mut stream: &UnixStream, tell_ready: &Sender<()>) {
        while let Ok(Some(message)) = message_frame::receive(&mut stream) {
            match message {
                FromAgent::Ready => {
                    let _ = tell_ready.send(());
                }
                FromAgent::Process(id, event) => self.pass_on(host, id, event),
                FromAgent::Relay { id, host: to, request } => {
                    self.relay(host, id, to as usize, request)
                }
            }
        }
        let orphans = self.state(host).map(|mut state| {
            state.gone = true;
            std::mem::take(&mut state.listeners)
        });
        for listener in orphans.into_iter().flat_map(HashMap::into_values) {
            // Our own listeners see their queue end, and find out why from QEMU.
            if matches!(listener, Listener::Relay { .. }) {
                self.tell(&listener, FromProcess::Failed(format!("host {host} is gone")));
            }
        }
    }

    fn pass_on(&self, host: usize, id: ProcessId, event: FromProcess) {
        let last = !matches!(event, FromProcess::Output(..));
        let Some(mut state) = self.state(host) else { return };
        let listener = match state.listeners.get(&id) {
            Some(Listener::Here(events)) => Listener::Here(events.clone()),
            Some(Listener::Relay { asker, id }) => Listener::Relay { asker: *asker, id: *id },
            None => return,
        };
        if last {
            state.listeners.remove(&id);
        }
        drop(state);
        self.tell(&listener, event);
    }

    fn relay(&self, asker: usize, id: ProcessId, to: usize, request: ToProcess) {
        if let ToProcess::Start(command) = request {
            let started = self.start_for(to, command, Listener::Relay { asker, id });
            if let Some(mut state) = self.state(asker) {
                state.relays.insert(id, (to, started));
            }
        } else {
            let target = self.state(asker).and_then(|state| state.relays.get(&id).copied());
            if let Some((host, process)) = target {
                let _ = self.say(host, &ToAgent::Process(process, request));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ProcessEnd, Stream};

    fn hears(mut agent: &UnixStream) -> ToAgent {
        message_frame::receive(&mut agent).unwrap().unwrap()
    }

    fn says(agent: &UnixStream, message: &FromAgent) {
        message_frame::send(agent, message).unwrap();
    }

    /// A switchboard for two hosts, and their agents' ends.
    fn two_hosts() -> (Switchboard, UnixStream, UnixStream) {
        let (one, agent_one) = UnixStream::pair().unwrap();
        let (two, agent_two) = UnixStream::pair().unwrap();
        let (switchboard, ready) = Switchboard::connect(vec![one, two]).unwrap();
        says(&agent_two, &FromAgent::Ready);
        ready[1].recv().unwrap();
        assert!(ready[0].try_recv().is_err());
        (switchboard, agent_one, agent_two)
    }

    #[test]
    fn events_come_back_until_the_host_is_gone() {
        let (switchboard, one, _two) = two_hosts();
        let running = switchboard.start(1, Dom0Command::new(["true"]));
        let ToAgent::Process(id, ToProcess::Start(command)) = hears(&one) else { panic!() };
        assert_eq!(command.argv, ["true"]);
        says(&one, &FromAgent::Process(id, FromProcess::Exited(ProcessEnd::Code(0))));
        assert_eq!(running.events().recv().unwrap(), FromProcess::Exited(ProcessEnd::Code(0)));

        let running = switchboard.start(1, Dom0Command::new(["true"]));
        drop(one);
        assert!(running.events().recv().is_err());
    }

    #[test]
    fn on_is_carried_out_by_the_other_host() {
        let (_switchboard, one, two) = two_hosts();
        let ask = |request| says(&one, &FromAgent::Relay { id: 9, host: 2, request });
        ask(ToProcess::Start(Dom0Command::new(["cat"])));
        let ToAgent::Process(id, ToProcess::Start(_)) = hears(&two) else { panic!() };
        ask(ToProcess::Input(b"x".to_vec()));
        assert_eq!(hears(&two), ToAgent::Process(id, ToProcess::Input(b"x".to_vec())));
        let output = FromProcess::Output(Stream::Out, b"x".to_vec());
        says(&two, &FromAgent::Process(id, output.clone()));
        assert_eq!(hears(&one), ToAgent::Relayed(9, output));
        drop(two);
        assert_eq!(hears(&one), ToAgent::Relayed(9, FromProcess::Failed("host 2 is gone".into())));
    }

    #[test]
    fn a_host_that_is_not_there_is_refused() {
        let (_switchboard, one, _two) = two_hosts();
        for host in [0, 3] {
            let request = ToProcess::Start(Dom0Command::new(["true"]));
            says(&one, &FromAgent::Relay { id: 1, host, request });
            let ToAgent::Relayed(1, FromProcess::Failed(why)) = hears(&one) else {
                panic!("host {host} was not refused");
            };
            assert!(why.contains("not there"), "{why}");
        }
    }
}
