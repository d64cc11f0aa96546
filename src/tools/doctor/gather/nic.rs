//! One interface: what it tells, and what a program can do on it.

use super::super::Plan;
use super::super::facts::{
    Channels, Known, Machine, Moderation, Nic, Pcie, Peer, Program as Attached, Tried, Xdp,
};
use super::machine;
use crate::backend::xdp::{Attachment, Loaded, in_the_way};
use crate::config::AttachMode;
use crate::error::Advice;
use crate::tools::host::{Interface, Nics, XdpFeatures, genl};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// The offloads that matter to XDP.
const OFFLOADS: [&str; 6] =
    ["rx-lro", "rx-gro-hw", "rx-gro", "rx-gro-list", "rx-udp-gro-forwarding", "rx-vlan-hw-parse"];

/// Bits of `enum netdev_xdp_rx_metadata`, from the lowest.
const RX_METADATA: [&str; 3] = ["time stamp", "hash", "VLAN tag"];
/// Bits of `enum netdev_xsk_flags`, from the lowest.
const TX_METADATA: [&str; 3] = ["time stamp", "checksum", "launch time"];

/// The interface of `link`. `ours` is tried on it, if the plan has it and nothing else is there.
pub(super) fn facts(
    nics: &Nics,
    link: Interface,
    plan: &Plan,
    ours: Option<Loaded>,
    machine: &Machine,
) -> Nic {
    let ethtool = nics.ethtool();
    let name = &link.name;
    // Virtual devices are on no bus, and some say so with a word.
    let is_bus = |bus: &String| !bus.is_empty() && bus != "N/A";
    let bus = ethtool.driver(name).ok().map(|driver| driver.bus).filter(is_bus);
    let bus = bus.or_else(|| link.device.as_ref().map(|device| device.name.clone()));
    let device = bus.as_ref().map(|bus| PathBuf::from("/sys/bus/pci/devices").join(bus));
    let read = |file: &str| fs::read_to_string(device.as_ref()?.join(file)).ok();
    let moderation = ethtool.coalescing(name).ok().map(|c| Moderation {
        adaptive: c.adaptive_rx,
        usecs: c.rx_usecs,
        frames: c.rx_frames,
    });
    let attached = program(link.index);
    let all = nics.links().unwrap_or_default();
    let ports = all.iter().filter(|other| other.master == Some(link.index));
    let (native, skb) = attempts(&link, plan, attached.is_some(), ours, machine);
    Nic {
        driver: nics.driver(&link),
        kind: link.kind.clone(),
        master: super::master(&link, &all),
        ports: ports.map(|port| port.name.clone()).collect(),
        ethernet: link.is_ethernet(),
        loopback: link.is_loopback(),
        up: link.up,
        carrier: link.carrier,
        mtu: link.mtu,
        speed_mbit: ethtool.speed_mbit(name).ok().flatten(),
        pcie: pcie(&read),
        numa_node: numa_node(&read),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        xdp: xdp(nics, link.index),
        program: attached,
        native,
        skb,
        channels: ethtool.channels(name).ok().map(|c| Channels {
            rx: c.rx,
            tx: c.tx,
            combined: c.combined,
        }),
        rx_queues: nics.rx_queues(&link),
        rss: ethtool.rss_table(name).ok(),
        rules: ethtool.rule_count(name).ok(),
        ring: ethtool.rings(name).ok().map(|rings| (rings.rx, rings.rx_max)),
        offloads: offloads(nics, name),
        moderation,
        peer: peer(nics, &link),
        bound: bound(link.index),
        bus,
        ..Nic::unknown(name)
    }
}

/// What would keep our program off.
pub(super) fn program(index: u32) -> Option<Attached> {
    let (told, cure, advice) = in_the_way(index, None)?.told();
    let words = match advice {
        Some(Advice::OneRun) => "give the targets of both to one run".to_owned(),
        Some(advice) => advice.to_string(),
        None => String::new(),
    };
    Some(Attached { told, cure: cure + &words })
}

/// The driver's word on its XDP.
pub(super) fn xdp(nics: &Nics, index: u32) -> Known<Xdp> {
    let features = nics.xdp_features(index).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => "kernels before Linux 6.3 do not say".to_owned(),
        _ => format!("the kernel does not say: {}", crate::error::errno_text(&error)),
    })?;
    let words = |bits: u64, words: &[&'static str]| {
        let set = words.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0);
        set.map(|(_, word)| *word).collect()
    };
    Ok(Xdp {
        native: features.has(XdpFeatures::BASIC | XdpFeatures::REDIRECT),
        zero_copy: features.has(XdpFeatures::ZERO_COPY),
        multi_buffer: features.has(XdpFeatures::RX_SG),
        zero_copy_segments: features.zero_copy_segments,
        takes_redirects: features.has(XdpFeatures::NDO_XMIT),
        rx_metadata: features.rx_metadata.map(|bits| words(bits, &RX_METADATA)),
        tx_metadata: features.xsk.map(|bits| words(bits, &TX_METADATA)),
    })
}

/// What attaching in native and in skb mode came to. Whatever was attached is detached again.
fn attempts(
    link: &Interface,
    plan: &Plan,
    taken: bool,
    program: Option<Loaded>,
    machine: &Machine,
) -> (Tried, Tried) {
    let both = |reason: &str| (Tried::Not(reason.into()), Tried::Not(reason.into()));
    if !plan.attach {
        return both("not tried: --no-attach");
    }
    if taken {
        return both("not tried: another program is in the way");
    }
    let Some(Loaded { program, .. }) = program else {
        return both(match machine.program {
            Tried::Refused(libc::EPERM | libc::EACCES, _) => "not tried: a capability is missing",
            _ => "not tried: no program can be loaded",
        });
    };
    // It redirects nothing: all packets pass.
    let attempt = |mode| match Attachment::ours(program.as_fd(), &link.name, link.index, mode) {
        Ok(_) => Tried::Worked,
        Err(error) => machine::refused(&error),
    };
    (attempt(AttachMode::Native), attempt(AttachMode::Skb))
}

fn offloads(nics: &Nics, name: &str) -> BTreeMap<&'static str, bool> {
    let Ok(features) = nics.ethtool().features(name) else { return BTreeMap::new() };
    OFFLOADS.into_iter().filter_map(|name| Some((name, features.get(name)?))).collect()
}

fn peer(nics: &Nics, link: &Interface) -> Option<Peer> {
    if link.kind != "veth" {
        return None;
    }
    let Some(index) = link.lower else { return Some(Peer::Elsewhere) };
    let Ok(peer) = nics.link(index) else { return Some(Peer::Elsewhere) };
    let features = nics.ethtool().features(&peer.name).ok();
    let tx_checksum = features.and_then(|features| features.get("tx-checksum-ip-generic"));
    Some(Peer::Here { name: peer.name, tx_checksum })
}

fn bound(index: u32) -> Vec<u32> {
    let queues = genl::xsk_queues(None).unwrap_or_default();
    queues.into_iter().filter(|(ifindex, _)| *ifindex == index).map(|(_, queue)| queue).collect()
}

fn pcie(read: &impl Fn(&str) -> Option<String>) -> Option<Pcie> {
    let speed = |file| read(file).as_deref().and_then(gigatransfers);
    let width = |file| read(file)?.trim().parse().ok().filter(|&lanes: &u32| lanes > 0);
    Some(Pcie {
        now: (speed("current_link_speed")?, width("current_link_width")?),
        most: (speed("max_link_speed")?, width("max_link_width")?),
    })
}

/// `8.0 GT/s PCIe`.
fn gigatransfers(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Where there is but one node, nobody needs to know.
fn numa_node(read: &impl Fn(&str) -> Option<String>) -> Option<u32> {
    if !PathBuf::from("/sys/devices/system/node/node1").exists() {
        return None;
    }
    read("numa_node")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_a_pcie_device_is_read_as_sysfs_writes_it() {
        let files = BTreeMap::from([
            ("current_link_speed", "8.0 GT/s PCIe\n"),
            ("current_link_width", "4\n"),
            ("max_link_speed", "16.0 GT/s PCIe\n"),
            ("max_link_width", "8\n"),
        ]);
        let read = |file: &str| files.get(file).map(|text| (*text).to_owned());
        assert_eq!(pcie(&read), Some(Pcie { now: (8.0, 4), most: (16.0, 8) }));
        let unknown = |_: &str| Some("Unknown\n".to_owned());
        assert_eq!(pcie(&unknown), None);
        assert_eq!(pcie(&|_: &str| None), None);
    }
}
