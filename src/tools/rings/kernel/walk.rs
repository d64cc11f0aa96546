//! A walk over `/proc`: who has which AF_XDP socket.
//!
//! Descriptors are told apart by the names of their links, which costs no look at what is behind
//! them; only sockets are asked for their protocol, and none is taken. Processes come and go while
//! one walks: what vanishes has no socket any more. The descriptors of a process are those of its
//! main thread, as everywhere in `/proc/PID/fd`.

use crate::error::{ErrorKind, FluxError, errno_text};
use crate::snapshot::Owner;
use crate::sys::foreign;
use crate::tools::rings::{Missing, Unseen};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

/// `PROC_PID_INIT_INO` of include/linux/proc_ns.h.
const OUTERMOST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// What a walk brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// Inode number of each AF_XDP socket, and who has it.
    pub(super) sockets: BTreeMap<u64, Vec<Owner>>,
    /// Processes that could not be looked into.
    pub(super) refused: Vec<u32>,
    /// Whether `/proc` does not show all processes.
    pub(super) hidden: bool,
    /// Whether there are processes outside of our pid namespace.
    pub(super) nested: bool,
}

impl Walk {
    /// Whether there can be no sockets but these.
    pub(super) fn is_complete(&self) -> bool {
        self.refused.is_empty() && !self.hidden && !self.nested
    }

    /// Why there may be more sockets than these.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        if !self.refused.is_empty() {
            let processes = processes(&self.refused);
            let text = format!("{processes} could not be looked into: {}", why_refused());
            missing.push(Missing { text, unseen: Unseen::Processes(self.refused.clone()) });
        }
        if self.hidden {
            let words = "/proc shows our own processes alone (hidepid)";
            let text = format!("{words}: {}", why_refused());
            missing.push(Missing { text, unseen: Unseen::Anywhere });
        }
        if self.nested {
            let text = "processes outside of our pid namespace are out of sight".into();
            missing.push(Missing { text, unseen: Unseen::Outside });
        }
        missing
    }
}

/// Few by their names, many by their number.
fn processes(pids: &[u32]) -> String {
    match pids {
        [pid] => format!("{} (pid {pid})", command(*pid)),
        _ => format!("{} processes", pids.len()),
    }
}

/// What it takes to look into the processes of others, as far as we do not have it.
pub(super) fn why_refused() -> String {
    // /proc/self would be the main thread's.
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    without(effective(&status).unwrap_or(0))
}

fn without(capabilities: u64) -> String {
    const NEEDED: [(u32, &str); 2] = [(19, "CAP_SYS_PTRACE"), (2, "CAP_DAC_READ_SEARCH")];
    let missing = NEEDED.iter().filter(|(bit, _)| capabilities >> bit & 1 == 0);
    let names: Vec<_> = missing.map(|(_, name)| *name).collect();
    match names.as_slice() {
        [] => "a security module or a user namespace forbids it".into(),
        [one] => format!("{one} is missing"),
        _ => format!("{} are missing", names.join(" and ")),
    }
}

/// The line `CapEff` of `/proc/PID/status`.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Walks over all processes.
///
/// # Errors
/// When there is no `/proc`.
pub(super) fn walk() -> io::Result<Walk> {
    let mut walk = Walk::default();
    let mut first_seen = false;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        first_seen |= pid == 1;
        match process(pid, &mut walk.sockets) {
            Err(error) if is_refusal(&error) && !is_kernel_thread(pid) => walk.refused.push(pid),
            _ => {}
        }
    }
    // Every pid namespace has a process 1, unless it is about to end.
    walk.hidden = !first_seen;
    let namespace = fs::metadata("/proc/self/ns/pid");
    walk.nested = namespace.is_ok_and(|namespace| namespace.ino() != OUTERMOST_PID_NAMESPACE);
    Ok(walk)
}

/// What to say when there is no `/proc`.
pub(super) fn no_proc(error: io::Error) -> FluxError {
    let hint = match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit of open files: `ulimit -n 1024`",
        _ => "`mount -t proc proc /proc` mounts it",
    };
    FluxError::new(ErrorKind::System, "cannot look into /proc", errno_text(&error))
        .with_hint(hint)
        .with_source(error)
}

/// Whether the kernel let us not, rather than that there is nothing.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

fn process(pid: u32, sockets: &mut BTreeMap<u64, Vec<Owner>>) -> io::Result<()> {
    let mut comm = None;
    foreign::descriptors(pid, |fd, link| {
        let Some(inode) = socket_inode(link) else { return };
        if is_xdp(pid, fd) {
            let comm = comm.get_or_insert_with(|| command(pid)).clone();
            sockets.entry(inode).or_default().push(Owner { pid, fd, comm });
        }
    })
}

fn is_xdp(pid: u32, fd: i32) -> bool {
    let path = CString::new(format!("/proc/{pid}/fd/{fd}"));
    path.is_ok_and(|path| foreign::is_xdp(&path).unwrap_or(false))
}

/// Whether the process has an AF_XDP socket under that descriptor.
pub(super) fn still_there(owner: &Owner) -> bool {
    is_xdp(owner.pid, owner.fd)
}

/// `socket:[12345]`
fn socket_inode(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(number).ok()?.parse().ok()
}

fn command(pid: u32) -> String {
    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&comm).trim_end_matches('\n').to_owned()
}

/// Kernel threads have no descriptors, but their list of none may not be read by everybody.
fn is_kernel_thread(pid: u32) -> bool {
    const PF_KTHREAD: u64 = 0x0020_0000; // include/linux/sched.h
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    flags_of(&stat).is_some_and(|flags| flags & PF_KTHREAD != 0)
}

/// Field 9 of `/proc/PID/stat`. Field 2 is a name in parentheses, with whatever in it.
fn flags_of(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_told_by_the_name_of_its_link() {
        assert_eq!(socket_inode(b"socket:[4711]"), Some(4711));
        for other in ["/tmp/socket:[1]", "pipe:[1]", "socket:[]", "socket:[1] (deleted)"] {
            assert_eq!(socket_inode(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn flags_are_found_behind_any_name() {
        let kernel = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0";
        assert_eq!(flags_of(kernel), Some(2_129_984));
        assert_eq!(flags_of("7 (a) b) 1 2) R 1 7 7 0 -1 4194560 1"), Some(4_194_560));
        assert_eq!(flags_of(""), None);
        assert!(!is_kernel_thread(std::process::id()));
    }

    #[test]
    fn what_is_missing_is_said_with_the_capabilities_that_it_takes() {
        assert!(Walk::default().is_complete() && Walk::default().missing().is_empty());
        let walk = Walk { refused: vec![1, 2, 3], hidden: true, nested: true, ..Walk::default() };
        assert!(!walk.is_complete());
        let texts: Vec<_> = walk.missing().into_iter().map(|missing| missing.text).collect();
        let [refused, hidden, nested] = <[String; 3]>::try_from(texts).unwrap();
        assert!(refused.starts_with("3 processes could not be looked into: "), "{refused}");
        assert!(hidden.contains("hidepid") && nested.contains("pid namespace"));
        let ours = std::process::id();
        let one = processes(&[ours]);
        assert!(one.ends_with(&format!(" (pid {ours})")) && one.len() > 8, "{one}");
    }

    #[test]
    fn only_capabilities_that_are_missing_are_named() {
        assert_eq!(without(0), "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH are missing");
        assert_eq!(without(1 << 19), "CAP_DAC_READ_SEARCH is missing");
        assert!(without(u64::MAX).contains("security module"));
        assert_eq!(effective("Name:\tx\nCapEff:\t000001fffeffffff\n"), Some(0x1ff_feff_ffff));
        assert_eq!(effective(""), None);
    }
}
