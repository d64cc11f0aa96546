//! What a file says: nodes, links, routes, with names resolved to numbers.

use crate::simulator::{Balance, HostOptions, NatQuotes, Profile, Refusal, RouterOptions};
use crate::tools::config_file::Word;
use crate::tools::config_file::{Read, SyntaxError};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Most nodes and links of a file: routes are worked out between all of them.
pub(super) const MOST_NODES: usize = 512;
pub(super) const MOST_LINKS: usize = 2048;
/// Most events of a file.
pub(super) const MOST_EVENTS: usize = 4096;
/// Most links of our machine: each is an interface with up to 64 queues.
pub(super) const MOST_PORTS: usize = 64;

/// Our machine's number.
pub(super) const US: usize = 0;
/// Its name.
pub(super) const US_NAME: &str = "us";

/// An address with its prefix length, or a network.
pub(super) type Prefix = (IpAddr, u8);

/// What a node is.
pub(super) enum Kind {
    Us,
    Router(RouterOptions),
    Host { options: HostOptions, prefixes: Vec<Prefix> },
}

/// A node.
pub(super) struct Node {
    pub(super) name: String,
    /// Where the file names it.
    pub(super) at: usize,
    pub(super) kind: Kind,
    /// Those that the file gives it (us, hosts), each with its place.
    pub(super) addresses: Vec<(usize, Prefix)>,
}

impl Node {
    pub(super) fn is_router(&self) -> bool {
        matches!(self.kind, Kind::Router(_))
    }
}

/// A link between two nodes.
pub(super) struct Link {
    /// Where the file names its nodes.
    pub(super) at: usize,
    pub(super) ends: [usize; 2],
    pub(super) there: Profile,
    pub(super) back: Profile,
    pub(super) mtu: u32,
    pub(super) black_hole: bool,
    /// Which end is the outer side of a NAT.
    pub(super) nat: Option<(usize, NatQuotes)>,
    pub(super) cost: u32,
    /// Those that the file gives its ends here, each with its place.
    pub(super) addresses: [Vec<(usize, Prefix)>; 2],
}

/// What an explicit route does.
pub(super) enum RouteAction {
    /// To these neighbours.
    Via {
        hops: Vec<Hop>,
        balance: Option<Balance>,
        at: usize,
    },
    Refuse(Refusal),
    /// There is none any more; in events alone.
    Withdrawn,
}

/// A neighbour of an explicit route.
pub(super) enum Hop {
    /// By each link to it.
    Node(usize),
    /// By the link on which it has this address.
    Address(IpAddr),
}

/// Where an explicit route leads.
pub(super) enum Destination {
    Prefixes(Vec<Prefix>),
    Node(usize),
}

/// An explicit route.
pub(super) struct Route {
    /// A router, or our machine.
    pub(super) node: usize,
    pub(super) to: Destination,
    pub(super) does: RouteAction,
}

/// What happens.
pub(super) enum What {
    /// These nodes get other Ethernet addresses, and say so or not.
    Move { nodes: Vec<usize>, told: bool },
    /// The links between each two of these go down or come up.
    Links { pairs: Vec<[usize; 2]>, up: bool },
    /// The link of this interface of ours does.
    OurLink { port: usize, up: bool },
    /// A route, instead of what there was for its destination.
    Route(Route),
    /// We get an address, on this interface or on the one with its network.
    Add { address: Prefix, port: Option<usize> },
    /// We lose it.
    Remove { at: usize, address: IpAddr },
}

/// An event.
pub(super) struct Event {
    /// Where the file has it.
    pub(super) at: usize,
    pub(super) after: Duration,
    pub(super) what: What,
}

/// A file.
pub(super) struct Model {
    pub(super) seed: Option<u64>,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    pub(super) routes: Vec<Route>,
    pub(super) events: Vec<Event>,
}

impl Model {
    /// Our links and which of their ends we are: those of `sim0`, `sim1` and so on.
    pub(super) fn our_links(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let links = self.links.iter().enumerate();
        links.filter_map(|(at, link)| Some((at, link.ends.iter().position(|&end| end == US)?)))
    }
}

/// Numbers of nodes by name.
#[derive(Default)]
pub(super) struct Names<'t>(HashMap<&'t str, usize>);

impl<'t> Names<'t> {
    /// The number of the next node, whose name nobody else may have.
    pub(super) fn add(&mut self, word: &Word<'t>) -> Read<usize> {
        let name = word.value;
        let sound = |c: char| c.is_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 253 || !name.chars().all(sound) {
            let what = format!("'{name}' is not a name for a node");
            return Err(SyntaxError::at(word.at, what, "use letters, digits, '.', '-' and '_'"));
        }
        let number = self.0.len();
        if self.0.insert(name, number).is_some() {
            let what = format!("there are two nodes of the name '{name}'");
            return Err(SyntaxError::at(word.at, what, "give each node a name of its own"));
        }
        if number >= MOST_NODES {
            let what = format!("there are more than {MOST_NODES} nodes");
            return Err(SyntaxError::at(word.at, what, "a host with a prefix stands for many"));
        }
        Ok(number)
    }

    /// The number of a node that there is.
    pub(super) fn find(&self, word: &Word<'_>) -> Read<usize> {
        self.0.get(word.value).copied().ok_or_else(|| {
            let mut known: Vec<_> = self.0.iter().map(|(name, number)| (number, *name)).collect();
            known.sort_unstable();
            let names: Vec<_> = known.iter().take(20).map(|(_, name)| *name).collect();
            let more = if known.len() > 20 { ", …" } else { "" };
            let what = format!("unknown node '{}'", word.value);
            let hint = format!(
                "known nodes: {}{more}; add it with [[router]] or [[host]]",
                names.join(", ")
            );
            SyntaxError::at(word.at, what, hint)
        })
    }
}

pub(super) fn too_many_links(at: usize) -> SyntaxError {
    let what = format!("there are more than {MOST_LINKS} links");
    SyntaxError::at(at, what, "a host with a prefix stands for many")
}
