//! What the main function of an application may return.

use core::fmt::Display;

use crate::Exit;
use crate::expansion::eprint;

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
                eprint(format_args!("error: {error}\n"));
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
