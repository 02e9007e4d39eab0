//! Encrypted bytes on one side, a local socket on the other.
//!
//! On the wire are messages of Noise, each after its length, a `u16`. An empty one says that no
//! more follows: a connection that ends without it was cut off.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use snow::StatelessTransportState;

use super::handshake::{Session, TAG};

/// The longest message.
const MESSAGE: usize = u16::MAX as usize;
/// What fits into one.
const CONTENT: usize = MESSAGE - TAG;

/// What both threads of a bridge use, each in its own direction.
#[derive(Debug)]
struct Bridge {
    wire: TcpStream,
    local: UnixStream,
    cipher: StatelessTransportState,
}

/// Starts two threads, which end with the connection. Returns the end of the local socket that is
/// for others.
pub fn start(wire: TcpStream, session: Session) -> io::Result<UnixStream> {
    let (local, theirs) = UnixStream::pair()?;
    let Session { cipher, sent, received } = session;
    let outgoing = Arc::new(Bridge { wire, local, cipher });
    let incoming = outgoing.clone();
    thread::Builder::new().name("bridge-in".into()).spawn(move || {
        if let Err(error) = incoming.receive(received) {
            tracing::debug!(%error, "a member's connection has broken");
            incoming.close();
        }
    })?;
    let stopping = outgoing.clone();
    let spawned = thread::Builder::new().name("bridge-out".into()).spawn(move || {
        if let Err(error) = outgoing.send(sent) {
            tracing::debug!(%error, "a member's connection takes nothing more");
            // What the other side has said before it hung up is still to be heard.
            let _ = outgoing.local.shutdown(Shutdown::Read);
            // Or the local socket would end as one that is reset: there are words that nobody took.
            let _ = io::copy(&mut &outgoing.local, &mut io::sink());
            let _ = outgoing.wire.shutdown(Shutdown::Write);
        }
    });
    if let Err(error) = spawned {
        stopping.close();
        return Err(error);
    }
    Ok(theirs)
}

impl Bridge {
    /// Encrypts what is written to the local socket, until its end. `sent` messages came before.
    fn send(&self, mut sent: u64) -> io::Result<()> {
        let mut content = vec![0; CONTENT];
        let mut message = vec![0; 2 + MESSAGE];
        loop {
            let length = match (&self.local).read(&mut content) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let sealed = self.cipher.write_message(sent, &content[..length], &mut message[2..]);
            let sealed = sealed.map_err(io::Error::other)?;
            sent += 1;
            message[..2].copy_from_slice(&(sealed as u16).to_le_bytes());
            (&self.wire).write_all(&message[..2 + sealed])?;
            if length == 0 {
                return self.wire.shutdown(Shutdown::Write);
            }
        }
    }

    /// Decrypts what comes, until the other side's end. `received` messages came before.
    fn receive(&self, mut received: u64) -> io::Result<()> {
        let mut message = vec![0; MESSAGE];
        let mut content = vec![0; MESSAGE];
        loop {
            let mut length = [0; 2];
            (&self.wire).read_exact(&mut length)?;
            let sealed = &mut message[..usize::from(u16::from_le_bytes(length))];
            (&self.wire).read_exact(sealed)?;
            let opened = self.cipher.read_message(received, sealed, &mut content);
            let opened = opened.map_err(io::Error::other)?;
            received += 1;
            if opened == 0 {
                return self.local.shutdown(Shutdown::Write);
            }
            (&self.local).write_all(&content[..opened])?;
        }
    }

    fn close(&self) {
        let _ = self.local.shutdown(Shutdown::Both);
        let _ = self.wire.shutdown(Shutdown::Both);
    }
}
