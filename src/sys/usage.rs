//! The CPU time that the calling thread has used.

use super::check;
use std::io;

/// CPU time since the thread began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// In all: exact, from `CLOCK_THREAD_CPUTIME_ID`.
    pub(crate) total_ns: u64,
    /// In user space, in steps of 1 µs. Unless the kernel accounts at every switch
    /// (`CONFIG_VIRT_CPU_ACCOUNTING`), only the sum of user and system is exact: the kernel splits
    /// it by where the timer tick found the thread. So it takes some hundred ticks (a second or
    /// more) until the two mean something.
    pub(crate) user_ns: u64,
    /// In the kernel, with the same restriction.
    pub(crate) system_ns: u64,
}

/// That of the calling thread up to now.
pub(crate) fn thread() -> io::Result<Usage> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec, which is ours.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) })?;
    // SAFETY: integers alone, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes one rusage, which is ours.
    check(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) })?;
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Ok(Usage {
        total_ns: now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64,
        user_ns: micros(usage.ru_utime) * 1000,
        system_ns: micros(usage.ru_stime) * 1000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_uses_time_and_another_does_not_count() {
        let mut usage = thread().unwrap();
        assert!(usage.total_ns > 0);
        let before = usage.total_ns;
        while usage.total_ns < before + 5_000_000 {
            usage = thread().unwrap();
        }
        assert!(usage.user_ns + usage.system_ns > 0);
        let fresh = std::thread::spawn(|| thread().unwrap()).join().unwrap();
        assert!(fresh.total_ns < usage.total_ns);
    }
}
