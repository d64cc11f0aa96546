//! What happens to packets before AF_XDP gets them.

use super::super::facts::{Nic, Peer};
use super::{Entry, Verdict, list, ok, unchecked, warning};
use crate::umem::RX_HEADROOM;

pub(super) const CHECKS: &[Entry<Nic>] = &[
    ("mtu", "MTU", mtu),
    ("merging", "merging offloads", merging),
    ("vlan", "VLAN tags", vlan),
    ("checksums", "checksums", checksums),
    ("moderation", "interrupts", moderation),
];

/// Ethernet header and one VLAN tag.
const LINK_HEADER: u32 = 18;

/// Frame sizes that there are.
const FRAMES: [u32; 2] = [2048, 4096];

/// Longer than this, waiting for company is felt.
const MODERATE_USECS: u32 = 50;

/// The largest MTU that a frame of that size has room for.
fn fits(frame: u32) -> u32 {
    frame - RX_HEADROOM - LINK_HEADER
}

fn mtu(nic: &Nic) -> Verdict {
    let (mtu, [small, large]) = (nic.mtu, FRAMES.map(fits));
    let finding = format!("{mtu}: a frame of 2048 bytes takes an MTU of up to {small}");
    if mtu <= small {
        ok(finding)
    } else if mtu <= large {
        warning(
            format!("{finding}, one of 4096 up to {large}"),
            format!("use --frame-size 4096, or: ip link set dev {} mtu {small}", nic.name),
        )
    } else {
        warning(
            format!("{mtu}: no frame takes more than {large}, and longer packets are dropped"),
            format!("ip link set dev {} mtu 1500", nic.name),
        )
    }
}

/// In skb mode the stack merges before XDP; in native mode only hardware does.
fn merging(nic: &Nic) -> Verdict {
    if nic.offloads.is_empty() {
        return Verdict::Nothing;
    }
    let hardware = ["rx-lro", "rx-gro-hw"];
    let stack = ["rx-gro", "rx-gro-list", "rx-udp-gro-forwarding"];
    let skb = nic.is_native() == Some(false);
    let on: Vec<&str> = hardware
        .iter()
        .chain(stack.iter().filter(|_| skb))
        .copied()
        .filter(|name| nic.offload(name) == Some(true))
        .collect();
    if on.is_empty() {
        return ok("none that is in the way is on");
    }
    let switches: Vec<String> = on.iter().map(|name| format!("{name} off")).collect();
    warning(
        format!(
            "{} on: native XDP may be refused, and merged packets do not fit a frame",
            list(&on)
        ),
        format!("ethtool -K {} {}", nic.name, switches.join(" ")),
    )
}

/// A NIC that takes the tag off leaves a packet to XDP that looks like one without.
fn vlan(nic: &Nic) -> Verdict {
    match nic.offload("rx-vlan-hw-parse") {
        Some(true) if nic.has_device() => warning(
            "the NIC takes VLAN tags off: XDP and AF_XDP do not see them",
            format!("ethtool -K {} rx-vlan-hw-parse off, where tags matter", nic.name),
        ),
        Some(_) if nic.has_device() => ok("left in the packets"),
        _ => Verdict::Nothing,
    }
}

/// Over a veth, packets of the other end's kernel come as it made them.
fn checksums(nic: &Nic) -> Verdict {
    match &nic.peer {
        None => Verdict::Nothing,
        Some(Peer::Elsewhere) => unchecked(
            "the other end is in another namespace; ethtool -K PEER tx off there is right",
        ),
        Some(Peer::Here { name, tx_checksum: Some(true) }) => warning(
            format!("{name}'s kernel leaves them to the device: its packets come without"),
            format!("ethtool -K {name} tx off"),
        ),
        Some(Peer::Here { name, .. }) => ok(format!("{name}'s kernel fills them in")),
    }
}

fn moderation(nic: &Nic) -> Verdict {
    let Some(moderation) = nic.moderation else { return Verdict::Nothing };
    let numbers = format!("rx-usecs {}, rx-frames {}", moderation.usecs, moderation.frames);
    let fix = format!("for latency: ethtool -C {} adaptive-rx off rx-usecs 8", nic.name);
    if moderation.adaptive {
        warning(format!("adaptive, {numbers}: latency follows the load"), fix)
    } else if moderation.usecs > MODERATE_USECS {
        warning(format!("{numbers}: a packet may wait that long"), fix)
    } else {
        ok(numbers)
    }
}
