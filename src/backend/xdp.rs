//! The redirect program: loading, attaching, and what it is told ([`Filter`]).
//!
//! ```text
//!   Filter ──rows──▶ tables[2] ◀─ settings.active      xsks[queue] ─▶ socket
//!                        │                                 ▲
//!   packet ─▶ XDP hook ──┴─ match ─── stamp ── redirect ───┘      no match: on to the kernel
//! ```
//!
//! Invariant: the program is attached exactly as long as the link in [`Program`] is open, so the
//! interface is clean however the process ends. Caller: `backend::kernel`.

use super::QueueCounters;
use super::filter::{Filter, MAX_MATCHES, Match};
use crate::config::AttachMode;
use crate::error::{ErrorKind, FluxError, Op, Result};
use crate::sys::bpf::{self, XdpLink, XdpMode};
use crate::sys::skel::redirect::RedirectSkelBuilder;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, MapHandle, PrintLevel};
use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Once;

/// `FLUX_HAS_*` of `bpf/flux.h`.
mod has {
    pub(super) const IP: u16 = 1;
    pub(super) const IPV4: u16 = 2;
    pub(super) const IPV6: u16 = 4;
    pub(super) const PROTO: u16 = 8;
    pub(super) const PORTS: u16 = 16;
    pub(super) const ICMP: u16 = 32;
    pub(super) const ICMP_ID: u16 = 64;
}

const TABLE_QUOTED: u32 = 1;

/// `struct flux_match` of `bpf/flux.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    src: [u8; 16],
    src_mask: [u8; 16],
    dst: [u8; 16],
    dst_mask: [u8; 16],
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
    pad: u8,
}

const ROW: usize = 88;
const TABLE: usize = 8 + MAX_MATCHES * ROW;
const COUNTERS: usize = 32;
const _: () = assert!(size_of::<Row>() == ROW);

fn prefix(what: &str, address: IpAddr, len: u8) -> Result<([u8; 16], [u8; 16], u16)> {
    let (bytes, width, family) = match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            (bytes, 32, has::IPV4)
        }
        IpAddr::V6(v6) => (v6.octets(), 128, has::IPV6),
    };
    if len > width {
        return Err(FluxError::config(
            format!("{what} prefix {address}/{len}"),
            format!("has at most {width} bits"),
        ));
    }
    let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0).to_be_bytes();
    Ok((bytes, mask, family))
}

fn range(range: Option<&RangeInclusive<u16>>) -> [u16; 2] {
    range.map_or([0, u16::MAX], |r| [*r.start(), *r.end()])
}

impl Row {
    fn new(row: &Match) -> Result<Self> {
        let mut need = 0;
        let mut side = |what, side: Option<(IpAddr, u8)>| {
            let Some((address, len)) = side else { return Ok(([0; 16], [0; 16])) };
            let (bytes, mask, family) = prefix(what, address, len)?;
            need |= family;
            Ok::<_, FluxError>((bytes, mask))
        };
        let (src, src_mask) = side("source", row.src)?;
        let (dst, dst_mask) = side("destination", row.dst)?;
        let sets = [
            (row.ether_type.is_none(), has::IP),
            (row.ip_proto.is_some(), has::PROTO),
            (row.src_ports.is_some() || row.dst_ports.is_some(), has::PORTS),
            (row.icmp_type.is_some(), has::ICMP),
            (row.icmp_id.is_some(), has::ICMP_ID),
        ];
        need |= sets.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
        Ok(Self {
            src,
            src_mask,
            dst,
            dst_mask,
            src_ports: range(row.src_ports.as_ref()),
            dst_ports: range(row.dst_ports.as_ref()),
            icmp_id: range(row.icmp_id.as_ref()),
            ether_type: row.ether_type.unwrap_or(0),
            ether_mask: row.ether_type.map_or(0, |_| u16::MAX),
            need,
            ip_proto: row.ip_proto.unwrap_or(0),
            proto_mask: row.ip_proto.map_or(0, |_| u8::MAX),
            icmp_type: row.icmp_type.unwrap_or(0),
            icmp_type_mask: row.icmp_type.map_or(0, |_| u8::MAX),
            quoted: row.quoted.into(),
            pad: 0,
        })
    }

    /// As the kernel stores it: native byte order, in the order of the fields.
    fn bytes(&self) -> [u8; ROW] {
        let words = [
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
        for (to, word) in out[64..82].chunks_exact_mut(2).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        let last =
            [self.ip_proto, self.proto_mask, self.icmp_type, self.icmp_type_mask, self.quoted, 0];
        out[82..].copy_from_slice(&last);
        out
    }
}

/// `struct flux_table` of `bpf/flux.h`.
fn table(filter: &Filter) -> Result<[u8; TABLE]> {
    let rows: &[Match] = match filter {
        // Redirected without a look at the table: see set_filter().
        Filter::Nothing | Filter::Everything => &[],
        Filter::Any(rows) => rows,
    };
    let mut flags = 0;
    if rows.len() > MAX_MATCHES {
        return Err(FluxError::config(
            format!("a filter of {} rows", rows.len()),
            format!("the XDP program takes at most {MAX_MATCHES}"),
        ));
    }
    if rows.iter().any(|row| row.quoted) {
        flags |= TABLE_QUOTED;
    }
    let mut out = [0; TABLE];
    out[..4].copy_from_slice(&(rows.len() as u32).to_ne_bytes());
    out[4..8].copy_from_slice(&flags.to_ne_bytes());
    for (to, row) in out[8..].chunks_exact_mut(ROW).zip(rows) {
        to.copy_from_slice(&Row::new(row)?.bytes());
    }
    Ok(out)
}

thread_local! {
    /// The last warnings of libbpf on this thread.
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Most warnings that an error's cause quotes.
const WARNINGS_KEPT: usize = 3;

fn keep_warning(_level: PrintLevel, text: String) {
    WARNINGS.with_borrow_mut(|kept| {
        if kept.len() == WARNINGS_KEPT {
            kept.remove(0);
        }
        kept.push(text.trim().trim_start_matches("libbpf: ").to_owned());
    });
}

/// Keeps libbpf's own words off stderr; errors quote them.
pub(crate) fn silence_libbpf() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        libbpf_rs::set_print(Some((PrintLevel::Warn, keep_warning)));
    });
    WARNINGS.take();
}

/// The errno in a libbpf-rs error, which shows it in its text alone.
pub(crate) fn errno(error: &libbpf_rs::Error) -> io::Error {
    let text = format!("{error:#}");
    let number = text.rsplit_once("(os error ").and_then(|(_, tail)| {
        tail.split_once(')').and_then(|(number, _)| number.parse::<i32>().ok())
    });
    number.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error)
}

/// What libbpf said of the last failure on this thread; empty: nothing.
pub(crate) fn libbpf_said() -> String {
    WARNINGS.take().join("; ")
}

pub(crate) fn libbpf_error(op: Op, interface: &str, error: &libbpf_rs::Error) -> FluxError {
    let source = errno(error);
    let permission = matches!(source.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    let error = FluxError::os(op, interface, source);
    let said = libbpf_said();
    if said.is_empty() || permission { error } else { error.with_cause(said) }
}

/// The loaded redirect program, attached or not.
pub(crate) struct Program {
    /// Open as long as the program is attached; first, so that it is detached before the maps go.
    link: Option<XdpLink>,
    program: OwnedFd,
    tables: MapHandle,
    settings: MapHandle,
    xsks: MapHandle,
    counters: MapHandle,
    interface: String,
    active: u32,
    stamp: bool,
}

impl Program {
    /// Loads the program for an interface with `queues` RX queues. It redirects nothing yet.
    pub(crate) fn load(interface: &str, queues: u32, stamp: bool) -> Result<Self> {
        silence_libbpf();
        let fail = |error: libbpf_rs::Error| libbpf_error(Op::Load, interface, &error);
        let mut object = MaybeUninit::uninit();
        let mut open = RedirectSkelBuilder::default().open(&mut object).map_err(fail)?;
        open.maps.xsks.set_max_entries(queues.max(1)).map_err(fail)?;
        open.maps.counters.set_max_entries(queues.max(1)).map_err(fail)?;
        let skel = open.load().map_err(fail)?;
        let program = skel.progs.flux_redirect.as_fd().try_clone_to_owned();
        let maps = &skel.maps;
        Ok(Self {
            link: None,
            program: program.map_err(|e| FluxError::os(Op::Load, interface, e))?,
            tables: MapHandle::try_from(&maps.tables).map_err(fail)?,
            settings: MapHandle::try_from(&maps.settings).map_err(fail)?,
            xsks: MapHandle::try_from(&maps.xsks).map_err(fail)?,
            counters: MapHandle::try_from(&maps.counters).map_err(fail)?,
            interface: interface.to_owned(),
            active: 0,
            stamp,
        })
    }

    fn update(&self, map: &MapHandle, key: u32, value: &[u8]) -> Result<()> {
        map.update(&key.to_ne_bytes(), value, MapFlags::ANY)
            .map_err(|error| libbpf_error(Op::MapUpdate, &self.interface, &error))
    }

    /// Replaces what is redirected. Each packet is judged by the old rows or by the new ones,
    /// never by a mixture: the table that is not active is written, then made the active one.
    /// (A program run that lasted through two replacements could see a mixture; it takes less
    /// than a microsecond, and a replacement is two system calls.)
    pub(crate) fn set_filter(&mut self, filter: &Filter) -> Result<()> {
        let next = self.active ^ 1;
        self.update(&self.tables, next, &table(filter)?)?;
        let everything = *filter == Filter::Everything;
        let words = [next, self.stamp.into(), everything.into(), 0];
        let mut settings = [0; 16];
        for (to, word) in settings.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        self.update(&self.settings, 0, &settings)?;
        self.active = next;
        Ok(())
    }

    /// Makes `socket` the receiver of what matches on `queue`.
    pub(crate) fn add_socket(&self, queue: u32, socket: i32) -> Result<()> {
        self.update(&self.xsks, queue, &socket.to_ne_bytes())
    }

    /// Attaches to the interface; returns the mode in words, and a note when it fell back.
    pub(crate) fn attach(
        &mut self,
        ifindex: u32,
        mode: AttachMode,
    ) -> Result<(&'static str, Option<String>)> {
        silence_libbpf();
        let first = if mode == AttachMode::Skb { XdpMode::Skb } else { XdpMode::Native };
        let refused = match bpf::attach_xdp(self.program.as_fd(), ifindex, first) {
            Ok(link) => {
                self.link = Some(link);
                let word = if mode == AttachMode::Skb { "skb" } else { "native" };
                return Ok((word, None));
            }
            Err(error) => error,
        };
        // What is taken or forbidden in native mode is so in skb mode too.
        let hopeless = [libc::EBUSY, libc::EEXIST, libc::EPERM, libc::EACCES, libc::ENODEV];
        let errno = refused.raw_os_error().unwrap_or(0);
        if mode != AttachMode::Auto || hopeless.contains(&errno) {
            return Err(self.attach_error(ifindex, refused));
        }
        match bpf::attach_xdp(self.program.as_fd(), ifindex, XdpMode::Skb) {
            Ok(link) => {
                self.link = Some(link);
                let why = match errno {
                    libc::EOPNOTSUPP => "the driver has no native XDP".to_owned(),
                    libc::ERANGE => "the MTU is too large for native XDP".to_owned(),
                    _ => format!("native XDP was refused ({})", crate::error::errno_text(&refused)),
                };
                Ok(("skb", Some(format!("attached in skb mode: {why}"))))
            }
            Err(error) => Err(self.attach_error(ifindex, error)),
        }
    }

    /// Takes it off the interface again, at once.
    #[cfg(feature = "tools")]
    pub(crate) fn detach(&mut self) {
        self.link = None;
    }

    fn attach_error(&self, ifindex: u32, error: io::Error) -> FluxError {
        let busy = matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST));
        let error = FluxError::os(Op::Attach, &self.interface, error);
        if !busy {
            return error;
        }
        let Some((id, name)) = bpf::attached_xdp(ifindex) else { return error };
        debug_assert_eq!(error.kind(), ErrorKind::Busy);
        let interface = &self.interface;
        error.with_cause(format!("another program (id {id}, {name}) is attached")).with_hint(
            format!(
                "stop its owner, or detach it with `ip link set {interface} xdp off` \
                 (`xdpgeneric off` in skb mode)"
            ),
        )
    }

    /// What became of the packets, by RX queue, summed over the CPUs.
    pub(crate) fn counters(&self) -> Result<Vec<QueueCounters>> {
        (0..self.counters.max_entries()).map(|queue| self.queue_counters(queue)).collect()
    }

    fn queue_counters(&self, queue: u32) -> Result<QueueCounters> {
        let per_cpu = self
            .counters
            .lookup_percpu(&queue.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| libbpf_error(Op::Query, &self.interface, &error))?
            .unwrap_or_default();
        let mut sum = [0u64; COUNTERS / 8];
        for cpu in &per_cpu {
            for (sum, bytes) in sum.iter_mut().zip(cpu.chunks_exact(8)) {
                *sum += bytes.try_into().map(u64::from_ne_bytes).unwrap_or(0);
            }
        }
        let [redirected, passed, no_meta, no_socket] = sum;
        Ok(QueueCounters { queue, redirected, passed, no_meta, no_socket })
    }

    /// The loaded program.
    #[cfg(any(test, feature = "tools"))]
    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.program.as_fd()
    }
}

#[cfg(test)]
mod tests;
