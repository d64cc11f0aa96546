//! Every check on facts that were made up: as it should be, a warning, a blocker.

use super::super::facts::{
    Channels, HugePages, Limit, Machine, Master, Moderation, Pcie, Peer, Program, Tried, Xdp,
};
use super::*;
use crate::error::SETCAP;
use std::collections::BTreeMap;

const ALL: u64 = u64::MAX;

/// A machine that nothing is wrong with.
fn machine() -> Machine {
    let config = [
        "CONFIG_XDP_SOCKETS",
        "CONFIG_XDP_SOCKETS_DIAG",
        "CONFIG_BPF_SYSCALL",
        "CONFIG_BPF_JIT",
        "CONFIG_NET_RX_BUSY_POLL",
        "CONFIG_DEBUG_INFO_BTF",
    ];
    Machine {
        release: "6.18.2-generic".into(),
        socket: Tried::Worked,
        config: Ok(config.iter().map(|&name| (name.to_owned(), "y".to_owned())).collect()),
        capabilities: Ok(ALL),
        user_namespace: false,
        socket_forbidden: ("CAP_NET_RAW is missing".into(), SETCAP.into()),
        program_forbidden: ("CAP_BPF is missing".into(), SETCAP.into()),
        program: Tried::Worked,
        jit: Ok(true),
        btf: true,
        memlock: Ok(Limit::Unlimited),
        umem_bytes: 8 << 20,
        usual_umem_bytes: 8 << 20,
        huge_pages: HugePages { total: 64, free: 32 },
    }
}

/// A NIC that nothing is wrong with.
fn nic() -> Nic {
    Nic {
        driver: Some("ice".into()),
        bus: Some("0000:3b:00.0".into()),
        up: true,
        carrier: true,
        mtu: 1500,
        pcie: Some(Pcie { now: (16.0, 8), most: (16.0, 8) }),
        numa_node: Some(1),
        cpus: 16,
        xdp: Ok(Xdp {
            native: true,
            zero_copy: true,
            multi_buffer: true,
            zero_copy_segments: Some(8),
            takes_redirects: true,
            rx_metadata: Some(vec!["time stamp", "hash"]),
            tx_metadata: Some(vec!["checksum"]),
        }),
        native: Tried::Worked,
        skb: Tried::Worked,
        channels: Some(Channels { rx: 0, tx: 0, combined: 4 }),
        rx_queues: Some(4),
        rss: Some(vec![0, 1, 2, 3, 0, 1, 2, 3]),
        rules: Some(0),
        ring: Some((512, 8160)),
        offloads: BTreeMap::from([
            ("rx-lro", false),
            ("rx-gro", true),
            ("rx-vlan-hw-parse", false),
        ]),
        moderation: Some(Moderation { adaptive: false, usecs: 8, frames: 0 }),
        ..Nic::unknown("eth0")
    }
}

fn veth() -> Nic {
    let xdp = Xdp { native: true, takes_redirects: true, ..Xdp::default() };
    Nic {
        kind: "veth".into(),
        driver: Some("veth".into()),
        bus: None,
        xdp: Ok(xdp),
        peer: Some(Peer::Here { name: "veth1".into(), tx_checksum: Some(false) }),
        ..nic()
    }
}

fn one(nic: Nic) -> Facts {
    Facts { machine: Some(machine()), subject: Subject::One(Box::new(nic)) }
}

fn report(nic: Nic) -> Report {
    examine(&one(nic))
}

fn machine_report(machine: Machine) -> Report {
    let facts = Facts { machine: Some(machine), subject: Subject::default() };
    examine(&facts)
}

#[track_caller]
fn found<'r>(report: &'r Report, id: &str) -> &'r Check {
    let check = report.checks.iter().find(|check| check.id == id);
    check.unwrap_or_else(|| panic!("no {id}: {report:#?}"))
}

/// That check, with that status, and these words in finding or fix.
#[track_caller]
fn assert_found(report: &Report, id: &str, status: Status, words: &[&str]) {
    let check = found(report, id);
    assert_eq!(check.status, status, "{check:?}");
    let text = format!("{} | {}", check.finding, check.fix.as_deref().unwrap_or_default());
    for word in words {
        assert!(text.contains(word), "{id}: no '{word}' in: {text}");
    }
    assert_eq!(status != Status::Ok, check.fix.is_some(), "{check:?}: a fix is for what is wrong");
}

#[track_caller]
fn assert_unchecked(report: &Report, id: &str, word: &str) {
    let unchecked = report.unchecked.iter().find(|unchecked| unchecked.id == id);
    let reason = &unchecked.unwrap_or_else(|| panic!("{id} was checked: {report:#?}")).reason;
    assert!(reason.contains(word), "{reason}");
    assert!(report.checks.iter().all(|check| check.id != id));
}

#[test]
fn where_nothing_is_wrong_every_line_is_ok() {
    let report = report(nic());
    let odd: Vec<_> = report.checks.iter().filter(|check| check.status != Status::Ok).collect();
    assert!(odd.is_empty() && report.unchecked.is_empty(), "{odd:#?} {:#?}", report.unchecked);
    assert_eq!((report.warnings, report.blockers), (0, 0));
    assert_eq!(
        report.conclusion,
        "no warning, no blocker: AF_XDP works here in native mode; the driver says that it has zero-copy"
    );
    assert_eq!(report.machine_checks, machine::CHECKS.len());
    let mut ids: Vec<_> = report.checks.iter().map(|check| check.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), report.checks.len(), "an id is used once");
}

#[test]
fn queues_that_only_receive_are_named() {
    let of =
        |rx, tx, combined| report(Nic { channels: Some(Channels { rx, tx, combined }), ..nic() });
    let words = ["4 RX, 1 TX: queues 1-3 can only receive", "ethtool -L eth0 tx 4"];
    assert_found(&of(4, 1, 0), "queues", Status::Warning, &words);
    let words = ["2 combined, 1 RX: queue 2 can only receive", "ethtool -L eth0 tx 1"];
    assert_found(&of(1, 0, 2), "queues", Status::Warning, &words);
    for (rx, tx, combined) in [(2, 2, 0), (1, 4, 0), (0, 0, 4), (0, 3, 1)] {
        assert_eq!(found(&of(rx, tx, combined), "queues").status, Status::Ok);
    }
}

#[test]
fn the_kernels_version_tells_what_it_lacks() {
    let of = |release: &str| machine_report(Machine { release: release.into(), ..machine() });
    assert_found(&of("6.18.0"), "kernel", Status::Ok, &["6.18.0", "all that flux uses"]);
    assert_found(&of("7.3.4-x"), "kernel", Status::Ok, &["all"]);
    let words = ["packets of several frames (6.6)", "XDP_MAX_TX_SKB_BUDGET) (6.18)"];
    assert_found(&of("6.1.0-18-amd64"), "kernel", Status::Ok, &words);
    assert!(!found(&of("6.6.1"), "kernel").finding.contains("several frames"));
    assert_found(&of("5.10.0"), "kernel", Status::Warning, &["busy polling (5.11)", "boot Linux"]);
    assert_found(&of("5.4.0-42"), "kernel", Status::Blocker, &["link (5.9)", "boot Linux"]);
    assert_unchecked(&of("strange"), "kernel", "strange");
}

#[test]
fn the_kernels_options_are_judged_where_they_can_be_read() {
    let without = |name: &str| {
        let mut machine = machine();
        machine.config.as_mut().unwrap().remove(name);
        machine_report(machine)
    };
    let xsk = without("CONFIG_XDP_SOCKETS");
    assert_found(&xsk, "kernel_config", Status::Blocker, &["without CONFIG_XDP_SOCKETS"]);
    let jit = without("CONFIG_BPF_JIT");
    assert_found(&jit, "kernel_config", Status::Warning, &["without CONFIG_BPF_JIT"]);
    let diag = without("CONFIG_XDP_SOCKETS_DIAG");
    assert_found(&diag, "kernel_config", Status::Ok, &["ss --xdp"]);
    let hidden = machine_report(Machine { config: Err("cannot be read".into()), ..machine() });
    assert_unchecked(&hidden, "kernel_config", "cannot be read");
}

#[test]
fn each_missing_capability_is_a_blocker_of_its_own() {
    let with =
        |capabilities: u64| machine_report(Machine { capabilities: Ok(capabilities), ..machine() });
    let table = [("cap_net_raw", 13), ("cap_net_admin", 12), ("cap_bpf", 39), ("cap_perfmon", 38)];
    let needed = table.iter().fold(0, |all, (_, bit)| all | 1u64 << bit);
    for (id, bit) in table {
        let report = with(needed & !(1 << bit));
        assert_found(&report, id, Status::Blocker, &["missing", SETCAP]);
        assert_eq!(report.blockers, 1, "{id}");
    }
    let report = with(needed);
    assert_eq!(report.blockers, 0);
    assert_found(&report, "cap_sys_ptrace", Status::Ok, &["missing", "flux rings"]);
    // CAP_SYS_ADMIN is both of the newer ones.
    assert_eq!(with(1 << 13 | 1 << 12 | 1 << 21).blockers, 0);
    let unknown = machine_report(Machine { capabilities: Err("no /proc".into()), ..machine() });
    assert_unchecked(&unknown, "cap_bpf", "no /proc");
}

#[test]
fn a_socket_that_cannot_be_opened_is_a_blocker_with_its_reason() {
    let with = |socket| machine_report(Machine { socket, ..machine() });
    let refused = |errno| Tried::Refused(errno, "in words".into());
    let none = with(refused(libc::EAFNOSUPPORT));
    assert_found(&none, "xdp_socket", Status::Blocker, &["no AF_XDP", "CONFIG_XDP_SOCKETS"]);
    let capability = with(refused(libc::EPERM));
    assert_found(&capability, "xdp_socket", Status::Blocker, &["CAP_NET_RAW is missing", SETCAP]);
    assert_found(&with(refused(0)), "xdp_socket", Status::Blocker, &["in words"]);
    let inner = machine_report(Machine { user_namespace: true, ..machine() });
    assert_found(&inner, "cap_net_raw", Status::Ok, &["user namespace alone"]);
    assert_found(&machine_report(machine()), "xdp_socket", Status::Ok, &[]);
}

#[test]
fn a_program_that_does_not_load_is_a_blocker_with_its_reason() {
    let with = |errno, capabilities| {
        let program = Tried::Refused(errno, "in words".into());
        machine_report(Machine { program, capabilities: Ok(capabilities), ..machine() })
    };
    assert_found(&with(libc::EPERM, ALL), "bpf", Status::Blocker, &["CAP_BPF is missing", SETCAP]);
    assert_found(&with(libc::ENOSYS, ALL), "bpf", Status::Blocker, &["CONFIG_BPF_SYSCALL"]);
    assert_found(&with(libc::ENOMEM, ALL), "bpf", Status::Blocker, &["ulimit -l"]);
    assert_found(&with(libc::EINVAL, ALL), "bpf", Status::Blocker, &["in words", "dmesg"]);
}

#[test]
fn jit_and_btf_are_warnings_where_they_are_missing() {
    let report = machine_report(Machine { jit: Ok(false), btf: false, ..machine() });
    assert_found(&report, "bpf_jit", Status::Warning, &["net.core.bpf_jit_enable=1"]);
    assert_found(&report, "btf", Status::Warning, &["flux rings", "CONFIG_DEBUG_INFO_BTF"]);
    let unknown = machine_report(Machine { jit: Err("no program".into()), ..machine() });
    assert_unchecked(&unknown, "bpf_jit", "no program");
}

#[test]
fn locked_memory_is_compared_with_the_umem() {
    let with = |limit, capabilities, release: &str| {
        let (memlock, capabilities) = (Ok(limit), Ok(capabilities));
        machine_report(Machine { memlock, capabilities, release: release.into(), ..machine() })
    };
    let small = Limit::Bytes(64 << 10);
    let words = ["limit 64 KiB", "UMEM takes 8 MiB", "ulimit -l", "--frames 32"];
    assert_found(&with(small, 0, "6.18"), "memlock", Status::Warning, &words);
    assert_found(&with(small, 1 << 14, "6.18"), "memlock", Status::Ok, &["CAP_IPC_LOCK"]);
    assert_found(&with(Limit::Unlimited, 0, "6.18"), "memlock", Status::Ok, &["no limit"]);
    let enough = Limit::Bytes(8 << 20);
    assert_found(&with(enough, 0, "6.18.0"), "memlock", Status::Ok, &["8 MiB"]);
    assert_found(&with(enough, 0, "5.10.0"), "memlock", Status::Warning, &["before Linux 5.11"]);
    let memlock = Ok(enough);
    let half = machine_report(Machine {
        capabilities: Ok(0),
        memlock,
        umem_bytes: 4 << 20,
        usual_umem_bytes: 8 << 20,
        ..machine()
    });
    let words = ["limit 8 MiB", "takes 4 MiB instead of 8 MiB"];
    assert_found(&half, "memlock", Status::Ok, &words);
}

#[test]
fn huge_pages_that_are_not_enough_are_a_warning() {
    let with = |total, free| {
        machine_report(Machine { huge_pages: HugePages { total, free }, ..machine() })
    };
    assert_found(&with(64, 4), "huge_pages", Status::Ok, &["64", "4 free"]);
    let words = ["3 free", "takes 4", "vm.nr_hugepages=65"];
    assert_found(&with(64, 3), "huge_pages", Status::Warning, &words);
    assert_found(&with(0, 0), "huge_pages", Status::Ok, &["none", "vm.nr_hugepages=4"]);
}

#[test]
fn all_interfaces_are_a_line_each() {
    let brief = |name: &str, native, zero_copy| Brief {
        name: name.into(),
        driver: Some("ice".into()),
        up: true,
        xdp: Some(Xdp { native, zero_copy, ..Xdp::default() }),
        ..Brief::default()
    };
    let interfaces = vec![
        brief("a", true, true),
        brief("b", true, false),
        brief("c", false, false),
        Brief { name: "d".into(), ..Brief::default() },
    ];
    let facts = Facts { machine: None, subject: Subject::All(interfaces) };
    let report = examine(&facts);
    let lines: Vec<_> =
        report.checks.iter().map(|c| (c.title.as_str(), c.finding.as_str())).collect();
    let expected = [
        ("a", "ice, up, native XDP, zero-copy"),
        ("b", "ice, up, native XDP, copy mode"),
        ("c", "ice, up, skb mode alone"),
        ("d", "unknown driver, down, XDP features not known before Linux 6.3"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_interface_that_a_program_holds_is_a_warning_in_its_line() {
    let (told, cure) = ("xdp_fw (pid 7) uses it".to_owned(), "stop it: `kill 7`".to_owned());
    let held = Brief {
        name: "a".into(),
        driver: Some("ice".into()),
        up: true,
        master: Some(Master { kind: "bridge".into(), name: "br0".into() }),
        program: Some(Program { told, cure }),
        ..Brief::default()
    };
    let report = examine(&Facts { machine: None, subject: Subject::All(vec![held]) });
    let words = ["port of bridge br0", "cannot be opened: xdp_fw (pid 7) uses it", "`kill 7`"];
    assert_found(&report, "interface", Status::Warning, &words);
    assert_eq!((report.warnings, report.blockers), (1, 0));
}

#[test]
fn what_follows_from_a_missing_capability_is_said_and_not_counted() {
    let refused = || Tried::Refused(libc::EPERM, "in words".into());
    let report = machine_report(Machine {
        capabilities: Ok(0),
        socket: refused(),
        program: refused(),
        memlock: Ok(Limit::Unlimited),
        ..machine()
    });
    assert_eq!(report.blockers, 4);
    assert_unchecked(&report, "xdp_socket", "CAP_NET_RAW is missing");
    assert_unchecked(&report, "bpf", "CAP_BPF is missing");
    let start = "no warning, 4 blockers, which one fix removes: AF_XDP does not work here";
    assert_eq!(report.conclusion, start);
}

#[test]
fn a_port_is_called_one_and_a_bridge_is_sent_to_its_ports() {
    let of = |kind: &str| {
        let master = Some(Master { kind: kind.into(), name: "m0".into() });
        report(Nic { master, ..nic() })
    };
    let words = ["bridge m0", "does not get what XDP takes here", "routes are m0's"];
    assert_found(&of("bridge"), "port", Status::Ok, &words);
    assert_found(&of("bond"), "port", Status::Ok, &["bond m0", "only what this port receives"]);
    assert_found(&of("vrf"), "port", Status::Ok, &["VRF m0", "its table"]);
    assert!(report(nic()).checks.iter().all(|check| check.id != "port"));
    let bridge = report(Nic {
        kind: "bridge".into(),
        driver: Some("bridge".into()),
        bus: None,
        ports: vec!["p0".into(), "p1".into()],
        xdp: Ok(Xdp::default()),
        native: Tried::Refused(libc::EOPNOTSUPP, "in words".into()),
        offloads: BTreeMap::new(),
        ..nic()
    });
    let words = ["driver has none", "its ports may have it (p0, p1): flux doctor p0", "skb"];
    assert_found(&bridge, "xdp_features", Status::Warning, &words);
    assert_eq!((bridge.warnings, bridge.blockers), (1, 0), "{bridge:#?}");
}

#[test]
fn link_and_its_type_are_judged() {
    let down = report(Nic { up: false, carrier: false, ..nic() });
    assert_found(&down, "up", Status::Blocker, &["ip link set dev eth0 up"]);
    assert_unchecked(&down, "carrier", "down");
    let no_carrier = report(Nic { carrier: false, ..nic() });
    assert_found(&no_carrier, "carrier", Status::Warning, &["no link", "cable"]);
    let alone = report(Nic { carrier: false, ..veth() });
    assert_found(&alone, "carrier", Status::Warning, &["other end"]);
    let tunnel = report(Nic { ethernet: false, ..nic() });
    assert_found(&tunnel, "ethernet", Status::Blocker, &["not Ethernet"]);
    let loopback = report(Nic { ethernet: false, loopback: true, ..nic() });
    assert_found(&loopback, "ethernet", Status::Warning, &["skb mode"]);
}

#[test]
fn driver_bus_and_place_are_told() {
    let fine = report(nic());
    assert_found(&fine, "driver", Status::Ok, &["ice at 0000:3b:00.0"]);
    assert_found(&fine, "pcie", Status::Ok, &["16 GT/s x8"]);
    assert_found(&fine, "numa", Status::Ok, &["node 1", "--cpunodebind=1"]);
    let slow = Some(Pcie { now: (8.0, 4), most: (16.0, 8) });
    let words = ["8 GT/s x4", "16 GT/s x8", "lspci"];
    assert_found(&report(Nic { pcie: slow, ..nic() }), "pcie", Status::Warning, &words);
    assert_unchecked(&report(Nic { driver: None, ..nic() }), "driver", "does not say");
}

#[test]
fn ixgbe_minds_many_cpus() {
    let with = |driver: &str, cpus| report(Nic { driver: Some(driver.into()), cpus, ..nic() });
    let has = |report: &Report| report.checks.iter().any(|check| check.id == "cpus");
    assert!(!has(&with("ice", 256)) && !has(&with("ixgbe", 64)));
    assert_found(&with("ixgbe", 96), "cpus", Status::Warning, &["96", "locks"]);
    assert_found(&with("ixgbe", 192), "cpus", Status::Warning, &["192", "no native XDP"]);
}

#[test]
fn queues_and_what_spreads_packets_over_them() {
    let fine = report(nic());
    assert_found(&fine, "queues", Status::Ok, &["4 combined"]);
    assert_found(&fine, "rss", Status::Ok, &["8 entries over 4 of 4 queues"]);
    assert_found(&fine, "ntuple", Status::Ok, &["none"]);
    assert_found(&fine, "nic_ring", Status::Ok, &["512", "8160"]);
    let narrow = report(Nic { rss: Some(vec![0, 0]), ..nic() });
    let words = ["1 of 4", "none for 1-3", "ethtool -X eth0 equal 4"];
    assert_found(&narrow, "rss", Status::Warning, &words);
    let steered = report(Nic { rules: Some(3), ..nic() });
    assert_found(&steered, "ntuple", Status::Warning, &["3 rules", "ethtool -n eth0"]);
    let odd = report(Nic { ring: Some((511, 8160)), ..nic() });
    assert_found(&odd, "nic_ring", Status::Warning, &["511", "ethtool -G eth0 rx 256"]);
    let bound = report(Nic { bound: vec![0, 2, 3], ..nic() });
    assert_found(
        &bound,
        "bound",
        Status::Warning,
        &["0, 2-3", "EBUSY", "only send", "flux rings eth0"],
    );
    let silent = report(Nic { channels: None, rx_queues: None, ..nic() });
    assert_unchecked(&silent, "queues", "does not say");
}

#[test]
fn a_foreign_program_is_a_blocker_with_the_way_to_detach_it() {
    assert_found(&report(nic()), "program", Status::Ok, &["none"]);
    let (told, cure) = ("xdp_fw (pid 7) uses it".into(), "stop it: `kill 7`".into());
    let report = report(Nic { program: Some(Program { told, cure }), ..nic() });
    assert_found(&report, "program", Status::Blocker, &["xdp_fw (pid 7)", "kill 7"]);
    assert!(report.conclusion.contains("does not work here"));
}

#[test]
fn what_the_driver_says_of_its_xdp_is_told() {
    let fine = report(nic());
    assert_found(&fine, "multi_buffer", Status::Ok, &["up to 8 frames"]);
    assert_found(&fine, "metadata", Status::Ok, &["time stamp, hash", "sent: checksum"]);
    let none = report(Nic { xdp: Ok(Xdp::default()), ..nic() });
    assert_found(&none, "xdp_features", Status::Warning, &["driver has none", "--attach skb"]);
    assert_found(&none, "zero_copy", Status::Warning, &["copied once", "--bind copy"]);
    assert_found(&report(veth()), "zero_copy", Status::Ok, &["copied once"]);
    let old = report(Nic { xdp: Err("Linux 6.3".into()), ..nic() });
    assert_unchecked(&old, "xdp_features", "6.3");
    assert_unchecked(&old, "zero_copy", "6.3");
    assert!(old.conclusion.ends_with("AF_XDP works here in native mode"), "{}", old.conclusion);
    let virtio = report(Nic { driver: Some("virtio_net".into()), ..nic() });
    assert_found(&virtio, "zero_copy", Status::Ok, &["iommu_platform"]);
}

#[test]
fn attempts_to_attach_are_told_with_what_mends_them() {
    let native = |errno, nic: Nic| {
        let native = Tried::Refused(errno, "in words".into());
        report(Nic { native, ..nic })
    };
    let fine = report(nic());
    assert_found(&fine, "attach_native", Status::Ok, &["works", "--no-attach"]);
    assert_found(&fine, "attach_skb", Status::Ok, &["works"]);
    let known = native(libc::EOPNOTSUPP, Nic { xdp: Ok(Xdp::default()), ..nic() });
    assert_found(&known, "xdp_features", Status::Warning, &["driver has none", "--attach skb"]);
    assert_unchecked(&known, "attach_native", "driver has no native XDP");
    let none = native(libc::EOPNOTSUPP, nic());
    assert_found(&none, "attach_native", Status::Warning, &["driver has none", "--attach skb"]);
    assert!(none.conclusion.ends_with("in skb mode alone, which is slow"), "{}", none.conclusion);
    let words = ["1500", "other end", "mtu 1500"];
    assert_found(&native(libc::ERANGE, veth()), "attach_native", Status::Warning, &words);
    let words = ["fewer RX queues", "ethtool -L eth0"];
    assert_found(&native(libc::ENOSPC, veth()), "attach_native", Status::Warning, &words);
    let words = ["in words", "dmesg"];
    assert_found(&native(libc::EINVAL, nic()), "attach_native", Status::Warning, &words);
    assert_found(&native(libc::EPERM, nic()), "attach_native", Status::Blocker, &["permitted"]);
    assert_found(&native(libc::EBUSY, nic()), "attach_native", Status::Blocker, &["in words"]);
    let skb = Tried::Refused(libc::EINVAL, "in words".into());
    let one = report(Nic { skb: skb.clone(), ..nic() });
    assert_found(&one, "attach_skb", Status::Warning, &["--attach native"]);
    let neither = report(Nic { native: skb.clone(), skb, ..nic() });
    assert_found(&neither, "attach_skb", Status::Blocker, &["in words"]);
    let not = || Tried::Not("not tried: --no-attach".into());
    let untouched = report(Nic { native: not(), skb: not(), ..nic() });
    assert_unchecked(&untouched, "attach_native", "--no-attach");
    assert!(
        untouched.conclusion.contains("should work here in native"),
        "{}",
        untouched.conclusion
    );
}

#[test]
fn a_veth_tells_what_its_other_end_makes_of_it() {
    let fine = report(veth());
    assert_found(&fine, "veth", Status::Ok, &["takes packets that others redirect"]);
    assert_found(&fine, "checksums", Status::Ok, &["veth1"]);
    let xdp = Ok(Xdp { native: true, ..Xdp::default() });
    assert_found(
        &report(Nic { xdp, ..veth() }),
        "veth",
        Status::Ok,
        &["none that others redirect", "gro on"],
    );
    let peer = Some(Peer::Here { name: "veth1".into(), tx_checksum: Some(true) });
    let partial = report(Nic { peer, ..veth() });
    assert_found(&partial, "checksums", Status::Warning, &["ethtool -K veth1 tx off"]);
    let away = report(Nic { peer: Some(Peer::Elsewhere), ..veth() });
    assert_unchecked(&away, "checksums", "another namespace");
}

#[test]
fn the_mtu_is_compared_with_the_frame() {
    let with = |mtu| report(Nic { mtu, ..nic() });
    assert_found(&with(1774), "mtu", Status::Ok, &["1774"]);
    assert_found(&with(1775), "mtu", Status::Warning, &["--frame-size 4096", "mtu 1774"]);
    assert_found(&with(3822), "mtu", Status::Warning, &["--frame-size 4096"]);
    assert_found(&with(9000), "mtu", Status::Warning, &["9000", "3822", "mtu 1500"]);
}

#[test]
fn offloads_that_merge_packets_or_take_tags_off_are_warnings() {
    let with = |name, native| {
        let offloads = BTreeMap::from([(name, true)]);
        report(Nic { offloads, native, ..nic() })
    };
    let refused = || Tried::Refused(libc::EOPNOTSUPP, String::new());
    let words = ["rx-lro", "ethtool -K eth0 rx-lro off"];
    assert_found(&with("rx-lro", Tried::Worked), "merging", Status::Warning, &words);
    assert_found(&with("rx-gro-hw", Tried::Worked), "merging", Status::Warning, &["rx-gro-hw"]);
    // The stack merges behind the driver's hook, but before its own.
    assert_found(&with("rx-gro", Tried::Worked), "merging", Status::Ok, &[]);
    assert_found(&with("rx-gro", refused()), "merging", Status::Warning, &["rx-gro off"]);
    let tags = with("rx-vlan-hw-parse", Tried::Worked);
    assert_found(&tags, "vlan", Status::Warning, &["VLAN", "rx-vlan-hw-parse off"]);
    assert_found(&report(nic()), "vlan", Status::Ok, &[]);
}

#[test]
fn interrupts_that_wait_for_company_are_a_warning() {
    let with = |adaptive, usecs| {
        let moderation = Some(Moderation { adaptive, usecs, frames: 64 });
        report(Nic { moderation, ..nic() })
    };
    assert_found(&with(false, 50), "moderation", Status::Ok, &["rx-usecs 50"]);
    assert_found(&with(false, 51), "moderation", Status::Warning, &["ethtool -C eth0"]);
    assert_found(&with(true, 8), "moderation", Status::Warning, &["adaptive-rx off"]);
    let report = report(Nic { moderation: None, ..nic() });
    assert!(report.checks.iter().all(|check| check.id != "moderation"));
}

#[test]
fn numbers_are_told_as_runs() {
    assert_eq!(ranges(&[3, 1, 2, 7, 7]), "1-3, 7");
    assert_eq!(ranges(&[]), "none");
}
