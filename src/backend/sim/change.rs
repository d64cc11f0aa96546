//! What somebody may do to the machine while it runs.

use super::{Simulator, Troubles};
use crate::error::Result;

impl Simulator {
    /// Raises or lowers an interface of ours. While it is down, kicks do nothing (ENETDOWN) and what
    /// arrives is lost; a port linked to it directly loses its carrier.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn set_link_up(&self, port: &str, up: bool) -> Result<()> {
        let mut world = self.shared.enter();
        let at = Self::find(&world, port)?;
        let moved = world.port(at).map(|port| std::mem::replace(&mut port.up, up)) == Some(!up);
        for end in [Some(at), world.peer(at).filter(|&peer| peer != at)].into_iter().flatten() {
            if let Some(port) = world.port(end) {
                port.link_moves += u64::from(moved);
            }
        }
        drop(world);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Gives an interface of ours, its driver and its link these troubles instead of those that
    /// it had. Sockets that are open keep what was decided when they were opened.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn set_troubles(&self, port: &str, troubles: Troubles) -> Result<()> {
        self.with_port(port, |port, _| port.troubles = troubles)
    }

    /// Removes an interface of ours, as `ip link del` does: its sockets are of no use any more, and
    /// calls that wait on them end with an error. It does not come back.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn remove_port(&self, port: &str) -> Result<()> {
        self.with_port(port, |port, _| port.removed = true)?;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Detaches the XDP program from an interface of ours, as `bpftool link detach` does: everything
    /// goes on to the kernel's stack until it is opened anew.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn detach(&self, port: &str) -> Result<()> {
        self.with_port(port, |port, _| port.detached = port.is_open())?;
        self.shared.changed.notify_all();
        Ok(())
    }

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
