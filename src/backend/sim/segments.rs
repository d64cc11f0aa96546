//! Who can talk to whom without a router: the last step of building a network.

use super::happening::Neighbour;
use super::world::{Node, World};
use crate::proto::MacAddr;
use std::collections::HashMap;
use std::net::IpAddr;

/// An interface that was laid.
pub(super) struct Laid {
    pub(super) node: usize,
    pub(super) interface: usize,
    /// Links of one Ethernet segment share it: switches join them.
    pub(super) segment: usize,
    pub(super) mac: MacAddr,
    pub(super) addresses: Vec<(IpAddr, u8)>,
}

/// All links of one switch are one segment.
pub(super) fn join(world: &mut World, laid: &mut [Laid]) {
    let mut switches: Vec<usize> = laid.iter().map(|l| l.node).collect();
    switches.sort_unstable();
    switches.dedup();
    switches.retain(|&node| matches!(world.node(node), Some(Node::Switch(_))));
    for switch in switches {
        let mine: Vec<_> = laid.iter().filter(|l| l.node == switch).map(|l| l.segment).collect();
        let first = mine.iter().copied().min().unwrap_or(0);
        for laid in &mut *laid {
            if mine.contains(&laid.segment) {
                laid.segment = first;
            }
        }
    }
}

/// Tells routers and ports who is on their links, as ARP and ND would find out.
pub(super) fn introduce(world: &mut World, laid: &[Laid]) {
    let mut segments: HashMap<usize, Vec<&Laid>> = HashMap::new();
    for laid in laid {
        segments.entry(laid.segment).or_default().push(laid);
    }
    for own in laid {
        let others = segments[&own.segment].iter().filter(|other| other.node != own.node);
        let book = others.flat_map(|other| other.addresses.iter().map(|a| (a.0, other.mac)));
        match world.node(own.node) {
            Some(Node::Router(router)) => {
                if let Some(interface) = router.interfaces.get_mut(own.interface) {
                    interface.neighbours = book.collect();
                }
            }
            Some(Node::Port(port)) => {
                port.neighbours = book.map(|(ip, mac)| (ip, Neighbour::new(mac))).collect();
            }
            _ => {}
        }
    }
}

/// Gives every address of a node with a name that name.
pub(super) fn name_addresses(world: &mut World, laid: &[Laid], names: &HashMap<usize, String>) {
    for laid in laid {
        if let Some(name) = names.get(&laid.node) {
            world.names.extend(laid.addresses.iter().map(|a| (a.0, name.clone())));
        }
    }
}
