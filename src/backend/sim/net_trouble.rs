//! Troubles of the network behind our port, by name: what other people's routers, hosts and switches do.

/// A trouble of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkTrouble {
    /// Routers and hosts limit their ICMP errors as Linux does
    /// ([`IcmpLimit::Linux`](super::IcmpLimit::Linux)).
    IcmpLimit,
    /// After 400 ms of simulated time everybody on our links has another Ethernet address, and says
    /// so (gratuitous ARP, unsolicited neighbour advertisement).
    MovingNeighbour,
    /// The Ethernet addresses that our kernel knows are old: nobody on our links has them any more.
    StaleNeighbour,
    /// What reaches us comes with the tag of VLAN 99.
    VlanLeak,
    /// Hosts return 64 bytes of the payload of an echo request at most.
    Truncated,
    /// Hosts send their answers in fragments of 576 bytes at most.
    Fragmented,
    /// Hosts answer from another address than the one that was asked.
    OtherAddress,
    /// Hosts send "host unreachable" about each packet first, and then answer it.
    ErrorFirst,
    /// Our IPv6 addresses are tentative for the first second of simulated time.
    Tentative,
}

impl NetworkTrouble {
    /// All of them, in the order in which they are documented.
    pub const ALL: [NetworkTrouble; 9] = [
        NetworkTrouble::IcmpLimit,
        NetworkTrouble::MovingNeighbour,
        NetworkTrouble::StaleNeighbour,
        NetworkTrouble::VlanLeak,
        NetworkTrouble::Truncated,
        NetworkTrouble::Fragmented,
        NetworkTrouble::OtherAddress,
        NetworkTrouble::ErrorFirst,
        NetworkTrouble::Tentative,
    ];

    /// As in `--sim`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NetworkTrouble::IcmpLimit => "icmp_limit",
            NetworkTrouble::MovingNeighbour => "moving_neighbour",
            NetworkTrouble::StaleNeighbour => "stale_neighbour",
            NetworkTrouble::VlanLeak => "vlan_leak",
            NetworkTrouble::Truncated => "truncated",
            NetworkTrouble::Fragmented => "fragmented",
            NetworkTrouble::OtherAddress => "other_address",
            NetworkTrouble::ErrorFirst => "error_first",
            NetworkTrouble::Tentative => "tentative",
        }
    }

    /// The one of this name. `-` is taken for `_`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        Self::ALL.into_iter().find(|trouble| trouble.name() == name)
    }
}

/// Any number of troubles of the network at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkTroubles(u16);

impl NetworkTroubles {
    /// None.
    pub const NONE: NetworkTroubles = NetworkTroubles(0);

    /// These and one more.
    #[must_use]
    pub const fn and(self, trouble: NetworkTrouble) -> Self {
        Self(self.0 | 1 << trouble as u16)
    }

    /// Whether it is one of these.
    #[must_use]
    pub const fn has(self, trouble: NetworkTrouble) -> bool {
        self.0 & 1 << trouble as u16 != 0
    }
}

impl From<NetworkTrouble> for NetworkTroubles {
    fn from(trouble: NetworkTrouble) -> Self {
        Self::NONE.and(trouble)
    }
}

impl FromIterator<NetworkTrouble> for NetworkTroubles {
    fn from_iter<I: IntoIterator<Item = NetworkTrouble>>(list: I) -> Self {
        list.into_iter().fold(Self::NONE, Self::and)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Trouble;
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        for one in NetworkTrouble::ALL {
            assert_eq!(NetworkTrouble::named(&one.name().replace('_', "-")), Some(one));
            assert_eq!(Trouble::named(one.name()), None, "a word of its own");
            let set = NetworkTroubles::from(one);
            assert!(NetworkTrouble::ALL.into_iter().all(|other| set.has(other) == (one == other)));
        }
        let all: NetworkTroubles = NetworkTrouble::ALL.into_iter().collect();
        let none = NetworkTroubles::NONE;
        assert!(NetworkTrouble::ALL.into_iter().all(|one| all.has(one) && !none.has(one)));
    }
}
