//! An Ethernet switch that learns where addresses are.

use super::outbox::Outbox;
use crate::proto::{EthernetView, MacAddr};
use std::collections::HashMap;

/// Forwards by destination address; floods what it does not know.
#[derive(Default)]
pub(super) struct Switch {
    interfaces: usize,
    learnt: HashMap<MacAddr, usize>,
}

impl Switch {
    pub(super) fn add_interface(&mut self) -> usize {
        self.interfaces += 1;
        self.interfaces - 1
    }

    pub(super) fn receive(&mut self, interface: usize, packet: Vec<u8>, out: &mut Outbox) {
        let Ok((dst, src)) = EthernetView::parse(&packet).map(|frame| (frame.dst(), frame.src()))
        else {
            out.recycle(packet);
            return;
        };
        self.learnt.insert(src, interface);
        match self.learnt.get(&dst) {
            Some(&to) if to == interface => out.recycle(packet),
            Some(&to) => out.send(to, packet),
            None => {
                for to in (0..self.interfaces).filter(|&to| to != interface) {
                    let copy = out.copy(&packet);
                    out.send(to, copy);
                }
                out.recycle(packet);
            }
        }
    }
}
