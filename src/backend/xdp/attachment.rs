//! Where packets come to a program: our link on the interface, somebody else's, or nowhere.

use crate::config::{AttachMode, Attached};
use crate::error::{ErrorKind, FluxError, Op, Result};
use crate::sys::bpf::{self, XdpLink, XdpMode};
use crate::sys::libbpf;
use std::io;
use std::os::fd::BorrowedFd;

/// What brings packets to the sockets. Ours is taken off the interface by the drop.
pub(crate) enum Attachment {
    /// A program of ours, by a link. The mode is never `Foreign` or `None`.
    Ours { link: XdpLink, mode: Attached },
    /// A program that somebody else attached, and whose XSKMAP we were given.
    Foreign,
    /// None: the sockets only send.
    None,
}

impl Attachment {
    /// Attaches `program` to the interface; with a note when it fell back.
    pub(crate) fn ours(
        program: BorrowedFd<'_>,
        interface: &str,
        ifindex: u32,
        mode: AttachMode,
    ) -> Result<(Attachment, Option<String>)> {
        let _quiet = libbpf::quiet();
        let attach = |mode| {
            let (xdp, mode) = match mode {
                AttachMode::Skb => (XdpMode::Skb, Attached::Skb),
                AttachMode::Native | AttachMode::Auto => (XdpMode::Native, Attached::Native),
            };
            let link = bpf::attach_xdp(program, ifindex, xdp)?;
            Ok::<_, io::Error>(Attachment::Ours { link, mode })
        };
        let refused = match attach(mode) {
            Ok(attachment) => return Ok((attachment, None)),
            Err(error) => error,
        };
        // What is taken or forbidden in native mode is so in skb mode too.
        let hopeless = [libc::EBUSY, libc::EEXIST, libc::EPERM, libc::EACCES, libc::ENODEV];
        let errno = refused.raw_os_error().unwrap_or(0);
        if mode != AttachMode::Auto || hopeless.contains(&errno) {
            return Err(attach_error(interface, ifindex, refused));
        }
        let attachment =
            attach(AttachMode::Skb).map_err(|error| attach_error(interface, ifindex, error))?;
        let why = match errno {
            libc::EOPNOTSUPP => "the driver has no native XDP".to_owned(),
            libc::ERANGE => "the MTU is too large for native XDP".to_owned(),
            _ => format!("native XDP was refused ({})", crate::error::errno_text(&refused)),
        };
        Ok((attachment, Some(format!("attached in skb mode: {why}"))))
    }

    /// Whether somebody took our program off the interface, or the interface is gone.
    pub(crate) fn is_detached(&self) -> bool {
        matches!(self, Attachment::Ours { link, .. } if !link.is_attached())
    }

    /// How packets come to the program.
    pub(crate) fn mode(&self) -> Attached {
        match self {
            Attachment::Ours { mode, .. } => *mode,
            Attachment::Foreign => Attached::Foreign,
            Attachment::None => Attached::None,
        }
    }
}

fn attach_error(interface: &str, ifindex: u32, error: io::Error) -> FluxError {
    let busy = matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST));
    let error = FluxError::os(Op::Attach, interface, error);
    if !busy {
        return error;
    }
    let Some((id, name)) = bpf::attached_xdp(ifindex) else { return error };
    debug_assert_eq!(error.kind(), ErrorKind::Busy);
    error.with_cause(format!("another program (id {id}, {name}) is attached")).with_hint(format!(
        "stop its owner (`bpftool prog show id {id}` names it); if it has none, `ip link set \
         {interface} xdp off` detaches it (`xdpgeneric off` in skb mode)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::xdp;
    use crate::lab::{self, Lab, OURS};
    use crate::sys::netdev;
    use std::os::fd::AsFd;

    #[test]
    fn a_program_is_attached_in_the_mode_asked_for_until_the_drop() {
        let Some(_lab) = Lab::veth(1) else { return };
        let ifindex = netdev::index(OURS).unwrap();
        let loaded = xdp::load(OURS, 1, false).unwrap();
        for (asked, got) in [
            (AttachMode::Native, Attached::Native),
            (AttachMode::Skb, Attached::Skb),
            (AttachMode::Auto, Attached::Native),
        ] {
            let program = loaded.program.as_fd();
            let (attachment, note) = Attachment::ours(program, OURS, ifindex, asked).unwrap();
            assert_eq!((attachment.mode(), note), (got, None), "{asked}");
            assert!(lab::xdp_attached(OURS));
            let error = Attachment::ours(program, OURS, ifindex, asked).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Busy, "{asked}");
            assert!(error.to_string().contains("flux_redirect"), "{error}");
            drop(attachment);
            assert!(!lab::xdp_attached(OURS), "{asked}");
        }
    }

    #[test]
    fn what_native_mode_refuses_falls_back_to_skb_mode_with_the_reason() {
        let Some(lab) = Lab::veth(1) else { return };
        lab.run_in_peer("ip link set flux1 mtu 9000");
        let ifindex = netdev::index(OURS).unwrap();
        let loaded = xdp::load(OURS, 1, false).unwrap();
        let (attachment, note) =
            Attachment::ours(loaded.program.as_fd(), OURS, ifindex, AttachMode::Auto).unwrap();
        assert_eq!(attachment.mode(), Attached::Skb);
        assert_eq!(note.unwrap(), "attached in skb mode: the MTU is too large for native XDP");
    }

    #[test]
    fn without_a_program_of_ours_the_mode_says_whose_it_is() {
        assert_eq!(Attachment::Foreign.mode(), Attached::Foreign);
        assert_eq!(Attachment::None.mode(), Attached::None);
    }
}
