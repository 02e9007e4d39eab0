//! How an application ends.

use core::fmt::Display;

/// The exit status of an application: 0 is success.
///
/// In a domain it is printed as the last console line and written to xenstore;
/// as a Linux process it is the process's exit status, of which Linux keeps
/// the low eight bits.
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

/// What an application's main function may return.
pub trait Outcome {
    /// Turns the value into an exit status, printing the error if it is one.
    fn into_exit(self) -> Exit;
}

impl<T: Into<Exit>> Outcome for T {
    fn into_exit(self) -> Exit {
        self.into()
    }
}

impl<T: Into<Exit>, E: Display> Outcome for Result<T, E> {
    fn into_exit(self) -> Exit {
        match self {
            Ok(value) => value.into(),
            Err(error) => {
                crate::eprintln!("error: {error}");
                Exit::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_return_value_has_its_status() {
        assert_eq!(().into_exit().code(), 0);
        assert_eq!(7.into_exit().code(), 7);
        assert_eq!(Exit::FAILURE.into_exit().code(), 1);
        assert_eq!(Ok::<(), &str>(()).into_exit().code(), 0);
        assert_eq!(Ok::<i32, &str>(4).into_exit().code(), 4);
        assert_eq!(Err::<(), &str>("no luck").into_exit().code(), 1);
    }
}
