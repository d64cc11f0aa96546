//! What a run's sockets do when its targets are reached another way.

use super::known::Known;
use super::next_hops::NextHops;
use super::refused::WhyNot;
use super::targets::{Path, ProbeTargets};
use super::wire::{KEEP_NS, Wire};
use crate::backend::Filter;
use crate::error::FluxError;
use crate::ids::PortIndex;
use crate::tools::host::Host;
use crate::tools::session::{Note, SessionEvent, Trouble};
use std::time::Duration;

impl Wire {
    /// Opens what is missing for where the targets are reached now, and lets `filter` hold on all.
    /// What is open stays open for a while, so that answers on their way are heard. What cannot be
    /// opened is told.
    pub(crate) fn follow(
        &mut self,
        targets: &ProbeTargets,
        filter: &Filter,
        host: &dyn Host,
        mut tell: impl FnMut(SessionEvent),
    ) {
        self.closed.clear();
        self.settled_ns = self.now().saturating_add(KEEP_NS);
        for set in &self.sets {
            let ports = set.rx.ports().iter();
            for port in ports.filter(|port| !set.session.is_over(port.index())) {
                if let Err(error) = port.set_filter(filter) {
                    tell(cannot("hear answers to the new address", &error));
                }
            }
        }
        self.links = targets.links.iter().map(|link| Known::new(link, host)).collect();
        for path in targets.paths.iter().filter(|path| path.broken.is_none()) {
            self.links[path.link].is_used = true;
        }
        let interfaces = host.interfaces().unwrap_or_default();
        for set in &mut self.sets {
            for (at, ifindex) in set.devices.iter().enumerate() {
                if let Some(found) = interfaces.iter().find(|i| i.index == *ifindex) {
                    set.session.call(PortIndex::at(at), &found.name, &mut tell);
                }
            }
        }
        self.overheard.follow(host, &targets.links.iter().collect::<Vec<_>>());
        self.connect();
        for link in 0..self.links.len() {
            let Known { device, ifindex, is_used, .. } = self.links[link].clone();
            if !is_used || self.is_open(link) {
                continue;
            }
            // Its link is there, or no route would lead to it; the next look says otherwise.
            let patience = (Duration::ZERO, &(|| false) as &dyn Fn() -> bool);
            let opened = [(ifindex, device.clone())];
            match self.opener.open(&opened, filter, host, self.stuck, patience, false) {
                Ok(mut set) => {
                    set.sender.expect(self.longest);
                    self.sets.push(set);
                    self.connect();
                }
                Err(error) => {
                    tell(cannot(&format!("go on by {device}"), &error));
                    self.closed.push((link, error.to_string()));
                }
            }
        }
    }

    /// Why nothing can be sent to a target.
    pub(crate) fn why_not(&self, path: &Path, hops: &NextHops) -> WhyNot {
        let closed = || {
            let closed = self.closed.iter().find(|(link, _)| *link == path.link);
            closed.map(|(_, why)| why.clone()).or_else(|| self.ended(path.link))
        };
        let missing = || hops.get(path.hop).err();
        let why = path.broken.clone().or_else(closed).map(WhyNot::Local).or_else(missing);
        why.unwrap_or_else(|| WhyNot::local("the probe is too long"))
    }
}

/// What could not be done to follow a route.
fn cannot(what: &str, error: &FluxError) -> SessionEvent {
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let text = format!("cannot {what}: {error}{hint}");
    SessionEvent::Note(Note { kind: Trouble::NoWay, count: 1, text })
}
