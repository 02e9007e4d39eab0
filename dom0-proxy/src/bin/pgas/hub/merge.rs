//! Makes one job of its parts on several hosts. No I/O, and no clock.

use std::collections::VecDeque;

use dom0_proxy::control::{ClientRequest, Reply, Summary};

use super::dues::Dues;
use super::ending::{Ending, PartEnding, gone, merge};

/// What the hub hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A host's proxy answers.
    Reply(usize, Reply),
    /// The connection to a host is lost, for this reason.
    Lost(usize, String),
    /// A host that was interrupted has not ended in time.
    TooLong(usize),
    /// The user's side asks for something.
    Request(ClientRequest),
}

/// What the hub says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// To the user's side.
    ToUser(Reply),
    /// To a host's proxy.
    ToHost(usize, ClientRequest),
    /// The connection to this host is to be closed.
    HangUp(usize),
}

/// A job over several hosts.
#[derive(Debug)]
pub struct Merge {
    job: String,
    names: Vec<String>,
    /// By rank: the host.
    placement: Vec<u32>,
    parts: Vec<PartState>,
    /// Those that have ended, in that order.
    endings: Vec<PartEnding>,
    dues: Dues,
    /// Whose lines the user's side has been told of, and has not passed on.
    reports: VecDeque<usize>,
    /// What is for the user's side once it has been told that the job has started.
    held: Vec<Reply>,
    is_started: bool,
    is_interrupted: bool,
    is_over: bool,
    said: Vec<Said>,
}

/// How far one host has come with its part.
#[derive(Clone, Debug, Default)]
struct PartState {
    has_started: bool,
    up: u32,
    is_running: bool,
    ranks_ended: bool,
    /// Whether it was asked to end since the job had failed elsewhere.
    was_asked_to_end: bool,
    has_ended: bool,
}

impl Merge {
    /// A job of that name, which these hosts have been asked for; `placement` says by rank on which
    /// of them it runs.
    pub fn new(job: String, names: Vec<String>, placement: Vec<u32>) -> Self {
        Self {
            job,
            placement,
            parts: vec![PartState::default(); names.len()],
            names,
            endings: Vec::new(),
            dues: Dues::default(),
            reports: VecDeque::new(),
            held: Vec::new(),
            is_started: false,
            is_interrupted: false,
            is_over: false,
            said: Vec::new(),
        }
    }

    /// Whether the user's side has been told how the job has ended: nothing follows.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes one thing that is heard; what is to be said.
    pub fn hear(&mut self, heard: Heard) -> Vec<Said> {
        match heard {
            _ if self.is_over => {}
            Heard::Request(request) => self.ask(request),
            Heard::Reply(host, _) | Heard::Lost(host, _) | Heard::TooLong(host)
                if self.parts.get(host).is_none_or(|part| part.has_ended) => {}
            Heard::Reply(host, reply) => self.answer(host, reply),
            Heard::Lost(host, why) => self.lose(host, why),
            Heard::TooLong(host) => {
                self.lose(host, "it has not ended its ranks in time".into());
            }
        }
        std::mem::take(&mut self.said)
    }

    fn ask(&mut self, request: ClientRequest) {
        match request {
            ClientRequest::Taken(weight) => {
                for (host, part) in self.dues.pay(weight) {
                    self.say_to(host, ClientRequest::Taken(part));
                }
            }
            ClientRequest::TakenReport => {
                if let Some(host) = self.reports.pop_front() {
                    self.say_to(host, ClientRequest::TakenReport);
                }
            }
            ClientRequest::Interrupt => {
                self.is_interrupted = true;
                self.say_to_all(&ClientRequest::Interrupt);
            }
            ClientRequest::Leave | ClientRequest::Signal(_) => self.say_to_all(&request),
            // No other concerns a job that is under way.
            _ => {}
        }
    }

    fn answer(&mut self, host: usize, reply: Reply) {
        let part = &mut self.parts[host];
        match reply {
            Reply::Started(_) => {
                part.has_started = true;
                if self.parts.iter().all(|part| part.has_started) {
                    self.start();
                }
            }
            Reply::Up(up) => {
                part.up = up;
                let all = self.parts.iter().map(|part| part.up).fold(0, u32::saturating_add);
                self.tell(Reply::Up(all));
            }
            Reply::Running => {
                let is_new = !std::mem::replace(&mut part.is_running, true);
                if is_new && self.parts.iter().all(|part| part.is_running) {
                    self.tell(Reply::Running);
                }
            }
            Reply::RanksEnded => self.ranks_have_ended(host),
            Reply::Output(piece) => {
                self.dues.owe(host, piece.weight());
                self.tell(Reply::Output(piece));
            }
            Reply::Notice(line) => self.notice(host, line),
            Reply::Saved(report) => {
                self.reports.push_back(host);
                self.tell(Reply::Saved(report));
            }
            Reply::Ended(summary) => self.end(host, Ending::Ended(summary)),
            Reply::Refused { status, text } => self.end(host, Ending::Refused { status, text }),
            Reply::Kept(_)
            | Reply::Wanted
            | Reply::Jobs(_)
            | Reply::Done
            | Reply::Held { .. }
            | Reply::Restoring(_) => {
                self.lose(host, "it does not speak the protocol".into());
            }
        }
    }

    fn notice(&mut self, host: usize, line: String) {
        let line = match self.names.as_slice() {
            [_] => line,
            names => format!("host {}: {line}", names[host]),
        };
        self.tell(Reply::Notice(line));
    }

    fn lose(&mut self, host: usize, why: String) {
        self.said.push(Said::HangUp(host));
        self.end(host, Ending::Lost(why));
    }

    /// A host's part has ended, and with it the whole job if it has failed there.
    fn end(&mut self, host: usize, how: Ending) {
        let part = &mut self.parts[host];
        part.has_ended = true;
        let is_good = how.is_good();
        let was_asked_for = part.was_asked_to_end;
        self.endings.push(PartEnding { host, was_asked_for, how });
        if is_good {
            self.ranks_have_ended(host);
        } else {
            self.end_others();
        }
        if self.parts.iter().all(|part| part.has_ended) {
            self.finish();
        }
    }

    fn end_others(&mut self) {
        for host in 0..self.parts.len() {
            let part = &mut self.parts[host];
            // The user may have asked for it before.
            if !self.is_interrupted && !part.has_ended && !part.was_asked_to_end {
                part.was_asked_to_end = true;
                self.say_to(host, ClientRequest::Interrupt);
            }
        }
    }

    fn ranks_have_ended(&mut self, host: usize) {
        let is_new = !std::mem::replace(&mut self.parts[host].ranks_ended, true);
        if is_new && self.parts.iter().all(|part| part.ranks_ended) {
            self.say_to_all(&ClientRequest::Finish);
        }
    }

    /// All parts have ended: so has the job.
    fn finish(&mut self) {
        let refused = self.endings.iter().find_map(|ending| match &ending.how {
            Ending::Refused { status, text } => Some((ending.host, *status, text.clone())),
            Ending::Ended(_) | Ending::Lost(_) => None,
        });
        match refused {
            Some((host, status, text)) if !self.is_started => {
                let text = format!("host {}: {text}", self.names[host]);
                self.said.push(Said::ToUser(Reply::Refused { status, text }));
            }
            _ => {
                self.start();
                let summary = self.summary();
                self.tell(Reply::Ended(summary));
            }
        }
        self.is_over = true;
    }

    /// The job as one; a notice for each lost host that its cause does not name.
    fn summary(&mut self) -> Summary {
        let (summary, told) = merge(&self.job, &self.endings, &self.names, &self.placement);
        let unnamed = self.endings.iter().filter(|ending| Some(ending.host) != told);
        let lines: Vec<String> = unnamed
            .filter_map(|ending| match &ending.how {
                Ending::Lost(why) => Some(gone(&self.names[ending.host], why)),
                Ending::Ended(_) | Ending::Refused { .. } => None,
            })
            .collect();
        lines.into_iter().for_each(|line| self.tell(Reply::Notice(line)));
        summary
    }

    /// Tells that the job has started, once, and what has waited for that.
    fn start(&mut self) {
        if !std::mem::replace(&mut self.is_started, true) {
            self.said.push(Said::ToUser(Reply::Started(self.job.clone())));
            self.said.extend(std::mem::take(&mut self.held).into_iter().map(Said::ToUser));
        }
    }

    fn tell(&mut self, reply: Reply) {
        match self.is_started {
            true => self.said.push(Said::ToUser(reply)),
            false => self.held.push(reply),
        }
    }

    fn say_to_all(&mut self, request: &ClientRequest) {
        (0..self.parts.len()).for_each(|host| self.say_to(host, request.clone()));
    }

    /// Says it to a host whose part has not ended.
    fn say_to(&mut self, host: usize, request: ClientRequest) {
        if !self.parts[host].has_ended {
            self.said.push(Said::ToHost(host, request));
        }
    }
}
