//! [`Opened`]: what was really granted, as all commands report it.

use crate::config::{Granted, Poller};
use crate::error::{Advice, Result};
use crate::port::Port;
use crate::system::FluxTx;
use crate::tools::host::Host;
use serde::{Deserialize, Serialize};

/// What was really granted. Reports that were saved before a field was there are read without it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// `sim` or `xdp`.
    #[serde(default)]
    pub backend: String,
    /// What packets are sent by: `ring`, the TX ring of an AF_XDP socket.
    #[serde(default, alias = "tx")]
    pub tx_path: String,
    /// Interface name.
    pub interface: String,
    /// Driver name, where it is known.
    pub driver: Option<String>,
    /// `native`, `skb`, `foreign` or `none`.
    pub attach: String,
    /// Whether all sockets are zero-copy.
    pub zero_copy: bool,
    /// Queue numbers.
    #[serde(default)]
    pub queues: Vec<u32>,
    /// Those of them that send, where others only receive: the interface has fewer TX than RX
    /// queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_queues: Option<Vec<u32>>,
    /// Entries per ring.
    pub ring_size: u32,
    /// UMEM frames.
    pub frames: u32,
    /// Bytes per frame.
    pub frame_size: u32,
    /// What the UMEM lies in: `4k`, `thp` (transparent huge pages), `2m` or `1g`.
    pub pages: String,
    /// Poll mode.
    #[serde(default)]
    pub poll: String,
    /// Whether the kernel polls the device from our system calls.
    pub kernel_busy_poll: bool,
    /// Clock of the stamp of the sending: `monotonic` or `virtual`. An RTT is the difference of two
    /// stamps.
    #[serde(default)]
    pub tx_clock: String,
    /// Clock of the stamp of the reception.
    #[serde(default)]
    pub rx_clock: String,
    /// Where the stamp of the sending is taken: `user_space`, just before the kick.
    #[serde(default)]
    pub tx_stamp: String,
    /// Where the stamp of the reception is taken: `xdp_program`.
    #[serde(default)]
    pub rx_stamp: String,
    /// What fell back, in words.
    pub notes: Vec<String>,
}

impl Opened {
    /// What `granted` says. `host` is asked for a driver that the sockets do not know.
    pub(crate) fn new(granted: &Granted, poller: Poller, host: &dyn Host) -> Self {
        let opened = Self::of(granted, poller);
        let driver = opened.driver.or_else(|| host.driver(&granted.interface));
        Self { driver, ..opened }
    }

    /// What `granted` says.
    pub(crate) fn of(granted: &Granted, poller: Poller) -> Self {
        Self {
            backend: granted.backend.to_owned(),
            tx_path: "ring".to_owned(),
            interface: granted.interface.clone(),
            driver: granted.driver.clone(),
            attach: granted.attach.to_string(),
            zero_copy: granted.zero_copy,
            queues: granted.queues.clone(),
            tx_queues: fewer(granted),
            ring_size: granted.ring_size,
            frames: granted.frames,
            frame_size: granted.frame_size,
            pages: granted.pages.to_string(),
            poll: poller.to_string(),
            kernel_busy_poll: granted.kernel_busy_poll,
            tx_clock: granted.tx_clock.to_owned(),
            rx_clock: granted.rx_clock.to_owned(),
            tx_stamp: "user_space".to_owned(),
            rx_stamp: "xdp_program".to_owned(),
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

/// Refuses a port of whose sockets none sends, for commands that have to.
pub(crate) fn check_sends(tx: &FluxTx) -> Result<()> {
    let deaf = |port: &&Port| !port.queues().any(|queue| port.sends(queue));
    let Some(port) = tx.ports().iter().find(deaf) else { return Ok(()) };
    let Some(first) = port.queues().next() else { return Ok(()) };
    Err(port.cannot_send(first).with_hint(USE_QUEUE_0))
}

/// What to do where a queue only receives: queue 0 sends on every interface.
pub(crate) const USE_QUEUE_0: &str =
    "use --queue 0 (`ethtool -l` shows how many TX queues there are)";
