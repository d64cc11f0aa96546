//! [`Trouble`]: the one vocabulary for what is wrong with a socket, its interface or its packets.
//!
//! Losses of a run, the diagnosis of `flux rings`, metrics and notes of all commands name a trouble
//! by these words. The scenarios of the simulator have the same names ([`simulator::Trouble`]).

use crate::simulator;
use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The interface was removed.
    Gone,
    /// The link is away, or comes and goes.
    LinkFlap,
    /// The socket waits for packets, and no XDP program is attached that could send it any.
    NoProgram,
    /// The socket waits for packets, and is in no XSKMAP: the XDP program cannot send it any.
    NotInMap,
    /// The kernel finds no free frame in the fill ring.
    Starved,
    /// The RX ring is full: the application does not read fast enough.
    SlowApplication,
    /// The kernel drops packets that do not fit a frame.
    Dropped,
    /// Packets are not sent, as they are longer than the MTU allows.
    TooLong,
    /// Entries wait in the TX ring of a queue that the interface has no TX queue for.
    NoTxQueue,
    /// Entries wait in the TX ring, and the kernel does not take them.
    StuckTx,
    /// Frames leave the rings and do not come back.
    Leak,
    /// The interface receives, but on queues that have no socket.
    WrongQueue,
    /// Answers come in by another interface than the probes leave by.
    OtherInterface,
    /// Answers come in fragments.
    Fragmented,
    /// The kernel drops what comes in by another interface than the way to its source leads by.
    ReversePath,
    /// Copy mode, though the driver says that it has zero-copy.
    NoZeroCopy,
    /// The NIC's rings are no power of two, and the socket's were rounded down to one.
    ShortRing,
    /// A route leads by an interface that cannot be opened.
    NoWay,
    /// Nothing moves.
    Idle,
}

impl Trouble {
    /// All of them: a cause before what follows from it.
    pub const ALL: [Trouble; 19] = [
        Trouble::Gone,
        Trouble::LinkFlap,
        Trouble::NoProgram,
        Trouble::NotInMap,
        Trouble::Starved,
        Trouble::SlowApplication,
        Trouble::Dropped,
        Trouble::TooLong,
        Trouble::NoTxQueue,
        Trouble::StuckTx,
        Trouble::Leak,
        Trouble::WrongQueue,
        Trouble::OtherInterface,
        Trouble::Fragmented,
        Trouble::ReversePath,
        Trouble::NoZeroCopy,
        Trouble::ShortRing,
        Trouble::NoWay,
        Trouble::Idle,
    ];

    /// As in JSON, in metrics, and in `--sim`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What it means, in one line.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Trouble::Gone => ("gone", "the interface was removed"),
            Trouble::LinkFlap => ("link_flap", "the link is away, or comes and goes"),
            Trouble::NoProgram => ("no_program", "no XDP program is attached"),
            Trouble::NotInMap => ("not_in_map", "the socket is in no XSKMAP"),
            Trouble::Starved => ("starved", "the kernel finds the fill ring empty"),
            Trouble::SlowApplication => ("slow_application", "the RX ring is full"),
            Trouble::Dropped => ("dropped", "the kernel drops packets that do not fit a frame"),
            Trouble::TooLong => ("too_long", "packets longer than the MTU are not sent"),
            Trouble::NoTxQueue => ("no_tx_queue", "the queue has no TX queue to send by"),
            Trouble::StuckTx => ("stuck_tx", "the kernel does not take packets from the TX ring"),
            Trouble::Leak => ("leak", "frames leave the rings and do not come back"),
            Trouble::WrongQueue => ("wrong_queue", "packets come to queues without a socket"),
            Trouble::OtherInterface => ("other_interface", "answers come in by another interface"),
            Trouble::Fragmented => ("fragmented", "answers come in fragments"),
            Trouble::ReversePath => ("reverse_path", "the kernel's rp_filter drops packets"),
            Trouble::NoZeroCopy => ("no_zero_copy", "copy mode, though the driver has zero-copy"),
            Trouble::ShortRing => ("short_ring", "the rings are shorter than they were asked"),
            Trouble::NoWay => ("no_way", "the route leads by an interface that cannot be opened"),
            Trouble::Idle => ("idle", "nothing moves"),
        }
    }
}

impl From<simulator::Trouble> for Trouble {
    fn from(scenario: simulator::Trouble) -> Self {
        match scenario {
            simulator::Trouble::WrongQueue => Trouble::WrongQueue,
            simulator::Trouble::NoZeroCopy => Trouble::NoZeroCopy,
            simulator::Trouble::Starved => Trouble::Starved,
            simulator::Trouble::StuckTx => Trouble::StuckTx,
            simulator::Trouble::ShortRing => Trouble::ShortRing,
            simulator::Trouble::LinkFlap => Trouble::LinkFlap,
            simulator::Trouble::Gone => Trouble::Gone,
            simulator::Trouble::NoProgram => Trouble::NoProgram,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_trouble_has_one_name_in_json_metrics_and_the_simulator() {
        for trouble in Trouble::ALL {
            let json = serde_json::to_value(trouble).unwrap();
            assert_eq!(json, trouble.name());
            assert_eq!(serde_json::from_value::<Trouble>(json).unwrap(), trouble);
            assert!(!trouble.meaning().is_empty() && !trouble.meaning().ends_with('.'));
        }
        for scenario in simulator::Trouble::ALL {
            assert_eq!(Trouble::from(scenario).name(), scenario.name());
        }
    }

    #[test]
    fn no_name_and_no_meaning_is_there_twice_and_none_is_left_out() {
        let names: BTreeSet<_> = Trouble::ALL.into_iter().map(Trouble::name).collect();
        let meanings: BTreeSet<_> = Trouble::ALL.into_iter().map(Trouble::meaning).collect();
        assert_eq!((names.len(), meanings.len()), (Trouble::ALL.len(), Trouble::ALL.len()));
        // A new one is the last in the enum, or makes ALL too short for its place.
        assert!(Trouble::ALL.into_iter().enumerate().all(|(at, trouble)| trouble as usize == at));
        assert_eq!(Trouble::Idle as usize + 1, Trouble::ALL.len());
    }
}
