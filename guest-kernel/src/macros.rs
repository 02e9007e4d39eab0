//! What an application writes instead of `fn main` and std's macros.

/// Names the function that the application begins in.
///
/// It takes nothing and returns anything that is an [`Outcome`](crate::Outcome): nothing, a number,
/// an [`Exit`](crate::Exit), or a `Result` whose error is printed.
///
/// ```
/// # #![allow(clippy::needless_doctest_main)]
/// use guest_kernel::{Exit, println};
///
/// guest_kernel::main!(run);
///
/// fn run() -> Exit {
///     println!("{} arguments", guest_kernel::args().len());
///     Exit::SUCCESS
/// }
/// ```
#[macro_export]
#[cfg(not(xenolith_guest))]
macro_rules! main {
    ($run:path) => {
        fn main() -> ::std::process::ExitCode {
            $crate::expansion::start(|| $crate::Outcome::into_exit($run()))
        }
    };
}

/// Names the function that the application begins in.
#[macro_export]
#[cfg(xenolith_guest)]
macro_rules! main {
    ($run:path) => {
        // The kernel's one reference to the application.
        #[allow(unsafe_code, reason = "the kernel finds the application by this name")]
        #[unsafe(no_mangle)]
        extern "Rust" fn xenolith_application() -> $crate::Exit {
            $crate::Outcome::into_exit($run())
        }
    };
}

/// Prints to the console, or to standard output.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => {
        $crate::expansion::print(::core::format_args!($($argument)*))
    };
}

/// Prints a line to the console, or to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($format:literal $($argument:tt)*) => {
        $crate::print!("{}\n", ::core::format_args!($format $($argument)*))
    };
}

/// Prints to the console, or to standard error.
#[macro_export]
macro_rules! eprint {
    ($($argument:tt)*) => {
        $crate::expansion::eprint(::core::format_args!($($argument)*))
    };
}

/// Prints a line to the console, or to standard error.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ($format:literal $($argument:tt)*) => {
        $crate::eprint!("{}\n", ::core::format_args!($format $($argument)*))
    };
}
