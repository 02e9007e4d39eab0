//! Weak aliases, which Rust has no stable way to make.

/// Makes weak aliases: functions that jump to others, in whose place a program may have its own.
macro_rules! weak_aliases {
    ($($alias:ident => $function:ident;)*) => {
        $(
            #[cfg(target_arch = "x86_64")]
            core::arch::global_asm!(
                concat!(".pushsection .text.", stringify!($alias), ",\"ax\",@progbits"),
                concat!(".weak ", stringify!($alias)),
                concat!(".type ", stringify!($alias), ",@function"),
                concat!(stringify!($alias), ":"),
                concat!("jmp ", stringify!($function), "@PLT"),
                concat!(".size ", stringify!($alias), ", . - ", stringify!($alias)),
                ".popsection",
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::global_asm!(
                concat!(".pushsection .text.", stringify!($alias), ",\"ax\",@progbits"),
                concat!(".weak ", stringify!($alias)),
                concat!(".type ", stringify!($alias), ",@function"),
                concat!(stringify!($alias), ":"),
                concat!("b ", stringify!($function)),
                concat!(".size ", stringify!($alias), ", . - ", stringify!($alias)),
                ".popsection",
            );
        )*
    };
}
pub(crate) use weak_aliases;
