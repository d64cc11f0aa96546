//! What a probing run tells of its sockets: what was granted, who the neighbours are, and why
//! packets were lost.

use super::trouble::Trouble;
use crate::config::{Config, Granted};
use crate::error::{Advice, Result};
use crate::system::FluxTx;
use crate::tools::host::Host;
use crate::tools::probe::targets::{Path, ProbeTargets};
use serde::Serialize;
use std::net::IpAddr;

/// What was really granted.
#[derive(Clone, Debug, Serialize)]
pub struct Opened {
    /// `sim` or `xdp`.
    pub backend: &'static str,
    /// Interface name.
    pub interface: String,
    /// Driver name, where it is known.
    pub driver: Option<String>,
    /// `native`, `skb`, `foreign` or `none`.
    pub attach: String,
    /// Whether all sockets are zero-copy.
    pub zero_copy: bool,
    /// Queue numbers.
    pub queues: Vec<u32>,
    /// Those of them that send, where others only receive: the interface has fewer TX than RX
    /// queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_queues: Option<Vec<u32>>,
    /// Entries per ring.
    pub ring_size: u32,
    /// UMEM frames.
    pub frames: u32,
    /// Bytes per frame.
    pub frame_size: u32,
    /// Whether the UMEM is in huge pages.
    pub hugepages: bool,
    /// Poll mode.
    pub poll: String,
    /// Clocks of the two stamps an RTT is the difference of.
    pub clocks: Clocks,
    /// What fell back, in words.
    pub notes: Vec<String>,
}

/// Where the two stamps of an RTT come from.
#[derive(Clone, Debug, Serialize)]
pub struct Clocks {
    /// Stamp of the sending: taken in user space just before the kick.
    pub tx: String,
    /// Stamp of the reception: the XDP program's, or user space's.
    pub rx: String,
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
}

/// Neighbour resolution, which is in no RTT.
#[derive(Clone, Debug, Serialize)]
pub struct NeighbourFound {
    /// The next hop.
    pub address: IpAddr,
    /// Its link layer address.
    pub mac: String,
    /// How long the kernel took; 0 when it knew.
    pub took_us: f64,
    /// Whether the kernel knew.
    pub cached: bool,
}

/// Answers that the NIC put on a queue without a socket.
#[derive(Clone, Debug, Serialize)]
pub struct Elsewhere {
    /// Queue number.
    pub queue: u32,
    /// Answers to our probes that arrived there.
    pub packets: u64,
}

/// Something that the kernel's own counters and rings tell about a run.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// What happened, for programs.
    pub kind: Trouble,
    /// Packets; changes of a [`Trouble::LinkFlap`]; looks into an empty fill ring where the
    /// packets of a [`Trouble::Starved`] were not counted.
    pub count: u64,
    /// The same in words.
    pub text: String,
}

impl Opened {
    /// Of a run over `journey`.
    pub(crate) fn new(
        config: &Config,
        journey: &ProbeTargets,
        granted: &Granted,
        host: &dyn Host,
    ) -> Self {
        Self {
            backend: granted.backend,
            interface: journey.link.interface.name.clone(),
            driver: granted.driver.clone().or_else(|| host.driver(&journey.link.device)),
            attach: granted.attach.to_string(),
            zero_copy: granted.zero_copy,
            queues: granted.queues.clone(),
            tx_queues: fewer(granted),
            ring_size: granted.ring_size,
            frames: granted.frames,
            frame_size: granted.frame_size,
            hugepages: granted.pages.are_huge(),
            poll: config.poller.to_string(),
            clocks: Clocks {
                tx: format!("{} (user space, before the kick)", granted.tx_clock),
                rx: format!("{} (XDP program)", granted.rx_clock),
            },
            notes: in_options(&granted.notes),
        }
    }
}

/// The queues that send, where these are not all.
fn fewer(granted: &Granted) -> Option<Vec<u32>> {
    (granted.tx_queues.len() < granted.queues.len()).then(|| granted.tx_queues.clone())
}

/// Notes of the library, with our option in place of its words for larger frames.
pub(crate) fn in_options(notes: &[String]) -> Vec<String> {
    let words = Advice::LargerFrames.to_string();
    notes.iter().map(|note| note.replace(&words, "use --frame-size 4096")).collect()
}

/// Refuses to probe where nothing can be sent.
pub(crate) fn check_sends(tx: &FluxTx) -> Result<()> {
    let Some(&first) = tx.positions().first().filter(|_| tx.sending().is_empty()) else {
        return Ok(());
    };
    let error = tx.ports().first().map(|port| port.cannot_send(first));
    error.map_or(Ok(()), |error| Err(error.with_hint(USE_QUEUE_0)))
}

/// What to do where a queue only receives: queue 0 sends on every interface.
pub(crate) const USE_QUEUE_0: &str =
    "use --queue 0 (`ethtool -l` shows how many TX queues there are)";

impl TargetRoute {
    /// Of one path.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            name: path.name.clone(),
            address: path.address,
            source: path.source,
            gateway: path.gateway,
        }
    }
}
