//! What is known of a machine and an interface, before anybody judges it.

use std::collections::BTreeMap;

/// All that the checks go by.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// `None` for a simulated machine.
    pub(super) machine: Option<Machine>,
    pub(super) subject: Subject,
}

/// Which interfaces it is about.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// All of them, a line each.
    All(Vec<Brief>),
    One(Box<Nic>),
}

impl Default for Subject {
    fn default() -> Self {
        Subject::All(Vec::new())
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    Worked,
    /// With that errno (0 if there was none), in words.
    Refused(i32, String),
    /// It was not made, and why.
    Not(String),
}

/// A fact, or why it is not known.
pub(super) type Known<T> = Result<T, String>;

#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Such as `6.12.3-amd64`.
    pub(super) release: String,
    /// `socket(AF_XDP)`.
    pub(super) socket: Tried,
    /// The options that the kernel was built with, such as `CONFIG_BPF_JIT` → `y`.
    pub(super) config: Known<BTreeMap<String, String>>,
    /// A bit for each number of linux/capability.h.
    pub(super) capabilities: Known<u64>,
    /// Whether these are capabilities of a user namespace alone.
    pub(super) user_namespace: bool,
    /// Why an AF_XDP socket is forbidden, if it is, and what helps.
    pub(super) socket_forbidden: (String, String),
    /// The same of an XDP program.
    pub(super) program_forbidden: (String, String),
    /// Loading the XDP program.
    pub(super) program: Tried,
    pub(super) jit: Known<bool>,
    pub(super) btf: bool,
    pub(super) memlock: Known<Limit>,
    /// Bytes of the UMEM that would be opened by default.
    pub(super) umem_bytes: u64,
    /// The same where memory is not short.
    pub(super) usual_umem_bytes: u64,
    /// Huge pages of 2 MiB.
    pub(super) huge_pages: HugePages,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Unlimited,
    Bytes(u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HugePages {
    pub(super) total: u64,
    pub(super) free: u64,
}

/// An interface in a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Brief {
    pub(super) name: String,
    pub(super) driver: Option<String>,
    pub(super) up: bool,
    pub(super) xdp: Option<Xdp>,
    pub(super) master: Option<Master>,
    pub(super) program: Option<Program>,
}

/// The bridge, bond, team or VRF that an interface belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Master {
    /// `bridge`, `bond`, `team`, `vrf`.
    pub(super) kind: String,
    pub(super) name: String,
}

/// What a driver says that its XDP can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Xdp {
    /// Native programs that redirect to sockets.
    pub(super) native: bool,
    pub(super) zero_copy: bool,
    /// Packets in several buffers.
    pub(super) multi_buffer: bool,
    /// Frames that a packet may take in zero-copy mode.
    pub(super) zero_copy_segments: Option<u32>,
    /// Takes packets that others redirect to it.
    pub(super) takes_redirects: bool,
    /// What a program can ask about a received packet; `None` before Linux 6.6.
    pub(super) rx_metadata: Option<Vec<&'static str>>,
    /// What the NIC can do for a sent packet; `None` before Linux 6.8.
    pub(super) tx_metadata: Option<Vec<&'static str>>,
}

/// A program that is in the way of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Where it is, whose, and in which mode.
    pub(super) told: String,
    /// What takes it off.
    pub(super) cure: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    pub(super) rx: u32,
    pub(super) tx: u32,
    pub(super) combined: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pcie {
    /// GT/s per lane, and lanes.
    pub(super) now: (f64, u32),
    pub(super) most: (f64, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moderation {
    pub(super) adaptive: bool,
    pub(super) usecs: u32,
    pub(super) frames: u32,
}

/// The other end of a veth pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Here {
        name: String,
        /// Whether its kernel leaves checksums to the device.
        tx_checksum: Option<bool>,
    },
    /// In another network namespace.
    Elsewhere,
}

#[derive(Clone, Debug)]
pub(super) struct Nic {
    pub(super) name: String,
    /// `veth`, `bridge`; empty for a device with a driver of its own.
    pub(super) kind: String,
    pub(super) master: Option<Master>,
    /// The interfaces that belong to it.
    pub(super) ports: Vec<String>,
    pub(super) driver: Option<String>,
    pub(super) bus: Option<String>,
    pub(super) ethernet: bool,
    pub(super) loopback: bool,
    pub(super) up: bool,
    pub(super) carrier: bool,
    pub(super) mtu: u32,
    /// Of the link, in Mbit/s, where the driver says.
    pub(super) speed_mbit: Option<u32>,
    pub(super) pcie: Option<Pcie>,
    /// Its node, where the machine has several.
    pub(super) numa_node: Option<u32>,
    /// CPUs that are online.
    pub(super) cpus: usize,
    pub(super) xdp: Known<Xdp>,
    pub(super) program: Option<Program>,
    pub(super) native: Tried,
    pub(super) skb: Tried,
    pub(super) channels: Option<Channels>,
    pub(super) rx_queues: Option<u32>,
    /// The queue of each entry of the RSS table.
    pub(super) rss: Option<Vec<u32>>,
    pub(super) rules: Option<u32>,
    /// Descriptors in each of the NIC's RX rings, and how many there could be.
    pub(super) ring: Option<(u32, u32)>,
    /// Whether each is on, by the kernel's names.
    pub(super) offloads: BTreeMap<&'static str, bool>,
    pub(super) moderation: Option<Moderation>,
    pub(super) peer: Option<Peer>,
    /// Queues that have an AF_XDP socket.
    pub(super) bound: Vec<u32>,
}

impl Nic {
    /// Of which all is unknown but its name.
    pub(super) fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: String::new(),
            master: None,
            ports: Vec::new(),
            driver: None,
            bus: None,
            ethernet: true,
            loopback: false,
            up: false,
            carrier: false,
            mtu: 0,
            speed_mbit: None,
            pcie: None,
            numa_node: None,
            cpus: 1,
            xdp: Err("not known".into()),
            program: None,
            native: Tried::Not("not known".into()),
            skb: Tried::Not("not known".into()),
            channels: None,
            rx_queues: None,
            rss: None,
            rules: None,
            ring: None,
            offloads: BTreeMap::new(),
            moderation: None,
            peer: None,
            bound: Vec::new(),
        }
    }

    /// Whether packets can be taken in the driver: tried, or else as the driver says.
    pub(super) fn is_native(&self) -> Option<bool> {
        match (&self.native, &self.xdp) {
            (Tried::Worked, _) => Some(true),
            (Tried::Refused(..), _) => Some(false),
            (Tried::Not(_), Ok(xdp)) => Some(xdp.native),
            (Tried::Not(_), Err(_)) => None,
        }
    }

    pub(super) fn is_veth(&self) -> bool {
        self.driver.as_deref() == Some("veth") || self.kind == "veth"
    }

    /// Whether there is hardware behind it, or what a hypervisor makes look so.
    pub(super) fn has_device(&self) -> bool {
        self.kind.is_empty() && self.bus.is_some()
    }

    pub(super) fn offload(&self, name: &str) -> Option<bool> {
        self.offloads.get(name).copied()
    }
}
