//! Hosts from outside: what one sends by itself, and what has reached it.
//!
//! A host of the network only answers. Who wants to see what our machine makes of traffic from one
//! side to the other has a host here send, and looks at what came to the other.

use super::host::Host;
use super::{Simulator, World};
use crate::error::{ErrorKind, FluxError, Result};
use std::net::IpAddr;

impl Simulator {
    /// Lets the host that has `address` send `packet`, a whole frame, over its link. It travels
    /// as any other does: it takes the link's time, and what the link does to packets it does to
    /// this one.
    ///
    /// # Errors
    /// When no host has the address.
    pub fn send_from(&self, address: IpAddr, packet: &[u8]) -> Result<()> {
        let mut world = self.shared.enter();
        let (node, _) = find(&mut world, address)?;
        world.emit(node, packet);
        drop(world);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Starts to keep copies of what reaches the host that has `address`: frames to its Ethernet
    /// address and to groups, whether it answers them or not.
    ///
    /// # Errors
    /// When no host has the address.
    pub fn tap_host(&self, address: IpAddr) -> Result<()> {
        let mut world = self.shared.enter();
        find(&mut world, address)?.1.tap.get_or_insert_default();
        Ok(())
    }

    /// Takes what has reached a tapped host since the last call; empty without a
    /// [`Simulator::tap_host`].
    #[must_use]
    pub fn arrived_at(&self, address: IpAddr) -> Vec<Vec<u8>> {
        let mut world = self.shared.enter();
        let tap = find(&mut world, address).ok().and_then(|(_, host)| host.tap.as_mut());
        tap.map(std::mem::take).unwrap_or_default()
    }
}

fn find(world: &mut World, address: IpAddr) -> Result<(usize, &mut Host)> {
    world.host(address).ok_or_else(|| {
        let what = format!("cannot find host {address}");
        FluxError::new(ErrorKind::Device, what, "no host of the simulated network has this address")
    })
}
