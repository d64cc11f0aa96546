//! What is really missing when the kernel says EPERM, and how much memory may be locked.
//!
//! Invariant: looked at, not guessed: the effective capabilities, the user namespace, the seccomp
//! mode and the lockdown of this process now.

use super::caps;
use crate::error::SETCAP;
use std::fs;

/// A capability: its number in linux/capability.h, and its name.
pub(crate) type Capability = (u32, &'static str);

const NET_ADMIN: Capability = (12, "CAP_NET_ADMIN");
const NET_RAW: Capability = (13, "CAP_NET_RAW");
const PERFMON: Capability = (38, "CAP_PERFMON");
const BPF: Capability = (39, "CAP_BPF");
const IPC_LOCK: u32 = 14;
/// It stands in for CAP_BPF and CAP_PERFMON.
const SYS_ADMIN: u32 = 21;

/// What `socket(AF_XDP)` needs.
pub(crate) const FOR_SOCKETS: &[Capability] = &[NET_RAW];
/// What loading and attaching an XDP program need.
pub(crate) const FOR_PROGRAMS: &[Capability] = &[NET_ADMIN, BPF, PERFMON];
/// What looking at other programs' sockets by a BPF iterator needs.
#[cfg(feature = "tools")]
pub(crate) const FOR_ITERATORS: &[Capability] = &[BPF, PERFMON];
/// Whether a set of capabilities has this one, or what stands in for it.
fn has(effective: u64, (bit, _): Capability) -> bool {
    let stands_in = (bit == BPF.0 || bit == PERFMON.0) && effective >> SYS_ADMIN & 1 != 0;
    effective >> bit & 1 != 0 || stands_in
}

/// What a process may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    /// A bit for each capability that is effective; `None` where the kernel does not tell.
    pub(crate) effective: Option<u64>,
    /// Whether capabilities are those of a user namespace alone.
    pub(crate) user_namespace: bool,
    /// Whether a seccomp filter looks at its system calls.
    pub(crate) seccomp: bool,
    /// `integrity` or `confidentiality`, where the kernel is locked down.
    pub(crate) lockdown: Option<String>,
}

impl Rights {
    /// Those of this thread.
    pub(crate) fn now() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let status = read("/proc/thread-self/status");
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            effective: caps::effective().ok(),
            user_namespace: is_inner(&read("/proc/self/uid_map")),
            seccomp: seccomp.is_some_and(|mode| mode.trim() == "2"),
            lockdown: chosen(&read("/sys/kernel/security/lockdown")),
        }
    }

    /// The names of those that are missing.
    pub(crate) fn missing(&self, needed: &[Capability]) -> Vec<&'static str> {
        let Some(effective) = self.effective else { return Vec::new() };
        let missing = needed.iter().filter(|one| !has(effective, **one));
        missing.map(|(_, name)| *name).collect()
    }

    /// Why an operation that needs these was forbidden, and what helps.
    pub(crate) fn explain(&self, needed: &[Capability]) -> (String, String) {
        let outside = "run it outside of the container or user namespace, as root there, or in a \
                       privileged container";
        let missing = self.missing(needed);
        if !missing.is_empty() {
            let verb = if missing.len() == 1 { "is" } else { "are" };
            let cause = format!("{} {verb} missing", list(&missing));
            let hint = match self.user_namespace {
                true => outside.to_owned(),
                false => self.setcap(needed),
            };
            return (cause, hint);
        }
        if self.user_namespace {
            let cause = "root of a user namespace (a container) is not enough";
            return (cause.into(), outside.into());
        }
        let known = self.effective.is_some();
        let although = if known { "although no capability is missing" } else { "forbidden" };
        match (&self.lockdown, self.seccomp) {
            (Some(mode), _) if mode == "confidentiality" => (
                format!("{although}: the kernel is locked down ({mode})"),
                "boot without lockdown=confidentiality (`cat /sys/kernel/security/lockdown`)"
                    .into(),
            ),
            (_, true) => (
                format!("{although}: a seccomp filter is on this process"),
                "run it outside of the container or service, or allow bpf(2) and AF_XDP there"
                    .into(),
            ),
            (lockdown, false) => {
                let locked = lockdown.as_ref().map(|mode| format!(", or lockdown ({mode})"));
                let locked = locked.unwrap_or_default();
                (
                    format!("{although}: a security module{locked} forbids it"),
                    "`dmesg` and the audit log name the rule".into(),
                )
            }
        }
    }

    /// How to get them.
    fn setcap(&self, needed: &[Capability]) -> String {
        let next = if needed == FOR_SOCKETS { self.missing(FOR_PROGRAMS) } else { Vec::new() };
        let next = match next.as_slice() {
            [] => String::new(),
            next => format!(" (flux needs {} as well)", list(next)),
        };
        format!("run as root, or `{SETCAP}` on the binary{next}")
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.join(""),
    }
}

/// Whether ids here are others outside.
fn is_inner(uid_map: &str) -> bool {
    let words: Vec<&str> = uid_map.split_whitespace().collect();
    !words.is_empty() && words != ["0", "0", "4294967295"]
}

/// The word in brackets, unless it is `none`.
fn chosen(lockdown: &str) -> Option<String> {
    let (_, rest) = lockdown.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    (word != "none").then(|| word.to_owned())
}

/// How much memory the user of this process may lock, all of its processes together; `None` where
/// there is no limit, or it does not count.
pub(crate) fn memlock() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes two numbers, which are ours.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    let lifted = caps::effective().is_ok_and(|all| all >> IPC_LOCK & 1 != 0);
    (done == 0 && limit.rlim_cur != libc::RLIM_INFINITY && !lifted).then_some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = 1 << 12 | 1 << 13 | 1 << 38 | 1 << 39;

    fn with(effective: u64) -> Rights {
        Rights { effective: Some(effective), ..Rights::default() }
    }

    #[test]
    fn each_capability_that_is_missing_is_named_and_no_other() {
        for (bit, name) in FOR_PROGRAMS {
            let (cause, hint) = with(ALL & !(1 << bit)).explain(FOR_PROGRAMS);
            assert_eq!(cause, format!("{name} is missing"));
            assert_eq!(hint, format!("run as root, or `{SETCAP}` on the binary"));
        }
        let (cause, _) = with(0).explain(FOR_PROGRAMS);
        assert_eq!(cause, "CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON are missing");
        let (cause, hint) = with(0).explain(FOR_SOCKETS);
        assert_eq!(cause, "CAP_NET_RAW is missing");
        assert!(
            hint.contains("flux needs CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON as well"),
            "{hint}"
        );
        let admin = with(1 << SYS_ADMIN | 1 << 12);
        assert_eq!(admin.missing(FOR_PROGRAMS), [""; 0]);
    }

    #[test]
    fn what_forbids_it_in_spite_of_all_capabilities_is_named() {
        let inner = Rights { user_namespace: true, ..with(ALL) };
        let (cause, hint) = inner.explain(FOR_PROGRAMS);
        assert!(cause.contains("user namespace") && !hint.contains("setcap"), "{cause}: {hint}");
        let poor = Rights { user_namespace: true, ..with(0) };
        assert!(!poor.explain(FOR_PROGRAMS).1.contains("setcap"));
        let filtered = Rights { seccomp: true, ..with(ALL) };
        assert!(filtered.explain(FOR_PROGRAMS).0.contains("seccomp"));
        let locked = Rights { lockdown: chosen("none integrity [confidentiality]\n"), ..with(ALL) };
        assert!(locked.explain(FOR_PROGRAMS).0.contains("locked down (confidentiality)"));
        assert!(with(ALL).explain(FOR_PROGRAMS).0.contains("security module"));
        assert_eq!(chosen("[none] integrity confidentiality"), None);
        assert!(is_inner("0 1000 1\n") && !is_inner("         0          0 4294967295\n"));
    }
}
