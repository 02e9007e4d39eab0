//! Event channels: one-bit signals between domains (`event_channel.h`).

use crate::{DomainId, Error, Hypercall, Number, Result, with_argument};

/// The local end of an event channel.
#[doc(alias = "evtchn_port_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Port(pub u32);

mod operation {
    pub(super) const BIND_INTERDOMAIN: u32 = 0;
    pub(super) const CLOSE: u32 = 3;
    pub(super) const SEND: u32 = 4;
    pub(super) const ALLOC_UNBOUND: u32 = 6;
    pub(super) const UNMASK: u32 = 9;
}

fn call<T>(xen: &(impl Hypercall + ?Sized), operation: u32, argument: &mut T) -> Result<()> {
    // SAFETY: every caller below passes the operation's own structure, which holds no pointers.
    let rax = unsafe { with_argument(xen, Number::EventChannelOp, operation, argument) };
    Error::check(rax).map(drop)
}

#[doc(alias = "evtchn_alloc_unbound")]
#[repr(C)]
struct AllocUnbound {
    domain: DomainId,
    remote: DomainId,
    port: Port,
}

const _: () = assert!(size_of::<AllocUnbound>() == 8);

/// Makes a port that `remote` may bind to.
#[doc(alias = "EVTCHNOP_alloc_unbound")]
pub fn alloc_unbound(xen: &(impl Hypercall + ?Sized), remote: DomainId) -> Result<Port> {
    let mut argument = AllocUnbound { domain: DomainId::SELF, remote, port: Port(0) };
    call(xen, operation::ALLOC_UNBOUND, &mut argument)?;
    Ok(argument.port)
}

#[doc(alias = "evtchn_bind_interdomain")]
#[repr(C)]
struct BindInterdomain {
    remote: DomainId,
    remote_port: Port,
    local_port: Port,
}

const _: () = assert!(size_of::<BindInterdomain>() == 12);

/// Makes a port bound to a port that `remote` has made for us.
#[doc(alias = "EVTCHNOP_bind_interdomain")]
pub fn bind_interdomain(
    xen: &(impl Hypercall + ?Sized),
    remote: DomainId,
    remote_port: Port,
) -> Result<Port> {
    let mut argument = BindInterdomain { remote, remote_port, local_port: Port(0) };
    call(xen, operation::BIND_INTERDOMAIN, &mut argument)?;
    Ok(argument.local_port)
}

/// Closes a port.
#[doc(alias = "EVTCHNOP_close")]
pub fn close(xen: &(impl Hypercall + ?Sized), mut port: Port) -> Result<()> {
    call(xen, operation::CLOSE, &mut port)
}

/// Signals the other end.
#[doc(alias = "EVTCHNOP_send")]
pub fn send(xen: &(impl Hypercall + ?Sized), mut port: Port) -> Result<()> {
    call(xen, operation::SEND, &mut port)
}

/// Unmasks a port, and has a pending event delivered that arrived while it was masked.
#[doc(alias = "EVTCHNOP_unmask")]
pub fn unmask(xen: &(impl Hypercall + ?Sized), mut port: Port) -> Result<()> {
    call(xen, operation::UNMASK, &mut port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn an_unbound_port_comes_back_in_the_structure() {
        let xen = Recorder::new(0, 8).replying(4, &9u32.to_le_bytes());
        assert_eq!(alloc_unbound(&xen, DomainId::DOM0), Ok(Port(9)));
        let call = xen.next();
        assert_eq!((call.number, call.arguments[0]), (Number::EventChannelOp, 6));
        assert_eq!(call.structure, [0xf0, 0x7f, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_interdomain_port_comes_back_in_the_structure() {
        let xen = Recorder::new(0, 12).replying(8, &5u32.to_le_bytes());
        assert_eq!(bind_interdomain(&xen, DomainId(7), Port(3)), Ok(Port(5)));
        let call = xen.next();
        assert_eq!(call.arguments[0], 0);
        assert_eq!(call.structure, [7, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn send_close_and_unmask_pass_the_port() {
        let xen = Recorder::new(0, 4);
        send(&xen, Port(4)).unwrap();
        close(&xen, Port(6)).unwrap();
        unmask(&xen, Port(7)).unwrap();
        let (sent, closed, unmasked) = (xen.next(), xen.next(), xen.next());
        assert_eq!((unmasked.arguments[0], unmasked.structure), (9, std::vec![7, 0, 0, 0]));
        assert_eq!((sent.arguments[0], sent.structure), (4, std::vec![4, 0, 0, 0]));
        assert_eq!((closed.arguments[0], closed.structure), (3, std::vec![6, 0, 0, 0]));
    }

    #[test]
    fn a_refusal_is_an_error() {
        assert_eq!(send(&Recorder::new(-22, 4), Port(4)), Err(Error::INVALID));
    }
}
