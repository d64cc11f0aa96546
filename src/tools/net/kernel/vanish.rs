//! For tests: whether the kernel has taken namespaces down, told by itself (RTM_DELNSID).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::netlink::{Netlink, Notified};
use crate::sys::netns::NetNs;

/// `RTNLGRP_NSID` of linux/rtnetlink.h.
const GROUP_NSID: u32 = 28;

/// Sees namespaces go, without keeping them.
pub(in crate::tools) struct Watch {
    netlink: Netlink,
    waiting: BTreeSet<i32>,
}

impl Watch {
    /// Watches from a namespace of its own, in which those to be watched get numbers.
    pub(in crate::tools) fn new(watched: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let netlink = NetNs::create()?.inside(|| Netlink::subscribe(GROUP_NSID))?;
        let mut waiting = BTreeSet::new();
        for (id, namespace) in (0..).zip(watched) {
            let mut message = NsidMessage::default();
            let fd = u32::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
            message.attributes = vec![NsidAttribute::Fd(fd), NsidAttribute::Id(id)];
            netlink.request(RouteNetlinkMessage::NewNsId(message), 0)?;
            waiting.insert(id);
        }
        Ok(Self { netlink, waiting })
    }

    /// Waits until all are gone; how many are left after `patience`.
    pub(in crate::tools) fn left_after(mut self, patience: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + patience;
        while !self.waiting.is_empty() {
            let Notified::Messages(messages) = self.netlink.notifications(deadline)? else { break };
            for message in messages {
                let RouteNetlinkMessage::DelNsId(gone) = message else { continue };
                for attribute in gone.attributes {
                    if let NsidAttribute::Id(id) = attribute {
                        self.waiting.remove(&id);
                    }
                }
            }
        }
        Ok(self.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_namespace_is_there_as_long_as_somebody_holds_it() {
        let Ok(namespace) = NetNs::create() else { return };
        let watch = Watch::new(&[namespace.as_fd()]).unwrap();
        assert_eq!(watch.left_after(Duration::from_millis(50)).unwrap(), 1);
        let watch = Watch::new(&[namespace.as_fd()]).unwrap();
        drop(namespace);
        assert_eq!(watch.left_after(Duration::from_secs(10)).unwrap(), 0);
    }
}
