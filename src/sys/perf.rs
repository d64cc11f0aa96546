//! Cycles and instructions of the calling thread in user space: perf_event_open(2).
//!
//! Virtual machines often have no such counters, and `kernel.perf_event_paranoid` may forbid
//! them: then there is nothing to read, and no error.

use super::check;
use std::fs::File;
use std::io::Read;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libbpf_sys::perf_event_attr as Attr;

/// `PERF_TYPE_HARDWARE` and two of its `PERF_COUNT_HW_*` of linux/perf_event.h.
const TYPE_HARDWARE: u32 = 0;
const CPU_CYCLES: u64 = 0;
const INSTRUCTIONS: u64 = 1;

const READ_FORMAT: u32 = libbpf_sys::PERF_FORMAT_TOTAL_TIME_ENABLED
    | libbpf_sys::PERF_FORMAT_TOTAL_TIME_RUNNING
    | libbpf_sys::PERF_FORMAT_GROUP;

/// `PERF_FLAG_FD_CLOEXEC`.
const FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// `PERF_EVENT_IOC_ENABLE`, `_IO('$', 0)`.
const IOC_ENABLE: libc::Ioctl = 0x2400;
/// `PERF_IOC_FLAG_GROUP`.
const IOC_FLAG_GROUP: libc::c_int = 1;

/// What the format above reads: `nr`, `time_enabled`, `time_running`, one value per event.
const WORDS: usize = 5;

// The struct as linux/perf_event.h has it.
const _: () = assert!(offset_of!(Attr, type_) == 0);
const _: () = assert!(offset_of!(Attr, size) == 4);
const _: () = assert!(offset_of!(Attr, config) == 8);
const _: () = assert!(offset_of!(Attr, sample_type) == 24);
const _: () = assert!(offset_of!(Attr, read_format) == 32);
const _: () = assert!(offset_of!(Attr, _bitfield_1) == 40);
const _: () = assert!(offset_of!(Attr, bp_type) == 52);
const _: () = assert!(size_of::<Attr>() >= 64); // PERF_ATTR_SIZE_VER0

/// A group of two counters, which count from when it was opened.
#[derive(Debug)]
pub(crate) struct Counters {
    group: File,
    /// The other member; it counts as long as it is open.
    _second: OwnedFd,
}

/// What a thread has done in user space since its counters were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Cycles, at whatever frequency the core ran.
    pub(crate) cycles: u64,
    /// Instructions retired.
    pub(crate) instructions: u64,
}

impl Counters {
    /// Counters of the calling thread; `None` where there are none for us.
    pub(crate) fn open() -> Option<Self> {
        Self::of(TYPE_HARDWARE, [CPU_CYCLES, INSTRUCTIONS])
    }

    fn of(kind: u32, [first, second]: [u64; 2]) -> Option<Self> {
        let leader = event(kind, first, None)?;
        let second = event(kind, second, Some(leader.as_raw_fd()))?;
        // Not before: a member of a group that runs already would stand still until the thread is
        // next scheduled, and nothing in a read tells.
        let group = leader.as_raw_fd();
        // SAFETY: takes three numbers.
        check(unsafe { libc::ioctl(group, IOC_ENABLE, IOC_FLAG_GROUP) }).ok()?;
        Some(Self { group: leader.into(), _second: second })
    }

    /// The counts up to now, from any thread. `None` when others took the hardware away in
    /// between: the kernel would then offer an estimate.
    pub(crate) fn read(&self) -> Option<Counts> {
        let mut bytes = [0; WORDS * 8];
        // A pinned group that lost its place reads as the end of the file.
        let got = (&self.group).read(&mut bytes).ok()?;
        parse(bytes.get(..got)?)
    }
}

/// A read of the group.
fn parse(bytes: &[u8]) -> Option<Counts> {
    let (words, []) = bytes.as_chunks::<8>() else { return None };
    let words: [u64; WORDS] =
        words.iter().map(|word| u64::from_ne_bytes(*word)).collect::<Vec<_>>().try_into().ok()?;
    let [events, enabled_ns, running_ns, cycles, instructions] = words;
    (events == 2 && running_ns == enabled_ns).then_some(Counts { cycles, instructions })
}

/// One event of the calling thread, on whichever CPU it runs.
fn event(kind: u32, config: u64, group: Option<RawFd>) -> Option<OwnedFd> {
    let mut attr = Attr {
        type_: kind,
        size: size_of::<Attr>() as u32,
        config,
        read_format: READ_FORMAT.into(),
        ..Attr::default()
    };
    attr.set_exclude_kernel(1);
    attr.set_exclude_hv(1);
    // The leader stays on the hardware or fails, and waits to be enabled; its group goes with it.
    attr.set_pinned(group.is_none().into());
    attr.set_disabled(group.is_none().into());
    let (this_thread, any_cpu): (libc::c_long, libc::c_long) = (0, -1);
    let group = libc::c_long::from(group.unwrap_or(-1));
    let (number, attr) = (libc::SYS_perf_event_open, &raw const attr);
    // SAFETY: reads `attr`, which says its size and lives through the call.
    let fd = unsafe { libc::syscall(number, attr, this_thread, any_cpu, group, FD_CLOEXEC) };
    let fd = check(fd as libc::c_int).ok()?;
    // SAFETY: a new descriptor that nobody else owns.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(words: &[u64]) -> Option<Counts> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        parse(&bytes)
    }

    #[test]
    fn a_read_counts_only_when_the_group_ran_all_the_time() {
        let counts = Counts { cycles: 70, instructions: 80 };
        assert_eq!(read_of(&[2, 1000, 1000, 70, 80]), Some(counts));
        assert_eq!(read_of(&[2, 1000, 999, 70, 80]), None, "multiplexed");
        assert_eq!(read_of(&[1, 1000, 1000, 70, 80]), None, "half a group");
        assert_eq!(read_of(&[2, 1000, 1000, 70]), None, "a short read");
        assert_eq!(read_of(&[]), None, "no longer on the hardware");
    }

    #[test]
    fn the_machine_counts_upwards_or_has_no_counters() {
        let Some(counters) = Counters::open() else {
            let error = std::io::Error::last_os_error();
            let no_counters = [libc::ENOENT, libc::EOPNOTSUPP, libc::ENODEV];
            let not_for_us = [libc::EACCES, libc::EPERM, libc::ENOSYS];
            let known = [no_counters, not_for_us].concat();
            assert!(known.contains(&error.raw_os_error().unwrap_or(0)), "{error}");
            return;
        };
        let before = counters.read();
        let sum: u64 = std::hint::black_box((0..10_000u64).sum());
        // Another program may take them away at any time: then a read says that there are none.
        if let (Some(before), Some(after)) = (before, counters.read()) {
            assert!(sum > 0 && after.instructions > before.instructions);
            assert!(after.cycles > before.cycles);
        }
    }

    /// The same request for two software events, so that the kernel checks the layout also on
    /// machines without counters. It may forbid them, too.
    #[test]
    fn the_kernel_takes_the_request_and_answers_in_this_format() {
        const TYPE_SOFTWARE: u32 = 1;
        const TASK_CLOCK: u64 = 1;
        const PAGE_FAULTS: u64 = 2;
        let Some(counters) = Counters::of(TYPE_SOFTWARE, [TASK_CLOCK, PAGE_FAULTS]) else {
            return crate::lab::skip("perf_event_open is not for us here, not even for software");
        };
        let before = counters.read().expect("software events are never taken away");
        // Above the largest size for which the C library would reuse memory.
        let mut fresh = vec![0u8; 64 << 20];
        fresh.iter_mut().step_by(4096).take(100).for_each(|page| *page = 1);
        let after = counters.read().expect("software events are never taken away");
        assert_eq!(std::hint::black_box(fresh)[4096], 1);
        assert!(after.cycles > before.cycles, "the first value");
        let faults = after.instructions - before.instructions;
        assert!((1..1000).contains(&faults), "the second value: {faults} faults for 100 pages");
    }
}
