//! Requests with an answer of a known size.

use super::{Ethtool, Request};
use std::io;

/// The older of two requests: the kernel answers both, but for links of many lanes.
const ETHTOOL_GSET: u32 = 0x01;
const ETHTOOL_GCOALESCE: u32 = 0x0e;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
const ETHTOOL_GRXCLSRLCNT: u32 = 0x2e;

/// `struct ethtool_ringparam` of linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct RingsRequest {
    cmd: u32,
    rx_max: u32,
    rx_mini_max: u32,
    rx_jumbo_max: u32,
    tx_max: u32,
    rx: u32,
    rx_mini: u32,
    rx_jumbo: u32,
    tx: u32,
}

/// `struct ethtool_cmd` of linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct LinkRequest {
    cmd: u32,
    modes: [u32; 2],
    speed_low: u16,
    port: [u8; 6],
    packets: [u32; 2],
    speed_high: u16,
    mdix: [u8; 2],
    rest: [u32; 3],
}

/// `struct ethtool_coalesce` of linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct CoalesceRequest {
    cmd: u32,
    rx_usecs: u32,
    rx_frames: u32,
    until_adaptive: [u32; 7],
    adaptive_rx: u32,
    rest: [u32; 12],
}

/// `struct ethtool_rxnfc` of linux/ethtool.h.
#[repr(C)]
struct RulesRequest {
    cmd: u32,
    flow_type: u32,
    data: u64,
    flow_spec: [u64; 21],
    rule_count: u32,
    pad: u32,
}

const _: () = assert!(size_of::<RingsRequest>() == 36);
const _: () = assert!(size_of::<LinkRequest>() == 44);
const _: () = assert!(std::mem::offset_of!(LinkRequest, speed_high) == 28);
const _: () = assert!(size_of::<CoalesceRequest>() == 92);
const _: () = assert!(std::mem::offset_of!(CoalesceRequest, adaptive_rx) == 40);
const _: () = assert!(size_of::<RulesRequest>() == 192);

// SAFETY: as asserted above, it is as large as `struct ethtool_ringparam`, all integers.
unsafe impl Request for RingsRequest {}
// SAFETY: as asserted above, it is as large as `struct ethtool_cmd`, all integers.
unsafe impl Request for LinkRequest {}
// SAFETY: as asserted above, it is as large as `struct ethtool_coalesce`, all integers.
unsafe impl Request for CoalesceRequest {}
// SAFETY: as asserted above, it is as large as `struct ethtool_rxnfc`, all integers.
unsafe impl Request for RulesRequest {}

/// Descriptors in each of the driver's own RX rings, and how many there could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DriverRings {
    pub(crate) rx: u32,
    pub(crate) rx_max: u32,
}

/// How long the device collects packets before it interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coalescing {
    pub(crate) rx_usecs: u32,
    pub(crate) rx_frames: u32,
    pub(crate) adaptive_rx: bool,
}

impl Ethtool {
    /// `ethtool -g`. EOPNOTSUPP where the driver has no rings to size.
    pub(crate) fn rings(&self, ifname: &str) -> io::Result<DriverRings> {
        let mut rings = RingsRequest { cmd: ETHTOOL_GRINGPARAM, ..Default::default() };
        self.request(ifname, &mut rings)?;
        let RingsRequest { rx, rx_max, .. } = rings;
        Ok(DriverRings { rx, rx_max })
    }

    /// Speed of the link in Mbit/s; `None` where there is no link, or the driver does not know.
    pub(crate) fn speed_mbit(&self, ifname: &str) -> io::Result<Option<u32>> {
        let mut link = LinkRequest { cmd: ETHTOOL_GSET, ..Default::default() };
        self.request(ifname, &mut link)?;
        let speed = u32::from(link.speed_high) << 16 | u32::from(link.speed_low);
        // SPEED_UNKNOWN is all ones; old drivers say it with 16 bits.
        Ok(Some(speed).filter(|speed| !matches!(*speed, 0 | 0xffff | u32::MAX)))
    }

    /// `ethtool -c`. EOPNOTSUPP where the driver has no such thing.
    pub(crate) fn coalescing(&self, ifname: &str) -> io::Result<Coalescing> {
        let mut request = CoalesceRequest { cmd: ETHTOOL_GCOALESCE, ..Default::default() };
        self.request(ifname, &mut request)?;
        let CoalesceRequest { rx_usecs, rx_frames, adaptive_rx, .. } = request;
        Ok(Coalescing { rx_usecs, rx_frames, adaptive_rx: adaptive_rx != 0 })
    }

    /// Rules of `ethtool -n`. EOPNOTSUPP where the device takes none.
    pub(crate) fn rule_count(&self, ifname: &str) -> io::Result<u32> {
        let mut request = RulesRequest {
            cmd: ETHTOOL_GRXCLSRLCNT,
            flow_type: 0,
            data: 0,
            flow_spec: [0; 21],
            rule_count: 0,
            pad: 0,
        };
        self.request(ifname, &mut request)?;
        Ok(request.rule_count)
    }
}
