//! `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns()`, and the cheaper counter of the CPU.

/// Nanoseconds since some fixed moment, the same one that receive stamps count from.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec, which is ours. It cannot fail: the clock exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What the wall clock (`CLOCK_REALTIME`) shows now.
#[cfg(feature = "tools")]
pub(crate) fn wall_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// A counter that goes up steadily, in a unit that only the caller can tell: the time stamp
/// counter on x86-64 (about 8 ns a call, no system call), nanoseconds elsewhere.
///
/// Who wants nanoseconds compares it with [`monotonic_ns`] at both ends of an interval of its
/// own. The counter is that of the current CPU: all CPUs of a machine agree where Linux itself
/// keeps time by it (`tsc` in `/sys/devices/system/clocksource/clocksource0/current_clocksource`).
#[inline(always)]
#[cfg(any(test, feature = "tools"))]
pub(crate) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a register; every x86-64 CPU has it, and Linux lets user space read it.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    monotonic_ns()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_go_up_with_the_clock() {
        let (start, ticks_before) = (monotonic_ns(), ticks());
        while monotonic_ns() < start + 1_000_000 {}
        assert!(ticks() > ticks_before);
    }
}
