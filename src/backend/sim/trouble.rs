//! Troubles with a name: what real drivers, NICs and links do to a socket, to be seen and
//! diagnosed without any of them.

use super::clock::nanos;
use std::time::Duration;

/// Descriptors in each of the NIC's own rings: what many drivers come up with.
const NIC_RING: u32 = 1024;
/// The same for [`Trouble::ShortRing`].
const ODD_NIC_RING: u32 = 511;

/// Each second of simulated time the link of [`Trouble::LinkFlap`] goes at the first of these and
/// comes back at the second. Early in the second, so that short runs see it, too.
const FLAP: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(500)];
const SECOND: u64 = 1_000_000_000;
/// When [`Trouble::Gone`] and [`Trouble::NoProgram`] happen.
const END_NS: u64 = super::clock::START_NS + 400_000_000;

/// A trouble of our port, its driver or its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The NIC delivers everything to its last queue, whatever RSS would say.
    WrongQueue,
    /// The driver says that it has zero-copy, and refuses to bind with it.
    NoZeroCopy,
    /// The driver takes every frame of the fill ring and puts a packet in none.
    Starved,
    /// Kicks for transmission end well and do nothing, those that `poll(2)` implies included.
    StuckTx,
    /// The NIC's own rings have 511 descriptors, and larger AF_XDP rings become 256.
    ShortRing,
    /// The link is gone from 300 ms to 500 ms of each second of simulated time.
    LinkFlap,
    /// The interface is removed after 400 ms of simulated time.
    Gone,
    /// Somebody detaches the XDP program after 400 ms of simulated time.
    NoProgram,
}

impl Trouble {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Trouble; 8] = [
        Trouble::WrongQueue,
        Trouble::NoZeroCopy,
        Trouble::Starved,
        Trouble::StuckTx,
        Trouble::ShortRing,
        Trouble::LinkFlap,
        Trouble::Gone,
        Trouble::NoProgram,
    ];

    /// As in `--sim`. The tools use the same words for what they find.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.words()[0]
    }

    /// The one of this name, or of the name that it had before. `-` is taken for `_`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        Self::ALL.into_iter().find(|trouble| trouble.words().contains(&name.as_str()))
    }

    /// The name, then earlier names that are still taken.
    fn words(self) -> &'static [&'static str] {
        match self {
            Trouble::WrongQueue => &["wrong_queue"],
            Trouble::NoZeroCopy => &["no_zero_copy", "no_zc"],
            Trouble::Starved => &["starved"],
            Trouble::StuckTx => &["stuck_tx", "kick_lost"],
            Trouble::ShortRing => &["short_ring", "ring_511"],
            Trouble::LinkFlap => &["link_flap"],
            Trouble::Gone => &["gone", "removed"],
            Trouble::NoProgram => &["no_program", "detached"],
        }
    }
}

/// Any number of troubles at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles(u8);

impl Troubles {
    /// None.
    pub const NONE: Troubles = Troubles(0);

    /// These and one more.
    #[must_use]
    pub const fn and(self, trouble: Trouble) -> Self {
        Self(self.0 | 1 << trouble as u8)
    }

    /// Whether it is one of these.
    #[must_use]
    pub const fn has(self, trouble: Trouble) -> bool {
        self.0 & 1 << trouble as u8 != 0
    }

    /// Descriptors in each of the NIC's own rings.
    pub(super) fn nic_ring(self) -> u32 {
        if self.has(Trouble::ShortRing) { ODD_NIC_RING } else { NIC_RING }
    }

    /// The size that AF_XDP rings of `asked` entries get, and why it is another.
    pub(super) fn ring_size(self, port: &str, asked: u32) -> (u32, Option<String>) {
        let nic = self.nic_ring();
        if nic.is_power_of_two() || asked <= nic {
            return (asked, None);
        }
        let size = 1 << nic.ilog2();
        let why = format!(
            "{port}'s own rings have {nic} entries, no power of two: the AF_XDP rings are {size}"
        );
        (size, Some(why))
    }

    /// Whether the link is there at `now`.
    pub(super) fn has_link(self, now: u64) -> bool {
        let [goes, comes] = FLAP.map(nanos);
        !(self.has(Trouble::LinkFlap) && (goes..comes).contains(&(now % SECOND)))
    }

    /// Whether the interface was removed by then.
    pub(super) fn removes(self, now: u64) -> bool {
        self.has(Trouble::Gone) && now >= END_NS
    }

    /// Whether a program that was attached at `attached` is detached by then.
    pub(super) fn detaches(self, attached: u64, now: u64) -> bool {
        self.has(Trouble::NoProgram) && attached < END_NS && now >= END_NS
    }

    /// When something happens that ends what waits.
    pub(super) fn next_end(self, now: u64) -> Option<u64> {
        let ends = self.has(Trouble::Gone) || self.has(Trouble::NoProgram);
        (ends && now < END_NS).then_some(END_NS)
    }

    /// When the link goes or comes next.
    pub(super) fn next_flap(self, now: u64) -> Option<u64> {
        let second = now - now % SECOND;
        let [goes, comes] = FLAP.map(nanos);
        let next = [goes, comes, SECOND + goes].map(|edge| second.saturating_add(edge));
        next.into_iter().find(|&at| at > now).filter(|_| self.has(Trouble::LinkFlap))
    }

    /// How often the link went or came until `now`.
    pub(super) fn link_changes(self, now: u64) -> u64 {
        if !self.has(Trouble::LinkFlap) {
            return 0;
        }
        // Virtual time starts at a whole second.
        let (seconds, within) = ((now - super::clock::START_NS) / SECOND, now % SECOND);
        2 * seconds + FLAP.into_iter().filter(|&edge| nanos(edge) <= within).count() as u64
    }
}

impl From<Trouble> for Troubles {
    fn from(trouble: Trouble) -> Self {
        Self::NONE.and(trouble)
    }
}

impl FromIterator<Trouble> for Troubles {
    fn from_iter<I: IntoIterator<Item = Trouble>>(list: I) -> Self {
        list.into_iter().fold(Self::NONE, Self::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        for one in Trouble::ALL {
            assert_eq!(Trouble::named(one.name()), Some(one));
            let set = Troubles::from(one);
            assert!(Trouble::ALL.into_iter().all(|other| set.has(other) == (one == other)));
        }
        let all: Troubles = Trouble::ALL.into_iter().collect();
        assert!(Trouble::ALL.into_iter().all(|one| all.has(one) && !Troubles::NONE.has(one)));
    }

    #[test]
    fn earlier_names_and_dashes_are_taken() {
        for (word, trouble) in [
            ("wrong-queue", Trouble::WrongQueue),
            ("no-zero-copy", Trouble::NoZeroCopy),
            ("no-zc", Trouble::NoZeroCopy),
            ("kick-lost", Trouble::StuckTx),
            ("stuck-tx", Trouble::StuckTx),
            ("ring-511", Trouble::ShortRing),
            ("link-flap", Trouble::LinkFlap),
            ("removed", Trouble::Gone),
            ("detached", Trouble::NoProgram),
        ] {
            assert_eq!(Trouble::named(word), Some(trouble), "{word}");
        }
        assert_eq!(Trouble::named(""), None);
        assert_eq!(Trouble::named("starve"), None);
    }

    #[test]
    fn the_link_is_gone_for_200_ms_of_each_second() {
        let flap = Troubles::from(Trouble::LinkFlap);
        let at = |ms: u64| super::super::clock::START_NS + ms * 1_000_000;
        let table =
            [(0, true, 0), (299, true, 0), (300, false, 1), (499, false, 1), (500, true, 2)];
        for (ms, link, changes) in table {
            for second in [0, 1, 7] {
                let now = at(second * 1000 + ms);
                assert_eq!(flap.has_link(now), link, "{second} s, {ms} ms");
                assert_eq!(flap.link_changes(now), changes + 2 * second);
                assert!(Troubles::NONE.has_link(now) && Troubles::NONE.link_changes(now) == 0);
            }
        }
    }

    #[test]
    fn only_rings_larger_than_an_odd_one_are_rounded_down() {
        let odd = Troubles::from(Trouble::ShortRing);
        for (asked, size) in [(8, 8), (256, 256), (512, 256), (2048, 256)] {
            let (granted, why) = odd.ring_size("sim0", asked);
            assert_eq!((granted, why.is_some()), (size, asked > 511));
            assert_eq!(Troubles::NONE.ring_size("sim0", asked), (asked, None));
        }
        let (_, why) = odd.ring_size("sim0", 2048);
        let text = "sim0's own rings have 511 entries, no power of two: the AF_XDP rings are 256";
        assert_eq!(why.unwrap(), text);
    }
}
