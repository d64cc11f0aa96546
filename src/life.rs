//! How a port is: its link, its MTU, its queues, its XDP program, and how often its link was lost.
//!
//! ```text
//!   backend ── Seen (one look) ──▶ Life ──▶ PortState   for everybody
//!                                   └─────▶ verdict     what ends a wait: an error, or nothing
//! ```
//!
//! A link that is lost ends nothing: it comes back, and what was open goes on. A port ends when its
//! interface is gone, reception when its XDP program was detached, and waiting when the link stays
//! away for longer than the caller allows. Callers: the backends look, the modes ask for the verdict
//! while they wait.

use crate::config::Config;
use crate::error::{ErrorKind, FluxError};
use std::fmt;
use std::time::Duration;

/// Whether packets can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// They can.
    Up,
    /// The interface is up and has no carrier: no cable, or the other end is down.
    NoCarrier,
    /// The interface is down (`ip link set … down`).
    Down,
    /// The interface was removed, or moved to another network namespace. It does not come back.
    Gone,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Link::Up => "up",
            Link::NoCarrier => "no_carrier",
            Link::Down => "down",
            Link::Gone => "gone",
        })
    }
}

/// How a port is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortState {
    /// Its link.
    pub link: Link,
    /// Since when the link is like that, in ns of `now()`, as it was noticed: 0.1 s late at most, and
    /// longer where the kernel itself tells of a lost carrier late (up to a second).
    pub since_ns: u64,
    /// How often the link was lost since the port was opened.
    pub link_losses: u64,
    /// Its MTU in bytes: the longest packet without the Ethernet header.
    pub mtu: u32,
    /// RX queues that the interface has; those that came after the port was opened have no socket,
    /// and what arrives there goes to the kernel's stack.
    pub rx_queues: u32,
    /// Whether somebody else detached our XDP program: nothing reaches the sockets any more.
    pub detached: bool,
}

/// What one look at a port saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) link: Link,
    /// How often the link was lost, counted from any moment.
    pub(crate) losses: u64,
    pub(crate) mtu: u32,
    pub(crate) rx_queues: u32,
    pub(crate) detached: bool,
}

/// What is known of a port, look after look.
#[derive(Debug)]
pub(crate) struct Life {
    state: PortState,
    interface: String,
    timeout: Option<Duration>,
    /// Where the count of losses stood.
    losses: u64,
    /// Since when there has been no link.
    lost_ns: Option<u64>,
}

impl Life {
    /// Of a port that is just being opened, and looks like that.
    pub(crate) fn new(config: &Config, now: u64, seen: Seen) -> Self {
        let Seen { link, losses, mtu, rx_queues, detached } = seen;
        Self {
            state: PortState { link, since_ns: now, link_losses: 0, mtu, rx_queues, detached },
            interface: config.interface.clone(),
            timeout: config.link_timeout,
            losses,
            lost_ns: (link != Link::Up).then_some(now),
        }
    }

    pub(crate) fn state(&self) -> PortState {
        self.state
    }

    /// Takes a look's findings over.
    pub(crate) fn see(&mut self, now: u64, seen: Seen) {
        let state = &mut self.state;
        if state.link == Link::Gone {
            return; // the same name again is another interface
        }
        let lost = state.link == Link::Up && seen.link != Link::Up;
        // A link that went and came between two looks was lost as well.
        let counted = seen.losses.saturating_sub(self.losses);
        state.link_losses = state.link_losses.saturating_add(counted.max(lost.into()));
        // One that the counter tells of later is not counted again.
        self.losses = self.losses.max(seen.losses).saturating_add(u64::from(lost && counted == 0));
        // One that is lost was back in between, if it was lost once more.
        let anew = counted > 0 && seen.link != Link::Up;
        if state.link != seen.link || anew {
            (state.link, state.since_ns) = (seen.link, now);
        }
        self.lost_ns = match seen.link {
            Link::Up => None,
            _ if anew => Some(now),
            _ => self.lost_ns.or(Some(now)),
        };
        (state.mtu, state.rx_queues) = (seen.mtu, seen.rx_queues);
        state.detached |= seen.detached;
    }

    /// What ends a wait of somebody who receives, or of one who only sends.
    ///
    /// # Errors
    /// When the interface is gone, our program was detached (for receivers), or the link has been
    /// away for longer than the link timeout.
    pub(crate) fn verdict(&self, now: u64, receives: bool) -> Result<(), FluxError> {
        let name = &self.interface;
        if self.state.link == Link::Gone {
            return Err(gone(name));
        }
        if receives {
            self.check_program()?;
        }
        match self.gives_up_ns() {
            Some(at) if at <= now => Err(self.no_link()),
            _ => Ok(()),
        }
    }

    /// Whether our program is still where it was attached.
    ///
    /// # Errors
    /// When somebody detached it.
    pub(crate) fn check_program(&self) -> Result<(), FluxError> {
        if self.state.detached { Err(detached(&self.interface)) } else { Ok(()) }
    }

    /// When the link timeout is over, if the link does not come back before.
    pub(crate) fn gives_up_ns(&self) -> Option<u64> {
        let timeout = u64::try_from(self.timeout?.as_nanos()).unwrap_or(u64::MAX);
        Some(self.lost_ns?.saturating_add(timeout))
    }

    fn no_link(&self) -> FluxError {
        no_link(&self.interface, self.state.link, self.timeout.unwrap_or_default())
    }
}

/// The error of a link that stays away for longer than `time`.
pub(crate) fn no_link(name: &str, link: Link, time: Duration) -> FluxError {
    let (how, next) = match link {
        Link::Down => ("down", format!("`ip link set {name} up` raises it")),
        _ => ("without carrier", "look at cable, switch port or peer".to_owned()),
    };
    let why = format!("it has been {how} for {time:?}");
    FluxError::new(ErrorKind::NoLink, format!("cannot wait for the link of {name}"), why)
        .with_advice(format!("{next}; or "), crate::error::Advice::LongerLinkTimeout)
}

/// The error of a port whose XDP program somebody detached.
pub(crate) fn detached(interface: &str) -> FluxError {
    let what = format!("cannot receive on {interface}");
    FluxError::new(ErrorKind::Detached, what, "somebody detached its XDP program").with_hint(
        "find out who does that (`bpftool link` lists what is attached), and start again",
    )
}

/// The error of an interface that was removed.
pub(crate) fn gone(interface: &str) -> FluxError {
    let why = "the interface is gone: it was removed, or moved to another network namespace";
    FluxError::new(ErrorKind::Device, format!("cannot use {interface}"), why)
        .with_hint(format!("`ip link` lists what there is; start again once {interface} is back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn seen(link: Link, losses: u64) -> Seen {
        Seen { link, losses, mtu: 1500, rx_queues: 1, detached: false }
    }

    fn life(timeout: Option<Duration>) -> Life {
        let config = Config { link_timeout: timeout, ..Config::new("eth0") };
        Life::new(&config, 0, seen(Link::Up, 7))
    }

    #[test]
    fn a_lost_link_is_counted_once_and_ends_nothing() {
        let mut life = life(None);
        for (ms, link, losses, counted) in [
            (10, Link::Up, 7, 0),
            (20, Link::NoCarrier, 8, 1),
            (30, Link::Down, 8, 1),
            (40, Link::Up, 8, 1),
            (50, Link::Down, 8, 2), // the counter does not know yet
            (60, Link::Down, 9, 2),
            (70, Link::Up, 9, 2),
            (80, Link::Up, 12, 5), // went and came between two looks
        ] {
            life.see(ms * MS, seen(link, losses));
            assert_eq!((life.state().link, life.state().link_losses), (link, counted), "{ms} ms");
            assert!(life.verdict(u64::MAX, true).is_ok());
        }
        assert_eq!(life.state().since_ns, 70 * MS);
    }

    #[test]
    fn the_timeout_counts_from_the_loss_whatever_kind_of_loss_follows() {
        let mut life = life(Some(Duration::from_secs(1)));
        life.see(100 * MS, seen(Link::NoCarrier, 8));
        life.see(600 * MS, seen(Link::Down, 8));
        assert_eq!(life.gives_up_ns(), Some(1100 * MS));
        assert!(life.verdict(1099 * MS, true).is_ok());
        let error = life.verdict(1100 * MS, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoLink);
        assert_eq!(error.to_string(), "cannot wait for the link of eth0: it has been down for 1s");
        assert!(error.hint().unwrap().starts_with("`ip link set eth0 up` raises it; or "));
        life.see(1200 * MS, seen(Link::Up, 8));
        assert!(life.verdict(9000 * MS, true).is_ok() && life.gives_up_ns().is_none());
    }

    #[test]
    fn a_link_that_was_back_in_between_is_waited_for_anew() {
        let mut life = life(Some(Duration::from_secs(2)));
        life.see(100 * MS, seen(Link::Down, 8));
        // It came and went while nobody looked: the count of losses tells.
        life.see(5000 * MS, seen(Link::Down, 9));
        assert_eq!((life.state().since_ns, life.state().link_losses), (5000 * MS, 2));
        assert!(life.verdict(6999 * MS, true).is_ok());
        assert!(life.verdict(7000 * MS, true).is_err());
    }

    #[test]
    fn a_detached_program_ends_reception_alone_and_a_gone_interface_everything_for_good() {
        let mut life = life(None);
        life.see(MS, Seen { detached: true, ..seen(Link::Up, 7) });
        assert_eq!(life.verdict(MS, true).unwrap_err().kind(), ErrorKind::Detached);
        assert!(life.verdict(MS, false).is_ok());
        life.see(2 * MS, seen(Link::Gone, 7));
        life.see(3 * MS, seen(Link::Up, 7));
        for receives in [true, false] {
            let error = life.verdict(3 * MS, receives).unwrap_err();
            assert!(error.to_string().starts_with("cannot use eth0: the interface is gone"));
        }
        assert_eq!((life.state().link, life.state().since_ns), (Link::Gone, 2 * MS));
    }
}
