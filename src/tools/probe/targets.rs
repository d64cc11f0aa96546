//! [`ProbeTargets`]: where the probes go: every target resolved and routed, and the one interface
//! they share.

use super::link::Link;
use super::route::{ResolvedTarget, SourceChoice, TargetRequest, broadcast, no_source};
use crate::error::{FluxError, Result};
use crate::proto::vlan::TAG_LEN;
use crate::proto::{ETHERNET_LEN, IPV4_LEN, IPV6_LEN};
use crate::tools::host::{Cause, Host, HostError};
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
    /// Position of the next hop in [`ProbeTargets::hops`].
    pub(crate) hop: usize,
    /// Answers come from anybody.
    pub(crate) multicast: bool,
}

#[cfg(test)]
impl Path {
    /// To a neighbour, for tests.
    pub(crate) fn between(source: IpAddr, address: IpAddr) -> Self {
        let (name, multicast) = (address.to_string(), address.is_multicast());
        Self { name, address, source, gateway: None, hop: 0, multicast }
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
    /// Length of the IP packets to it in bytes, where it is the same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_bytes: Option<u16>,
}

/// All targets of a run.
#[derive(Clone, Debug)]
pub(crate) struct ProbeTargets {
    pub(crate) link: Link,
    pub(crate) paths: Vec<Path>,
    /// Every next hop once.
    pub(crate) hops: Vec<IpAddr>,
}

impl ProbeTargets {
    /// Resolves and routes the targets of a plan.
    pub(crate) fn find(request: &TargetRequest<'_>, host: &dyn Host) -> Result<Self> {
        let asked = SourceChoice::of(request, host)?;
        let mut found = Vec::with_capacity(request.targets.len());
        for name in request.targets {
            found.push(asked.route(name, request, host)?);
        }
        let first = asked.interface.as_ref().map(|i| i.index).or(found.first().map(|f| f.ifindex));
        let index = first.unwrap_or_default();
        let interfaces = host.interfaces()?;
        let by_index = |index: u32| interfaces.iter().find(|i| i.index == index);
        let name_of = |index: u32| match by_index(index) {
            Some(interface) => interface.name.clone(),
            None => format!("interface {index}"),
        };
        if let Some(other) = found.iter().find(|f| f.ifindex != index) {
            let (theirs, ours) = (name_of(other.ifindex), name_of(index));
            return Err(FluxError::config(
                format!("target {}", other.name),
                format!("leaves by {theirs}, the others by {ours}: one run uses one interface"),
            )
            .with_hint(format!("name it in a run of its own, or force -I {ours}")));
        }
        let interface = by_index(index).cloned().ok_or_else(|| {
            HostError::new("find interface", format!("with index {index}"), Cause::NoSuchInterface)
        })?;
        let link = Link::find(interface, request.vlan, &interfaces)?;
        // Unnumbered links borrow an address, but a route to an interface that was named may be
        // the kernel's last resort: nobody there would know the way back.
        if asked.interface.is_some()
            && let Some(target) = found.iter().find(|target| !link.has_family(target.address))
        {
            return Err(no_source(target, &link));
        }
        Self::assemble(link, found)
    }

    fn assemble(link: Link, found: Vec<ResolvedTarget>) -> Result<Self> {
        let mut hop_at: HashMap<IpAddr, usize> = HashMap::new();
        let (mut hops, mut paths) = (Vec::new(), Vec::with_capacity(found.len()));
        for target in found {
            if link.interface.is_broadcast(target.address) {
                return Err(broadcast(&target.name));
            }
            let source = target.source.ok_or_else(|| no_source(&target, &link))?;
            let next = target.next_hop();
            let hop = *hop_at.entry(next).or_insert_with(|| {
                hops.push(next);
                hops.len() - 1
            });
            paths.push(Path {
                multicast: target.address.is_multicast(),
                name: target.name,
                address: target.address,
                source,
                gateway: target.gateway,
                hop,
            });
        }
        Ok(Self { link, paths, hops })
    }

    /// How each target is reached, for the start event.
    pub(crate) fn routes(&self) -> Vec<TargetRoute> {
        let route = |path: &Path| TargetRoute {
            name: path.name.clone(),
            address: path.address,
            source: path.source,
            gateway: path.gateway,
            packet_bytes: None,
        };
        self.paths.iter().map(route).collect()
    }

    /// Length of the IP packet in a frame of `frame` bytes without its check sequence.
    pub(crate) fn ip_length(&self, frame: usize) -> usize {
        frame.saturating_sub(ETHERNET_LEN + self.link.tags.len() * TAG_LEN)
    }

    /// Refuses packets that no frame or link holds. `size` is what `option` asked for; on top of
    /// it come as many bytes of IP and transport headers as `headers` says.
    pub(crate) fn check_size(
        &self,
        size: usize,
        option: &str,
        headers: impl Fn(IpAddr) -> usize,
        frame_size: u32,
    ) -> Result<()> {
        let mtu = self.link.interface.mtu as usize;
        let frame = (frame_size as usize).saturating_sub(crate::umem::RX_HEADROOM as usize);
        for path in &self.paths {
            let headers = headers(path.address);
            let l2 = ETHERNET_LEN + self.link.tags.len() * TAG_LEN;
            let most = mtu.saturating_sub(headers);
            if size > most {
                let name = &self.link.interface.name;
                return Err(FluxError::config(
                    format!("size {size}"),
                    format!(
                        "it does not fit the MTU {mtu} of {name}, and probes are not fragmented"
                    ),
                )
                .with_hint(format!("the largest {option} to {} is {most}", path.name)));
            }
            let most = frame.saturating_sub(l2 + headers);
            if size > most {
                let larger = if frame_size < 4096 { "; --frame-size 4096 holds more" } else { "" };
                return Err(FluxError::config(
                    format!("size {size}"),
                    format!("it does not fit a frame of {frame_size} bytes"),
                )
                .with_hint(format!("the largest {option} here is {most}{larger}")));
            }
        }
        Ok(())
    }
}

/// Length of an IP header without options.
pub(crate) fn ip_len(address: IpAddr) -> usize {
    if address.is_ipv4() { IPV4_LEN } else { IPV6_LEN }
}

#[cfg(test)]
mod tests;
