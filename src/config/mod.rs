//! What a socket is asked to be ([`Config`]) and what it became ([`Granted`]).

pub(crate) mod limits;
mod sizes;

use crate::error::{FluxError, Result};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How to wait for packets. No one waits for a fixed time: a packet ends each wait at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poller {
    /// Spin, with kernel busy polling where the kernel has it.
    Busy,
    /// Spin for a time learnt from the arrival gap, at most `spin`; then `poll(2)`.
    Adaptive {
        /// Longest spin before the system call.
        spin: Duration,
    },
    /// `poll(2)` when the rings are empty, 10 µs later after a dense run.
    Syscall,
}

impl Poller {
    /// Adaptive polling with the default spin of 250 µs: through the gaps of a stream of 4000
    /// packets a second and more, so that it answers as soon as busy polling does.
    pub const ADAPTIVE: Poller = Poller::Adaptive { spin: Duration::from_micros(250) };
}

impl Default for Poller {
    fn default() -> Self {
        Self::ADAPTIVE
    }
}

impl fmt::Display for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Poller::Busy => "busy",
            Poller::Adaptive { .. } => "adaptive",
            Poller::Syscall => "syscall",
        })
    }
}

impl FromStr for Poller {
    type Err = FluxError;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "busy" => Ok(Poller::Busy),
            "adaptive" => Ok(Poller::ADAPTIVE),
            "syscall" => Ok(Poller::Syscall),
            _ => Err(FluxError::config(
                format!("poll mode '{s}'"),
                "must be busy, adaptive or syscall",
            )),
        }
    }
}

/// Which RX queues of the interface to open; each gets its own socket over one shared UMEM.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Queues {
    /// Every queue the interface has.
    #[default]
    All,
    /// These, by number, each once.
    Only(Vec<u32>),
}

impl fmt::Display for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Queues::All => f.write_str("all"),
            Queues::Only(list) => {
                let list: Vec<_> = list.iter().map(u32::to_string).collect();
                f.write_str(&list.join(","))
            }
        }
    }
}

impl FromStr for Queues {
    type Err = FluxError;

    /// `all`, `N`, `N-M`, `N,M,…` and mixtures of the last three; a number twice counts once.
    fn from_str(s: &str) -> Result<Self> {
        const MOST: u32 = 4096;
        let bad = |why: &str| FluxError::config(format!("queue '{s}'"), why);
        if s == "all" {
            return Ok(Queues::All);
        }
        let number = |t: &str| {
            t.trim()
                .parse::<u32>()
                .ok()
                .filter(|&n| n < MOST)
                .ok_or_else(|| bad("must be all, N, N-M or N,M with numbers below 4096"))
        };
        let mut list = Vec::new();
        for part in s.split(',') {
            match part.split_once('-') {
                None => list.push(number(part)?),
                Some((from, to)) => {
                    let (from, to) = (number(from)?, number(to)?);
                    if from > to {
                        return Err(bad("the range runs backwards"));
                    }
                    list.extend(from..=to);
                }
            }
        }
        list.sort_unstable();
        list.dedup();
        Ok(Queues::Only(list))
    }
}

/// A closed set of words, as options and JSON write them. `f.pad` so that tables can align them.
macro_rules! keyword_enum {
    ($(#[$doc:meta])* $name:ident, $label:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The words it is written with.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $($name::$variant => $word),+ })
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::error::FluxError;
            fn from_str(s: &str) -> crate::error::Result<Self> {
                match s {
                    $($word => Ok($name::$variant),)+
                    _ => Err(crate::error::FluxError::config(
                        format!(concat!($label, " '{}'"), s),
                        format!("must be one of {}", Self::WORDS.join(", ")),
                    )),
                }
            }
        }
    };
}
#[cfg(feature = "tools")]
pub(crate) use keyword_enum;

keyword_enum! {
    /// Where the XDP program hooks in.
    #[derive(Default)]
    AttachMode, "attach mode" {
        /// Native where the driver has it, else skb; says which it got.
        #[default]
        Auto = "auto",
        /// In the driver, before an skb exists.
        Native = "native",
        /// Generic XDP, on skbs: any driver, slower.
        Skb = "skb",
    }
}

keyword_enum! {
    /// Where packets come to an XDP program, as it was granted.
    Attached, "attachment" {
        /// A program of ours, in the driver.
        Native = "native",
        /// A program of ours, on skbs.
        Skb = "skb",
        /// A program that somebody else attached; we have a place in its XSKMAP.
        Foreign = "foreign",
        /// No program: the sockets only send.
        None = "none",
    }
}

keyword_enum! {
    /// How packets get in and out of the UMEM.
    #[derive(Default)]
    BindMode, "bind mode" {
        /// Zero-copy where the driver has it, else copy; says which it got.
        #[default]
        Auto = "auto",
        /// The kernel copies each packet.
        Copy = "copy",
        /// The NIC reads and writes the UMEM itself.
        ZeroCopy = "zerocopy",
    }
}

keyword_enum! {
    /// Whether the UMEM lies in huge pages.
    #[derive(Default)]
    HugePages, "huge pages" {
        /// Reserved 2 MiB pages where there are enough, else transparent ones, else ordinary ones;
        /// says which it got.
        #[default]
        Auto = "auto",
        /// Reserved 2 MiB pages or an error.
        On = "on",
        /// Reserved 1 GiB pages or an error.
        Giant = "1g",
        /// Transparent 2 MiB pages or an error: nothing to reserve, and the kernel may fail to
        /// find them.
        Transparent = "thp",
        /// Ordinary pages.
        Off = "off",
    }
}

keyword_enum! {
    /// What the UMEM lies in.
    #[derive(Default)]
    Pages, "pages" {
        /// Ordinary pages.
        #[default]
        Ordinary = "4k",
        /// Transparent huge pages.
        Transparent = "thp",
        /// Reserved 2 MiB pages.
        Huge = "2m",
        /// Reserved 1 GiB pages.
        Giant = "1g",
    }
}

impl Pages {
    /// Whether one entry of the CPU's TLB covers more than an ordinary page.
    #[must_use]
    pub fn are_huge(self) -> bool {
        self != Pages::Ordinary
    }
}

keyword_enum! {
    /// What the XDP program does with packets that are ours, by the filter, when there is no socket
    /// on the queue that they come on: it was not opened, its receiver was dropped, or its worker
    /// panicked.
    ///
    /// Open is right for an end host: its own stack answers. Closed is right for a firewall or a
    /// forwarder, past which nothing must get by accident. It holds as long as the XDP program is
    /// attached, that is as long as anything of what was opened lives: the other workers, a sender,
    /// a [`crate::Port`]. A process that ends or is killed takes its program with it, and from then
    /// on the stack gets all packets; so it does before the program is attached, in
    /// [`crate::FluxBuilder`]'s build. Packets that the filter does not take are always left to the
    /// stack.
    #[derive(Default)]
    Fail, "failing" {
        /// They go on to the kernel's stack, counted in [`crate::QueueCounters::no_socket`].
        #[default]
        Open = "open",
        /// They are dropped, counted in [`crate::QueueCounters::dropped`]. On a queue that the
        /// interface got after it was opened they are dropped and not counted.
        Closed = "closed",
    }
}

/// Everything a socket is asked to be. [`crate::FluxBuilder`] fills it in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Interface name.
    pub interface: String,
    /// RX queues to open.
    pub queues: Queues,
    /// How to wait.
    pub poller: Poller,
    /// Packets per batch, 1 to 4096.
    pub batch: u32,
    /// UMEM frames in all. `None`: 4096 a queue, at most 131072 (256 MiB of 2048 bytes each); more
    /// where `rx_frames` or `ring_size` asks for it.
    pub frames: Option<u32>,
    /// Frames posted for reception on each queue. `None`: as many as the fill ring holds, but at
    /// most a queue's half of all frames.
    pub rx_frames: Option<u32>,
    /// Bytes per frame: 2048 or 4096.
    pub frame_size: u32,
    /// Entries per ring, a power of two; `None` derives it from the frames, at most 2048, or from
    /// what is to be posted.
    pub ring_size: Option<u32>,
    /// Huge pages for the UMEM.
    pub huge_pages: HugePages,
    /// XDP hook.
    pub attach: AttachMode,
    /// Copy or zero-copy.
    pub bind: BindMode,
    /// Whether the XDP program writes its receive time in front of each packet.
    pub rx_timestamps: bool,
    /// Whether the first bytes of received packets are prefetched.
    pub prefetch: bool,
    /// Whether the interface is promiscuous meanwhile: it takes packets for other Ethernet
    /// addresses, too, as a forwarder needs.
    pub promiscuous: bool,
    /// How long the link may be away before calls that wait end with an error; `None`: for ever.
    /// Meanwhile its state says so ([`crate::Port::state`]), and all goes on when it is back.
    pub link_timeout: Option<Duration>,
    /// What becomes of packets that are ours when there is no socket on their queue.
    pub fail: Fail,
}

/// Largest batch.
pub const MAX_BATCH: u32 = 4096;
/// Smallest and largest number of UMEM frames.
pub const FRAMES: std::ops::RangeInclusive<u32> = 16..=1 << 20;
/// Largest ring.
pub const MAX_RING: u32 = 1 << 15;

impl Config {
    /// The defaults for `interface`: all of its queues, [`Poller::ADAPTIVE`], batches of 64, frames
    /// of 2048 bytes, 2048 of them posted on each queue and as many again for other uses; huge
    /// pages, XDP hook and zero-copy as far as they can be had, without an error where they cannot;
    /// no receive stamps, prefetch on, not promiscuous, no link timeout, failing open.
    #[must_use]
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            queues: Queues::All,
            poller: Poller::default(),
            batch: 64,
            frames: None,
            rx_frames: None,
            frame_size: 2048,
            ring_size: None,
            huge_pages: HugePages::Auto,
            attach: AttachMode::Auto,
            bind: BindMode::Auto,
            rx_timestamps: false,
            prefetch: true,
            promiscuous: false,
            link_timeout: None,
            fail: Fail::Open,
        }
    }

    /// Checks every value that needs no kernel to be checked.
    ///
    /// # Errors
    /// `ErrorKind::Config`, naming the value and the rule.
    pub fn validate(&self) -> Result<()> {
        if self.batch == 0 || self.batch > MAX_BATCH {
            return Err(FluxError::config(
                format!("batch {}", self.batch),
                format!("must be 1 to {MAX_BATCH}"),
            ));
        }
        if ![2048, 4096].contains(&self.frame_size) {
            let why = if self.frame_size.is_power_of_two() {
                "must be 2048 or 4096 bytes"
            } else {
                "is not a power of two: must be 2048 or 4096 bytes"
            };
            return Err(FluxError::config(format!("frame size {}", self.frame_size), why));
        }
        if let Some(frames) = self.frames
            && !FRAMES.contains(&frames)
        {
            return Err(FluxError::config(
                format!("{frames} frames"),
                format!("must be {} to {}", FRAMES.start(), FRAMES.end()),
            ));
        }
        if let Some(size) = self.ring_size
            && (!size.is_power_of_two() || size > MAX_RING)
        {
            return Err(FluxError::config(
                format!("ring size {size}"),
                format!("must be a power of two, at most {MAX_RING}"),
            ));
        }
        if let Some(posted) = self.rx_frames
            && !(1..=MAX_RING).contains(&posted)
        {
            return Err(FluxError::config(
                format!("{posted} frames posted"),
                format!("must be 1 to {MAX_RING}"),
            ));
        }
        if let Queues::Only(list) = &self.queues {
            let name = &self.interface;
            if list.is_empty() {
                return Err(FluxError::config(format!("queue list of {name}"), "names no queue")
                    .with_hint("name one at least, or open all"));
            }
            let twice = (list.iter().enumerate()).find(|&(at, queue)| list[..at].contains(queue));
            if let Some((_, queue)) = twice {
                return Err(FluxError::config(
                    format!("queue list of {name}"),
                    format!("names queue {queue} twice"),
                )
                .with_hint("name each queue once"));
            }
        }
        Ok(())
    }
}

/// What was really granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// `xdp` or `sim`.
    pub backend: &'static str,
    /// Interface name.
    pub interface: String,
    /// Interface index.
    pub ifindex: u32,
    /// Driver name, where it can be known.
    pub driver: Option<String>,
    /// Where packets come to an XDP program.
    pub attach: Attached,
    /// Whether every socket is bound in zero-copy mode.
    pub zero_copy: bool,
    /// Queues opened, by the NIC's numbers.
    pub queues: Vec<u32>,
    /// Those of `queues` that can send. An interface with fewer TX than RX queues has some that only
    /// receive: packets that came by these leave by one of the others.
    pub tx_queues: Vec<u32>,
    /// Largest IP packet in bytes, when it was opened. What is longer by more than an Ethernet header
    /// with a VLAN tag (18 bytes) is not sent.
    pub mtu: u32,
    /// Entries per ring.
    pub ring_size: u32,
    /// UMEM frames in all.
    pub frames: u32,
    /// Bytes per frame.
    pub frame_size: u32,
    /// What the UMEM lies in.
    pub pages: Pages,
    /// Whether the kernel polls the device from our system calls (`SO_PREFER_BUSY_POLL`).
    pub kernel_busy_poll: bool,
    /// Clock of the receive stamps.
    pub rx_clock: &'static str,
    /// Clock of `now()` in every mode.
    pub tx_clock: &'static str,
    /// What fell back, in words, for the user to read.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_lists_parse() {
        assert_eq!("all".parse::<Queues>().unwrap(), Queues::All);
        assert_eq!("3".parse::<Queues>().unwrap(), Queues::Only(vec![3]));
        assert_eq!("4-6,0,5".parse::<Queues>().unwrap(), Queues::Only(vec![0, 4, 5, 6]));
        for bad in ["", "x", "1-", "6-4", "-1", "4096", "1,,2"] {
            let error = bad.parse::<Queues>().unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Config, "{bad}");
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let ok = Config::new("eth0");
        assert!(ok.validate().is_ok());
        let text = |c: Config| c.validate().unwrap_err().to_string();
        assert_eq!(text(Config { batch: 0, ..ok.clone() }), "batch 0: must be 1 to 4096");
        assert!(text(Config { frame_size: 3000, ..ok.clone() }).contains("not a power of two"));
        assert!(text(Config { frame_size: 8192, ..ok.clone() }).contains("2048 or 4096"));
        assert!(text(Config { frames: Some(3), ..ok.clone() }).contains("16 to"));
        assert!(text(Config { ring_size: Some(511), ..ok }).contains("power of two"));
    }

    #[test]
    fn a_queue_that_is_named_twice_is_refused() {
        let config =
            |list: &[u32]| Config { queues: Queues::Only(list.to_vec()), ..Config::new("eth0") };
        assert!(config(&[3, 0]).validate().is_ok());
        let error = config(&[0, 3, 0]).validate().unwrap_err();
        assert_eq!(error.to_string(), "queue list of eth0: names queue 0 twice");
        let error = config(&[]).validate().unwrap_err();
        assert_eq!(error.to_string(), "queue list of eth0: names no queue");
    }
}
