//! Where packets come to a program: our link on the interface, somebody else's, or nowhere.

use super::holder;
use crate::config::{AttachMode, Attached};
use crate::error::{FluxError, Op, Result, errno_text};
use crate::sys::bpf::{self, XdpLink, XdpMode};
use crate::sys::libbpf::{self, Quiet};
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
        let quiet = libbpf::quiet();
        let attach = |(xdp, mode)| {
            let link = bpf::attach_xdp(program, ifindex, xdp)?;
            Ok::<_, io::Error>(Attachment::Ours { link, mode })
        };
        const SKB: (XdpMode, Attached) = (XdpMode::Skb, Attached::Skb);
        let first = match mode {
            AttachMode::Skb => SKB,
            AttachMode::Native | AttachMode::Auto => (XdpMode::Native, Attached::Native),
        };
        let refused = |error, (mode, _)| {
            let said = |mode| said(&quiet, program, ifindex, mode);
            let words = match (said(mode), mode) {
                // There is one in the other mode, and how that is attached is said there alone.
                (Some(words), XdpMode::Native) if words.contains("at the same time") => {
                    said(XdpMode::Skb).or(Some(words))
                }
                (Some(words), XdpMode::Skb) if words.contains("at the same time") => {
                    said(XdpMode::Native).or(Some(words))
                }
                (words, _) => words,
            };
            attach_error(interface, ifindex, error, words)
        };
        let error = match attach(first) {
            Ok(attachment) => return Ok((attachment, None)),
            Err(error) => error,
        };
        // What is taken or forbidden in native mode is so in skb mode too.
        let hopeless = [libc::EBUSY, libc::EEXIST, libc::EPERM, libc::EACCES, libc::ENODEV];
        let errno = error.raw_os_error().unwrap_or(0);
        if mode != AttachMode::Auto || hopeless.contains(&errno) {
            return Err(refused(error, first));
        }
        let attachment = attach(SKB).map_err(|error| refused(error, SKB))?;
        let why = match errno {
            libc::EOPNOTSUPP => "the driver has no native XDP".to_owned(),
            libc::ERANGE => "the MTU is too large for native XDP".to_owned(),
            _ => format!("native XDP was refused ({})", errno_text(&error)),
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

/// Why the kernel refused the program, in its own words.
fn said(quiet: &Quiet, program: BorrowedFd<'_>, ifindex: u32, mode: XdpMode) -> Option<String> {
    quiet.said(); // what came before is about something else
    bpf::try_by_netlink(program, ifindex, mode).err()?;
    let said = quiet.said();
    let (_, words) = said.split_once("Kernel error message: ")?;
    let words = words.split(';').next().unwrap_or(words).trim().trim_end_matches('.');
    (!words.is_empty()).then(|| words.to_owned())
}

fn attach_error(
    interface: &str,
    ifindex: u32,
    error: io::Error,
    said: Option<String>,
) -> FluxError {
    let busy = matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST));
    let short = errno_text(&error);
    let error = FluxError::os(Op::Attach, interface, error);
    if busy && let Some(found) = holder::in_the_way(ifindex, said.as_deref()) {
        return found.explain(error);
    }
    let Some(said) = said else { return error };
    let above = said.contains("upper device");
    let error = error.with_cause(format!("{said} ({short})"));
    if !above {
        return error;
    }
    error.with_hint(format!(
        "it is above {interface} in another network namespace, a macvlan or a VLAN that was moved \
         there: `ip -d link` shows it there"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::xdp;
    use crate::error::ErrorKind;
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
