//! The interface as a device: link, driver, bus, queues.

use super::super::facts::{Master, Nic, Pcie};
use super::{Entry, Verdict, blocker, ok, ranges, unchecked, warning};
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Entry<Nic>] = &[
    ("up", "up", up),
    ("carrier", "carrier", carrier),
    ("ethernet", "link type", ethernet),
    ("port", "port of", port),
    ("driver", "driver", driver),
    ("pcie", "PCIe", pcie),
    ("numa", "NUMA node", numa),
    ("cpus", "CPUs", cpus),
    ("queues", "queues", queues),
    ("rss", "RSS table", rss),
    ("ntuple", "steering rules", rules),
    ("nic_ring", "NIC's RX rings", ring),
    ("bound", "queues in use", bound),
];

fn up(nic: &Nic) -> Verdict {
    if nic.up { ok("yes") } else { blocker("down", format!("ip link set dev {} up", nic.name)) }
}

fn carrier(nic: &Nic) -> Verdict {
    if nic.carrier {
        return match nic.speed_mbit {
            // A veth says 10 Gbit/s of itself, whatever it carries.
            Some(speed) if !nic.is_veth() => ok(format!("yes, {}", rate(speed))),
            _ => ok("yes"),
        };
    }
    if !nic.up {
        return unchecked("an interface that is down has none");
    }
    let fix = match nic.is_veth() {
        true => "set the other end of the pair up as well".to_owned(),
        false => format!("check the cable and the switch: ethtool {}", nic.name),
    };
    warning("no link: nothing is received or sent", fix)
}

/// `10 Gbit/s`, `100 Mbit/s`.
fn rate(mbit: u32) -> String {
    match mbit {
        mbit if mbit >= 1000 => format!("{} Gbit/s", f64::from(mbit) / 1000.0),
        mbit => format!("{mbit} Mbit/s"),
    }
}

fn ethernet(nic: &Nic) -> Verdict {
    if nic.loopback {
        warning(
            "loopback: XDP works in skb mode alone, and no packet leaves the machine",
            "use a veth pair or --sim to try things out",
        )
    } else if nic.ethernet {
        ok("Ethernet")
    } else {
        blocker("not Ethernet: flux reads and writes Ethernet frames", "use the interface below it")
    }
}

/// What it means to belong to another interface.
fn port(nic: &Nic) -> Verdict {
    let Some(Master { kind, name }) = &nic.master else { return Verdict::Nothing };
    ok(match kind.as_str() {
        "bridge" => format!(
            "bridge {name}, which does not get what XDP takes here; addresses and routes are {name}'s"
        ),
        "vrf" => format!("VRF {name}: the routes are those of its table"),
        _ => format!(
            "{kind} {name}: only what this port receives is seen; addresses and routes are {name}'s"
        ),
    })
}

fn driver(nic: &Nic) -> Verdict {
    match (&nic.driver, &nic.bus) {
        (None, _) => unchecked("the kernel does not say"),
        (Some(driver), Some(bus)) => ok(format!("{driver} at {bus}")),
        (Some(driver), None) => ok(driver.clone()),
    }
}

fn pcie(nic: &Nic) -> Verdict {
    let Some(Pcie { now, most }) = nic.pcie else { return Verdict::Nothing };
    let text = |(speed, width): (f64, u32)| format!("{speed} GT/s x{width}");
    if now.0 < most.0 || now.1 < most.1 {
        let bus = nic.bus.as_deref().unwrap_or("BUS");
        warning(
            format!("{}, below the device's {}", text(now), text(most)),
            format!("try another slot; lspci -vv -s {bus} shows what the slot can"),
        )
    } else {
        ok(text(now))
    }
}

fn numa(nic: &Nic) -> Verdict {
    match nic.numa_node {
        None => Verdict::Nothing,
        Some(node) => ok(format!("node {node}: best run there, numactl --cpunodebind={node}")),
    }
}

/// ixgbe has 64 queues for XDP to send on: shared by the CPUs beyond, and not by more than twice
/// as many. Before Linux 5.15 they were not shared.
fn cpus(nic: &Nic) -> Verdict {
    const QUEUES: usize = 64;
    if nic.driver.as_deref() != Some("ixgbe") || nic.cpus <= QUEUES {
        return Verdict::Nothing;
    }
    let fix = "boot with nr_cpus=64, or use --attach skb";
    let cpus = nic.cpus;
    match cpus {
        cpus if cpus > 2 * QUEUES => {
            warning(format!("{cpus}: ixgbe has no native XDP with more than 128"), fix)
        }
        _ => warning(
            format!(
                "{cpus}: with more than 64, ixgbe locks its XDP queues, before Linux 5.15 it refuses"
            ),
            fix,
        ),
    }
}

fn queues(nic: &Nic) -> Verdict {
    let Some(channels) = nic.channels else {
        return match nic.rx_queues {
            Some(count) => ok(format!("{count} RX")),
            None => unchecked("the driver does not say"),
        };
    };
    let counts = [(channels.combined, "combined"), (channels.rx, "RX"), (channels.tx, "TX")];
    let text: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let (receive, send) = (channels.combined + channels.rx, channels.combined + channels.tx);
    if send >= receive || send == 0 {
        return ok(super::list(&text));
    }
    let only: Vec<u32> = (send..receive).collect();
    let plural = if only.len() == 1 { "" } else { "s" };
    warning(
        format!("{}: queue{plural} {} can only receive", super::list(&text), ranges(&only)),
        format!(
            "flux sends what comes there by another queue, and each thread needs one that sends; \
             for a TX queue each: ethtool -L {} tx {}",
            nic.name, channels.rx
        ),
    )
}

fn rss(nic: &Nic) -> Verdict {
    let (Some(table), Some(queues)) = (&nic.rss, nic.rx_queues) else { return Verdict::Nothing };
    let used: BTreeSet<u32> = table.iter().copied().collect();
    if table.is_empty() {
        return Verdict::Nothing;
    }
    let numbers = format!("{} entries over {} of {queues} queues", table.len(), used.len());
    let idle: Vec<u32> = (0..queues).filter(|queue| !used.contains(queue)).collect();
    if idle.is_empty() {
        ok(numbers)
    } else {
        warning(
            format!("{numbers}: none for {}", ranges(&idle)),
            format!("ethtool -X {} equal {queues}, if these should receive", nic.name),
        )
    }
}

fn rules(nic: &Nic) -> Verdict {
    match nic.rules {
        None => Verdict::Nothing,
        Some(0) => ok("none (ethtool -n)"),
        Some(count) => warning(
            format!("{count} rules send packets past the RSS table to queues of their own"),
            format!("see that these queues are opened: ethtool -n {}", nic.name),
        ),
    }
}

fn ring(nic: &Nic) -> Verdict {
    let Some((size, most)) = nic.ring.filter(|(size, _)| *size > 0) else {
        return Verdict::Nothing;
    };
    let numbers = format!("{size} descriptors of at most {most}");
    if size.is_power_of_two() {
        ok(numbers)
    } else {
        let down = 1 << size.ilog2();
        warning(
            format!("{numbers}, not a power of two: no size for AF_XDP rings"),
            format!("ethtool -G {} rx {down}, or do not take their size from it", nic.name),
        )
    }
}

fn bound(nic: &Nic) -> Verdict {
    if nic.bound.is_empty() {
        return Verdict::Nothing;
    }
    let queues = ranges(&nic.bound);
    let reached = match nic.program {
        Some(_) => "",
        None => ", and without an XDP program it can only send",
    };
    warning(
        format!("there is an AF_XDP socket on {queues} already: binding gives EBUSY{reached}"),
        format!("flux rings {} names its owner", nic.name),
    )
}
