//! What rtnetlink tells of an interface as it happens: link, MTU, queues, removal
//! (`linux/rtnetlink.h`, `linux/if_link.h`).

use super::check;
use super::rtnetlink::{self, IFINFO, attributes, messages, u32_at};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// What one message said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// The interface as it is now.
    Now(LinkNow),
    /// It was removed, or moved to another network namespace.
    Gone,
}

/// An interface as a message tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkNow {
    /// Administratively up.
    pub(crate) up: bool,
    /// It has a carrier.
    pub(crate) carrier: bool,
    /// In bytes.
    pub(crate) mtu: Option<u32>,
    /// How often the carrier was lost since the interface was made; Linux 4.15.
    pub(crate) carrier_losses: Option<u32>,
    /// RX and TX queues that are allocated; those in use may be fewer.
    pub(crate) queues: Option<(u32, u32)>,
}

/// A socket that hears of all interfaces of a namespace.
pub(crate) struct LinkWatch {
    socket: OwnedFd,
    ifindex: u32,
    buffer: Box<[u8]>,
    /// Events were lost: the interface is to be asked for anew, until it answers.
    lost: bool,
}

/// More than any message about one interface, but for those of hundreds of virtual functions.
const BUFFER: usize = 32 * 1024;
/// `RTMGRP_LINK`
const GROUP_LINK: u32 = 1;
const IFLA_MTU: u16 = 4;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_CARRIER_DOWN_COUNT: u16 = 48;

impl LinkWatch {
    /// Watches the interface from now on, in the network namespace of the calling thread. What it is
    /// like now is asked for as well, and comes as the first event.
    pub(crate) fn open(ifindex: u32) -> io::Result<Self> {
        let socket = rtnetlink::socket(libc::SOCK_NONBLOCK)?;
        // SAFETY: all zeroes are a valid address.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = GROUP_LINK;
        let (place, len) = ((&raw const address).cast(), size_of_val(&address));
        // SAFETY: reads `len` bytes of the address, which lives through the call.
        check(unsafe { libc::bind(socket.as_raw_fd(), place, len as libc::socklen_t) })?;
        let watch = Self { socket, ifindex, buffer: vec![0; BUFFER].into(), lost: false };
        watch.ask()?;
        Ok(watch)
    }

    /// Asks for the interface as it is now.
    fn ask(&self) -> io::Result<()> {
        rtnetlink::ask(&self.socket, 0, self.ifindex)
    }

    /// Passes what was heard since the last call to `each`, without waiting. When more happened than
    /// the socket could keep, the interface is asked for anew.
    pub(crate) fn read(&mut self, mut each: impl FnMut(LinkEvent)) -> io::Result<()> {
        let mut asked = false;
        loop {
            // SAFETY: all zeroes are a valid address.
            let mut from: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
            let mut from_len = size_of_val(&from) as libc::socklen_t;
            let (fd, place) = (self.socket.as_raw_fd(), self.buffer.as_mut_ptr().cast());
            let (len, sender) = (self.buffer.len(), (&raw mut from).cast());
            // SAFETY: writes at most `len` bytes into the buffer and an address into `from`, whose
            // size it is told.
            let got = unsafe { libc::recvfrom(fd, place, len, 0, sender, &raw mut from_len) };
            if got < 0 {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    // Not before the socket is empty: a full one would lose the answer, too.
                    Some(libc::EAGAIN) if self.lost && !asked => {
                        self.ask()?;
                        asked = true;
                    }
                    Some(libc::EAGAIN) => return Ok(()),
                    Some(libc::EINTR) => {}
                    Some(libc::ENOBUFS) => self.lost = true,
                    _ => return Err(error),
                }
                continue;
            }
            if from.nl_pid == 0 {
                let got = usize::try_from(got).unwrap_or(0).min(len);
                parse(&self.buffer[..got], self.ifindex, &mut |event| {
                    self.lost &= !asked;
                    each(event);
                });
            }
        }
    }
}

/// RX and TX queues that are allocated for an interface of the calling thread's network namespace,
/// which sysfs need not show. `None` where the kernel does not tell.
pub(crate) fn allocated_queues(ifindex: u32) -> Option<(u32, u32)> {
    let mut queues = None;
    // The answer is there at once: the kernel gives it while it takes the question.
    let heard = LinkWatch::open(ifindex).and_then(|mut watch| {
        watch.read(|event| match event {
            LinkEvent::Now(now) => queues = now.queues,
            LinkEvent::Gone => queues = None,
        })
    });
    heard.ok().and(queues)
}

/// The events about the interface in one datagram; what is cut short is left out.
fn parse(bytes: &[u8], ifindex: u32, each: &mut impl FnMut(LinkEvent)) {
    messages(bytes).filter_map(|(kind, body)| event(kind, body, ifindex)).for_each(each);
}

fn event(kind: u16, body: &[u8], ifindex: u32) -> Option<LinkEvent> {
    if kind == libc::NLMSG_ERROR as u16 {
        // The answer to our question: there is no such interface any more.
        let errno = u32_at(body, 0)?.cast_signed();
        return (errno == -libc::ENODEV).then_some(LinkEvent::Gone);
    }
    // Bridges tell of their ports in messages of a family of their own.
    if body.first() != Some(&0) || u32_at(body, 4)? != ifindex {
        return None;
    }
    match kind {
        libc::RTM_DELLINK => Some(LinkEvent::Gone),
        libc::RTM_NEWLINK => {
            let flags = u32_at(body, 8)?;
            let (mut mtu, mut carrier_losses, mut rx, mut tx) = (None, None, None, None);
            for (kind, value) in attributes(body.get(IFINFO..)?) {
                match kind {
                    IFLA_MTU => mtu = u32_at(value, 0),
                    IFLA_NUM_RX_QUEUES => rx = u32_at(value, 0),
                    IFLA_NUM_TX_QUEUES => tx = u32_at(value, 0),
                    IFLA_CARRIER_DOWN_COUNT => carrier_losses = u32_at(value, 0),
                    _ => {}
                }
            }
            let has = |flag: libc::c_int| flags & flag.cast_unsigned() != 0;
            Some(LinkEvent::Now(LinkNow {
                up: has(libc::IFF_UP),
                carrier: has(libc::IFF_LOWER_UP),
                mtu,
                carrier_losses,
                queues: rx.zip(tx),
            }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{self, Lab, OURS};
    use crate::sys::netdev;

    fn next(watch: &mut LinkWatch) -> LinkEvent {
        let mut seen = None;
        lab::wait_until("an event", || {
            watch.read(|event| seen = Some(event)).unwrap();
            seen.is_some()
        });
        seen.unwrap()
    }

    /// The events until one is as wanted.
    fn until(watch: &mut LinkWatch, what: &str, wanted: impl Fn(LinkEvent) -> bool) {
        lab::wait_until(what, || {
            let mut seen = false;
            watch.read(|event| seen |= wanted(event)).unwrap();
            seen
        });
    }

    #[test]
    fn an_interface_is_watched_from_what_it_is_to_its_removal() {
        let Some(lab) = Lab::veth(1) else { return };
        let mut watch = LinkWatch::open(netdev::index(OURS).unwrap()).unwrap();
        let LinkEvent::Now(first) = next(&mut watch) else { panic!("gone") };
        assert_eq!((first.up, first.carrier, first.mtu), (true, true, Some(1500)));
        let losses = first.carrier_losses.unwrap();
        let now = |event: LinkEvent| match event {
            LinkEvent::Now(now) => now,
            LinkEvent::Gone => panic!("gone"),
        };
        lab.run_in_peer("ip link set flux1 down");
        until(&mut watch, "no carrier", |e| now(e).up && !now(e).carrier);
        lab.run_in_peer("ip link set flux1 up");
        until(&mut watch, "the carrier", |e| now(e).carrier);
        lab::run(&format!("ip link set {OURS} down"));
        until(&mut watch, "down", |e| !now(e).up);
        lab::run(&format!("ip link set {OURS} up"));
        until(&mut watch, "up", |e| {
            now(e).up && now(e).carrier && now(e).carrier_losses > Some(losses)
        });
        lab::run(&format!("ip link set {OURS} mtu 1300"));
        until(&mut watch, "an MTU", |e| now(e).mtu == Some(1300));
        lab::run(&format!("ip link del {OURS}"));
        until(&mut watch, "the removal", |e| e == LinkEvent::Gone);
        watch.ask().unwrap();
        until(&mut watch, "the answer", |e| e == LinkEvent::Gone);
    }

    #[test]
    fn a_flood_of_others_events_hides_no_state_of_ours() {
        let Some(lab) = Lab::veth(1) else { return };
        lab::run("ip link add other0 type veth peer name other1");
        let mut watch = LinkWatch::open(netdev::index(OURS).unwrap()).unwrap();
        // More than the socket keeps, in one process: each makes messages of more than a kilobyte.
        let storm = |lines: &str| {
            let mut batch = String::new();
            (0..3000).for_each(|n| batch += &format!("link set other0 mtu {}\n", 1200 + n % 7));
            lab::ip_batch(&(batch + lines));
        };
        for (what, up) in [("down", false), ("up", true), ("down", false)] {
            storm(&format!("link set {OURS} {what}\n"));
            let mut last = None;
            lab::wait_until(what, || {
                watch.read(|event| last = Some(event)).unwrap();
                matches!(last, Some(LinkEvent::Now(now)) if now.up == up)
            });
        }
        drop(lab);
    }

    #[test]
    fn the_queues_of_an_interface_are_told_and_none_of_one_that_is_gone() {
        let Some(_lab) = Lab::veth(3) else { return };
        let index = netdev::index(OURS).unwrap();
        assert_eq!(allocated_queues(index), Some((3, 3)));
        assert_eq!(allocated_queues(index + 1000), None);
    }

    fn message(kind: u16, family: u8, ifindex: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0; IFINFO];
        body[0] = family;
        body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        body[8..12].copy_from_slice(&(libc::IFF_UP as u32).to_ne_bytes());
        for (kind, value) in attributes {
            body.extend((4 + value.len() as u16).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut all = vec![0; 16];
        let len = (all.len() + body.len()) as u32;
        all[..4].copy_from_slice(&len.to_ne_bytes());
        all[4..6].copy_from_slice(&kind.to_ne_bytes());
        all.extend(body);
        all
    }

    fn events(bytes: &[u8]) -> Vec<LinkEvent> {
        let mut events = Vec::new();
        parse(bytes, 7, &mut |event| events.push(event));
        events
    }

    #[test]
    fn others_interfaces_and_families_say_nothing_of_ours() {
        let mtu = 1400u32.to_ne_bytes();
        let (rx, tx) = (4u32.to_ne_bytes(), 2u32.to_ne_bytes());
        let attributes: &[(u16, &[u8])] = &[
            (3, b"eth0\0"),
            (IFLA_MTU, &mtu),
            (IFLA_NUM_TX_QUEUES, &tx),
            (IFLA_NUM_RX_QUEUES, &rx),
        ];
        let mut all = message(libc::RTM_NEWLINK, 0, 8, attributes);
        all.extend(message(libc::RTM_DELLINK, libc::AF_BRIDGE as u8, 7, &[]));
        all.extend(message(libc::RTM_NEWLINK, 0, 7, attributes));
        all.extend(message(libc::RTM_NEWADDR, 0, 7, &[]));
        let now = LinkNow {
            up: true,
            carrier: false,
            mtu: Some(1400),
            carrier_losses: None,
            queues: Some((4, 2)),
        };
        assert_eq!(events(&all), [LinkEvent::Now(now)]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            cut in 0usize..200,
        ) {
            events(&bytes);
            // And what only begins well.
            let good = message(libc::RTM_NEWLINK, 0, 7, &[(IFLA_MTU, &[1, 2, 3])]);
            bytes.splice(0..0, good);
            bytes.truncate(cut);
            events(&bytes);
        }
    }
}
