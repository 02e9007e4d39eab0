//! How soon a dead host is noticed.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt;

/// How long a host may take to answer at all, before it is taken for dead.
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// How long nothing may come before it is asked whether it is there.
const IDLE: Duration = Duration::from_secs(3);
/// How often it is asked then, and how many times. With [`IDLE`] less than [`DEAD_AFTER`].
const ASK_EVERY: Duration = Duration::from_secs(2);
const ASK: u32 = 3;
/// What a client's kernel takes of what it is sent while the client reads nothing, as far as Linux
/// allows (`net.core.rmem_max`).
const ROOM: usize = 1 << 20;

/// Sends at once what is sent, and has the connection broken when the other host is dead.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    prepare_for(stream, DEAD_AFTER)
}

fn prepare_for(stream: &TcpStream, dead_after: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_tcp_keepidle(stream, IDLE)?;
    sockopt::set_tcp_keepintvl(stream, ASK_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, ASK)?;
    sockopt::set_socket_keepalive(stream, true)?;
    // Of what was sent; keepalive asks only when nothing is under way.
    sockopt::set_tcp_user_timeout(stream, dead_after.as_millis() as u32)?;
    Ok(())
}

/// Makes room for all that is sent to a client that reads nothing, since it is stopped. Linux takes
/// a host for dead that has no room for as long, too.
pub fn make_room(stream: &TcpStream) -> io::Result<()> {
    Ok(sockopt::set_socket_recv_buffer_size(stream, ROOM)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_host_is_asked_and_given_up_in_time() {
        assert!(IDLE + ASK_EVERY * ASK <= DEAD_AFTER);
    }

    /// What a daemon sends to a `pgas` that takes nothing (`control::OUTPUT_WINDOW`), in small
    /// messages, and some more.
    const SENT: usize = 160;

    #[test]
    fn a_client_that_is_stopped_is_not_taken_for_dead() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut daemon, _) = listener.accept().unwrap();
        let dead_after = Duration::from_secs(1);
        for stream in [&client, &daemon] {
            prepare_for(stream, dead_after).unwrap();
            make_room(stream).unwrap();
        }
        for _ in 0..SENT {
            daemon.write_all(&[1; 1024]).unwrap();
        }
        thread::sleep(3 * dead_after);
        daemon.write_all(&[2; 1024]).unwrap();
        let mut received = vec![0; (SENT + 1) * 1024];
        client.read_exact(&mut received).unwrap();
        assert_eq!(received[SENT * 1024..], [2; 1024]);
    }
}
