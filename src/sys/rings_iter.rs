//! `bpf/rings.bpf.c`: what the kernel knows of every AF_XDP socket that has a descriptor.
//!
//! ```text
//!   load() ─▶ link ──Iter::new──▶ descriptor ──read──▶ whole records ─▶ Record
//!             once                per look
//! ```
//!
//! Invariant: a record is taken apart only when its length and magic number are right.

use super::bpf::errno;
use super::libbpf::{self, Refused};
use super::skel::rings::{RingsSkel, RingsSkelBuilder};
use libbpf_rs::{Iter, IterOpts, Link};
use std::io::{self, Read};
use std::mem::MaybeUninit;

/// `FLUX_KNOWN_*` of `bpf/flux.h`.
pub(crate) mod known {
    pub(crate) const UMEM: u32 = 1;
    pub(crate) const COUNTERS: u32 = 2;
    pub(crate) const CHUNKS: u32 = 4;
    pub(crate) const CHUNK_SIZE: u32 = 8;
    pub(crate) const SG: u32 = 16;
    pub(crate) const NEED_WAKEUP: u32 = 32;
    pub(crate) const TX_BUDGET: u32 = 64;
    pub(crate) const TX_METADATA: u32 = 128;
    pub(crate) const PREFER_BUSY_POLL: u32 = 256;
    pub(crate) const BUSY_POLL_US: u32 = 512;
    pub(crate) const BUSY_POLL_BUDGET: u32 = 1024;
    pub(crate) const MAPS: u32 = 2048;
}

/// `FLUX_SOCKET_MAGIC`.
const MAGIC: u32 = 0x666c_7873;

/// Size of `struct flux_socket`.
const RECORD: usize = 360;

/// `FLUX_MAX_MAP_SLOTS`.
const MAP_SLOTS: usize = 4;

/// Bytes per read: the kernel's own buffer is half of it.
const READ: usize = 64 << 10;

/// `struct flux_ring`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    pub(crate) size: u32,
    pub(crate) producer: u32,
    pub(crate) consumer: u32,
    pub(crate) cached_prod: u32,
    pub(crate) cached_cons: u32,
    pub(crate) flags: u32,
}

/// `struct flux_socket`: a socket under one descriptor. What `known` has no bit for is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) known: u32,
    pub(crate) time_ns: u64,
    pub(crate) inode: u64,
    /// In the order of `struct xdp_statistics`.
    pub(crate) counters: [u64; 6],
    pub(crate) umem_size: u64,
    pub(crate) pid: u32,
    pub(crate) fd: i32,
    pub(crate) netns: u32,
    pub(crate) state: u32,
    pub(crate) ifindex: u32,
    pub(crate) queue: u32,
    pub(crate) zero_copy: bool,
    pub(crate) sg: bool,
    pub(crate) uses_need_wakeup: bool,
    pub(crate) tx_budget: u32,
    pub(crate) tx_metadata: u32,
    pub(crate) prefer_busy_poll: bool,
    pub(crate) busy_poll_us: u32,
    pub(crate) busy_poll_budget: u32,
    pub(crate) umem_id: u32,
    pub(crate) umem_chunks: u32,
    pub(crate) umem_chunk_size: u32,
    pub(crate) umem_headroom: u32,
    pub(crate) umem_users: u32,
    pub(crate) umem_flags: u32,
    /// Ids of XSKMAPs, and the key in each.
    pub(crate) maps: Vec<(u32, u32)>,
    pub(crate) rx: Option<Ring>,
    pub(crate) tx: Option<Ring>,
    pub(crate) fill: Option<Ring>,
    pub(crate) comp: Option<Ring>,
    pub(crate) comm: String,
    pub(crate) ifname: String,
}

impl Record {
    /// The bit or bits of [`known`].
    pub(crate) fn knows(&self, bits: u32) -> bool {
        self.known & bits == bits
    }
}

/// Native-endian words, one after the other; zeroes beyond the end.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (word, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *word
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }

    fn bool(&mut self) -> bool {
        self.u32() != 0
    }

    fn ring(&mut self) -> Option<Ring> {
        let present = self.bool();
        let (size, producer, consumer) = (self.u32(), self.u32(), self.u32());
        let (cached_prod, cached_cons, flags) = (self.u32(), self.u32(), self.u32());
        let _pad = self.u32();
        present.then_some(Ring { size, producer, consumer, cached_prod, cached_cons, flags })
    }

    /// A C string; what is not UTF-8 is replaced.
    fn text(&mut self) -> String {
        let bytes = self.take::<16>();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

/// A record of the right length; `None` without the magic number.
fn parse(bytes: &[u8; RECORD]) -> Option<Record> {
    let mut words = Words(bytes);
    if words.u32() != MAGIC {
        return None;
    }
    let words = &mut words;
    // Fields are read in the order in which they are written here: that of the C structure.
    let mut record = Record {
        known: words.u32(),
        time_ns: words.u64(),
        inode: words.u64(),
        counters: std::array::from_fn(|_| words.u64()),
        umem_size: words.u64(),
        pid: words.u32(),
        fd: words.u32().cast_signed(),
        netns: words.u32(),
        state: words.u32(),
        ifindex: words.u32(),
        queue: words.u32(),
        zero_copy: words.bool(),
        sg: words.bool(),
        uses_need_wakeup: words.bool(),
        tx_budget: words.u32(),
        tx_metadata: words.u32(),
        prefer_busy_poll: words.bool(),
        busy_poll_us: words.u32(),
        busy_poll_budget: words.u32(),
        umem_id: words.u32(),
        umem_chunks: words.u32(),
        umem_chunk_size: words.u32(),
        umem_headroom: words.u32(),
        umem_users: words.u32(),
        umem_flags: words.u32(),
        ..Record::default()
    };
    let maps = words.u32() as usize;
    let _pad = words.u32();
    let slots: [_; MAP_SLOTS] = std::array::from_fn(|_| (words.u32(), words.u32()));
    record.maps = slots.into_iter().take(maps).collect();
    record.rx = words.ring();
    record.tx = words.ring();
    record.fill = words.ring();
    record.comp = words.ring();
    record.comm = words.text();
    record.ifname = words.text();
    Some(record)
}

/// All of them, or an error: never some of them as if they were all.
fn parse_all(bytes: &[u8]) -> io::Result<Vec<Record>> {
    let (records, rest) = bytes.as_chunks::<RECORD>();
    let parsed: Option<Vec<_>> = records.iter().map(parse).collect();
    parsed.filter(|_| rest.is_empty()).ok_or_else(|| {
        let len = bytes.len();
        io::Error::other(format!("{len} bytes of the BPF iterator are no whole records"))
    })
}

/// Reads to the end. EAGAIN: the kernel went over a million descriptors and wants to be called
/// again.
fn read_all(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut filled = 0;
    loop {
        all.resize(filled + READ, 0);
        match from.read(&mut all[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
    }
    all.truncate(filled);
    Ok(all)
}

/// The loaded program, ready to be run over all descriptors.
pub(crate) struct RingsIter(Link);

impl RingsIter {
    /// Loads the program, which takes some 50 ms. EPERM without CAP_BPF and CAP_PERFMON; ESRCH
    /// where the kernel has no type information, or no such iterator.
    pub(crate) fn load() -> Result<Self, Refused> {
        let mut object = MaybeUninit::uninit();
        let builder = RingsSkelBuilder::default();
        // The link keeps the program, and the program its map.
        let keep = |skel: &RingsSkel<'_>| {
            skel.progs.flux_rings.attach_iter_with_opts(IterOpts::None).map(Self)
        };
        libbpf::load(builder, &mut object, |_| Ok(()), keep)
    }

    /// Every descriptor of an AF_XDP socket, in the pid namespace of the caller.
    pub(crate) fn records(&mut self) -> io::Result<Vec<Record>> {
        let mut iter = Iter::new(&self.0).map_err(|error| errno(&error))?;
        parse_all(&read_all(&mut iter)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A record in which each word says where it is.
    fn numbered() -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..RECORD as u32 / 4).flat_map(u32::to_ne_bytes).collect();
        bytes[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[RECORD - 32..].fill(0);
        bytes[RECORD - 32..][..4].copy_from_slice(b"comm");
        bytes[RECORD - 16..].copy_from_slice(b"sixteen bytes ab");
        bytes
    }

    fn wide(low: u32) -> u64 {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&low.to_ne_bytes());
        bytes[4..].copy_from_slice(&(low + 1).to_ne_bytes());
        u64::from_ne_bytes(bytes)
    }

    #[test]
    fn every_field_is_found_where_the_c_structure_has_it() {
        let record = parse_all(&numbered()).unwrap().remove(0);
        assert_eq!((record.known, record.time_ns, record.inode), (1, wide(2), wide(4)));
        assert_eq!(record.counters, [6, 8, 10, 12, 14, 16].map(wide));
        assert_eq!((record.umem_size, record.pid, record.fd), (wide(18), 20, 21));
        assert_eq!((record.ifindex, record.queue), (24, 25));
        assert_eq!((record.tx_budget, record.tx_metadata), (29, 30));
        assert_eq!((record.busy_poll_us, record.busy_poll_budget, record.umem_id), (32, 33, 34));
        assert_eq!((record.umem_users, record.umem_flags), (38, 39));
        assert_eq!(record.maps, [(42, 43), (44, 45), (46, 47), (48, 49)], "40 of them, it says");
        let ring = |at: u32| {
            let [size, producer, consumer] = [at + 1, at + 2, at + 3];
            let [cached_prod, cached_cons, flags] = [at + 4, at + 5, at + 6];
            Some(Ring { size, producer, consumer, cached_prod, cached_cons, flags })
        };
        assert_eq!((record.rx, record.tx), (ring(50), ring(58)));
        assert_eq!((record.fill, record.comp), (ring(66), ring(74)));
        assert_eq!((record.comm.as_str(), record.ifname.as_str()), ("comm", "sixteen bytes ab"));
    }

    #[test]
    fn cut_and_foreign_records_are_refused_as_a_whole() {
        let two = [numbered(), numbered()].concat();
        assert_eq!(parse_all(&two).unwrap().len(), 2);
        assert!(parse_all(&[]).unwrap().is_empty());
        for cut in [1, RECORD - 1, RECORD + 1, 2 * RECORD - 4] {
            assert!(parse_all(&two[..cut]).is_err(), "{cut} bytes");
        }
        let mut foreign = two;
        foreign[RECORD] ^= 1;
        assert!(parse_all(&foreign).is_err());
    }

    /// Gives these, one a call.
    struct Script(VecDeque<io::Result<Vec<u8>>>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.pop_front().unwrap_or_else(|| Ok(Vec::new()))?;
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn reading_goes_on_after_a_signal_and_ends_with_any_other_error() {
        let errno = |number| Err(io::Error::from_raw_os_error(number));
        let full = vec![7; READ];
        let script = [errno(libc::EAGAIN), Ok(full), errno(libc::EINTR), Ok(vec![8; 3])];
        let all = read_all(&mut Script(script.into())).unwrap();
        assert_eq!((all.len(), all[READ - 1], &all[READ..]), (READ + 3, 7, &[8; 3][..]));
        let script = [Ok(vec![7]), errno(libc::EIO)];
        let error = read_all(&mut Script(script.into())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    }
}
