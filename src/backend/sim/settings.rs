//! What a test changes about an interface of the simulated machine.

use super::Simulator;
use crate::error::Result;

impl Simulator {
    /// Gives an interface of ours that many TX queues, at least one and at most as many as it has RX
    /// queues. The others only receive: as on Linux, kicks for them end well and do nothing. Sockets
    /// that are open already do not learn of it.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn set_tx_queues(&self, port: &str, queues: u32) -> Result<()> {
        self.with_port(port, |port, _| port.tx_queues = queues.clamp(1, port.queues()))
    }

    /// Changes the MTU of an interface of ours, in bytes; that of what it is linked to stays. Sockets
    /// that are open send packets of the new length at once.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn set_mtu(&self, port: &str, mtu: u32) -> Result<()> {
        self.with_port(port, |port, _| {
            port.mtu = mtu;
            port.longest();
        })
    }
}
