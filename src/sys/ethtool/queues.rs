//! Which of a driver's counters are the packets of which RX queue: drivers name them as they like.

/// Counters of one RX queue are those between `before` and `after` its number.
///
/// Where several fit, the earliest family with a counter of the interface's wins; within a family
/// all are added up.
const FAMILIES: &[(&str, &[&str])] = &[
    // i40e, iavf
    ("rx-", &[".packets"]),
    // ixgbe, igb, igc, ice, netvsc; virtio_net before Linux 6.8
    ("rx_queue_", &["_packets"]),
    // veth: counted where a program or GRO takes the packets
    ("rx_queue_", &["_xdp_packets"]),
    // mlx5: what a program takes is counted apart. virtio_net: all in the first
    (
        "rx",
        &[
            "_packets",
            "_xdp_drop",
            "_xdp_redirect",
            "_xdp_tx_xmit",
            "_xsk_packets",
            "_xsk_xdp_drop",
            "_xsk_xdp_redirect",
        ],
    ),
    // ena
    ("queue_", &["_rx_cnt"]),
    // bnxt
    ("[", &["]: rx_ucast_packets", "]: rx_mcast_packets", "]: rx_bcast_packets"]),
    // mana, tsnep
    ("rx_", &["_packets"]),
    // stmmac
    ("q", &["_rx_pkt_n"]),
    // nfp
    ("rvec_", &["_rx_pkts"]),
];

/// More queues than any device has; a larger number is not one.
const MOST_QUEUES: usize = 1 << 12;

/// Where in the driver's counters the packets of each RX queue are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RxCounters(Vec<Vec<usize>>);

impl RxCounters {
    /// By the names of all counters. `None` where no queue is named in a way that is known.
    pub(crate) fn of(names: &[String]) -> Option<Self> {
        FAMILIES.iter().find_map(|(before, afters)| {
            let mut queues: Vec<Vec<usize>> = Vec::new();
            for (at, name) in names.iter().enumerate() {
                let Some(queue) = queue_of(name, before, afters) else { continue };
                if queues.len() <= queue {
                    queues.resize(queue + 1, Vec::new());
                }
                if let Some(counters) = queues.get_mut(queue) {
                    counters.push(at);
                }
            }
            // A queue without a counter: the names mean something else.
            let whole = !queues.is_empty() && queues.iter().all(|counters| !counters.is_empty());
            whole.then_some(Self(queues))
        })
    }

    /// The packets of each queue; `None` where the counters are not those that were named.
    pub(crate) fn read(&self, stats: &[u64]) -> Option<Vec<u64>> {
        let sum = |queue: &Vec<usize>| {
            queue.iter().try_fold(0u64, |sum, &at| Some(sum.wrapping_add(*stats.get(at)?)))
        };
        self.0.iter().map(sum).collect()
    }
}

fn queue_of(name: &str, before: &str, afters: &[&str]) -> Option<usize> {
    let rest = name.strip_prefix(before)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at_checked(digits)?;
    let queue: usize = number.parse().ok()?;
    (afters.contains(&after) && queue < MOST_QUEUES).then_some(queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &[&str], stats: &[u64]) -> Option<Vec<u64>> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        RxCounters::of(&names)?.read(stats)
    }

    #[test]
    fn the_names_of_common_drivers_are_known() {
        let table: &[(&[&str], &[u64], &[u64])] = &[
            // veth
            (
                &[
                    "peer_ifindex",
                    "rx_queue_0_xdp_packets",
                    "rx_queue_0_xdp_redirect",
                    "rx_queue_1_xdp_packets",
                    "tx_queue_0_xdp_xmit",
                ],
                &[7, 10, 4, 20, 5],
                &[10, 20],
            ),
            // i40e
            (&["rx_packets", "tx-0.packets", "rx-0.packets", "rx-0.bytes"], &[9, 8, 7, 6], &[7]),
            // ixgbe
            (
                &["rx_queue_0_packets", "rx_queue_0_bytes", "rx_queue_1_packets"],
                &[1, 2, 3],
                &[1, 3],
            ),
            // virtio_net before 6.8: XDP's are among all
            (&["rx_queue_0_packets", "rx_queue_0_xdp_packets"], &[12, 5], &[12]),
            // virtio_net now
            (&["rx0_packets", "rx0_xdp_packets", "rx0_xdp_redirects"], &[12, 5, 3], &[12]),
            // mlx5
            (
                &["rx_packets", "rx0_packets", "rx0_xdp_redirect", "rx0_xsk_xdp_redirect"],
                &[99, 1, 10, 100],
                &[111],
            ),
            // ena
            (&["queue_0_tx_cnt", "queue_0_rx_cnt", "queue_1_rx_cnt"], &[5, 6, 7], &[6, 7]),
            // bnxt
            (
                &["[0]: rx_ucast_packets", "[0]: rx_bcast_packets", "[1]: rx_ucast_packets"],
                &[3, 1, 4],
                &[4, 4],
            ),
            // mana
            (&["rx_0_packets", "rx_1_packets"], &[1, 2], &[1, 2]),
        ];
        for (names, stats, want) in table {
            assert_eq!(read(names, stats).as_deref(), Some(*want), "{names:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        assert_eq!(read(&["rx_packets", "tx_packets"], &[1, 2]), None);
        assert_eq!(read(&[], &[]), None);
        // No queue 0.
        assert_eq!(read(&["rx_queue_1_packets"], &[1]), None);
        assert_eq!(read(&["rx_queue_99999999999999999999_packets"], &[1]), None);
        assert_eq!(read(&["rx_queue_4000000000_packets"], &[1]), None);
        // Fewer counters than names.
        assert_eq!(read(&["rx_queue_0_packets"], &[]), None);
    }
}
