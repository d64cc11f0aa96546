//! [`ProbeTargets`]: where the probes go: every target resolved and routed, by whatever interface its
//! route says, and those that cannot be used with the reason.

use super::link::Link;
use super::refused::Refused;
use super::route::{Leg, Question, ResolvedTarget, SourceChoice, TargetRequest};
use super::target_file::Place;
use crate::error::{FluxError, Result};
use crate::proto::{IPV4_LEN, IPV6_LEN};
use crate::tools::host::{Host, Interface};
use serde::Serialize;
use std::collections::HashMap;
use std::net::IpAddr;

/// Where the probes to one target go.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// As given.
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) source: IpAddr,
    pub(crate) gateway: Option<IpAddr>,
    /// Position of the link in [`ProbeTargets::links`].
    pub(crate) link: usize,
    /// Position of the next hop in [`ProbeTargets::hops`].
    pub(crate) hop: usize,
    /// Answers come from anybody.
    pub(crate) multicast: bool,
    /// What the route is asked with.
    pub(crate) question: Question,
    /// Why nothing can be sent to it now.
    pub(crate) broken: Option<String>,
    /// Where it was read, if in a file.
    pub(super) place: Option<Place>,
}

/// Who gets the packets first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hop {
    /// Index of the interface that it is on.
    pub(crate) ifindex: u32,
    pub(crate) address: IpAddr,
}

#[cfg(test)]
impl Path {
    /// To a neighbour, for tests.
    pub(crate) fn between(source: IpAddr, address: IpAddr) -> Self {
        let (name, multicast) = (address.to_string(), address.is_multicast());
        Self {
            name,
            address,
            source,
            gateway: None,
            link: 0,
            hop: 0,
            multicast,
            question: Question::default(),
            broken: None,
            place: None,
        }
    }
}

/// How one target of a run is reached.
#[derive(Clone, Debug, Serialize)]
pub struct TargetRoute {
    /// As given.
    pub name: String,
    /// Resolved address.
    pub address: IpAddr,
    /// Our address.
    pub source: IpAddr,
    /// Next hop, where it is not the target itself.
    pub gateway: Option<IpAddr>,
    /// The interface that probes leave by.
    pub interface: String,
    /// Length of the IP packets to it in bytes, where it is the same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_bytes: Option<u16>,
}

/// All targets of a run.
#[derive(Debug)]
pub(crate) struct ProbeTargets {
    /// Every link once.
    pub(crate) links: Vec<Link>,
    pub(crate) paths: Vec<Path>,
    /// Every next hop once.
    pub(crate) hops: Vec<Hop>,
    /// Those that cannot be used.
    pub(crate) refused: Vec<Refused>,
    /// Addresses of this host, where these are not refused.
    pub(crate) own: Vec<Refused>,
    /// What else there is to say about them.
    pub(crate) notes: Vec<String>,
    /// Positions of links and hops.
    link_at: HashMap<u32, usize>,
    hop_at: HashMap<Hop, usize>,
}

impl ProbeTargets {
    /// Resolves and routes the targets of a plan.
    ///
    /// # Errors
    /// When none of them can be used: why the first cannot.
    pub(crate) fn find(request: &TargetRequest<'_>, host: &dyn Host) -> Result<Self> {
        let asked = SourceChoice::of(request, host)?;
        let interfaces = host.interfaces()?;
        let mut targets = Self {
            links: Vec::new(),
            paths: Vec::with_capacity(request.targets.len()),
            hops: Vec::new(),
            refused: Vec::new(),
            own: Vec::new(),
            notes: Vec::new(),
            link_at: HashMap::new(),
            hop_at: HashMap::new(),
        };
        let all = request.targets.len();
        for (at, name) in request.targets.iter().enumerate() {
            let place = request.file.and_then(|file| file.place(at, all));
            match asked.route(name, request, host, &interfaces) {
                Ok(found) => targets.add(name, found, place),
                Err(error) => targets.refused.push(Refused::new(name, None, located(error, place))),
            }
        }
        targets.some()
    }

    fn add(&mut self, given: &str, found: ResolvedTarget, place: Option<Place>) {
        let ResolvedTarget { name, address, leg, question } = found;
        if address.is_ipv4() && given.contains(':') {
            self.notes.push(format!(
                "{name} is an IPv4 address in the notation of IPv6: {address} is probed"
            ));
        }
        let mut path = Path {
            multicast: leg.group,
            name,
            address,
            source: leg.source,
            gateway: None,
            link: 0,
            hop: 0,
            question,
            broken: None,
            place,
        };
        self.lead(&mut path, leg);
        self.paths.push(path);
    }

    /// Leads a path by this leg.
    fn lead(&mut self, path: &mut Path, leg: Leg) {
        let Leg { link, source, gateway, .. } = leg;
        let ifindex = link.interface.index;
        let hop = Hop { ifindex, address: gateway.unwrap_or(path.address) };
        path.link = *self.link_at.entry(ifindex).or_insert_with(|| {
            self.links.push(link);
            self.links.len() - 1
        });
        path.hop = *self.hop_at.entry(hop).or_insert_with(|| {
            self.hops.push(hop);
            self.hops.len() - 1
        });
        (path.source, path.gateway, path.broken) = (source, gateway, None);
    }

    /// Takes addresses of this host out of those that are refused.
    pub(crate) fn spare_own(&mut self, host: &dyn Host) {
        let interfaces = host.interfaces().unwrap_or_default();
        let is_own = |refused: &mut Refused| {
            let address = refused.name.parse();
            address.is_ok_and(|own| interfaces.iter().any(|one| one.has_address(own)))
        };
        self.own.extend(self.refused.extract_if(.., is_own));
        self.notes.extend(match self.own.as_slice() {
            [] => None,
            [one] => Some(format!("{} is this host's own address: it is not asked", one.name)),
            [first, more @ ..] => Some(format!(
                "{} and {} others are this host's own addresses: they are not asked",
                first.name,
                more.len()
            )),
        });
    }

    /// Those that can be used, if there is one.
    fn some(mut self) -> Result<Self> {
        if !self.paths.is_empty() || self.refused.is_empty() {
            return Ok(self);
        }
        Err(self.refused.swap_remove(0).error)
    }

    /// Refuses the targets that `why` has a reason for.
    ///
    /// # Errors
    /// When none is left: why the first cannot be used.
    pub(crate) fn refuse(
        mut self,
        mut why: impl FnMut(&Path, &Link) -> Option<FluxError>,
    ) -> Result<Self> {
        let (links, hops) = (std::mem::take(&mut self.links), std::mem::take(&mut self.hops));
        (self.link_at, self.hop_at) = Default::default();
        for mut path in std::mem::take(&mut self.paths) {
            let link = &links[path.link];
            if let Some(error) = why(&path, link) {
                let error = located(error, path.place);
                self.refused.push(Refused::new(&path.name, Some(path.address), error));
                continue;
            }
            // What nobody uses any more is not opened.
            let gateway = Some(hops[path.hop].address).filter(|_| path.gateway.is_some());
            let (source, group) = (path.source, path.multicast);
            let leg = Leg { link: link.clone(), source, gateway, group };
            self.lead(&mut path, leg);
            self.paths.push(path);
        }
        self.some()
    }

    /// How each target is reached, for the start event.
    pub(crate) fn routes(&self) -> Vec<TargetRoute> {
        let route = |path: &Path| TargetRoute {
            name: path.name.clone(),
            address: path.address,
            source: path.source,
            gateway: path.gateway,
            interface: self.link(path).interface.name.clone(),
            packet_bytes: None,
        };
        self.paths.iter().map(route).collect()
    }

    /// The link that a path leaves by.
    pub(crate) fn link(&self, path: &Path) -> &Link {
        &self.links[path.link]
    }

    /// Length of the IP packet to a target in a frame of `frame` bytes without its check sequence.
    pub(crate) fn ip_length(&self, path: &Path, frame: usize) -> usize {
        frame.saturating_sub(self.link(path).header_len())
    }

    /// Asks for the route of a path again, and leads it there. What it was before, where it is another
    /// one now.
    pub(super) fn look_again(
        &mut self,
        at: usize,
        host: &dyn Host,
        interfaces: &[Interface],
    ) -> Option<Path> {
        let before = self.paths.get(at)?.clone();
        let leg = before.question.leg(&before.name, before.address, host, interfaces);
        let mut path = before.clone();
        match leg {
            Ok(leg) => {
                let known = self.link_at.get(&leg.link.interface.index).copied();
                // Its Ethernet address or its MTU may be another one.
                let renewed = known.filter(|&at| self.links[at].differs(&leg.link));
                if let Some(at) = renewed {
                    self.links[at] = leg.link.clone();
                }
                self.lead(&mut path, leg);
                if renewed.is_none() && path.goes_as(&before) {
                    return None;
                }
            }
            // A link that is away tells so itself, and comes back.
            Err(_) if is_away(interfaces, self.hops[before.hop].ifindex) => return None,
            Err(error) => {
                let why = error.to_string();
                if before.broken.as_ref() == Some(&why) {
                    return None;
                }
                path.broken = Some(why);
            }
        }
        self.paths[at] = path;
        Some(before)
    }

    /// Refuses packets that no frame or link holds. `size` is what `option` asked for; on top of
    /// it come as many bytes of IP and transport headers as `headers` says.
    pub(crate) fn check_size(
        self,
        size: usize,
        option: &str,
        headers: impl Fn(IpAddr) -> usize,
        frame_size: u32,
    ) -> Result<Self> {
        let frame = (frame_size as usize).saturating_sub(crate::umem::RX_HEADROOM as usize);
        self.refuse(|path, link| {
            let (mtu, name) = (link.interface.mtu as usize, &link.interface.name);
            let headers = headers(path.address);
            let most = mtu.saturating_sub(headers);
            if size > most {
                let why = format!(
                    "it does not fit the MTU {mtu} of {name}, and probes are not fragmented"
                );
                let hint = format!("the largest {option} to {} is {most}", path.name);
                return Some(FluxError::config(format!("size {size}"), why).with_hint(hint));
            }
            let most = frame.saturating_sub(link.header_len() + headers);
            (size > most).then(|| {
                let larger = if frame_size < 4096 { "; --frame-size 4096 holds more" } else { "" };
                let why = format!("it does not fit a frame of {frame_size} bytes");
                let hint = format!("the largest {option} here is {most}{larger}");
                FluxError::config(format!("size {size}"), why).with_hint(hint)
            })
        })
    }
}

impl Path {
    /// Whether packets go the same way as by `other`, but for what is at its end.
    pub(super) fn goes_as(&self, other: &Path) -> bool {
        match (&self.broken, &other.broken) {
            (None, None) => {
                let way = |path: &Path| (path.link, path.gateway, path.source);
                way(self) == way(other)
            }
            (one, other) => one == other,
        }
    }
}

/// Whether an interface is there, and its link is not.
fn is_away(interfaces: &[Interface], ifindex: u32) -> bool {
    interfaces.iter().any(|i| i.index == ifindex && !(i.up && i.carrier))
}

/// An error, with the place that its target was read at.
fn located(error: FluxError, place: Option<Place>) -> FluxError {
    match place {
        Some(place) => error.at(place),
        None => error,
    }
}

/// Length of an IP header without options.
pub(crate) fn ip_len(address: IpAddr) -> usize {
    if address.is_ipv4() { IPV4_LEN } else { IPV6_LEN }
}

#[cfg(test)]
mod tests;
