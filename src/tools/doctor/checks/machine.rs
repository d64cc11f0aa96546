//! The machine: kernel, rights, memory.

use super::super::facts::{Limit, Machine, Tried};
use super::{Entry, Verdict, blocker, list, ok, unchecked, warning};
use crate::error::SETCAP;

pub(super) const CHECKS: &[Entry<Machine>] = &[
    ("kernel", "kernel version", kernel),
    ("kernel_config", "kernel options", config),
    ("cap_net_raw", "CAP_NET_RAW", cap_net_raw),
    ("cap_net_admin", "CAP_NET_ADMIN", cap_net_admin),
    ("cap_bpf", "CAP_BPF", cap_bpf),
    ("cap_perfmon", "CAP_PERFMON", cap_perfmon),
    ("cap_sys_ptrace", "CAP_SYS_PTRACE", cap_sys_ptrace),
    ("xdp_socket", "AF_XDP socket", socket),
    ("bpf", "BPF program", program),
    ("bpf_jit", "BPF JIT", jit),
    ("btf", "BTF", btf),
    ("memlock", "locked memory", memlock),
    ("huge_pages", "huge pages", huge_pages),
];

// linux/capability.h
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// From when on XDP programs are attached by links: the oldest kernel for flux.
const OLDEST: (u32, u32) = (5, 9);
/// From when on a UMEM may be shared by several queues, and polling be preferred to interrupts.
const GOOD: (u32, u32) = (5, 11);

/// What came later, and when.
const LATER: &[((u32, u32), &str)] = &[
    ((5, 10), "one UMEM for several queues"),
    ((5, 11), "preferred busy polling"),
    ((5, 18), "the load generator of `flux bench --lab`"),
    ((6, 3), "drivers' XDP features by netlink"),
    ((6, 6), "packets of several frames"),
    ((6, 8), "checksums and time stamps by the NIC"),
    ((6, 18), "larger batches in copy mode (XDP_MAX_TX_SKB_BUDGET)"),
];

/// Major and minor number of `6.12.3-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(machine: &Machine) -> Verdict {
    let release = &machine.release;
    let Some(version) = version(release) else {
        return unchecked(format!("the kernel's version '{release}' is not understood"));
    };
    let missing: Vec<String> = LATER
        .iter()
        .filter(|(since, _)| version < *since)
        .map(|((major, minor), what)| format!("{what} ({major}.{minor})"))
        .collect();
    let lacks = format!("Linux {release} lacks {}", list(&missing));
    if missing.is_empty() {
        ok(format!("Linux {release} has all that flux uses"))
    } else if version < OLDEST {
        blocker(
            format!("Linux {release} attaches no XDP program by a link (5.9)"),
            "boot Linux 5.11 or newer; 6.6 or newer is better",
        )
    } else if version < GOOD {
        warning(lacks, "boot Linux 5.11 or newer; 6.6 or newer is better")
    } else {
        ok(lacks)
    }
}

fn config(machine: &Machine) -> Verdict {
    let options = match &machine.config {
        Ok(options) => options,
        Err(reason) => return unchecked(reason.clone()),
    };
    let off = |name: &&str| !matches!(options.get(*name).map(String::as_str), Some("y" | "m"));
    let missing = |names: &[&'static str]| names.iter().copied().filter(off).collect::<Vec<_>>();
    let needed = missing(&["CONFIG_XDP_SOCKETS", "CONFIG_BPF_SYSCALL"]);
    let useful = missing(&["CONFIG_BPF_JIT", "CONFIG_NET_RX_BUSY_POLL", "CONFIG_DEBUG_INFO_BTF"]);
    if !needed.is_empty() {
        return blocker(
            format!("the kernel was built without {}", list(&needed)),
            format!("boot a kernel with {}", list(&needed)),
        );
    }
    if !useful.is_empty() {
        return warning(
            format!("the kernel was built without {}", list(&useful)),
            format!("boot a kernel with {}", list(&useful)),
        );
    }
    let diag = off(&"CONFIG_XDP_SOCKETS_DIAG");
    let note = if diag { "; without XDP_SOCKETS_DIAG: `ss --xdp` shows nothing" } else { "" };
    ok(format!("XDP_SOCKETS, BPF_SYSCALL, BPF_JIT, NET_RX_BUSY_POLL, DEBUG_INFO_BTF are on{note}"))
}

/// Whether one of the capabilities is there.
fn has(machine: &Machine, any: &[u32]) -> Result<bool, String> {
    machine.capabilities.clone().map(|all| any.iter().any(|bit| all >> bit & 1 != 0))
}

/// A capability that is there in one of these forms, or without which flux cannot do something.
fn needs(machine: &Machine, any: &[u32], use_: &str) -> Verdict {
    match has(machine, any) {
        Err(reason) => unchecked(reason),
        Ok(true) if machine.user_namespace => ok("effective, in this user namespace alone"),
        Ok(true) => ok("effective"),
        Ok(false) => blocker(format!("missing: {use_}"), setcap()),
    }
}

/// Those of an XDP program, each in one of its forms.
const FOR_PROGRAMS: [&[u32]; 3] =
    [&[CAP_NET_ADMIN], &[CAP_BPF, CAP_SYS_ADMIN], &[CAP_PERFMON, CAP_SYS_ADMIN]];

/// Whether one of these is missing, which is a blocker of its own.
fn lacks(machine: &Machine, needed: &[&[u32]]) -> bool {
    needed.iter().any(|any| has(machine, any) == Ok(false))
}

/// The kernel refuses it for a reason that has its own blocker: it does not count twice.
fn follows(cause: &str) -> Verdict {
    unchecked(format!("the kernel refuses it: {cause}"))
}

fn setcap() -> String {
    format!("run as root, or: {SETCAP} $(command -v flux)")
}

fn cap_net_raw(machine: &Machine) -> Verdict {
    needs(machine, &[CAP_NET_RAW], "AF_XDP sockets cannot be opened")
}

fn cap_net_admin(machine: &Machine) -> Verdict {
    needs(machine, &[CAP_NET_ADMIN], "XDP programs cannot be loaded or attached")
}

fn cap_bpf(machine: &Machine) -> Verdict {
    needs(machine, FOR_PROGRAMS[1], "BPF programs and maps cannot be made")
}

fn cap_perfmon(machine: &Machine) -> Verdict {
    needs(machine, FOR_PROGRAMS[2], "the kernel refuses what our programs do with pointers")
}

/// Only the second-best source of `flux rings` needs it.
fn cap_sys_ptrace(machine: &Machine) -> Verdict {
    match has(machine, &[CAP_SYS_PTRACE]) {
        Err(reason) => unchecked(reason),
        Ok(true) => ok("effective"),
        Ok(false) => ok("missing: only `flux rings` on a kernel without BTF needs it"),
    }
}

fn socket(machine: &Machine) -> Verdict {
    match &machine.socket {
        Tried::Worked => ok("can be opened"),
        Tried::Not(reason) => unchecked(reason.clone()),
        Tried::Refused(libc::EAFNOSUPPORT, _) => blocker(
            "this kernel has no AF_XDP",
            "boot a kernel with CONFIG_XDP_SOCKETS; --sim runs on any kernel",
        ),
        Tried::Refused(libc::EPERM | libc::EACCES, _) => {
            let (cause, fix) = &machine.socket_forbidden;
            if lacks(machine, &[&[CAP_NET_RAW]]) {
                return follows(cause);
            }
            blocker(format!("cannot be opened: {cause}"), fix.clone())
        }
        Tried::Refused(_, text) => blocker(
            format!("cannot be opened: {text}"),
            "see `dmesg`, and a container's seccomp rules",
        ),
    }
}

fn program(machine: &Machine) -> Verdict {
    match &machine.program {
        Tried::Worked => ok("loads, and the kernel accepts it"),
        Tried::Not(reason) => unchecked(reason.clone()),
        Tried::Refused(libc::EPERM | libc::EACCES, _) => {
            let (cause, fix) = &machine.program_forbidden;
            if lacks(machine, &FOR_PROGRAMS) {
                return follows(cause);
            }
            blocker(format!("cannot be loaded: {cause}"), fix.clone())
        }
        Tried::Refused(libc::EMFILE | libc::ENFILE, _) => blocker(
            "cannot be loaded: too many open files for the limit of this process",
            "ulimit -n 1024",
        ),
        Tried::Refused(libc::ENOSYS, _) => {
            blocker("this kernel has no BPF", "boot a kernel with CONFIG_BPF_SYSCALL")
        }
        Tried::Refused(libc::ENOMEM, text) => blocker(
            format!("cannot be loaded: {text}; before Linux 5.11, BPF counts as locked memory"),
            "ulimit -l unlimited",
        ),
        Tried::Refused(_, text) => {
            blocker(format!("cannot be loaded: {text}"), "see `dmesg` for the kernel's reason")
        }
    }
}

fn jit(machine: &Machine) -> Verdict {
    match &machine.jit {
        Ok(true) => ok("on: programs run as machine code"),
        Ok(false) => warning(
            "off: the kernel interprets every instruction of the XDP program",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Err(reason) => unchecked(reason.clone()),
    }
}

fn btf(machine: &Machine) -> Verdict {
    if machine.btf {
        ok("/sys/kernel/btf/vmlinux is there")
    } else {
        warning(
            "no /sys/kernel/btf/vmlinux: `flux rings` has to look in slower and poorer ways",
            "boot a kernel with CONFIG_DEBUG_INFO_BTF",
        )
    }
}

fn mib(bytes: u64) -> String {
    match bytes {
        bytes if bytes < 1 << 20 => format!("{} KiB", bytes >> 10),
        bytes => format!("{} MiB", bytes >> 20),
    }
}

/// The UMEM counts against the limit of its user on every kernel, unless CAP_IPC_LOCK is there. All
/// processes of the user count together, so that a usual one takes no more than half.
fn memlock(machine: &Machine) -> Verdict {
    let (need, usual) = (machine.umem_bytes, machine.usual_umem_bytes);
    let limit = match &machine.memlock {
        Err(reason) => return unchecked(reason.clone()),
        Ok(Limit::Unlimited) => return ok("no limit"),
        Ok(Limit::Bytes(limit)) => *limit,
    };
    if has(machine, &[CAP_IPC_LOCK]) == Ok(true) {
        return ok(format!("limit {}, which CAP_IPC_LOCK lifts", mib(limit)));
    }
    let of = if need < usual { format!(" instead of {}", mib(usual)) } else { String::new() };
    let numbers = format!("limit {}; the default UMEM takes {}{of}", mib(limit), mib(need));
    if need > limit {
        let frames = limit / 2048;
        warning(
            numbers,
            format!("ulimit -l unlimited, or cap_ipc_lock on flux, or --frames {frames} at most"),
        )
    } else if version(&machine.release).is_some_and(|version| version < GOOD) && need * 2 > limit {
        warning(
            format!("{numbers}, and before Linux 5.11 BPF maps count as well"),
            "ulimit -l unlimited",
        )
    } else {
        ok(numbers)
    }
}

fn huge_pages(machine: &Machine) -> Verdict {
    let pages = machine.huge_pages;
    let need = machine.umem_bytes.div_ceil(2 << 20);
    let wanted = pages.total - pages.free.min(pages.total) + need;
    let reserve = format!("sysctl -w vm.nr_hugepages={wanted}");
    let numbers = format!("{} of 2 MiB reserved, {} free", pages.total, pages.free);
    if pages.total == 0 {
        ok(format!(
            "none reserved: the UMEM gets transparent or ordinary pages ({reserve} reserves some)"
        ))
    } else if pages.free < need {
        warning(format!("{numbers}; the default UMEM takes {need}"), reserve)
    } else {
        ok(numbers)
    }
}
