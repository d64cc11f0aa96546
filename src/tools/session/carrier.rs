//! Whether the link is there while a run goes on.

use crate::error::Result;
use crate::packet::Packets;
use crate::system::FluxRx;
use crate::tools::Control;
use crate::tools::host::Host;

/// How long a link may take to come back after the XDP program was attached: some drivers reset.
const CARRIER_NS: u64 = 20_000_000_000;

/// How often the link came or went so far; 0 where nobody knows.
pub(crate) fn changes(host: &dyn Host, device: &str) -> u32 {
    host.interface(device).ok().and_then(|interface| interface.carrier_changes).unwrap_or(0)
}

/// Waits for the link, which some drivers take down while an XDP program is attached.
pub(crate) fn wait(
    host: &dyn Host,
    device: &str,
    rx: &mut FluxRx,
    control: &Control,
) -> Result<()> {
    const LOOK_NS: u64 = 50_000_000;
    let end = rx.now().saturating_add(CARRIER_NS);
    let mut early = Packets::new();
    while !host.interface(device)?.carrier && rx.now() < end && !control.is_stopped() {
        // Waiting for packets is waiting for the link, too. None of them can be ours yet.
        let until = rx.now().saturating_add(LOOK_NS);
        rx.recv_batch(&mut early, Some(until))?;
        early.clear();
    }
    Ok(())
}
