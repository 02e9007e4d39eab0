//! What the toolstack asks a domain for.

/// One thing that it may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ShutdownRequest {
    /// Let yourself be saved.
    Suspend = 1,
    /// Switch yourself off.
    Poweroff = 2,
    /// Switch yourself off, to be started again.
    Reboot = 4,
}

impl ShutdownRequest {
    /// What a value of `control/shutdown` asks for (`docs/misc/xenstore-paths.pandoc` of Xen).
    pub fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"suspend" => Some(ShutdownRequest::Suspend),
            b"poweroff" | b"halt" => Some(ShutdownRequest::Poweroff),
            b"reboot" => Some(ShutdownRequest::Reboot),
            _ => None,
        }
    }
}

/// All that was asked for and is not served yet: several at once may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownRequests(u8);

impl ShutdownRequests {
    /// Nothing.
    pub const NONE: Self = ShutdownRequests(0);

    /// Adds a request.
    pub fn add(&mut self, request: ShutdownRequest) {
        self.0 |= request as u8;
    }

    /// Takes out a request that is served now.
    pub fn remove(&mut self, request: ShutdownRequest) {
        self.0 &= !(request as u8);
    }

    /// Whether this is asked for.
    pub fn contain(self, request: ShutdownRequest) -> bool {
        self.0 & request as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ShutdownRequest::{Poweroff, Reboot, Suspend};

    #[test]
    fn one_request_does_not_replace_another() {
        let mut requests = ShutdownRequests::NONE;
        requests.add(Suspend);
        requests.add(Poweroff);
        requests.add(Suspend);
        assert!(requests.contain(Suspend) && requests.contain(Poweroff));
        assert!(!requests.contain(Reboot));
        requests.remove(Suspend);
        assert!(!requests.contain(Suspend) && requests.contain(Poweroff));
        requests.remove(Poweroff);
        assert_eq!(requests, ShutdownRequests::NONE);
    }

    #[test]
    fn words_are_understood() {
        assert_eq!(ShutdownRequest::from_word(b"suspend"), Some(Suspend));
        assert_eq!(ShutdownRequest::from_word(b"halt"), Some(Poweroff));
        assert_eq!(ShutdownRequest::from_word(b"reboot"), Some(Reboot));
        assert_eq!(ShutdownRequest::from_word(b""), None);
    }
}
