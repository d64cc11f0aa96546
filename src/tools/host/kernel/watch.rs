//! [`KernelWatch`]: the notifications of rtnetlink.
//!
//! Subscribed before the first look, so that no change is missed. A notification may then be older
//! than the look: what it says is told, and undone by the ones behind it.

use std::io;
use std::os::fd::BorrowedFd;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{Netlink, Raw};
use super::{again, link, neighbour, route};
use crate::tools::host::error::HostError;
use crate::tools::host::model::Interface;
use crate::tools::host::watch::{Change, Known, Watch};

/// RTNLGRP_LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE, NEXTHOP
/// of linux/rtnetlink.h.
const GROUPS: [u32; 9] = [1, 3, 5, 7, 8, 9, 11, 19, 32];
/// RTM_NEWNEXTHOP and RTM_DELNEXTHOP, which the crate does not read.
const NEXT_HOPS: [u16; 2] = [104, 105];
/// Room for notifications; the system may allow less.
const ROOM: usize = 1 << 20;
/// Datagrams that are read at a call, so that it ends while others go on changing things.
const MOST: usize = 4096;

/// Watches the network namespace that it was opened in.
pub(super) struct KernelWatch {
    heard: Netlink<Raw>,
    asked: Netlink,
    known: Known,
    /// Notifications were lost, and not all was read again since.
    lost: bool,
}

impl KernelWatch {
    /// Of the network namespace of the calling thread. Needs no privilege.
    pub(super) fn open() -> io::Result<Self> {
        Self::with_room(ROOM)
    }

    fn with_room(room: usize) -> io::Result<Self> {
        let (heard, asked) = (Netlink::subscribe_all(&GROUPS, room)?, Netlink::open()?);
        let known = Known::new(link::all(&asked)?);
        Ok(Self { heard, asked, known, lost: false })
    }

    fn read(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        for _ in 0..MOST {
            match self.heard.pending() {
                Ok(None) => break,
                Ok(Some(messages)) => {
                    messages.iter().for_each(|message| self.take(message, changes));
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.lost = true,
                // Not understood: what it said is lost.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => self.lost = true,
                Err(error) => return Err(error),
            }
        }
        // Not before the socket is empty: what is there is older than the look.
        if self.lost {
            self.known.look(link::all(&self.asked)?, changes);
            self.lost = false;
            changes.push(Change::Overrun);
        }
        Ok(())
    }

    fn take(&mut self, raw: &Raw, changes: &mut Vec<Change>) {
        if NEXT_HOPS.contains(&raw.kind) {
            return routing(changes);
        }
        let mut header = NetlinkHeader::default();
        header.message_type = raw.kind;
        let Ok(message) = RouteNetlinkMessage::deserialize(&header, &raw.body) else {
            self.lost = true; // from a newer kernel, which says more than is understood
            return;
        };
        match message {
            RouteNetlinkMessage::NewLink(link) if of_all(&link) => {
                self.known.link(link::interface_from(link), changes);
            }
            RouteNetlinkMessage::DelLink(link) if of_all(&link) => {
                self.known.gone(link.header.index, changes);
            }
            RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => {
                let there = raw.kind == libc::RTM_NEWADDR;
                if let Some(address) = link::address_from(&message) {
                    self.known.address(message.header.index, address, there, changes);
                }
            }
            RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
                let there = raw.kind == libc::RTM_NEWROUTE;
                changes.extend(route::change(&message, there).map(Change::Route));
            }
            RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_) => routing(changes),
            RouteNetlinkMessage::NewNeighbour(entry) | RouteNetlinkMessage::DelNeighbour(entry) => {
                let there = raw.kind == libc::RTM_NEWNEIGH;
                let change = neighbour::change(&entry, there);
                changes.extend(change.map(|((ifindex, addr), mac)| Change::Neighbour {
                    ifindex,
                    addr,
                    mac,
                }));
            }
            _ => {}
        }
    }
}

/// Bridges and others tell of their ports in messages of a family of their own.
fn of_all(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}

/// One is enough for all that changed together.
fn routing(changes: &mut Vec<Change>) {
    if changes.last() != Some(&Change::Routing) {
        changes.push(Change::Routing);
    }
}

impl Watch for KernelWatch {
    fn interfaces(&self) -> Vec<&Interface> {
        self.known.all()
    }

    fn changes(&mut self) -> Result<Vec<Change>, HostError> {
        let mut changes = Vec::new();
        match self.read(&mut changes) {
            Ok(()) => Ok(changes),
            // What was heard before is told first; the trouble comes again.
            Err(_) if !changes.is_empty() => Ok(changes),
            Err(error) => Err(HostError::new("watch", "the host", again(&error))),
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.heard.as_fd())
    }
}

#[cfg(test)]
mod tests;
