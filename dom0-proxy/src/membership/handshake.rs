//! What both sides prove to each other: that they know the same secret, now. No I/O.
//!
//! ```text
//! who connects                          who is connected to
//!     header, Noise's first message  ─▶     can be decrypted: the other side knows the secret
//!     can be decrypted: so does      ◀─ Noise's second message
//!     the other, and now
//!     confirmation                   ─▶     can be decrypted: it is no recording
//! ```
//!
//! The header goes into what is encrypted (Noise's prologue), so none of it can be changed on the
//! way. Without the confirmation a recording of a handshake would do for a connection that is not
//! encrypted afterwards.

use snow::{Builder, HandshakeState, StatelessTransportState};

use super::header::HEADER_LENGTH;
use super::secret::Secret;

/// The curve, the cipher, the hash, and what is sent: two keys for this connection alone, each
/// mixed with the secret.
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// Bytes that prove that the rest of a message is a member's.
pub(super) const TAG: usize = 16;
const KEY: usize = 32;

/// Bytes of the first message.
pub const FIRST_LENGTH: usize = KEY + TAG;
/// Bytes of the answer to it.
pub const ANSWER_LENGTH: usize = KEY + TAG;
/// Bytes of the last message.
pub const CONFIRMATION_LENGTH: usize = TAG;

/// Who connects, and waits for the answer.
#[derive(Debug)]
pub struct Dialler(HandshakeState);

/// Who is connected to, and waits for the confirmation.
#[derive(Debug)]
pub struct Responder(StatelessTransportState);

/// What a connection is encrypted with, and how many messages have been so, each way.
#[derive(Debug)]
pub struct Session {
    pub(super) cipher: StatelessTransportState,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Dialler {
    /// Begins: with what follows the header.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn new(
        header: &[u8; HEADER_LENGTH],
        secret: &Secret,
    ) -> Result<(Self, [u8; FIRST_LENGTH]), snow::Error> {
        let mut state = builder(header, secret)?.build_initiator()?;
        let mut first = [0; FIRST_LENGTH];
        state.write_message(&[], &mut first)?;
        Ok((Self(state), first))
    }

    /// Takes the answer, and confirms it.
    ///
    /// # Errors
    /// [`snow::Error::Decrypt`] when whoever has answered does not know the secret.
    pub fn answered(
        mut self,
        answer: &[u8; ANSWER_LENGTH],
    ) -> Result<(Session, [u8; CONFIRMATION_LENGTH]), snow::Error> {
        self.0.read_message(answer, &mut [])?;
        let cipher = self.0.into_stateless_transport_mode()?;
        let mut confirmation = [0; CONFIRMATION_LENGTH];
        cipher.write_message(0, &[], &mut confirmation)?;
        Ok((Session { cipher, sent: 1, received: 0 }, confirmation))
    }
}

impl Responder {
    /// Takes what follows the header, and answers.
    ///
    /// # Errors
    /// [`snow::Error::Decrypt`] when whoever connects does not know the secret, or the header is
    /// not its own.
    pub fn new(
        header: &[u8; HEADER_LENGTH],
        secret: &Secret,
        first: &[u8; FIRST_LENGTH],
    ) -> Result<(Self, [u8; ANSWER_LENGTH]), snow::Error> {
        let mut state = builder(header, secret)?.build_responder()?;
        state.read_message(first, &mut [])?;
        let mut answer = [0; ANSWER_LENGTH];
        state.write_message(&[], &mut answer)?;
        Ok((Self(state.into_stateless_transport_mode()?), answer))
    }

    /// Takes the confirmation.
    ///
    /// # Errors
    /// [`snow::Error::Decrypt`] when it is not the answer's: somebody repeats what a member has
    /// said.
    pub fn confirmed(
        self,
        confirmation: &[u8; CONFIRMATION_LENGTH],
    ) -> Result<Session, snow::Error> {
        self.0.read_message(0, confirmation, &mut [])?;
        Ok(Session { cipher: self.0, sent: 0, received: 1 })
    }
}

fn builder<'a>(
    header: &'a [u8; HEADER_LENGTH],
    secret: &'a Secret,
) -> Result<Builder<'a>, snow::Error> {
    Builder::new(PATTERN.parse()?).psk(0, secret.bytes())?.prologue(header)
}

#[cfg(test)]
mod tests {
    use super::super::header::Purpose;
    use super::*;

    fn header() -> [u8; HEADER_LENGTH] {
        Purpose::Fabric { job: "abcdef".into(), from: 1 }.encode().unwrap()
    }

    fn secret() -> Secret {
        Secret::from([7; 32])
    }

    #[test]
    fn two_that_know_the_secret_understand_each_other() {
        let (dialler, first) = Dialler::new(&header(), &secret()).unwrap();
        let (responder, answer) = Responder::new(&header(), &secret(), &first).unwrap();
        let (near, confirmation) = dialler.answered(&answer).unwrap();
        let far = responder.confirmed(&confirmation).unwrap();
        let mut sealed = [0; 64];
        let length = near.cipher.write_message(near.sent, b"hello", &mut sealed).unwrap();
        let mut opened = [0; 64];
        let read = far.cipher.read_message(far.received, &sealed[..length], &mut opened).unwrap();
        assert_eq!(opened[..read], *b"hello");
    }

    #[test]
    fn another_secret_or_header_is_found_at_once() {
        let (_, first) = Dialler::new(&header(), &secret()).unwrap();
        let refused =
            |header: &[u8; HEADER_LENGTH], secret: &Secret, first: &[u8; FIRST_LENGTH]| {
                matches!(Responder::new(header, secret, first), Err(snow::Error::Decrypt))
            };
        assert!(refused(&header(), &Secret::from([8; 32]), &first));
        for at in 0..HEADER_LENGTH {
            let mut header = header();
            header[at] ^= 1;
            assert!(refused(&header, &secret(), &first), "{at}");
        }
        for at in 0..FIRST_LENGTH {
            let mut first = first;
            first[at] ^= 1;
            assert!(refused(&header(), &secret(), &first), "{at}");
        }
    }

    #[test]
    fn an_answer_of_somebody_else_is_found() {
        let dial = || Dialler::new(&header(), &secret()).unwrap();
        let (dialler, first) = dial();
        let (_, answer) = Responder::new(&header(), &secret(), &first).unwrap();
        let mut changed = answer;
        changed[40] ^= 1;
        assert!(matches!(dialler.answered(&changed), Err(snow::Error::Decrypt)));
        // It was made for another connection.
        assert!(matches!(dial().0.answered(&answer), Err(snow::Error::Decrypt)));
    }

    #[test]
    fn a_recording_does_not_confirm() {
        let (dialler, first) = Dialler::new(&header(), &secret()).unwrap();
        let (_, answer) = Responder::new(&header(), &secret(), &first).unwrap();
        let (_, confirmation) = dialler.answered(&answer).unwrap();
        let (again, _) = Responder::new(&header(), &secret(), &first).unwrap();
        assert!(matches!(again.confirmed(&confirmation), Err(snow::Error::Decrypt)));
    }
}
