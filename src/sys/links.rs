//! The interfaces of a namespace and the XDP program on each, by one question to rtnetlink
//! (`linux/if_link.h`). Anybody may ask.

use super::check;
use super::rtnetlink::{self, IFINFO, attributes, messages, u32_at};
use std::io;
use std::os::fd::AsRawFd;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// The bridge, bond or team that it is a port of.
    pub(crate) master: Option<u32>,
    /// What a virtual interface (a VLAN, a macvlan) stands on, where that is in this namespace.
    pub(crate) lower: Option<u32>,
    pub(crate) program: Option<Program>,
}

/// The XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) id: u32,
    pub(crate) hook: Hook,
}

/// Where it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Native,
    Skb,
    Hardware,
    /// In more than one of these.
    Several,
}

const BUFFER: usize = 256 * 1024;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
/// `IFLA_XDP_DRV_PROG_ID` to `IFLA_XDP_HW_PROG_ID`: one for each hook.
const IFLA_XDP_PROG_IDS: std::ops::RangeInclusive<u16> = 5..=7;

/// All interfaces of the calling thread's network namespace.
pub(crate) fn all() -> io::Result<Vec<Link>> {
    let socket = rtnetlink::socket(0)?;
    rtnetlink::ask(&socket, libc::NLM_F_DUMP, 0)?;
    let (mut links, mut buffer) = (Vec::new(), vec![0u8; BUFFER]);
    loop {
        let (at, len) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: writes at most `len` bytes into the buffer, which is ours.
        let got = unsafe { libc::recv(socket.as_raw_fd(), at, len, 0) };
        let got = check(got as libc::c_int)? as usize;
        if got == 0 || parse(&buffer[..got], &mut links) {
            return Ok(links);
        }
    }
}

/// The interfaces in one datagram; true with the last.
fn parse(bytes: &[u8], links: &mut Vec<Link>) -> bool {
    for (kind, body) in messages(bytes) {
        match kind {
            libc::RTM_NEWLINK => links.extend(link(body)),
            kind if kind == libc::NLMSG_DONE as u16 || kind == libc::NLMSG_ERROR as u16 => {
                return true;
            }
            _ => {}
        }
    }
    false
}

fn link(body: &[u8]) -> Option<Link> {
    let mut link = Link { index: u32_at(body, 4)?, ..Link::default() };
    let mut elsewhere = false;
    for (kind, value) in attributes(body.get(IFINFO..)?) {
        match kind {
            IFLA_IFNAME => {
                let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
                link.name = String::from_utf8_lossy(name).into_owned();
            }
            IFLA_LINK => link.lower = u32_at(value, 0).filter(|&lower| lower != 0),
            IFLA_MASTER => link.master = u32_at(value, 0),
            IFLA_LINK_NETNSID => elsewhere = true,
            IFLA_XDP => link.program = program(value),
            _ => {}
        }
    }
    if elsewhere {
        link.lower = None;
    }
    Some(link)
}

fn program(nested: &[u8]) -> Option<Program> {
    let (mut hook, mut id) = (None, None);
    for (kind, value) in attributes(nested) {
        match kind {
            IFLA_XDP_ATTACHED => {
                hook = match value.first() {
                    Some(1) => Some(Hook::Native),
                    Some(2) => Some(Hook::Skb),
                    Some(3) => Some(Hook::Hardware),
                    Some(4) => Some(Hook::Several),
                    _ => None,
                }
            }
            IFLA_XDP_PROG_ID => id = u32_at(value, 0).filter(|&id| id != 0),
            kind if IFLA_XDP_PROG_IDS.contains(&kind) => id = id.or(u32_at(value, 0)),
            _ => {}
        }
    }
    Some(Program { id: id?, hook: hook? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{self, Lab, OURS};

    #[test]
    fn ports_and_what_stands_on_an_interface_are_told() {
        let Some(_lab) = Lab::veth(1) else { return };
        lab::run("ip link add br0 type bridge");
        lab::run(&format!("ip link set {OURS} master br0"));
        // Not every kernel has them.
        let vlan = lab::try_run("ip link add link br0 name br0.7 type vlan id 7").is_ok();
        let links = all().unwrap();
        let named = |name: &str| links.iter().find(|link| link.name == name).unwrap();
        let (ours, bridge) = (named(OURS), named("br0"));
        assert_eq!((ours.master, ours.lower, ours.program), (Some(bridge.index), None, None));
        assert_eq!(bridge.master, None);
        assert!(!vlan || named("br0.7").lower == Some(bridge.index));
    }

    #[test]
    fn what_is_cut_short_is_left_out() {
        let mut links = Vec::new();
        for len in 0..40 {
            let mut bytes = vec![0u8; len];
            if let Some(place) = bytes.get_mut(..6) {
                place.copy_from_slice(&[40, 0, 0, 0, 16, 0]);
            }
            assert!(!parse(&bytes, &mut links));
        }
        assert_eq!(links, []);
    }
}
