//! How an application ends.

/// The exit status of an application: 0 is success.
///
/// In a domain it is printed as the last console line and written to xenstore; as a Linux process
/// it is the process's exit status, of which Linux keeps the low eight bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(i32);

impl Exit {
    /// The application did what it was asked to do.
    pub const SUCCESS: Exit = Exit(0);
    /// The application failed and has said why.
    pub const FAILURE: Exit = Exit(1);

    /// The number that the operating system gets to see.
    pub fn code(self) -> i32 {
        self.0
    }
}

impl From<i32> for Exit {
    fn from(code: i32) -> Self {
        Exit(code)
    }
}

impl From<()> for Exit {
    fn from((): ()) -> Self {
        Exit::SUCCESS
    }
}
