//! Generic netlink, and messages that are bytes to us: family `netdev`, socket diagnosis.
//!
//! ```text
//!   nlmsghdr (id of the family) │ genlmsghdr: command, version │ attributes: len, type, value
//! ```

use std::io;

use netlink_packet_core::{NLA_HEADER_SIZE, NlasIterator};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_SOCK_DIAG};

use super::link;
use super::netlink::{Netlink, Raw};
use crate::sys::netns::NetNs;

// linux/genetlink.h
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const GENL_HEADER_LEN: usize = 4;

// linux/netdev.h
const NETDEV_CMD_QUEUE_GET: u8 = 10;
const NETDEV_A_QUEUE_ID: u16 = 1;
const NETDEV_A_QUEUE_IFINDEX: u16 = 2;
/// There on queues that an AF_XDP socket is bound to (Linux 6.15).
const NETDEV_A_QUEUE_XSK: u16 = 7;

/// A generic netlink family, in the network namespace that the opening thread was in.
pub(crate) struct Family {
    netlink: Netlink<Raw>,
    id: u16,
}

impl Family {
    /// ENOENT where the kernel has no such family.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let mut family = Self { netlink: Netlink::speaking(NETLINK_GENERIC)?, id: GENL_ID_CTRL };
        let name = attribute(CTRL_ATTR_FAMILY_NAME, &[name.as_bytes(), &[0]].concat());
        let answers = family.request(CTRL_CMD_GETFAMILY, &name)?;
        let id = answers.iter().flat_map(|answer| attributes(answer)).find_map(|(kind, value)| {
            (kind == CTRL_ATTR_FAMILY_ID)
                .then(|| Some(u16::from_ne_bytes(value.try_into().ok()?)))?
        });
        family.id = id.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        Ok(family)
    }

    /// Sends a command; the attributes of each answer.
    pub(crate) fn request(&self, command: u8, attributes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        Ok(bodies(self.netlink.request(self.message(command, attributes), 0)?))
    }

    /// Asks for everything of a kind; the attributes of each answer.
    pub(crate) fn dump(&self, command: u8, attributes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        Ok(bodies(self.netlink.dump(&self.message(command, attributes))?))
    }

    fn message(&self, command: u8, attributes: &[u8]) -> Raw {
        // Version 1 of every family that is asked here; the kernel does not look at it.
        let body = [&[command, 1, 0, 0], attributes].concat();
        Raw { kind: self.id, body }
    }
}

fn bodies(answers: Vec<Raw>) -> Vec<Vec<u8>> {
    let without_header = |raw: Raw| raw.body.get(GENL_HEADER_LEN..).unwrap_or_default().to_vec();
    answers.into_iter().map(without_header).collect()
}

/// One attribute, padded.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(NLA_HEADER_SIZE + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [&len.to_ne_bytes(), &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Type and value of the attributes in `bytes`, up to the first that is torn.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).map(|attribute| {
        let (kind, end) = (attribute.kind(), usize::from(attribute.length()));
        (kind, attribute.into_inner().get(NLA_HEADER_SIZE..end).unwrap_or_default())
    })
}

/// A native-endian number, as attributes have them.
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

/// Interface index and number of each queue with an AF_XDP socket, in that namespace or that of
/// the calling thread. ENOENT or EOPNOTSUPP before Linux 6.8; before 6.15 it shows none.
pub(crate) fn xsk_queues(netns: Option<&NetNs>) -> io::Result<Vec<(u32, u32)>> {
    if let Some(netns) = netns {
        return netns.inside(|| xsk_queues(None));
    }
    let answers = Family::open("netdev")?.dump(NETDEV_CMD_QUEUE_GET, &[])?;
    Ok(queues_with_sockets(answers.iter().map(Vec::as_slice)))
}

/// Sorted, and each once: the kernel lists a queue for RX and for TX.
fn queues_with_sockets<'a>(answers: impl Iterator<Item = &'a [u8]>) -> Vec<(u32, u32)> {
    let mut queues: Vec<_> = answers
        .filter_map(|answer| {
            let (mut interface, mut queue, mut has_socket) = (None, None, false);
            for (kind, value) in attributes(answer) {
                match kind {
                    NETDEV_A_QUEUE_ID => queue = number(value),
                    NETDEV_A_QUEUE_IFINDEX => interface = number(value),
                    NETDEV_A_QUEUE_XSK => has_socket = true,
                    _ => {}
                }
            }
            Some((interface?, queue?)).filter(|_| has_socket)
        })
        .collect();
    queues.sort_unstable();
    queues.dedup();
    queues
}

/// The name of an interface of the calling thread's namespace.
pub(crate) fn interface_name(ifindex: u32) -> io::Result<String> {
    Ok(link::bare(&Netlink::open()?, link::Which::Index(ifindex))?.name)
}

/// Asks the socket diagnosis of the calling thread's namespace for all sockets that `request`
/// describes (`SOCK_DIAG_BY_FAMILY`); the body of each answer. ENOENT where the kernel has none
/// for that address family.
pub(crate) fn sock_diag(request: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    let netlink = Netlink::<Raw>::speaking(NETLINK_SOCK_DIAG)?;
    let answers = netlink.dump(&Raw { kind: SOCK_DIAG_BY_FAMILY, body: request.to_vec() })?;
    Ok(answers.into_iter().map(|answer| answer.body).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue(id: u32, ifindex: u32, xsk: bool) -> Vec<u8> {
        let mut bytes = attribute(NETDEV_A_QUEUE_ID, &id.to_ne_bytes());
        bytes.extend(attribute(NETDEV_A_QUEUE_IFINDEX, &ifindex.to_ne_bytes()));
        bytes.extend(attribute(3, &[0; 4]));
        if xsk {
            bytes.extend(attribute(NETDEV_A_QUEUE_XSK | libc::NLA_F_NESTED as u16, &[]));
        }
        bytes
    }

    #[test]
    fn queues_with_a_socket_are_listed_once() {
        let answers = [
            queue(1, 7, true),
            queue(0, 7, false),
            queue(1, 7, true),
            queue(0, 3, true),
            attribute(NETDEV_A_QUEUE_XSK, &[]),
            vec![1, 2, 3],
        ];
        let found = queues_with_sockets(answers.iter().map(Vec::as_slice));
        assert_eq!(found, [(3, 0), (7, 1)]);
    }

    #[test]
    fn a_family_that_is_not_there_is_enoent() {
        let error = Family::open("flux-no-such").err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn the_controller_lists_itself() {
        let controller = Family::open("nlctrl").unwrap();
        assert_eq!(controller.id, GENL_ID_CTRL);
        let all = controller.dump(CTRL_CMD_GETFAMILY, &[]).unwrap();
        let mut names = all.iter().flat_map(|one| attributes(one));
        assert!(names.any(|a| a == (CTRL_ATTR_FAMILY_NAME, b"nlctrl\0".as_slice())));
    }

    proptest! {
        #[test]
        fn attributes_come_back_as_they_were_put(
            values in prop::collection::vec((0u16..100, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        ) {
            let bytes: Vec<u8> = values.iter().flat_map(|(k, v)| attribute(*k, v)).collect();
            let back: Vec<_> = attributes(&bytes).map(|(k, v)| (k, v.to_vec())).collect();
            prop_assert_eq!(back, values);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let total: usize = attributes(&bytes).map(|(_, value)| value.len() + 4).sum();
            prop_assert!(total <= bytes.len());
            queues_with_sockets(std::iter::once(bytes.as_slice()));
        }
    }
}
