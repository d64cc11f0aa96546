//! 802.1Q and 802.1ad tags: reading them, and adding or removing one by moving the 12 address
//! bytes, never the payload.

use std::fmt;

use super::ethernet::ETHERNET_LEN;
use super::octets::{array_at, put, u16_at};
use super::{EtherType, Layer, ParseError};

/// Bytes of one tag, and of what [`push`] and [`pop`] move the head of a packet by.
pub const TAG_LEN: usize = 4;

/// One tag: its TPID and the 16-bit TCI (PCP, DEI, VID).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    /// [`EtherType::VLAN`] or [`EtherType::QINQ`].
    pub tpid: EtherType,
    /// Priority (3 bits), drop eligible (1), VLAN id (12); host byte order.
    pub tci: u16,
}

impl Tag {
    /// An 802.1Q tag of priority 0; `None` for a VLAN id above 4095.
    #[must_use]
    pub const fn customer(vid: u16) -> Option<Self> {
        if vid > 0xfff { None } else { Some(Self { tpid: EtherType::VLAN, tci: vid }) }
    }

    /// An 802.1ad tag of priority 0; `None` for a VLAN id above 4095.
    #[must_use]
    pub const fn service(vid: u16) -> Option<Self> {
        if vid > 0xfff { None } else { Some(Self { tpid: EtherType::QINQ, tci: vid }) }
    }

    /// The same tag with priority `pcp`; its low three bits count.
    #[must_use]
    pub const fn with_pcp(self, pcp: u8) -> Self {
        let pcp = (pcp as u16 & 7) << 13;
        Self { tpid: self.tpid, tci: self.tci & 0x1fff | pcp }
    }

    /// Priority, 0 to 7.
    #[must_use]
    pub const fn pcp(self) -> u8 {
        (self.tci >> 13) as u8
    }

    /// Drop eligible.
    #[must_use]
    pub const fn dei(self) -> bool {
        self.tci & 0x1000 != 0
    }

    /// VLAN id, 0 to 4095; 0 is a priority tag.
    #[inline]
    #[must_use]
    pub const fn vid(self) -> u16 {
        self.tci & 0xfff
    }

    /// TPID and TCI as they stand between addresses and ethertype.
    #[must_use]
    pub const fn octets(self) -> [u8; TAG_LEN] {
        let ([a, b], [c, d]) = (self.tpid.0.to_be_bytes(), self.tci.to_be_bytes());
        [a, b, c, d]
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} vid {} pcp {} dei {}", self.tpid, self.vid(), self.pcp(), self.dei())
    }
}

/// What follows a TPID: the TCI and the next ethertype.
#[derive(Debug, Clone, Copy)]
pub struct VlanView<'a> {
    tag: Tag,
    ether_type: EtherType,
    payload: &'a [u8],
}

impl<'a> VlanView<'a> {
    /// `bytes` start behind the TPID, as [`EthernetView::payload`](super::EthernetView::payload)
    /// does. `Truncated` below 4 bytes; `Unsupported` if `tpid` announces no tag.
    #[inline]
    pub fn parse(tpid: EtherType, bytes: &'a [u8]) -> Result<Self, ParseError> {
        if !tpid.is_vlan() {
            return Err(ParseError::Unsupported(Layer::Vlan));
        }
        let (head, payload) =
            bytes.split_first_chunk::<TAG_LEN>().ok_or(ParseError::Truncated(Layer::Vlan))?;
        let tag = Tag { tpid, tci: u16_at(head, 0) };
        Ok(Self { tag, ether_type: EtherType(u16_at(head, 2)), payload })
    }

    /// The tag.
    #[inline]
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// What follows: another TPID in a stack.
    #[inline]
    #[must_use]
    pub const fn ether_type(&self) -> EtherType {
        self.ether_type
    }

    /// Everything behind the ethertype.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A packet whose first byte can be moved, as `bpf_xdp_adjust_head` does.
pub trait Headroom {
    /// Why the head could not be moved.
    type Error;

    /// Moves the first byte by `delta` bytes: positive strips, negative opens headroom whose
    /// contents are unspecified. On an error nothing has changed.
    fn adjust_head(&mut self, delta: i32) -> Result<(), Self::Error>;

    /// The packet.
    fn bytes(&self) -> &[u8];

    /// The packet, to write to.
    fn bytes_mut(&mut self) -> &mut [u8];
}

/// Why a tag could not be added or removed; the packet is then unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VlanError<E> {
    /// The packet is shorter than its Ethernet header and tag.
    Parse(ParseError),
    /// The head could not be moved.
    Headroom(E),
}

impl<E: fmt::Display> fmt::Display for VlanError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => error.fmt(f),
            Self::Headroom(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for VlanError<E> {}

const ADDRESSES: usize = 12;

/// Adds `tag` in front of the ethertype or of the tags already there. Needs 4 bytes of headroom.
pub fn push<P: Headroom>(packet: &mut P, tag: Tag) -> Result<(), VlanError<P::Error>> {
    let addresses = addresses(packet.bytes()).map_err(VlanError::Parse)?;
    packet.adjust_head(-(TAG_LEN as i32)).map_err(VlanError::Headroom)?;
    let head = packet.bytes_mut().first_chunk_mut::<{ ADDRESSES + TAG_LEN }>();
    let head = head.ok_or(VlanError::Parse(ParseError::Truncated(Layer::Ethernet)))?;
    put(head, 0, addresses);
    put(head, ADDRESSES, tag.octets());
    Ok(())
}

/// Removes the outermost tag and returns it; `None`, with nothing changed, if there is none.
pub fn pop<P: Headroom>(packet: &mut P) -> Result<Option<Tag>, VlanError<P::Error>> {
    let addresses = addresses(packet.bytes()).map_err(VlanError::Parse)?;
    let Some(tag) = outer(packet.bytes()).map_err(VlanError::Parse)? else { return Ok(None) };
    packet.adjust_head(TAG_LEN as i32).map_err(VlanError::Headroom)?;
    let head = packet.bytes_mut().first_chunk_mut::<ADDRESSES>();
    let head = head.ok_or(VlanError::Parse(ParseError::Truncated(Layer::Ethernet)))?;
    put(head, 0, addresses);
    Ok(Some(tag))
}

/// The outermost tag of a frame, if it has one.
pub fn outer(frame: &[u8]) -> Result<Option<Tag>, ParseError> {
    let ethernet = super::EthernetView::parse(frame)?;
    if !ethernet.ether_type().is_vlan() {
        return Ok(None);
    }
    VlanView::parse(ethernet.ether_type(), ethernet.payload()).map(|view| Some(view.tag()))
}

fn addresses(frame: &[u8]) -> Result<[u8; ADDRESSES], ParseError> {
    let head = frame.first_chunk::<ETHERNET_LEN>();
    head.map(|head| array_at(head, 0)).ok_or(ParseError::Truncated(Layer::Ethernet))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with room in front, as a UMEM frame has.
    struct Room {
        frame: Vec<u8>,
        start: usize,
    }

    impl Headroom for Room {
        type Error = ();
        fn adjust_head(&mut self, delta: i32) -> Result<(), ()> {
            let start = self.start.checked_add_signed(delta as isize).ok_or(())?;
            if start > self.frame.len() {
                return Err(());
            }
            self.start = start;
            Ok(())
        }
        fn bytes(&self) -> &[u8] {
            &self.frame[self.start..]
        }
        fn bytes_mut(&mut self) -> &mut [u8] {
            &mut self.frame[self.start..]
        }
    }

    fn room(headroom: usize) -> Room {
        let mut frame = vec![0xee; headroom];
        frame.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00, 0x45, 0x99]);
        Room { frame, start: headroom }
    }

    #[test]
    fn tags_stack_and_come_off_in_reverse() {
        let (inner, outer) = (Tag::customer(100).unwrap().with_pcp(5), Tag::service(7).unwrap());
        let mut packet = room(8);
        push(&mut packet, inner).unwrap();
        push(&mut packet, outer).unwrap();
        assert_eq!(
            packet.bytes(),
            [
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x88, 0xa8, 0, 7, 0x81, 0, 0xa0, 100, 8, 0,
                0x45, 0x99
            ]
        );
        assert_eq!(push(&mut packet, outer), Err(VlanError::Headroom(())));
        assert_eq!(pop(&mut packet), Ok(Some(outer)));
        assert_eq!(pop(&mut packet), Ok(Some(inner)));
        assert_eq!(pop(&mut packet), Ok(None));
        assert_eq!(packet.bytes(), room(0).bytes());
    }

    #[test]
    fn a_short_packet_is_left_alone() {
        let mut packet = Room { frame: vec![0; 13], start: 0 };
        let short = VlanError::Parse(ParseError::Truncated(Layer::Ethernet));
        assert_eq!(push(&mut packet, Tag::customer(1).unwrap()), Err(short));
        let mut cut = Room { frame: vec![0; 16], start: 0 };
        cut.frame[12] = 0x81;
        assert_eq!(pop(&mut cut), Err(VlanError::Parse(ParseError::Truncated(Layer::Vlan))));
        assert_eq!(cut.start, 0);
    }

    #[test]
    fn the_fields_of_a_tag_are_apart() {
        let tag = Tag { tpid: EtherType::VLAN, tci: 0xb00f };
        assert_eq!((tag.pcp(), tag.dei(), tag.vid()), (5, true, 15));
        assert_eq!(Tag::customer(4096), None);
    }
}
