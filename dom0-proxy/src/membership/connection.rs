//! Both sides of a handshake over TCP, within a time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::error::MembershipError;
use super::handshake::{
    ANSWER_LENGTH, CONFIRMATION_LENGTH, Dialler, FIRST_LENGTH, Responder, Session,
};
use super::header::{HEADER_LENGTH, HeaderError, Purpose};
use super::member::Member;
use super::secret::Secret;
use super::tcp;

/// How long one address may take to be reached.
const REACHING: Duration = Duration::from_secs(5);
/// How long a handshake may take in all, however much of it has come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long whoever is refused may take to hear of it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a responder does not answer, as one byte in the place of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Refusal {
    OtherVersion = 1,
    UnknownJob = 2,
    WrongSecret = 3,
}

impl Refusal {
    fn of(code: u8) -> Option<Self> {
        [Self::OtherVersion, Self::UnknownJob, Self::WrongSecret]
            .into_iter()
            .find(|refusal| *refusal as u8 == code)
    }

    /// Why there is no member, for either side.
    fn why(self, address: &str, purpose: Option<&Purpose>) -> MembershipError {
        let address = address.to_owned();
        match (self, purpose) {
            (Self::OtherVersion, _) => MembershipError::OtherVersion { address },
            (Self::UnknownJob, Some(Purpose::Fabric { job, .. })) => {
                MembershipError::UnknownJob { address, job: job.clone() }
            }
            (Self::UnknownJob | Self::WrongSecret, _) => MembershipError::WrongSecret { address },
        }
    }
}

/// Connects to whoever listens at `address`, as `HOST:PORT`, and proves both sides to be members.
/// Tries all addresses that the host has.
///
/// # Errors
/// When nobody is there, or not within 5 s an address; when the other side is no member, or does
/// not take this side for one, or takes longer than 10 s.
pub fn connect(
    address: &str,
    secret: &Secret,
    purpose: &Purpose,
) -> Result<Member, MembershipError> {
    connect_within(PATIENCE, address, secret, purpose)
}

pub(super) fn connect_within(
    limit: Duration,
    address: &str,
    secret: &Secret,
    purpose: &Purpose,
) -> Result<Member, MembershipError> {
    let header = purpose.encode().map_err(|source| {
        let address = address.to_owned();
        MembershipError::BadName { address, source }
    })?;
    let stream = reach(address)?;
    let session = dial(&mut Talk::new(&stream, limit), address, secret, purpose, &header)?;
    member(stream, session, address)
}

/// Connects to the first address that can be reached.
fn reach(address: &str) -> Result<TcpStream, MembershipError> {
    let unresolved = |source| MembershipError::Unresolved { address: address.to_owned(), source };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no addresses");
    for found in address.to_socket_addrs().map_err(unresolved)? {
        match TcpStream::connect_timeout(&found, REACHING) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(MembershipError::Unreachable { address: address.to_owned(), source: last })
}

/// Proves that this side, which has connected, is a member, and that the other is.
fn dial(
    talk: &mut Talk<'_>,
    address: &str,
    secret: &Secret,
    purpose: &Purpose,
    header: &[u8; HEADER_LENGTH],
) -> Result<Session, MembershipError> {
    let broken = |error| MembershipError::broken(address, error);
    let undecipherable = |error| MembershipError::undecipherable(address, &error);
    tcp::prepare(talk.stream).map_err(broken)?;
    let (dialler, first) = Dialler::new(header, secret).map_err(undecipherable)?;
    talk.send(header, &first).map_err(broken)?;
    let answer = match talk.receive::<ANSWER_LENGTH>().map_err(broken)? {
        Answer::Message(answer) => answer,
        Answer::Refused(refusal) => return Err(refusal.why(address, Some(purpose))),
    };
    let (session, confirmation) = dialler.answered(&answer).map_err(undecipherable)?;
    talk.send(&[], &confirmation).map_err(broken)?;
    Ok(session)
}

/// Proves whoever has connected, and this side, to be members. `secret_for` says by which secret,
/// if there is one for that purpose.
///
/// # Errors
/// When the other side is no member, or takes longer than 10 s. It is told why, as far as that
/// helps a member.
pub fn accept(
    stream: TcpStream,
    secret_for: impl FnOnce(&Purpose) -> Option<Secret>,
) -> Result<(Purpose, Member), MembershipError> {
    accept_within(PATIENCE, stream, secret_for)
}

pub(super) fn accept_within(
    limit: Duration,
    stream: TcpStream,
    secret_for: impl FnOnce(&Purpose) -> Option<Secret>,
) -> Result<(Purpose, Member), MembershipError> {
    let address = match stream.peer_addr() {
        Ok(address) => address.to_string(),
        Err(error) => return Err(MembershipError::broken("a stranger", error)),
    };
    let (purpose, session) = respond(&mut Talk::new(&stream, limit), &address, secret_for)?;
    Ok((purpose, member(stream, session, &address)?))
}

/// Proves that whoever has connected is a member, and that this side is one.
fn respond(
    talk: &mut Talk<'_>,
    address: &str,
    secret_for: impl FnOnce(&Purpose) -> Option<Secret>,
) -> Result<(Purpose, Session), MembershipError> {
    let broken = |error| MembershipError::broken(address, error);
    talk.stream.set_nonblocking(false).and_then(|()| tcp::prepare(talk.stream)).map_err(broken)?;
    let mut header = [0; HEADER_LENGTH];
    talk.read_exact(&mut header).map_err(broken)?;
    let purpose = match Purpose::decode(&header) {
        Ok(purpose) => purpose,
        Err(HeaderError::Version(_)) => {
            talk.refuse(Refusal::OtherVersion);
            return Err(Refusal::OtherVersion.why(address, None));
        }
        Err(why) => {
            let (address, why) = (address.to_owned(), why.to_string());
            return Err(MembershipError::Stranger { address, why });
        }
    };
    let Some(secret) = secret_for(&purpose) else {
        let refusal = match purpose {
            Purpose::Client => Refusal::WrongSecret,
            Purpose::Fabric { .. } => Refusal::UnknownJob,
        };
        talk.refuse(refusal);
        return Err(refusal.why(address, Some(&purpose)));
    };
    let first = talk.expect::<FIRST_LENGTH>().map_err(broken)?;
    let (responder, answer) = Responder::new(&header, &secret, &first).map_err(|error| {
        talk.refuse(Refusal::WrongSecret);
        MembershipError::undecipherable(address, &error)
    })?;
    talk.send(&[], &answer).map_err(broken)?;
    let confirmation = talk.expect::<CONFIRMATION_LENGTH>().map_err(broken)?;
    let session = responder.confirmed(&confirmation);
    let session = session.map_err(|error| MembershipError::undecipherable(address, &error))?;
    Ok((purpose, session))
}

fn member(stream: TcpStream, session: Session, address: &str) -> Result<Member, MembershipError> {
    let patient = stream.set_read_timeout(None).and_then(|()| stream.set_write_timeout(None));
    patient.map_err(|error| MembershipError::broken(address, error))?;
    Ok(Member::new(stream, session))
}

/// What comes in the place of an answer.
enum Answer<const LENGTH: usize> {
    Message([u8; LENGTH]),
    Refused(Refusal),
}

/// A stream until a moment. Messages on it have their length before them, a `u16`.
struct Talk<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl<'a> Talk<'a> {
    fn new(stream: &'a TcpStream, limit: Duration) -> Self {
        Self { stream, until: Instant::now() + limit }
    }

    /// How much time is left.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }

    /// Sends a message, in one piece with what comes before it.
    fn send(&mut self, before: &[u8], message: &[u8]) -> io::Result<()> {
        let length = (message.len() as u16).to_le_bytes();
        self.write_all(&[before, &length, message].concat())
    }

    /// Receives a message of that length.
    fn expect<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        match self.length()? {
            length if length == LENGTH => self.content(),
            length => Err(wrong(format!("it has sent a message of {length} bytes"))),
        }
    }

    /// Receives a message of that length, or why there is none.
    fn receive<const LENGTH: usize>(&mut self) -> io::Result<Answer<LENGTH>> {
        match self.length()? {
            0 => {
                let [code] = self.content()?;
                let refusal = Refusal::of(code);
                let refusal = refusal.ok_or_else(|| wrong(format!("it refuses by code {code}")))?;
                Ok(Answer::Refused(refusal))
            }
            length if length == LENGTH => Ok(Answer::Message(self.content()?)),
            length => Err(wrong(format!("it has answered with {length} bytes"))),
        }
    }

    fn length(&mut self) -> io::Result<usize> {
        Ok(u16::from_le_bytes(self.content()?).into())
    }

    fn content<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        let mut content = [0; LENGTH];
        self.read_exact(&mut content)?;
        Ok(content)
    }

    /// Says why there is no answer.
    fn refuse(&mut self, refusal: Refusal) {
        self.until = self.until.min(Instant::now() + GOODBYE);
        if self.write_all(&[0, 0, refusal as u8]).is_ok() {
            // Were the connection closed with something unread, the other side might not hear.
            let _ = self.stream.shutdown(Shutdown::Write);
            while self.read(&mut [0; 256]).is_ok_and(|count| count > 0) {}
        }
    }
}

impl Read for Talk<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(in_time)
    }
}

impl Write for Talk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Linux says of a socket whose time is over that it would block.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
