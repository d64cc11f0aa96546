//! Whether what a workload sends can leave, looked at before anything is measured.

use super::plan::{Plan, Setting, Workload};
use crate::config::limits::longest;
use crate::config::{Granted, Queues as Chosen};
use crate::error::{FluxError, Result};
use crate::port::{Port, receive_only};
use crate::text::counts::counted;
use crate::tools::host::Queues;
use crate::tools::session::opened::USE_QUEUE_0;

impl Workload {
    /// Whether it sends packets.
    pub(super) fn sends(self) -> bool {
        match self {
            Workload::Txonly | Workload::L2fwd | Workload::Forward => true,
            Workload::Rxdrop | Workload::Latency | Workload::Parse => false,
        }
    }

    /// Whether it sends by the port that it receives on.
    fn sends_back(self) -> bool {
        self.sends() && self != Workload::Forward
    }
}

/// Refuses a plan that has a queue of `interface` send that only receives: before the first setting,
/// as a run takes minutes.
pub(super) fn check_plan(plan: &Plan, interface: &str, there: Queues) -> Result<()> {
    if !plan.workloads.iter().any(|workload| workload.sends_back()) {
        return Ok(());
    }
    let mute = |chosen: &Chosen| match chosen {
        Chosen::All => (there.tx < there.rx).then_some(there.tx),
        Chosen::Only(list) => {
            list.iter().copied().find(|queue| (there.tx..there.rx).contains(queue))
        }
    };
    match plan.queues.iter().find_map(mute) {
        Some(queue) => Err(receive_only(interface, queue).with_hint(USE_QUEUE_0)),
        None => Ok(()),
    }
}

/// The same for a setting whose ports are open. A TX ring has one owner, so each loop needs one; mode A
/// says the same of its workers.
pub(super) fn check(setting: &Setting, ports: &[Port]) -> Result<()> {
    let (Some(first), Some(out)) = (ports.first(), ports.last()) else { return Ok(()) };
    if !setting.workload.sends() {
        return Ok(());
    }
    fits(setting, out.granted())?;
    if setting.workload.sends_back() {
        return match first.queues().find(|&queue| !first.sends(queue)) {
            Some(mute) => Err(first.cannot_send(mute).with_hint(USE_QUEUE_0)),
            None => Ok(()),
        };
    }
    let (first, out) = (first.granted(), out.granted());
    let (loops, ways) = (first.queues.len(), out.tx_queues.len());
    if loops <= ways {
        return Ok(());
    }
    let open = match out.queues.len() {
        open if open == ways => format!("{ways} open"),
        open => format!("{open} open of which {ways} can send"),
    };
    Err(FluxError::config(
        format!("{} of {}", counted(loops, "queue"), first.interface),
        format!("{} has {open}, and each loop needs one to send by", out.interface),
    )
    .with_hint(format!("open {ways} with --queue, or give {} more", out.interface)))
}

/// Whether the packets are not too long for the interface that they leave by.
fn fits(setting: &Setting, out: &Granted) -> Result<()> {
    let (len, most) = (setting.packet_size, longest(out.mtu));
    if len <= most {
        return Ok(());
    }
    let (name, mtu) = (&out.interface, out.mtu);
    Err(FluxError::config(
        format!("packets of {} bytes", setting.packet_size),
        format!("{name} has MTU {mtu} and sends {most} bytes at most"),
    )
    .with_hint(format!("choose shorter ones with --packet-size, or `ip link set {name} mtu 1500`")))
}
