//! What happens to the interface while a run goes on, told as it happens.

use crate::error::Result;
use crate::life::{self, Link, PortState};
use crate::port::Port;
use serde::Serialize;

/// A change of the interface, with all of its state after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceChange {
    /// Interface name.
    pub interface: String,
    /// `up`, `no_carrier` or `down`.
    pub link: String,
    /// How often the link was lost since the start.
    pub link_losses: u64,
    /// In bytes.
    pub mtu: u32,
    /// RX queues that it has.
    pub rx_queues: u32,
    /// What changed, in words.
    pub text: String,
}

/// Compares an interface with what it was at the last look.
pub(crate) struct Watch {
    port: Port,
    /// As it is called now.
    name: String,
    last: PortState,
}

impl Watch {
    /// From now on. A link that is not there at the first look is told then.
    pub(crate) fn new(port: &Port) -> Self {
        let last = PortState { link: Link::Up, ..port.state() };
        Self { last, name: port.granted().interface.clone(), port: port.clone() }
    }

    /// Whether packets could pass at the last look.
    pub(crate) fn has_link(&self) -> bool {
        self.last.link == Link::Up
    }

    /// It is called `name` now.
    pub(crate) fn call(&mut self, name: &str) -> InterfaceChange {
        let before = std::mem::replace(&mut self.name, name.to_owned());
        change(name, &self.last, format!("{before} is called {name} now"))
    }

    /// Reports what changed since the last look. True when the link was lost meanwhile: what was under
    /// way then is lost, too.
    ///
    /// # Errors
    /// When the interface is gone, or somebody detached its XDP program.
    pub(crate) fn look(&mut self, now: u64, mut tell: impl FnMut(InterfaceChange)) -> Result<bool> {
        let state = self.port.state();
        if state == self.last {
            return Ok(false);
        }
        let name = &self.name;
        let before = std::mem::replace(&mut self.last, state);
        if state.link == Link::Gone {
            return Err(life::gone(name));
        }
        if state.detached {
            return Err(life::detached(name));
        }
        for text in changes(name, &before, &state, now).into_iter().flatten() {
            tell(change(name, &state, text));
        }
        Ok(state.link_losses > before.link_losses)
    }
}

/// A change of an interface in this state.
fn change(name: &str, state: &PortState, text: String) -> InterfaceChange {
    InterfaceChange {
        interface: name.to_owned(),
        link: state.link.to_string(),
        link_losses: state.link_losses,
        mtu: state.mtu,
        rx_queues: state.rx_queues,
        text,
    }
}

fn changes(name: &str, before: &PortState, state: &PortState, now: u64) -> [Option<String>; 3] {
    let link = match (before.link, state.link) {
        (Link::Up, Link::Up) if state.link_losses > before.link_losses => {
            Some(format!("the link of {name} went and came back"))
        }
        (same, link) if same == link => None,
        (_, Link::Up) => {
            let away = now.saturating_sub(before.since_ns) as f64 / 1e9;
            Some(format!("the link of {name} is back after {away:.1} s"))
        }
        (_, Link::NoCarrier) => Some(format!("{name} has no carrier: waiting for its link")),
        (_, _) => Some(format!("{name} is down: waiting for its link")),
    };
    let mtu = (before.mtu != state.mtu)
        .then(|| format!("the MTU of {name} is {} now; it was {}", state.mtu, before.mtu));
    let queues = (before.rx_queues != state.rx_queues).then(|| {
        let more = if state.rx_queues > before.rx_queues {
            ": what arrives on the new ones is not seen here"
        } else {
            ""
        };
        format!("{name} has {} RX queues now; it had {}{more}", state.rx_queues, before.rx_queues)
    });
    [link, mtu, queues]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::Simulator;
    use crate::{Filter, FluxBuilder};
    use std::time::Duration;

    #[test]
    fn each_change_is_told_once_with_the_whole_state() {
        let net = Simulator::crossed_pair(1);
        let builder = FluxBuilder::new("a0").simulator(&net).filter(Filter::Everything);
        let (rx, _tx) = builder.build_system().unwrap();
        let mut watch = Watch::new(&rx.ports()[0]);
        let told = |watch: &mut Watch| {
            let mut told = Vec::new();
            watch.look(rx.now(), |change| told.push(change)).unwrap();
            told
        };
        assert!(told(&mut watch).is_empty() && watch.has_link());
        net.set_link_up("b0", false).unwrap();
        let down = told(&mut watch);
        assert_eq!(
            down,
            [InterfaceChange {
                interface: "a0".into(),
                link: "no_carrier".into(),
                link_losses: 1,
                mtu: 1500,
                rx_queues: 1,
                text: "a0 has no carrier: waiting for its link".into(),
            }]
        );
        assert!(told(&mut watch).is_empty() && !watch.has_link());
        net.step(Duration::from_millis(300));
        net.set_link_up("b0", true).unwrap();
        net.set_mtu("a0", 1400).unwrap();
        let texts: Vec<_> = told(&mut watch).into_iter().map(|change| change.text).collect();
        let mtu = "the MTU of a0 is 1400 now; it was 1500";
        assert_eq!(texts, ["the link of a0 is back after 0.3 s", mtu]);
        net.set_link_up("a0", false).unwrap();
        net.set_link_up("a0", true).unwrap();
        assert_eq!(told(&mut watch)[0].text, "the link of a0 went and came back");
        net.remove_port("a0").unwrap();
        assert!(watch.look(rx.now(), |_| panic!("told")).is_err() && !watch.has_link());
    }
}
