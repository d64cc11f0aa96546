//! A veth pair between two namespaces: RTM_NEWLINK, and the counters of its ends.
//!
//! The ends have no addresses and make none (IPv6 would), so that nothing moves on the pair but
//! what its user sends. It goes with the namespaces.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::link;
use super::netlink::Netlink;
use crate::proto::MacAddr;
use crate::sys::netns::NetNs;
use crate::sys::poll;

/// Carrier comes when the second end is up, but the kernel may say so a second later, and more where
/// many links change; this only guards against waiting for ever.
const CARRIER_PATIENCE: Duration = Duration::from_secs(30);
const CARRIER_INTERVAL: Duration = Duration::from_millis(1);

/// An end to be made.
#[derive(Clone, Copy)]
pub(crate) struct EndSpec<'a> {
    pub(crate) namespace: &'a NetNs,
    pub(crate) name: &'a str,
    pub(crate) mac: MacAddr,
}

/// One end of a pair, asked about from any namespace.
pub(crate) struct End {
    /// In the end's namespace. The lock makes one question of a request and its answers.
    netlink: Mutex<Netlink>,
    index: u32,
}

/// What one end of the pair has counted since it was made. A veth counts what moves towards an
/// end that has an XDP program when that end takes it, and shows it as sent at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets that this end took.
    pub rx_packets: u64,
    /// Packets sent from here that the other end took.
    pub tx_packets: u64,
    /// Packets that this end did not take, because its queue was full, and those that it took and
    /// no socket had a frame for.
    pub rx_dropped: u64,
    /// Packets sent from here that the other end did not take.
    pub tx_dropped: u64,
}

/// Makes a pair with `queues` RX and TX queues on each end, and sets both up.
pub(crate) fn pair(queues: u32, here: EndSpec<'_>, there: EndSpec<'_>) -> io::Result<(End, End)> {
    let ours = here.namespace.inside(Netlink::open)?;
    let theirs = there.namespace.inside(Netlink::open)?;
    let mut peer = end_message(queues, there);
    peer.attributes.push(LinkAttribute::NetNsFd(there.namespace.as_fd().as_raw_fd()));
    let mut message = end_message(queues, here);
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    ours.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)?;
    let ends = (End::find(ours, here.name)?, End::find(theirs, there.name)?);
    ends.0.set_up()?;
    ends.1.set_up()?;
    ends.0.wait_for_carrier()?;
    ends.1.wait_for_carrier()?;
    Ok(ends)
}

fn end_message(queues: u32, end: EndSpec<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(end.name.into()),
        LinkAttribute::Address(end.mac.0.to_vec()),
        LinkAttribute::NumRxQueues(queues),
        LinkAttribute::NumTxQueues(queues),
    ];
    message
}

impl End {
    fn find(netlink: Netlink, name: &str) -> io::Result<Self> {
        let index = link::bare(&netlink, link::Which::Name(name))?.index;
        Ok(Self { netlink: Mutex::new(netlink), index })
    }

    fn ask(&self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.netlink.lock().unwrap_or_else(PoisonError::into_inner).request(message, 0)
    }

    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message
    }

    /// The interface index, in its namespace.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Up, and without addresses: in one message, the link would be up before it knew that.
    fn set_up(&self) -> io::Result<()> {
        let mut message = self.message();
        let no_addresses = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        message.attributes =
            vec![LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![no_addresses])])];
        match self.ask(RouteNetlinkMessage::SetLink(message)) {
            // A kernel without IPv6 has no such setting.
            Err(error) if error.raw_os_error() != Some(libc::EAFNOSUPPORT) => return Err(error),
            _ => {}
        }
        let mut message = self.message();
        message.header.interface_family = AddressFamily::Unspec;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::SetLink(message))?;
        Ok(())
    }

    fn wait_for_carrier(&self) -> io::Result<()> {
        let give_up = Instant::now() + CARRIER_PATIENCE;
        while !self.read()?.header.flags.contains(LinkFlags::LowerUp) {
            if Instant::now() > give_up {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the link gets no carrier"));
            }
            poll::pause(CARRIER_INTERVAL);
        }
        Ok(())
    }

    fn read(&self) -> io::Result<LinkMessage> {
        let answers = self.ask(RouteNetlinkMessage::GetLink(self.message()))?;
        let link = answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(message),
            _ => None,
        });
        link.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// What the end has counted.
    pub(crate) fn stats(&self) -> io::Result<LinkStats> {
        let counted = self.read()?.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::Stats64(stats) => Some(stats),
            _ => None,
        });
        let counted = counted.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODATA))?;
        Ok(LinkStats {
            rx_packets: counted.rx_packets,
            tx_packets: counted.tx_packets,
            rx_dropped: counted.rx_dropped,
            tx_dropped: counted.tx_dropped,
        })
    }
}
