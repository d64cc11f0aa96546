//! Whether a link is there: waiting for it, and counting how often it went or came.

use crate::error::Result;
use crate::life::Link;
use crate::packet::Packets;
use crate::system::FluxRx;
use crate::tools::host::Host;
use std::time::Duration;

/// Time between two looks at a link that is not there.
const LOOK: Duration = Duration::from_millis(20);

/// How long a link may take to come back after an XDP program was attached: some drivers reset.
pub(crate) const AFTER_ATTACH: Duration = Duration::from_secs(20);

/// How a command lets time pass while it waits for a link.
pub(crate) trait Idle {
    /// The time now, in ns.
    fn now(&self) -> u64;
    /// Lets `time` pass.
    fn pause(&mut self, time: Duration) -> Result<()>;
}

/// How often the link came or went so far; 0 where that is not known.
pub(crate) fn changes(host: &dyn Host, interface: &str) -> u32 {
    host.interface(interface).ok().and_then(|found| found.carrier_changes).unwrap_or(0)
}

/// Waits until `interface` is up and has a carrier: some drivers take the link down for seconds
/// while an XDP program is attached. Returns what is missing when `patience` is over, and nothing
/// when the link is there or `stop` says so. Without `patience` it waits as long as it takes.
///
/// # Errors
/// When the interface is gone, or the sockets say so while they wait.
pub(crate) fn wait(
    host: &dyn Host,
    interface: &str,
    patience: Option<Duration>,
    stop: &dyn Fn() -> bool,
    idle: &mut dyn Idle,
) -> Result<Option<Link>> {
    let start = idle.now();
    loop {
        let found = host.interface(interface)?;
        if found.up && found.carrier || stop() {
            return Ok(None);
        }
        let waited = Duration::from_nanos(idle.now().saturating_sub(start));
        if patience.is_some_and(|patience| waited >= patience) {
            return Ok(Some(if found.up { Link::NoCarrier } else { Link::Down }));
        }
        idle.pause(LOOK)?;
    }
}

/// Waits by receiving. What comes before the first packet is sent can be no answer to it, and is
/// dropped. This is what moves the time of the simulated network.
impl Idle for FluxRx {
    fn now(&self) -> u64 {
        FluxRx::now(self)
    }

    fn pause(&mut self, time: Duration) -> Result<()> {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let until = FluxRx::now(self).saturating_add(ns);
        let mut early = Packets::new();
        while FluxRx::now(self) < until {
            self.recv_batch(&mut early, Some(until))?;
            early.clear();
        }
        Ok(())
    }
}

/// Waits on the real kernel without a socket.
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(crate) struct KernelClock;

#[cfg(all(target_os = "linux", feature = "bpf"))]
impl Idle for KernelClock {
    fn now(&self) -> u64 {
        crate::sys::clock::monotonic_ns()
    }

    fn pause(&mut self, time: Duration) -> Result<()> {
        crate::sys::poll::pause(time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::Simulator;
    use crate::tools::host::SimHost;
    use crate::{Filter, FluxBuilder};

    fn open(net: &Simulator) -> FluxRx {
        let builder = FluxBuilder::new("a0").simulator(net).filter(Filter::Everything);
        builder.build_system().unwrap().0
    }

    #[test]
    fn a_link_that_is_there_is_not_waited_for() {
        let net = Simulator::crossed_pair(1);
        let (host, mut rx) = (SimHost::new(net.clone()), open(&net));
        let before = Idle::now(&rx);
        assert_eq!(wait(&host, "a0", None, &|| false, &mut rx).unwrap(), None);
        assert_eq!(Idle::now(&rx), before);
    }

    #[test]
    fn a_link_that_stays_away_is_told_when_the_patience_ends() {
        let net = Simulator::crossed_pair(1);
        let (host, mut rx) = (SimHost::new(net.clone()), open(&net));
        net.set_link_up("b0", false).unwrap();
        let (before, second) = (Idle::now(&rx), Duration::from_secs(1));
        let missing = wait(&host, "a0", Some(second), &|| false, &mut rx).unwrap();
        assert_eq!(missing, Some(Link::NoCarrier));
        let waited = Idle::now(&rx) - before;
        assert!((1_000_000_000..1_100_000_000).contains(&waited), "{waited} ns");
        assert_eq!(wait(&host, "a0", None, &|| true, &mut rx).unwrap(), None, "stopped");
        assert!(wait(&host, "zz", None, &|| false, &mut rx).is_err());
    }
}
