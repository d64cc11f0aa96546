//! The checks, and what they come to together.
//!
//! ```text
//!   machine   kernel, rights, memory      device    the interface and its hardware
//!   xdp       what its XDP can do         packets   what happens to packets on the way
//! ```
//!
//! Invariant: a check is a function of facts, without side effects. A warning or a blocker tells
//! numbers, and what mends it.

mod device;
mod machine;
mod packets;
mod xdp;

use super::facts::{Brief, Facts, Nic, Subject};
use super::report::{Check, Report, Status, Unchecked};

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Finding, and what mends it.
    Found(Status, String, Option<String>),
    /// Why it could not be checked.
    Unchecked(String),
    /// It does not apply here.
    Nothing,
}

fn ok(finding: impl Into<String>) -> Verdict {
    Verdict::Found(Status::Ok, finding.into(), None)
}

fn warning(finding: impl Into<String>, fix: impl Into<String>) -> Verdict {
    Verdict::Found(Status::Warning, finding.into(), Some(fix.into()))
}

fn blocker(finding: impl Into<String>, fix: impl Into<String>) -> Verdict {
    Verdict::Found(Status::Blocker, finding.into(), Some(fix.into()))
}

fn unchecked(reason: impl Into<String>) -> Verdict {
    Verdict::Unchecked(reason.into())
}

/// Id, title, and the check.
type Entry<T> = (&'static str, &'static str, fn(&T) -> Verdict);

#[derive(Default)]
struct Findings {
    checks: Vec<Check>,
    unchecked: Vec<Unchecked>,
}

impl Findings {
    fn add(&mut self, id: &'static str, title: &str, verdict: Verdict) {
        let title = title.to_owned();
        match verdict {
            Verdict::Found(status, finding, fix) => {
                self.checks.push(Check { id, status, title, finding, fix });
            }
            Verdict::Unchecked(reason) => self.unchecked.push(Unchecked { id, title, reason }),
            Verdict::Nothing => {}
        }
    }

    fn run<T>(&mut self, entries: &[Entry<T>], facts: &T) {
        for (id, title, check) in entries {
            self.add(id, title, check(facts));
        }
    }

    fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }
}

/// Judges the facts. The interface is told by the kernel's name, whatever it was named by.
pub(super) fn examine(facts: &Facts) -> Report {
    let mut found = Findings::default();
    if let Some(machine) = &facts.machine {
        found.run(machine::CHECKS, machine);
    }
    let machine_checks = found.checks.len();
    match &facts.subject {
        Subject::All(interfaces) => {
            for interface in interfaces {
                found.add("interface", &interface.name, brief(interface));
            }
        }
        Subject::One(nic) => {
            for entries in [device::CHECKS, xdp::CHECKS, packets::CHECKS] {
                found.run(entries, nic.as_ref());
            }
        }
    }
    let (warnings, blockers) = (found.count(Status::Warning), found.count(Status::Blocker));
    let interface = match &facts.subject {
        Subject::One(nic) => Some(nic.name.clone()),
        Subject::All(_) => None,
    };
    Report {
        interface,
        conclusion: conclusion(warnings, blockers, &found.checks, &facts.subject),
        checks: found.checks,
        unchecked: found.unchecked,
        warnings,
        blockers,
        machine_checks,
    }
}

fn brief(interface: &Brief) -> Verdict {
    let driver = interface.driver.as_deref().unwrap_or("unknown driver");
    let state = if interface.up { "up" } else { "down" };
    let modes = match &interface.xdp {
        None => "XDP features not known before Linux 6.3",
        Some(xdp) if xdp.native && xdp.zero_copy => "native XDP, zero-copy",
        Some(xdp) if xdp.native => "native XDP, copy mode",
        Some(_) => "skb mode alone",
    };
    let port = match &interface.master {
        Some(master) => format!(", port of {} {}", master.kind, master.name),
        None => String::new(),
    };
    let finding = format!("{driver}, {state}, {modes}{port}");
    match &interface.program {
        None => ok(finding),
        Some(program) => warning(
            format!("{finding}; it cannot be opened: {}", program.told),
            program.cure.clone(),
        ),
    }
}

/// Whether the same step removes all blockers, of which there are several.
fn has_one_fix(checks: &[Check]) -> bool {
    let mut fixes =
        checks.iter().filter(|check| check.status == Status::Blocker).map(|check| &check.fix);
    match fixes.next() {
        Some(first) => fixes.clone().count() > 0 && fixes.all(|fix| fix == first),
        None => false,
    }
}

fn conclusion(warnings: usize, blockers: usize, checks: &[Check], subject: &Subject) -> String {
    let count = |n: usize, what: &str| match n {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    let one_fix = if has_one_fix(checks) { ", which one fix removes" } else { "" };
    let numbers =
        format!("{}, {}{one_fix}", count(warnings, "warning"), count(blockers, "blocker"));
    let place = match subject {
        _ if blockers > 0 => "AF_XDP does not work here".to_owned(),
        Subject::All(_) => {
            "AF_XDP works on this machine; name an interface to examine it".to_owned()
        }
        Subject::One(nic) => works(nic),
    };
    format!("{numbers}: {place}")
}

fn works(nic: &Nic) -> String {
    let verb = match nic.native {
        super::facts::Tried::Not(_) => "should work here",
        _ => "works here",
    };
    let mode = match (nic.is_native(), &nic.xdp) {
        (Some(true), Ok(xdp)) if xdp.zero_copy => {
            "in native mode; the driver says that it has zero-copy"
        }
        (Some(true), Ok(_)) => "in native copy mode",
        (Some(true), Err(_)) => "in native mode",
        (Some(false), _) => "in skb mode alone, which is slow",
        (None, _) => "in some mode",
    };
    format!("AF_XDP {verb} {mode}")
}

/// Words with commas between them.
fn list<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

/// Numbers with commas between them, in order, runs as `2-5`.
fn ranges(numbers: &[u32]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |&(first, last): &(u32, u32)| match last {
        last if last == first => first.to_string(),
        last => format!("{first}-{last}"),
    };
    list(&runs.iter().map(text).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
