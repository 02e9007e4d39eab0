//! What the precompiled standard library refers to for unwinding, which never happens: a panic ends
//! the domain.

/// Goes on unwinding, if anything did.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    unreachable!("nothing unwinds")
}

/// Says how to unwind, if anything did.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    unreachable!("nothing unwinds")
}
