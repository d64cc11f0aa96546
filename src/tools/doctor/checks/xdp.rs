//! What the interface's XDP can do, as it says and as was tried.

use super::super::facts::{Nic, Tried};
use super::{Entry, Verdict, blocker, list, ok, unchecked, warning};

pub(super) const CHECKS: &[Entry<Nic>] = &[
    ("program", "XDP program", program),
    ("xdp_features", "native XDP", features),
    ("zero_copy", "zero-copy", zero_copy),
    ("multi_buffer", "multi-buffer", multi_buffer),
    ("metadata", "metadata", metadata),
    ("attach_native", "attach native", native),
    ("attach_skb", "attach skb", skb),
    ("veth", "veth pair", veth),
];

fn program(nic: &Nic) -> Verdict {
    match &nic.program {
        None => ok("none attached"),
        Some(program) => blocker(program.told.clone(), program.cure.clone()),
    }
}

fn features(nic: &Nic) -> Verdict {
    match &nic.xdp {
        Err(reason) => unchecked(reason.clone()),
        Ok(xdp) if xdp.native => ok("the driver has it, with redirect"),
        Ok(_) => warning(
            "the driver has none: packets are taken after the kernel made a buffer for each",
            without_native(nic),
        ),
    }
}

/// What to do where the driver has no native XDP.
fn without_native(nic: &Nic) -> String {
    let skb = "--attach skb works, with less speed";
    match (nic.ports.as_slice(), nic.kind.as_str()) {
        ([first, ..], _) => {
            format!("its ports may have it ({}): flux doctor {first}; here {skb}", list(&nic.ports))
        }
        ([], "vlan" | "macvlan" | "ipvlan") => {
            format!("the interface below it may have it; here {skb}")
        }
        ([], _) if nic.has_device() => format!("another NIC may have it; with this one {skb}"),
        ([], _) => skb.to_owned(),
    }
}

fn zero_copy(nic: &Nic) -> Verdict {
    match &nic.xdp {
        Err(reason) => unchecked(reason.clone()),
        Ok(xdp) if xdp.zero_copy && nic.driver.as_deref() == Some("virtio_net") => {
            ok("the driver has it, if the hypervisor gives the device iommu_platform=on")
        }
        Ok(xdp) if xdp.zero_copy => ok("the driver has it"),
        Ok(_) if nic.has_device() => warning(
            "the driver has none: each packet is copied once",
            "a newer kernel may have it for this driver; --bind copy works",
        ),
        Ok(_) => ok("none: each packet is copied once"),
    }
}

fn multi_buffer(nic: &Nic) -> Verdict {
    let Ok(xdp) = &nic.xdp else { return Verdict::Nothing };
    let native = if xdp.multi_buffer { "in native XDP" } else { "not in native XDP" };
    match xdp.zero_copy_segments {
        Some(segments) if segments > 1 => {
            ok(format!("{native}; up to {segments} frames a packet in zero-copy mode"))
        }
        _ => ok(native),
    }
}

fn metadata(nic: &Nic) -> Verdict {
    let Ok(xdp) = &nic.xdp else { return Verdict::Nothing };
    let side = |name: &str, known: &Option<Vec<&'static str>>| match known {
        None => format!("{name} not told by this kernel"),
        Some(words) => format!("{name} {}", list(words)),
    };
    if xdp.rx_metadata.is_none() && xdp.tx_metadata.is_none() {
        return Verdict::Nothing;
    }
    ok(format!("{}; {}", side("received:", &xdp.rx_metadata), side("sent:", &xdp.tx_metadata)))
}

fn worked(nic: &Nic) -> Verdict {
    match nic.has_device() {
        true => ok("works (some NICs reset their link for it: --no-attach leaves that out)"),
        false => ok("works"),
    }
}

fn native(nic: &Nic) -> Verdict {
    let name = &nic.name;
    match &nic.native {
        Tried::Worked => worked(nic),
        Tried::Not(reason) => unchecked(reason.clone()),
        Tried::Refused(libc::EPERM | libc::EACCES, _) => {
            blocker("not permitted", "see the capabilities above")
        }
        Tried::Refused(libc::EBUSY | libc::EEXIST, text) => blocker(
            format!("refused: {text}"),
            format!("look again, it came just now: flux doctor {name} says what takes it off"),
        ),
        Tried::Refused(libc::ERANGE, _) => {
            let veth = nic.is_veth();
            let other = if veth { ", and the same on the other end" } else { "" };
            let whose = if veth { " here or at the other end" } else { "" };
            warning(
                format!("refused: the MTU{whose} is too large for it; ours is {}", nic.mtu),
                format!("ip link set dev {name} mtu 1500{other}"),
            )
        }
        Tried::Refused(libc::ENOSPC, _) => warning(
            format!("refused: {} has fewer RX queues than the other end has TX queues", nic.name),
            format!("ethtool -L {name} rx N, with the other end's number of TX queues"),
        ),
        Tried::Refused(libc::EOPNOTSUPP, _) if nic.xdp.as_ref().is_ok_and(|xdp| !xdp.native) => {
            unchecked("refused, because the driver has no native XDP")
        }
        Tried::Refused(libc::EOPNOTSUPP, _) => warning(
            "refused: the driver has none, or none with this MTU or these offloads",
            format!(
                "use --attach skb; if lro is on (ethtool -k {name}): ethtool -K {name} lro off"
            ),
        ),
        Tried::Refused(_, text) => warning(
            format!("refused: {text}"),
            "see `dmesg` for the driver's reason; use --attach skb",
        ),
    }
}

fn skb(nic: &Nic) -> Verdict {
    match &nic.skb {
        Tried::Worked => worked(nic),
        Tried::Not(reason) => unchecked(reason.clone()),
        Tried::Refused(_, text) if nic.native == Tried::Worked => {
            warning(format!("refused: {text}"), "use --attach native, which works")
        }
        Tried::Refused(_, text) => {
            blocker(format!("refused: {text}"), "see `dmesg` for the kernel's reason")
        }
    }
}

/// AF_XDP's own sockets send through the stack; programs that redirect into the pair do not.
fn veth(nic: &Nic) -> Verdict {
    let Some(xdp) = nic.xdp.as_ref().ok().filter(|_| nic.is_veth()) else {
        return Verdict::Nothing;
    };
    if xdp.takes_redirects {
        return ok("takes packets that others redirect to it");
    }
    ok("takes none that others redirect to it; with ethtool -K PEER gro on it does")
}
