//! Who has the XDP hook of an interface: the program on it, how it is attached, and the process
//! behind it; and what makes the hook free.
//!
//! Looked up when something was refused, never before: it reads the descriptors of all processes.

use crate::error::{Advice, ErrorKind, FluxError};
use crate::sys::bpf;
use crate::sys::links::{self, Hook, Link};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Where it is.
    pub(crate) interface: String,
    /// The program's number.
    pub(crate) id: u32,
    /// Its name, where we may look.
    pub(crate) name: Option<String>,
    /// `native`, `skb`, `hardware`, `several`.
    pub(crate) mode: &'static str,
    pub(crate) by: By,
    /// Who has it open, where that can be seen.
    pub(crate) owner: Option<Process>,
}

/// How it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// By a link, which ends with its last owner; its number where we may look.
    Link(Option<u32>),
    /// By netlink, as `ip` does it: it stays until somebody takes it off.
    Netlink,
    Unknown,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Its command: `flux ping`, `xdpsock`.
    pub(crate) command: String,
}

impl Process {
    pub(crate) fn of(pid: u32) -> Self {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let clean = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.trim().chars().filter(|letter| !letter.is_control()).collect::<String>()
        };
        let line = read("cmdline");
        let words: Vec<String> = line.split(|&byte| byte == 0).map(clean).collect();
        let base = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
        let command = match words.get(1) {
            Some(verb) if base == "flux" && !verb.is_empty() => format!("flux {verb}"),
            _ => clean(&read("comm")),
        };
        Self { pid, command: if command.is_empty() { "a process".into() } else { command } }
    }

    fn is_flux(&self) -> bool {
        self.command.starts_with("flux ")
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

/// What stands in the way of a program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InTheWay {
    /// A program on it.
    Here(Holder),
    /// A program on an interface above it: the bridge, bond or team that it is a port of, a VLAN or
    /// macvlan on it. The kernel has one on the way of a packet, not two.
    Above(Holder),
}

/// Looks at an interface of the calling thread's network namespace. `said` is why the kernel
/// refused another program, in its words.
pub(crate) fn in_the_way(ifindex: u32, said: Option<&str>) -> Option<InTheWay> {
    let links = links::all().unwrap_or_default();
    let here = links.iter().find(|link| link.index == ifindex)?;
    if let Some(holder) = holder(here, said) {
        return Some(InTheWay::Here(holder));
    }
    above(&links, here).into_iter().find_map(|link| holder(link, None)).map(InTheWay::Above)
}

/// The interfaces that packets of `link` go up to.
fn above<'a>(links: &'a [Link], link: &Link) -> Vec<&'a Link> {
    let mut found: Vec<&Link> = Vec::new();
    let mut open = vec![(link.index, link.master)];
    while let Some((index, master)) = open.pop() {
        for next in links {
            let is_above = master == Some(next.index) || next.lower == Some(index);
            if is_above && next.index != link.index && !found.contains(&next) {
                found.push(next);
                open.push((next.index, next.master));
            }
        }
    }
    found
}

fn holder(link: &Link, said: Option<&str>) -> Option<Holder> {
    let program = link.program?;
    let held = held_by(program.id);
    let by = match (bpf::link_of(program.id, link.index), &held) {
        (Ok(Some(number)), _) => By::Link(Some(number)),
        (Ok(None), _) => By::Netlink,
        (Err(_), Some((_, number))) if number.is_some() => By::Link(*number),
        (Err(_), _) => match said {
            Some(said) if said.contains("BPF XDP link") => By::Link(None),
            Some(said) if said.contains("already attached") => By::Netlink,
            _ => By::Unknown,
        },
    };
    Some(Holder {
        interface: link.name.clone(),
        id: program.id,
        name: bpf::program_name(program.id).ok(),
        mode: match program.hook {
            Hook::Native => "native",
            Hook::Skb => "skb",
            Hook::Hardware => "hardware",
            Hook::Several => "several",
        },
        by,
        owner: held.map(|(process, _)| process).or_else(|| receiver(link.index)),
    })
}

/// The process that has a program or its link open, and the number of that link. A process of
/// another user cannot be looked into without CAP_SYS_PTRACE.
fn held_by(program: u32) -> Option<(Process, Option<u32>)> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let mut found = None;
    for pid in pids {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            if !is_bpf(&descriptor.path()) {
                continue;
            }
            let info = format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().to_string_lossy());
            let info = fs::read_to_string(info).unwrap_or_default();
            let number = |name: &str| {
                let line = info.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().parse::<u32>().ok()
            };
            if number("prog_id:") != Some(program) {
                continue;
            }
            let link = number("link_id:");
            if link.is_some() {
                return Some((Process::of(pid), link));
            }
            found.get_or_insert(pid);
        }
    }
    found.map(|pid| (Process::of(pid), None))
}

/// `anon_inode:bpf-prog` or `anon_inode:bpf_link`.
fn is_bpf(descriptor: &Path) -> bool {
    fs::read_link(descriptor).is_ok_and(|to| to.to_string_lossy().contains("bpf"))
}

/// The process with an AF_XDP socket on an interface of ours. Asked of the kernel where the
/// descriptors of other processes are not shown: CAP_BPF and CAP_PERFMON are enough for that.
#[cfg(feature = "tools")]
fn receiver(ifindex: u32) -> Option<Process> {
    socket_on(ifindex, None)
}

#[cfg(not(feature = "tools"))]
fn receiver(_ifindex: u32) -> Option<Process> {
    None
}

/// The process with an AF_XDP socket on an interface of ours, and on that queue of it.
#[cfg(feature = "tools")]
pub(crate) fn socket_on(ifindex: u32, queue: Option<u32>) -> Option<Process> {
    let here = crate::sys::netns::NetNs::current().and_then(|here| here.inode()).ok()?;
    let records = crate::sys::rings_iter::RingsIter::load().ok()?.records().ok()?;
    let own = std::process::id();
    records
        .iter()
        // 1: bound
        .filter(|record| record.state == 1 && (record.netns, record.ifindex) == (here, ifindex))
        .filter(|record| queue.is_none_or(|queue| record.queue == queue))
        .filter(|record| record.pid != 0 && (queue.is_none() || record.pid != own))
        .min_by_key(|record| record.pid)
        .map(|record| Process::of(record.pid))
}

#[cfg(not(feature = "tools"))]
pub(crate) fn socket_on(_ifindex: u32, _queue: Option<u32>) -> Option<Process> {
    None
}

impl Holder {
    /// What it is, in words.
    pub(crate) fn told(&self) -> String {
        let mut program = format!("XDP program {}", self.id);
        // A String takes every write.
        if let Some(name) = self.name.as_deref().filter(|name| !name.is_empty()) {
            let _ = write!(program, ", {name}");
        }
        let mode = match self.mode {
            "several" => "in several modes".to_owned(),
            mode => format!("{mode} mode"),
        };
        format!("{program}, {mode}")
    }

    /// Why nobody else can have the interface.
    pub(crate) fn cause(&self) -> String {
        match &self.owner {
            Some(owner) if owner.pid == std::process::id() => {
                format!("this process has it open already ({})", self.told())
            }
            Some(owner) => format!("{owner} uses it ({})", self.told()),
            None => format!("another program is attached ({})", self.told()),
        }
    }

    /// What makes it free.
    pub(crate) fn cure(&self) -> (String, Option<Advice>) {
        let off = self.off();
        match (&self.owner, self.by) {
            (Some(owner), _) if owner.pid == std::process::id() => {
                ("close it there first".into(), None)
            }
            (Some(owner), By::Link(_)) if owner.is_flux() => {
                let pid = owner.pid;
                (format!("wait until it ends, stop it (`kill {pid}`), or "), Some(Advice::OneRun))
            }
            (Some(owner), By::Netlink) => {
                let pid = owner.pid;
                (format!("stop it (`kill {pid}`), and take its program off: `{off}`"), None)
            }
            (Some(owner), _) => (format!("stop it: `kill {}`", owner.pid), None),
            (None, By::Link(Some(link))) => {
                (format!("`bpftool link detach id {link}` takes it off"), None)
            }
            (None, By::Link(None)) => {
                let id = self.id;
                let how = format!(
                    "it ends with its owner, whom `bpftool link` names to root (prog {id}); \
                     `bpftool link detach` takes it off"
                );
                (how, None)
            }
            (None, By::Netlink) => (format!("`{off}` takes it off"), None),
            (None, By::Unknown) => {
                let how = format!(
                    "`{off}` takes it off, or where that is refused `bpftool link detach id N` \
                     with the number that `bpftool link` shows to root"
                );
                (how, None)
            }
        }
    }

    /// The command that takes off what netlink attached.
    fn off(&self) -> String {
        let hook = match self.mode {
            "skb" => "xdpgeneric",
            "hardware" => "xdpoffload",
            _ => "xdp",
        };
        format!("ip link set dev {} {hook} off", self.interface)
    }
}

impl InTheWay {
    /// Why a program was refused, and what helps.
    pub(crate) fn told(&self) -> (String, String, Option<Advice>) {
        match self {
            InTheWay::Here(holder) => {
                let (cure, advice) = holder.cure();
                (holder.cause(), cure, advice)
            }
            InTheWay::Above(holder) => {
                let above = &holder.interface;
                let owner = holder.owner.as_ref().map_or(String::new(), |it| format!(", of {it}"));
                let why = format!(
                    "{above} above it has an XDP program, and the kernel allows one of the two \
                     ({}{owner})",
                    holder.told()
                );
                let (cure, advice) = holder.cure();
                (why, cure, advice)
            }
        }
    }

    /// `error`, which is about that, with it as its reason.
    pub(crate) fn explain(&self, error: FluxError) -> FluxError {
        debug_assert_eq!(error.kind(), ErrorKind::Busy);
        let (cause, cure, advice) = self.told();
        let error = error.with_cause(cause);
        match advice {
            Some(advice) => error.with_advice(cure, advice),
            None => error.with_hint(cure),
        }
    }
}
