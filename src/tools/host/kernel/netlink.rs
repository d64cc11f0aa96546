//! One netlink socket: requests, dumps, and notifications with a deadline.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// The kernel packs dumps into datagrams of at most 32 KiB.
const ROOM_BYTES: usize = 64 * 1024;

/// The kernel answers requests at once; this only guards against waiting for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The shortest that a socket waits: 0 would be for ever.
const LEAST_TIMEOUT: Duration = Duration::from_micros(1);

/// A socket of the network namespace that the opening thread was in; its messages are `M`.
pub(super) struct Netlink<M = RouteNetlinkMessage> {
    socket: Socket,
    sequence: Cell<u32>,
    room: RefCell<Vec<u8>>,
    messages: PhantomData<fn(M) -> M>,
}

/// A message whose body we read ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) kind: u16,
    pub(super) body: Vec<u8>,
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Raw {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, body: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type, body: body.to_vec() })
    }
}

/// What waiting for notifications brought.
pub(super) enum Notified {
    /// Messages, at least one datagram full.
    Messages(Vec<RouteNetlinkMessage>),
    /// Some were lost, because they came faster than they were read.
    Overrun,
    /// The deadline passed.
    Deadline,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        Self::speaking(NETLINK_ROUTE)
    }

    /// A socket that receives the notifications of `group`.
    pub(super) fn subscribe(group: u32) -> io::Result<Self> {
        let netlink = Self::open()?;
        netlink.socket.add_membership(group)?;
        Ok(netlink)
    }

    /// Waits for notifications until `deadline`.
    pub(super) fn notifications(&self, deadline: Instant) -> io::Result<Notified> {
        match self.receive(deadline) {
            Ok(None) => Ok(Notified::Deadline),
            Ok(Some(messages)) => Ok(Notified::Messages(
                messages
                    .into_iter()
                    .filter_map(|message| match message.payload {
                        NetlinkPayload::InnerMessage(inner) => Some(inner),
                        _ => None,
                    })
                    .collect(),
            )),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Notified::Overrun),
            Err(error) => Err(error),
        }
    }
}

impl Netlink<Raw> {
    /// A socket that receives the notifications of all of these groups. It keeps `room` bytes of
    /// them, or as many as the system allows.
    pub(super) fn subscribe_all(groups: &[u32], room: usize) -> io::Result<Self> {
        let netlink = Self::speaking(NETLINK_ROUTE)?;
        netlink.socket.set_rx_buf_sz(room as libc::c_int)?;
        for &group in groups {
            match netlink.socket.add_membership(group) {
                // A kernel that does not have the group has nothing to tell of it.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                other => other?,
            }
        }
        Ok(netlink)
    }

    /// The notifications of one datagram that is there, `None` when none is. ENOBUFS when some were
    /// lost, once.
    pub(super) fn pending(&self) -> io::Result<Option<Vec<Raw>>> {
        let mut room = self.room.borrow_mut();
        loop {
            room.clear();
            room.reserve(ROOM_BYTES);
            match self.socket.recv_from(&mut *room, libc::MSG_DONTWAIT) {
                Ok((_, from)) if from.port_number() != 0 => {} // as in receive()
                Ok(_) => {
                    let inner = parse::<Raw>(&room)?.into_iter().filter_map(|m| match m.payload {
                        NetlinkPayload::InnerMessage(inner) => Some(inner),
                        _ => None,
                    });
                    return Ok(Some(inner.collect()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<M> Netlink<M> {
    /// Readable when something is there.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<M: NetlinkSerializable + NetlinkDeserializable + Clone> Netlink<M> {
    /// A socket for one of the netlink protocols.
    pub(super) fn speaking(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        let (sequence, room) = (Cell::new(0), RefCell::default());
        Ok(Netlink { socket, sequence, room, messages: PhantomData })
    }

    /// Sends `message`; its answers end with the acknowledgement. `flags` are added.
    pub(super) fn request(&self, message: M, flags: u16) -> io::Result<Vec<M>> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags)
    }

    /// Asks for everything of a kind. Asks again if a change in the middle made it inconsistent.
    pub(super) fn dump(&self, message: &M) -> io::Result<Vec<M>> {
        loop {
            match self.exchange(message.clone(), NLM_F_REQUEST | NLM_F_DUMP) {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                answer => return answer,
            }
        }
    }

    fn exchange(&self, message: M, flags: u16) -> io::Result<Vec<M>> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;

        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            let messages =
                self.receive(deadline)?.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
            for message in messages {
                if message.header.sequence_number != sequence {
                    continue; // the end of an exchange that was given up
                }
                interrupted |= message.header.flags & libc::NLM_F_DUMP_INTR as u16 != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Error(_) => return Ok(answers),
                    NetlinkPayload::Done(done) if done.code != 0 => {
                        return Err(io::Error::from_raw_os_error(done.code.wrapping_abs()));
                    }
                    NetlinkPayload::Done(_) if interrupted => {
                        return Err(io::Error::from_raw_os_error(libc::EINTR));
                    }
                    NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }

    /// The messages of one datagram, or `None` when `deadline` has passed. What is there already is
    /// read however late we come: on a busy machine that may be long after the deadline.
    fn receive(&self, deadline: Instant) -> io::Result<Option<Vec<NetlinkMessage<M>>>> {
        let mut room = self.room.borrow_mut();
        let mut first = true;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && !first {
                return Ok(None);
            }
            first = false;
            self.set_receive_timeout(left.max(LEAST_TIMEOUT))?;
            room.clear();
            room.reserve(ROOM_BYTES);
            match self.socket.recv_from(&mut *room, 0) {
                // Only the kernel has port 0; another process may write to us, too.
                Ok((_, from)) if from.port_number() != 0 => {}
                Ok(_) => return parse(&room).map(Some),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// SO_RCVTIMEO. std sets it on any socket that it is told to be a UDP socket, so this needs no
    /// system call of our own; the duplicated descriptor shares the option.
    fn set_receive_timeout(&self, left: Duration) -> io::Result<()> {
        let socket = UdpSocket::from(self.socket.as_fd().try_clone_to_owned()?);
        socket.set_read_timeout(Some(left))
    }
}

fn parse<M: NetlinkDeserializable>(mut bytes: &[u8]) -> io::Result<Vec<NetlinkMessage<M>>> {
    let invalid = |words: String| io::Error::new(io::ErrorKind::InvalidData, words);
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let message = NetlinkMessage::<M>::deserialize(bytes)
            .map_err(|error| invalid(format!("netlink message not understood: {error}")))?;
        // Messages are aligned to four bytes. A length of 0 would go on for ever.
        let length = (message.header.length as usize).next_multiple_of(4).max(16);
        bytes = bytes.get(length..).unwrap_or_default();
        messages.push(message);
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::link::LinkMessage;

    #[test]
    fn waiting_ends_at_the_deadline() {
        let netlink = Netlink::open().unwrap();
        let start = Instant::now();
        let wait = Duration::from_millis(20);
        assert!(matches!(netlink.notifications(start + wait), Ok(Notified::Deadline)));
        assert!(start.elapsed() >= wait);
    }

    #[test]
    fn an_answer_that_is_there_is_read_after_the_deadline() {
        let netlink = Netlink::open().unwrap();
        let mut loopback = LinkMessage::default();
        loopback.header.index = 1;
        let mut packet = NetlinkMessage::new(
            NetlinkHeader::default(),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::GetLink(loopback)),
        );
        packet.header.flags = NLM_F_REQUEST;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        // The kernel has answered when this returns.
        netlink.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).unwrap();
        let long_ago = Instant::now() - Duration::from_secs(1);
        assert!(netlink.receive(long_ago).unwrap().is_some());
        assert!(netlink.receive(long_ago).unwrap().is_none());
    }

    #[test]
    fn a_torn_message_is_an_error_and_no_panic() {
        let parse = parse::<RouteNetlinkMessage>;
        assert!(parse(&[]).unwrap().is_empty());
        assert!(parse(&[1, 2, 3]).is_err());
        assert!(parse(&[200, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
