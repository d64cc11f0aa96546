//! What the program takes: [`Filter`] as `bpf/redirect.bpf.c` reads it, and what became of packets.
//!
//! ```text
//!   rows ──▶ Row × 32      a field that is not set has mask 0, or the whole range
//!        └─▶ Bits × 2      by protocol, ICMP type, family: which rows can match at all
//! ```

use crate::backend::QueueCounters;
use crate::backend::filter::{Filter, MAX_MATCHES, Match, PayloadMatch};
use crate::config::Fail;
use crate::error::{FluxError, Op, Result};
use crate::sys::bpf;
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{Ordering, fence};

/// `FLUX_HAS_*` of `bpf/flux.h`.
mod has {
    pub(super) const IP: u16 = 1;
    pub(super) const IPV4: u16 = 2;
    pub(super) const IPV6: u16 = 4;
    pub(super) const PROTO: u16 = 8;
    pub(super) const PORTS: u16 = 16;
    pub(super) const ICMP: u16 = 32;
    pub(super) const ICMP_ID: u16 = 64;
    pub(super) const PAYLOAD: u16 = 128;
    pub(super) const FRAGMENT: u16 = 256;
    /// `FLUX_LACK_SHIFT`.
    pub(super) const LACK_SHIFT: u32 = 7;
}

/// `struct flux_match` of `bpf/flux.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    src: [u8; 16],
    src_mask: [u8; 16],
    dst: [u8; 16],
    dst_mask: [u8; 16],
    ether_src: [u8; 6],
    ether_src_mask: u16,
    src_ports: [u16; 2],
    dst_ports: [u16; 2],
    icmp_id: [u16; 2],
    ether_type: u16,
    ether_mask: u16,
    need: u16,
    ip_proto: u8,
    proto_mask: u8,
    icmp_type: u8,
    icmp_type_mask: u8,
    quoted: u8,
    lack: u8,
    vlan: u64,
    vlan_mask: u64,
    payload: [u8; 8],
    payload_mask: [u8; 8],
}

const ROW: usize = 128;
const COUNTERS: usize = 40;
const _: () = assert!(size_of::<Row>() == ROW);

/// Address, mask and the family that they ask for; nothing where there is no prefix.
fn prefix(prefix: Option<(IpAddr, u8)>) -> ([u8; 16], [u8; 16], u16) {
    let Some((address, len)) = prefix else { return ([0; 16], [0; 16], 0) };
    let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0).to_be_bytes();
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            (bytes, mask, has::IPV4)
        }
        IpAddr::V6(v6) => (v6.octets(), mask, has::IPV6),
    }
}

fn range(range: Option<&RangeInclusive<u16>>) -> [u16; 2] {
    range.map_or([0, u16::MAX], |r| [*r.start(), *r.end()])
}

impl Row {
    /// Of a row that [`Filter::check`] has seen.
    fn new(row: &Match) -> Self {
        let (src, src_mask, src_family) = prefix(row.src);
        let (dst, dst_mask, dst_family) = prefix(row.dst);
        let sets = [
            (row.ether_type.is_none() && row.ether_src.is_none(), has::IP),
            (row.ip_proto.is_some(), has::PROTO),
            (row.src_ports.is_some() || row.dst_ports.is_some(), has::PORTS),
            (row.icmp_type.is_some(), has::ICMP),
            (row.icmp_id.is_some(), has::ICMP_ID),
            (row.payload.is_some(), has::IP),
            (matches!(row.payload, Some(PayloadMatch::Is { .. })), has::PAYLOAD),
        ];
        let need = sets.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
        let (payload, payload_mask) = match row.payload {
            Some(PayloadMatch::Is { bytes, mask } | PayloadMatch::IsOrShorter { bytes, mask }) => {
                (bytes, mask)
            }
            Some(PayloadMatch::Shorter) | None => ([0; 8], [0; 8]),
        };
        let lacks = [
            (row.payload == Some(PayloadMatch::Shorter), has::PAYLOAD),
            (row.whole, has::FRAGMENT),
        ];
        let lack = lacks.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
        Self {
            src,
            src_mask,
            dst,
            dst_mask,
            ether_src: row.ether_src.map_or([0; 6], |mac| mac.0),
            ether_src_mask: row.ether_src.map_or(0, |_| u16::MAX),
            src_ports: range(row.src_ports.as_ref()),
            dst_ports: range(row.dst_ports.as_ref()),
            icmp_id: range(row.icmp_id.as_ref()),
            ether_type: row.ether_type.unwrap_or(0),
            ether_mask: row.ether_type.map_or(0, |_| u16::MAX),
            need: need | src_family | dst_family,
            ip_proto: row.ip_proto.unwrap_or(0),
            proto_mask: row.ip_proto.map_or(0, |_| u8::MAX),
            icmp_type: row.icmp_type.unwrap_or(0),
            icmp_type_mask: row.icmp_type.map_or(0, |_| u8::MAX),
            quoted: row.quoted.into(),
            lack: (lack >> has::LACK_SHIFT) as u8,
            vlan: row.vlan.map_or(0, |vlan| vlan.bits()),
            vlan_mask: row.vlan.map_or(0, |_| u64::MAX),
            payload,
            payload_mask,
        }
    }

    /// As the kernel stores it: native byte order, in the order of the fields.
    fn bytes(&self) -> [u8; ROW] {
        let words = [
            self.ether_src_mask,
            self.src_ports[0],
            self.src_ports[1],
            self.dst_ports[0],
            self.dst_ports[1],
            self.icmp_id[0],
            self.icmp_id[1],
            self.ether_type,
            self.ether_mask,
            self.need,
        ];
        let mut out = [0; ROW];
        let addresses = [self.src, self.src_mask, self.dst, self.dst_mask];
        out[..64].copy_from_slice(addresses.as_flattened());
        out[64..70].copy_from_slice(&self.ether_src);
        for (to, word) in out[70..90].chunks_exact_mut(2).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        let last =
            [self.ip_proto, self.proto_mask, self.icmp_type, self.icmp_type_mask, self.quoted];
        out[90..95].copy_from_slice(&last);
        out[95] = self.lack;
        let words = [self.vlan.to_ne_bytes(), self.vlan_mask.to_ne_bytes()];
        out[96..112].copy_from_slice(words.as_flattened());
        out[112..].copy_from_slice([self.payload, self.payload_mask].as_flattened());
        out
    }

    /// Whether it can match a datagram of `family`.
    fn takes_family(&self, family: Family) -> bool {
        let only = |bit: u16, ether_type: u16| {
            self.need & (has::IPV4 | has::IPV6) & !bit == 0
                && (self.ether_type ^ ether_type) & self.ether_mask == 0
        };
        match family {
            Family::Other => self.need == 0 && self.quoted == 0,
            Family::Ipv4 => only(has::IPV4, 0x0800),
            Family::Ipv6 => only(has::IPV6, 0x86dd),
        }
    }

    /// Whether it can match a datagram of `proto`; `None`: one whose protocol could not be read.
    fn takes_proto(&self, proto: Option<u8>) -> bool {
        let Some(proto) = proto else {
            let transport = has::PROTO | has::PORTS | has::ICMP | has::ICMP_ID | has::PAYLOAD;
            return self.need & transport == 0;
        };
        (self.ip_proto ^ proto) & self.proto_mask == 0
            && (self.need & has::PORTS == 0 || [6, 17].contains(&proto))
            && (self.need & (has::ICMP | has::ICMP_ID) == 0 || [1, 58].contains(&proto))
            && (self.need & has::PAYLOAD == 0 || [1, 17, 58].contains(&proto))
    }

    /// Whether it can match a datagram of this ICMP type; `None`: one that has none.
    fn takes_icmp(&self, icmp_type: Option<u8>) -> bool {
        let Some(icmp_type) = icmp_type else {
            return self.need & (has::ICMP | has::ICMP_ID) == 0;
        };
        (self.icmp_type ^ icmp_type) & self.icmp_type_mask == 0
            && (self.need & has::ICMP_ID == 0 || [0, 8, 128, 129].contains(&icmp_type))
    }
}

/// `FLUX_FAMILY_*` of `bpf/flux.h`.
#[derive(Clone, Copy)]
enum Family {
    Other,
    Ipv4,
    Ipv6,
}

/// One bit a row.
const _: () = assert!(MAX_MATCHES <= 32);
/// `struct flux_bits` of `bpf/flux.h`, in words.
const BITS: usize = 256 + 256 + 3 + 1 + 1;
const TABLE: usize = 2 * BITS * 4 + MAX_MATCHES * ROW;

/// `struct flux_bits` of the rows that look at quoted datagrams, or of the others.
fn bits(rows: &[Row], quoted: bool) -> impl Iterator<Item = u32> {
    let of = move |takes: &dyn Fn(&Row) -> bool| {
        let rows = rows.iter().enumerate();
        rows.filter(|(_, row)| (row.quoted != 0) == quoted && takes(row))
            .fold(0u32, |bits, (n, _)| bits | 1 << n)
    };
    let by_proto = (0..=u8::MAX).map(move |proto| of(&|row| row.takes_proto(Some(proto))));
    let by_icmp = (0..=u8::MAX).map(move |kind| of(&|row| row.takes_icmp(Some(kind))));
    let families = [Family::Other, Family::Ipv4, Family::Ipv6];
    let by_family = families.map(move |family| of(&|row| row.takes_family(family)));
    let no_proto = of(&|row| row.takes_proto(None));
    let no_icmp = of(&|row| row.takes_icmp(None));
    by_proto.chain(by_icmp).chain(by_family).chain([no_proto, no_icmp])
}

/// `struct flux_table` of `bpf/flux.h`.
pub(super) fn table(filter: &Filter) -> Result<Vec<u8>> {
    filter.check()?;
    let rows: Vec<Row> = match filter {
        // Redirected without a look at the table: see FilterTables::set.
        Filter::Nothing | Filter::Everything => Vec::new(),
        Filter::Any(rows) => rows.iter().map(Row::new).collect(),
    };
    let words = bits(&rows, false).chain(bits(&rows, true));
    let mut out: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
    out.extend(rows.iter().flat_map(Row::bytes));
    out.resize(TABLE, 0);
    Ok(out)
}

/// `FLUX_SET_*` of `bpf/flux.h`.
mod set {
    pub(super) const STAMP: u64 = 2;
    pub(super) const EVERYTHING: u64 = 4;
    pub(super) const CLOSED: u64 = 8;
}

/// The program's maps, but for the XSKMAP.
pub(super) struct Maps {
    pub(super) tables: MapHandle,
    pub(super) settings: MapHandle,
    pub(super) counters: MapHandle,
}

/// What the program takes, and what it counted.
pub(crate) struct FilterTables {
    maps: Maps,
    interface: String,
    stamp: bool,
    fail: Fail,
    active: u32,
    /// Whether a run of the program may still read the table that is not active.
    left: bool,
}

impl FilterTables {
    pub(super) fn new(maps: Maps, interface: &str, stamp: bool) -> Self {
        let (interface, fail) = (interface.to_owned(), Fail::Open);
        Self { maps, interface, stamp, fail, active: 0, left: false }
    }

    /// What becomes of packets that are ours and have no socket, from the next [`Self::set`] on.
    pub(crate) fn fail(&mut self, fail: Fail) {
        self.fail = fail;
    }

    fn update(&self, map: &MapHandle, key: u32, value: &[u8]) -> Result<()> {
        map.update(&key.to_ne_bytes(), value, MapFlags::ANY)
            .map_err(|error| FluxError::os(Op::MapUpdate, &self.interface, bpf::errno(&error)))
    }

    /// Replaces what is taken, also while packets flow. Each packet is judged by the old rows or
    /// by the new ones, never by a mixture; when this returns, all that come are judged by the new
    /// ones. A second call waits some milliseconds until no packet is judged by the rows before
    /// the last.
    ///
    /// # Errors
    /// When the kernel refuses, or for rows that no packet can be compared with; the old ones then
    /// stay.
    pub(crate) fn set(&mut self, filter: &Filter) -> Result<()> {
        let table = table(filter)?;
        self.settle();
        self.write_next(&table)?;
        self.switch(*filter == Filter::Everything)
    }

    /// The same without the wait, where no packet is on its way: the test itself runs the program.
    #[cfg(test)]
    pub(super) fn set_between_packets(&mut self, filter: &Filter) -> Result<()> {
        self.write_next(&table(filter)?)?;
        self.switch(*filter == Filter::Everything)
    }

    /// Waits until no run of the program reads the table that is not active.
    pub(super) fn settle(&mut self) {
        if std::mem::take(&mut self.left) {
            // Where the kernel cannot tell, the time that a call takes has to do: more than a run.
            let _ = bpf::programs_done();
        }
    }

    /// Writes the table that is not active.
    pub(super) fn write_next(&self, table: &[u8]) -> Result<()> {
        self.update(&self.maps.tables, self.active ^ 1, table)
    }

    /// Makes the other table the active one.
    fn switch(&mut self, everything: bool) -> Result<()> {
        // The table before the settings on every CPU. The program's side of it is that the table's
        // address depends on the settings.
        fence(Ordering::Release);
        let next = self.active ^ 1;
        let flag = |on: bool, bit| if on { bit } else { 0 };
        let settings = u64::from(next)
            | flag(self.stamp, set::STAMP)
            | flag(everything, set::EVERYTHING)
            | flag(self.fail == Fail::Closed, set::CLOSED);
        self.update(&self.maps.settings, 0, &settings.to_ne_bytes())?;
        self.active = next;
        self.left = true;
        Ok(())
    }

    /// What became of the packets, by RX queue, summed over the CPUs.
    pub(crate) fn counters(&self) -> Result<Vec<QueueCounters>> {
        (0..self.maps.counters.max_entries()).map(|queue| self.queue_counters(queue)).collect()
    }

    fn queue_counters(&self, queue: u32) -> Result<QueueCounters> {
        let per_cpu = self.maps.counters.lookup_percpu(&queue.to_ne_bytes(), MapFlags::ANY);
        let per_cpu = per_cpu
            .map_err(|error| FluxError::os(Op::Query, &self.interface, bpf::errno(&error)))?
            .unwrap_or_default();
        let mut sum = [0u64; COUNTERS / 8];
        for cpu in &per_cpu {
            for (sum, bytes) in sum.iter_mut().zip(cpu.chunks_exact(8)) {
                *sum += bytes.try_into().map(u64::from_ne_bytes).unwrap_or(0);
            }
        }
        let [redirected, passed, no_meta, no_socket, dropped] = sum;
        Ok(QueueCounters { queue, redirected, passed, no_meta, no_socket, dropped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_laid_out_as_the_program_reads_it() {
        let mac = crate::proto::MacAddr([2, 3, 4, 5, 6, 7]);
        let row = Match { ether_type: Some(0x1234), ether_src: Some(mac), ..Match::default() };
        let row = Row { quoted: 1, ..Row::new(&row) };
        let bytes = row.bytes();
        assert_eq!(bytes[std::mem::offset_of!(Row, quoted)], 1);
        let at = std::mem::offset_of!(Row, ether_src);
        assert_eq!(bytes[at..at + 8], [2, 3, 4, 5, 6, 7, 0xff, 0xff]);
        let at = std::mem::offset_of!(Row, ether_type);
        assert_eq!(bytes[at..at + 2], 0x1234u16.to_ne_bytes());
        let at = std::mem::offset_of!(Row, need);
        assert_eq!(bytes[at..at + 2], row.need.to_ne_bytes());
        assert_eq!(bytes[std::mem::offset_of!(Row, src_ports) + 2..][..2], [0xff, 0xff]);
    }

    #[test]
    fn the_bitmaps_name_the_rows_that_can_match_and_no_others() {
        let rows = [
            Match { ip_proto: Some(6), ..Match::default() },
            Match { dst_ports: Some(1..=1), ..Match::default() },
            Match {
                icmp_id: Some(1..=1),
                src: Some(([10, 0, 0, 0].into(), 8)),
                ..Match::default()
            },
            Match { ether_type: Some(0x0806), ..Match::default() },
            Match { icmp_type: Some(3), quoted: true, ..Match::default() },
        ];
        let bytes = table(&Filter::Any(rows.into())).unwrap();
        assert_eq!(bytes.len(), TABLE);
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|word| u32::from_ne_bytes(word.try_into().unwrap()))
            .collect();
        let (plain, quoted) = words[..2 * BITS].split_at(BITS);
        let by_proto = |proto: usize| plain[proto];
        assert_eq!([6, 17, 1, 50].map(by_proto), [0b1011, 0b1010, 0b1100, 0b1000]);
        let by_icmp = |kind: usize| plain[256 + kind];
        assert_eq!([0, 3, 8].map(by_icmp), [0b1111, 0b1011, 0b1111]);
        assert_eq!(plain[512..], [0b1000, 0b0111, 0b0011, 0b1000, 0b1011]);
        assert_eq!(
            (quoted[1], quoted[17], quoted[256 + 3], quoted[256 + 8]),
            (1 << 4, 0, 1 << 4, 0)
        );
        assert_eq!(quoted[512..], [0, 1 << 4, 1 << 4, 0, 0]);
    }
}
