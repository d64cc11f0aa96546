//! Generic netlink, family `netdev`: what an interface's XDP can do (DEV_GET, Linux 6.3).
//!
//! The protocol is linux/netdev.h; attributes that are not there say that the kernel is older.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use std::convert::Infallible;
use std::io;

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS: u16 = 4;
const NETDEV_A_DEV_XDP_RX_METADATA_FEATURES: u16 = 5;
const NETDEV_A_DEV_XSK_FEATURES: u16 = 6;

/// The kernel's answers are a few dozen bytes.
const ROOM_BYTES: usize = 8 * 1024;

/// What a driver says that its XDP can do. Sets are the bits of linux/netdev.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpFeatures {
    /// `enum netdev_xdp_act`.
    pub xdp: u64,
    /// Frames that a packet may take in zero-copy mode; `None` where there is no such mode.
    pub zero_copy_segments: Option<u32>,
    /// `enum netdev_xdp_rx_metadata`; `None` before Linux 6.6.
    pub rx_metadata: Option<u64>,
    /// `enum netdev_xsk_flags`; `None` before Linux 6.8.
    pub xsk: Option<u64>,
}

impl XdpFeatures {
    /// Native XDP: drop, pass, send back.
    pub const BASIC: u64 = 1;
    /// `XDP_REDIRECT`, without which there is no native AF_XDP.
    pub const REDIRECT: u64 = 2;
    /// Takes packets that others redirect to it.
    pub const NDO_XMIT: u64 = 4;
    /// AF_XDP shares memory with the NIC.
    pub const ZERO_COPY: u64 = 8;
    /// Native XDP of packets in several buffers.
    pub const RX_SG: u64 = 32;

    /// Whether all of `bits` are there.
    #[must_use]
    pub fn has(&self, bits: u64) -> bool {
        self.xdp & bits == bits
    }
}

/// One message: the generic header's command, and the attributes as bytes.
#[derive(Debug)]
struct Message {
    family: u16,
    command: u8,
    attributes: Vec<u8>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        4 + self.attributes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let head = [self.command, 1, 0, 0];
        let bytes = head.iter().chain(&self.attributes);
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = *from;
        }
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        let command = payload.first().copied().unwrap_or(0);
        let attributes = payload.get(4..).unwrap_or_default().to_vec();
        Ok(Self { family: header.message_type, command, attributes })
    }
}

/// A socket of one network namespace that knows the family's number.
pub(in crate::tools) struct NetdevFamily {
    socket: Socket,
    family: u16,
}

impl NetdevFamily {
    /// In the network namespace of the calling thread. ENOENT before Linux 6.3.
    pub(in crate::tools) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        let name = attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0");
        let request =
            Message { family: GENL_ID_CTRL, command: CTRL_CMD_GETFAMILY, attributes: name };
        let answer = exchange(&socket, request)?;
        let id = value(&answer.attributes, CTRL_ATTR_FAMILY_ID).and_then(number);
        let family = id.and_then(|id| u16::try_from(id).ok()).ok_or_else(not_understood)?;
        Ok(Self { socket, family })
    }

    /// The features of one interface.
    pub(in crate::tools) fn features(&self, ifindex: u32) -> io::Result<XdpFeatures> {
        let index = attribute(NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes());
        let request =
            Message { family: self.family, command: NETDEV_CMD_DEV_GET, attributes: index };
        features_from(&exchange(&self.socket, request)?.attributes)
    }
}

fn features_from(attributes: &[u8]) -> io::Result<XdpFeatures> {
    let get = |kind| value(attributes, kind).and_then(number);
    Ok(XdpFeatures {
        xdp: get(NETDEV_A_DEV_XDP_FEATURES).ok_or_else(not_understood)?,
        zero_copy_segments: get(NETDEV_A_DEV_XDP_ZC_MAX_SEGS).and_then(|n| u32::try_from(n).ok()),
        rx_metadata: get(NETDEV_A_DEV_XDP_RX_METADATA_FEATURES),
        xsk: get(NETDEV_A_DEV_XSK_FEATURES),
    })
}

fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "netlink message not understood")
}

/// Sends one request and returns its one answer.
fn exchange(socket: &Socket, request: Message) -> io::Result<Message> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    let mut answer = None;
    let mut room = Vec::with_capacity(ROOM_BYTES);
    // The kernel answers before the send returns, and always ends with an acknowledgement.
    loop {
        room.clear();
        let (_, from) = socket.recv_from(&mut room, 0)?;
        if from.port_number() != 0 {
            continue; // another process writes to us
        }
        let mut rest = room.as_slice();
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<Message>::deserialize(rest).map_err(|_| not_understood())?;
            let length = (message.header.length as usize).next_multiple_of(4).max(16);
            rest = rest.get(length..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => answer = Some(inner),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(error.to_io());
                }
                NetlinkPayload::Error(_) => return answer.ok_or_else(not_understood),
                _ => {}
            }
        }
    }
}

/// One attribute: its length without padding, its kind, its value, padding to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The value of the first attribute of `kind`; attributes behind a torn one are not seen.
fn value(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    /// NLA_F_NESTED and NLA_F_NET_BYTEORDER.
    const FLAGS: u16 = 0xc000;
    loop {
        let ([a, b, c, d], _) = attributes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([*c, *d]) & !FLAGS == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// An unsigned number of any of the kernel's widths.
fn number(bytes: &[u8]) -> Option<u64> {
    match *bytes {
        [a, b] => Some(u16::from_ne_bytes([a, b]).into()),
        [a, b, c, d] => Some(u32::from_ne_bytes([a, b, c, d]).into()),
        _ => bytes.try_into().ok().map(u64::from_ne_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crafted() -> Vec<u8> {
        [
            attribute(NETDEV_A_DEV_IFINDEX, &3u32.to_ne_bytes()),
            attribute(2, &[0; 4]),
            attribute(NETDEV_A_DEV_XDP_FEATURES, &0x2bu64.to_ne_bytes()),
            attribute(NETDEV_A_DEV_XDP_ZC_MAX_SEGS, &8u32.to_ne_bytes()),
            attribute(NETDEV_A_DEV_XDP_RX_METADATA_FEATURES, &1u64.to_ne_bytes()),
        ]
        .concat()
    }

    #[test]
    fn features_are_read_and_what_an_older_kernel_lacks_is_none() {
        let features = features_from(&crafted()).unwrap();
        assert!(features.has(XdpFeatures::ZERO_COPY | XdpFeatures::REDIRECT));
        assert!(!features.has(XdpFeatures::NDO_XMIT));
        assert_eq!(features.zero_copy_segments, Some(8));
        assert_eq!((features.rx_metadata, features.xsk), (Some(1), None));
    }

    #[test]
    fn torn_attributes_are_an_error_and_no_panic() {
        let whole = crafted();
        for length in 0..whole.len() {
            let result = features_from(&whole[..length]);
            assert_eq!(result.is_ok(), length >= 28, "{length}");
        }
        // Lengths that go nowhere, or beyond the end.
        for length in [0u16, 3, 0xffff] {
            let torn = [&length.to_ne_bytes()[..], &9u16.to_ne_bytes(), &[0; 8]].concat();
            assert!(features_from(&torn).is_err(), "{length}");
        }
        assert_eq!(number(&[1]), None);
        assert_eq!(number(&[0; 9]), None);
    }

    #[test]
    fn the_kernel_knows_no_interface_of_a_number_that_is_not_given() {
        let Ok(family) = NetdevFamily::open() else { return };
        let error = family.features(u32::MAX >> 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert!(family.features(1).is_ok());
    }
}
