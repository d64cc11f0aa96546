//! Reading: where the quote ends, and what the extension structure behind it says.

use super::{EXTENSION_VERSION, HEADER_LEN, ORIGINAL_LEN};
use crate::proto::checksum::Sum;
use crate::proto::{Icmpv4Kind, Icmpv4View, Icmpv6Kind, Icmpv6View, ParseError, Quote};

/// The two parts of an ICMP error's data.
#[derive(Debug, Clone, Copy)]
pub struct ErrorBody<'a> {
    /// The quoted datagram, perhaps with padding behind it.
    pub datagram: &'a [u8],
    /// The extension structure, where there is a sound one.
    pub extensions: Option<Extensions<'a>>,
    v4: bool,
}

impl<'a> ErrorBody<'a> {
    /// Of an ICMPv4 message that ends where the IP payload does. `None` if it is no error that
    /// quotes a datagram.
    #[must_use]
    pub fn parse_v4(message: &'a [u8]) -> Option<Self> {
        let view = Icmpv4View::parse(message).ok()?;
        let extensible = match view.kind() {
            Icmpv4Kind::UNREACHABLE | Icmpv4Kind::TIME_EXCEEDED | Icmpv4Kind::PARAMETER_PROBLEM => {
                true
            }
            Icmpv4Kind::SOURCE_QUENCH | Icmpv4Kind::REDIRECT => false,
            _ => return None,
        };
        let len = usize::from(*message.get(5)?);
        let len = [len * 4, len, len * 8];
        let (datagram, extensions) = split(view.data(), extensible.then_some(len));
        Some(Self { datagram, extensions, v4: true })
    }

    /// Of an ICMPv6 message that ends where the IP payload does. `None` if it is no error that
    /// quotes a datagram.
    #[must_use]
    pub fn parse_v6(message: &'a [u8]) -> Option<Self> {
        let view = Icmpv6View::parse(message).ok()?;
        let extensible = match view.kind() {
            Icmpv6Kind::UNREACHABLE | Icmpv6Kind::TIME_EXCEEDED => true,
            Icmpv6Kind::PACKET_TOO_BIG | Icmpv6Kind::PARAMETER_PROBLEM => false,
            _ => return None,
        };
        let len = usize::from(*message.get(4)?);
        let len = [len * 8, len, len * 4];
        let (datagram, extensions) = split(view.data(), extensible.then_some(len));
        Some(Self { datagram, extensions, v4: false })
    }

    /// The quoted datagram, read.
    ///
    /// # Errors
    /// When it is none of the family, or cut within its IP header.
    pub fn quote(&self) -> Result<Quote<'a>, ParseError> {
        if self.v4 { Quote::parse_v4(self.datagram) } else { Quote::parse_v6(self.datagram) }
    }
}

/// Splits what follows the ICMP header. `len` is what the length attribute says of the quote, once
/// in the units of the family and then in those that routers take by mistake; `None` for types
/// without the attribute.
///
/// The attribute is a hint, what is in the packet is evidence: routers leave it out (RFC 4884 §5.5),
/// count the datagram without its padding, or count bytes.
fn split(data: &[u8], len: Option<[usize; 3]>) -> (&[u8], Option<Extensions<'_>>) {
    let Some([len, odd @ ..]) = len else { return (data, None) };
    let at = |len| {
        let (datagram, rest) = data.split_at_checked(len)?;
        Some((datagram, Extensions::parse(rest)?))
    };
    let told = (len > 0).then(|| at(len)).flatten();
    let elsewhere = || {
        let places = std::iter::once(ORIGINAL_LEN).chain(odd.into_iter().filter(|&len| len > 0));
        places.filter_map(at).find(|(_, found)| found.proves_itself())
    };
    if let Some((datagram, found)) = told.or_else(elsewhere) {
        return (datagram, Some(found));
    }
    // No structure is there. A quote longer than the message, or shorter than the least that there
    // may be in front of one, is a lie: then all that there is is the quote.
    match data.split_at_checked(len) {
        Some((datagram, _)) if len >= ORIGINAL_LEN => (datagram, None),
        _ => (data, None),
    }
}

/// An extension structure whose version, checksum and lengths are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extensions<'a> {
    bytes: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// `None` for another version, a wrong checksum (0 means that none was sent), or objects that
    /// do not fill the structure to its end: of a structure with one lie nothing is believed.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_LEN>()?;
        let found = Self { bytes };
        let version = head[0] >> 4 == EXTENSION_VERSION;
        if !version || (found.has_checksum() && !Sum::new().bytes(bytes).is_valid()) {
            return None;
        }
        let mut objects = found.objects();
        while objects.next().is_some() {}
        objects.rest.is_empty().then_some(found)
    }

    /// Whether the sender filled in a checksum.
    #[must_use]
    pub fn has_checksum(&self) -> bool {
        self.bytes.get(2..HEADER_LEN).is_some_and(|sum| sum != [0, 0])
    }

    /// Whether it can be nothing else, wherever it was found: an object is in it, and its header is
    /// that of RFC 4884 to the last bit. Its checksum was right, if it has one.
    fn proves_itself(&self) -> bool {
        self.bytes.starts_with(&[EXTENSION_VERSION << 4, 0]) && self.objects().next().is_some()
    }

    /// The objects in order.
    #[must_use]
    pub fn objects(&self) -> Objects<'a> {
        Objects { rest: self.bytes.get(HEADER_LEN..).unwrap_or_default() }
    }

    /// The whole structure as it was sent.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// The objects of an extension structure.
#[derive(Debug, Clone)]
pub struct Objects<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Objects<'a> {
    type Item = Object<'a>;

    fn next(&mut self) -> Option<Object<'a>> {
        let &[high, low, class, ctype] = self.rest.first_chunk::<HEADER_LEN>()?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (object, rest) = self.rest.split_at_checked(len)?;
        // Lengths count the header, so this also is what makes the walk end.
        let payload = object.get(HEADER_LEN..)?;
        self.rest = rest;
        Some(Object { class, ctype, payload })
    }
}

/// One object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<'a> {
    /// What it is about: 1 MPLS, 2 interface information (RFC 5837), …
    pub class: u8,
    /// Which kind of it.
    pub ctype: u8,
    /// What it says.
    pub payload: &'a [u8],
}

impl<'a> Object<'a> {
    /// Class of the MPLS label stack, whose only c-type is 1 (RFC 4950 §3).
    pub const MPLS: u8 = 1;

    /// The labels that the probe arrived with; `None` for another object, or one that is not made
    /// of whole entries.
    #[must_use]
    pub fn label_stack(&self) -> Option<LabelStack<'a>> {
        let (entries, rest) = self.payload.as_chunks::<4>();
        let ours = self.class == Self::MPLS && self.ctype == 1 && rest.is_empty();
        ours.then_some(LabelStack { entries })
    }
}

/// An MPLS label stack, outermost entry first.
#[derive(Debug, Clone)]
pub struct LabelStack<'a> {
    entries: &'a [[u8; 4]],
}

impl Iterator for LabelStack<'_> {
    type Item = LabelEntry;

    fn next(&mut self) -> Option<LabelEntry> {
        let (first, rest) = self.entries.split_first()?;
        self.entries = rest;
        Some(LabelEntry::from_bits(u32::from_be_bytes(*first)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.entries.len(), Some(self.entries.len()))
    }
}

impl ExactSizeIterator for LabelStack<'_> {}

/// One entry of a label stack (RFC 3032 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelEntry {
    /// 20 bits.
    pub label: u32,
    /// Traffic class, 3 bits (RFC 5462).
    pub tc: u8,
    /// Whether it is the last of the stack.
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

impl LabelEntry {
    /// From the 32 bits on the wire.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            label: bits >> 12,
            tc: (bits >> 9 & 7) as u8,
            bottom: bits >> 8 & 1 == 1,
            ttl: bits as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{IpProto, Ipv4Repr, Ipv6Repr, checksum};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn object(class: u8, ctype: u8, payload: &[u8]) -> Vec<u8> {
        let len = (payload.len() + HEADER_LEN) as u16;
        [&len.to_be_bytes()[..], &[class, ctype], payload].concat()
    }

    fn structure(objects: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![EXTENSION_VERSION << 4, 0, 0, 0];
        bytes.extend(objects.concat());
        let sum = checksum::of(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn labels() -> Vec<u8> {
        // 16001, traffic class 5, TTL 254; then 24, bottom, TTL 1.
        object(1, 1, &[0x03, 0xe8, 0x1a, 0xfe, 0x00, 0x01, 0x81, 0x01])
    }

    fn quote_v4(len: usize) -> Vec<u8> {
        let mut bytes = vec![7; len];
        let ip =
            Ipv4Repr::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 1), IpProto::UDP);
        ip.emit(len - 20, &mut bytes).unwrap();
        bytes
    }

    fn quote_v6(len: usize) -> Vec<u8> {
        let mut bytes = vec![7; len];
        let ip = Ipv6Repr::new(Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, IpProto::UDP);
        ip.emit(len - 40, &mut bytes).unwrap();
        bytes
    }

    /// Time exceeded with these bytes in the header's second word.
    fn message(kind: u8, word: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        [&[kind, 0, 0, 0][..], &word, &parts.concat()].concat()
    }

    #[test]
    fn the_length_attribute_counts_words_of_the_family() {
        let behind = structure(&[labels()]);
        let v4 = message(11, [0, 32, 0, 0], &[&quote_v4(128), &behind]);
        let v6 = message(3, [16, 0, 0, 0], &[&quote_v6(128), &behind]);
        for body in [ErrorBody::parse_v4(&v4).unwrap(), ErrorBody::parse_v6(&v6).unwrap()] {
            assert_eq!(
                (body.datagram.len(), body.extensions.unwrap().as_bytes()),
                (128, &behind[..])
            );
            let l4 = body.quote().unwrap().l4.len();
            assert_eq!(l4, if body.v4 { 108 } else { 88 });
        }
        // The other family's byte says nothing, and types without the attribute have none.
        for (bytes, v4) in [
            (message(11, [32, 0, 0, 0], &[&quote_v4(100), &behind]), true),
            (message(5, [0, 25, 0, 0], &[&quote_v4(100), &behind]), true),
            (message(2, [12, 0, 0, 0], &[&quote_v6(96), &behind]), false),
        ] {
            let body = if v4 { ErrorBody::parse_v4(&bytes) } else { ErrorBody::parse_v6(&bytes) };
            let body = body.unwrap();
            assert_eq!((body.datagram, body.extensions), (&bytes[8..], None));
        }
        assert!(ErrorBody::parse_v4(&message(8, [0; 4], &[&quote_v4(100)])).is_none());
        assert!(ErrorBody::parse_v6(&message(129, [0; 4], &[&quote_v6(100)])).is_none());
    }

    #[test]
    fn padding_is_no_part_of_the_quoted_datagram() {
        let mut padded = quote_v4(34);
        padded.resize(128, 0);
        let bytes = message(11, [0, 32, 0, 0], &[&padded, &structure(&[labels()])]);
        let quote = ErrorBody::parse_v4(&bytes).unwrap().quote().unwrap();
        assert_eq!(quote.l4, [7; 14]);
    }

    #[test]
    fn a_label_stack_is_read_entry_by_entry() {
        let bytes = structure(&[labels(), object(2, 9, b"eth0")]);
        let objects: Vec<_> = Extensions::parse(&bytes).unwrap().objects().collect();
        assert_eq!(
            objects[0].label_stack().unwrap().collect::<Vec<_>>(),
            [
                LabelEntry { label: 16001, tc: 5, bottom: false, ttl: 254 },
                LabelEntry { label: 24, tc: 0, bottom: true, ttl: 1 },
            ]
        );
        assert_eq!(objects[1], Object { class: 2, ctype: 9, payload: b"eth0" });
        assert!(objects[1].label_stack().is_none() && objects.len() == 2);
        for odd in [object(1, 1, &[0; 5]), object(1, 2, &[0; 4])] {
            let bytes = structure(&[odd]);
            let found = Extensions::parse(&bytes).unwrap().objects().next().unwrap();
            assert!(found.label_stack().is_none());
        }
    }

    #[test]
    fn routers_without_the_attribute_are_believed_where_the_structure_proves_itself() {
        let behind = structure(&[labels()]);
        let read = |behind: &[u8]| {
            let bytes = message(11, [0; 4], &[&quote_v4(128), behind]);
            let body = ErrorBody::parse_v4(&bytes).unwrap();
            (body.datagram.len(), body.extensions.is_some())
        };
        assert_eq!(read(&behind), (128, true));
        let mut none = behind.clone();
        none[2..4].fill(0);
        assert_eq!(read(&none), (128, true));
        let mut reserved = none.clone();
        reserved[1] = 1;
        assert_eq!(read(&reserved), (128 + behind.len(), false), "not a bit may be odd");
        let mut wrong = behind.clone();
        wrong[3] ^= 1;
        assert_eq!(read(&wrong), (128 + behind.len(), false));
        assert_eq!(read(&structure(&[])), (132, false), "empty: nothing to tell it by");
        let payload = vec![7; behind.len()];
        assert_eq!(read(&payload), (128 + behind.len(), false), "a long quote");
    }

    #[test]
    fn a_wrong_length_attribute_does_not_hide_what_proves_itself() {
        let mut bare = structure(&[labels()]);
        bare[2..4].fill(0);
        for behind in [structure(&[labels()]), bare] {
            for words in 0..=u8::MAX {
                let mut padded = quote_v4(60);
                padded.resize(128, 0);
                let v4 = message(11, [0, words, 0, 0], &[&padded, &behind]);
                let mut padded = quote_v6(80);
                padded.resize(128, 0);
                let v6 = message(3, [words, 0, 0, 0], &[&padded, &behind]);
                for (body, l4) in [
                    (ErrorBody::parse_v4(&v4).unwrap(), 40),
                    (ErrorBody::parse_v6(&v6).unwrap(), 40),
                ] {
                    let found = body.extensions.map(|found| found.as_bytes());
                    assert_eq!(found, Some(&behind[..]), "{words}");
                    assert_eq!(body.quote().unwrap().l4.len(), l4, "{words}");
                }
            }
        }
        // Longer quotes, with their length in bytes, or in the other family's words.
        let behind = structure(&[labels()]);
        for (unit, len) in [(1, 160), (1, 252), (8, 512)] {
            let v4 = message(11, [0, (len / unit) as u8, 0, 0], &[&quote_v4(len), &behind]);
            let body = ErrorBody::parse_v4(&v4).unwrap();
            assert_eq!((body.datagram.len(), body.extensions.is_some()), (len, true));
        }
        for (unit, len) in [(1, 160), (1, 248), (4, 512)] {
            let v6 = message(3, [(len / unit) as u8, 0, 0, 0], &[&quote_v6(len), &behind]);
            let body = ErrorBody::parse_v6(&v6).unwrap();
            assert_eq!((body.datagram.len(), body.extensions.is_some()), (len, true));
        }
    }

    #[test]
    fn a_length_that_would_cut_the_quote_is_not_believed() {
        for words in 1..32 {
            let bytes = message(11, [0, words, 0, 0], &[&quote_v4(60)]);
            let body = ErrorBody::parse_v4(&bytes).unwrap();
            assert_eq!(body.quote().unwrap().l4.len(), 40, "{words}");
        }
    }

    #[test]
    fn a_checksum_of_zero_was_not_sent_and_a_wrong_one_is_a_lie() {
        let mut bytes = structure(&[labels()]);
        assert!(Extensions::parse(&bytes).unwrap().has_checksum());
        bytes[2] ^= 0x40;
        assert_eq!(Extensions::parse(&bytes), None);
        bytes[2..4].fill(0);
        assert!(!Extensions::parse(&bytes).unwrap().has_checksum());
        bytes[0] = 1 << 4;
        assert_eq!(Extensions::parse(&bytes), None, "another version");
    }

    #[test]
    fn a_structure_with_one_lie_is_none() {
        for len in [0u16, 3, 13, 200, u16::MAX] {
            let mut lie = labels();
            lie[..2].copy_from_slice(&len.to_be_bytes());
            assert_eq!(Extensions::parse(&structure(&[object(2, 1, &[1; 4]), lie])), None, "{len}");
        }
        assert_eq!(Extensions::parse(&structure(&[vec![0, 4]])), None, "a cut header");
        // A quote longer than the message: what there is is the quote.
        let bytes = message(11, [0, 255, 0, 0], &[&quote_v4(140)]);
        let body = ErrorBody::parse_v4(&bytes).unwrap();
        assert_eq!((body.datagram.len(), body.extensions), (bytes.len() - 8, None));
        // A quote that ends within its header is no datagram.
        let bytes = message(11, [0, 4, 0, 0], &[&quote_v4(128)[..16]]);
        assert!(ErrorBody::parse_v4(&bytes).unwrap().quote().is_err());
    }

    fn inside(part: &[u8], whole: &[u8]) -> bool {
        let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
        whole.start <= part.start && part.end <= whole.end
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            objects in vec((any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..40)), 0..6),
            words in 5usize..40,
        ) {
            let behind = structure(&objects.iter().map(|(c, t, p)| object(*c, *t, p)).collect::<Vec<_>>());
            let bytes = message(11, [0, words as u8, 0, 0], &[&quote_v4(words * 4), &behind]);
            let body = ErrorBody::parse_v4(&bytes).unwrap();
            prop_assert_eq!(body.datagram.len(), words * 4);
            let found: Vec<_> = body.extensions.unwrap().objects().collect();
            prop_assert_eq!(found.len(), objects.len());
            for (found, (class, ctype, payload)) in found.iter().zip(&objects) {
                prop_assert_eq!(*found, Object { class: *class, ctype: *ctype, payload });
            }
        }

        #[test]
        fn any_bytes_yield_only_what_lies_inside(
            mut bytes in vec(any::<u8>(), 0..300),
            kind in prop::sample::select(vec![3u8, 11, 12, 1]),
            len in 0u8..40,
            at in any::<prop::sample::Index>(),
            cut in 0usize..40,
        ) {
            // A true structure somewhere, so that more than the first check is reached.
            let from = at.index(bytes.len() + 1);
            bytes.splice(from..from, structure(&[labels(), object(3, 2, &[9; 7])]));
            bytes.truncate(bytes.len().saturating_sub(cut));
            let v4 = message(kind, [0, len, 0, 0], &[&bytes]);
            let v6 = message(kind, [len, 0, 0, 0], &[&bytes]);
            for (message, body) in [(&v4, ErrorBody::parse_v4(&v4)), (&v6, ErrorBody::parse_v6(&v6))] {
                let Some(body) = body else { continue };
                prop_assert!(inside(body.datagram, message));
                let _ = body.quote();
                for object in body.extensions.iter().flat_map(Extensions::objects) {
                    prop_assert!(inside(object.payload, message));
                    prop_assert!(object.label_stack().is_none_or(|s| s.count() * 4 == object.payload.len()));
                }
            }
        }
    }
}
