//! Messages from rank to rank, and who is who: `armci_msg_*`.

use core::ffi::{c_char, c_double, c_int, c_void};

use crate::capi::convert::{bytes, bytes_mut, length};
use crate::capi::runtime::{Runtime, exit_status, or_die};
use crate::team::message::{Received, Sender};

/// `armci_msg_init`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_msg_init(_argc: *mut c_int, _argv: *mut *mut *mut c_char) {
    Runtime::attached();
}

/// `armci_msg_init_comm`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_msg_init_comm(comm: c_int) {
    or_die("armci_msg_init_comm", Runtime::attached().check_all_ranks(comm));
}

/// `armci_msg_initialized`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_msg_initialized() -> c_int {
    Runtime::get().is_some().into()
}

/// `armci_msg_finalize`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_msg_finalize() {
    let finalize = || Ok(Runtime::attached().armci.finalize()?);
    or_die("armci_msg_finalize", finalize());
}

/// `armci_msg_abort`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_msg_abort(code: c_int) {
    Runtime::attached().end(exit_status(code), format_args!("aborted with code {code}"))
}

/// `armci_msg_me`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_msg_me() -> c_int {
    Runtime::attached().armci.rank() as c_int
}

/// `armci_msg_nproc`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_msg_nproc() -> c_int {
    Runtime::attached().armci.size() as c_int
}

/// `armci_timer`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_timer() -> c_double {
    (Runtime::attached().system.seconds)()
}

/// `armci_msg_snd`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_snd(tag: c_int, buffer: *mut c_void, len: c_int, to: c_int) {
    let send = || {
        let runtime = Runtime::attached();
        // SAFETY: by the caller.
        let data = unsafe { bytes(buffer, length(len)?)? };
        Ok(runtime.armci.send(runtime.rank(to)?, tag, data)?)
    };
    or_die("armci_msg_snd", send());
}

unsafe fn receive(
    function: &str,
    tag: c_int,
    buffer: *mut c_void,
    buflen: c_int,
    msglen: *mut c_int,
    from: Option<c_int>,
) -> Received {
    let receive = || {
        let runtime = Runtime::attached();
        // SAFETY: by the caller.
        let data = unsafe { bytes_mut(buffer, length(buflen)?)? };
        let from = from.map_or(Ok(Sender::Any), |from| runtime.rank(from).map(Sender::Rank))?;
        Ok(runtime.armci.receive(from, Some(tag), data)?)
    };
    let received = or_die(function, receive());
    // SAFETY: by the caller.
    if let Some(msglen) = unsafe { msglen.as_mut() } {
        *msglen = received.bytes as c_int;
    }
    received
}

/// `armci_msg_rcv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_rcv(
    tag: c_int,
    buffer: *mut c_void,
    buflen: c_int,
    msglen: *mut c_int,
    from: c_int,
) {
    // SAFETY: by the caller.
    unsafe { receive("armci_msg_rcv", tag, buffer, buflen, msglen, Some(from)) };
}

/// `armci_msg_rcvany`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_rcvany(
    tag: c_int,
    buffer: *mut c_void,
    buflen: c_int,
    msglen: *mut c_int,
) -> c_int {
    // SAFETY: by the caller.
    unsafe { receive("armci_msg_rcvany", tag, buffer, buflen, msglen, None).from as c_int }
}
