//! [`LiveSource`]: as many packets as one CPU can send, by XDP live frames.

use super::egress::{Egress, entering};
use super::runner::Runner;
use super::source::Source;
use super::template::PacketTemplate;
use crate::error::{ErrorKind, FluxError, Op, Result};
use crate::sys::bpf::{self, XdpLink, XdpMode};
use crate::sys::netns::NetNs;
use crate::sys::skel::source::{OpenSourceSkel, SourceSkel, SourceSkelBuilder};
use crate::sys::{clock, libbpf};
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// Frames that the kernel sends at a time unless asked otherwise.
pub const DEFAULT_BATCH: u32 = 64;
/// The most it takes.
pub const LARGEST_BATCH: u32 = 256;

/// A call is to take this long: short, so that a pause or stop is prompt, but long beside what a
/// call itself costs.
const CALL_NS: u64 = 4_000_000;
/// The loopback interface has this index in every namespace.
const LOOPBACK: u32 = 1;

const FIRST_CALL: u32 = 1 << 12;
const SHORTEST_CALL: u32 = 1 << 10;
const LONGEST_CALL: u32 = 1 << 20;

/// A thread that sends the same packet as fast as it can.
pub type LiveSource = Source<LiveCount>;

/// What the program counts.
pub struct LiveCount {
    map: MapHandle,
    interface: &'static str,
}

impl LiveSource {
    /// Starts to send `packet`.
    ///
    /// # Errors
    /// For CPUs that are not ours, missing rights, and kernels without live frames (before Linux
    /// 5.18).
    pub fn start(egress: Egress, packet: PacketTemplate) -> Result<Self> {
        Self::start_batched(egress, packet, DEFAULT_BATCH)
    }

    /// The same, `batch` packets at a time.
    ///
    /// # Errors
    /// As [`LiveSource::start`], and for batches of 0 or above [`LARGEST_BATCH`].
    pub fn start_batched(egress: Egress, packet: PacketTemplate, batch: u32) -> Result<Self> {
        if !(1..=LARGEST_BATCH).contains(&batch) {
            return Err(FluxError::config(
                format!("a source with batches of {batch}"),
                format!("must be 1 to {LARGEST_BATCH}"),
            ));
        }
        let interface = egress.interface;
        let (program, counter) = load(&egress)?;
        let sent = packet.clone();
        let runner = Runner::start(egress, move |_| {
            // One packet first: a kernel that does not do this says so here.
            let first = bpf::run_live(program.fd.as_fd(), sent.bytes(), 1, batch);
            first.map_err(|error| refused(interface, error))?;
            let mut frames = FIRST_CALL;
            Ok(move |_fresh| {
                frames = call(&program, sent.bytes(), frames, batch)
                    .map_err(|error| refused(interface, error))?;
                Ok(())
            })
        })?;
        Ok(Self { runner, packet, count: LiveCount { map: counter, interface } })
    }

    /// Frames sent up to now, counted one by one. A frame that found the queue of our end full is
    /// sent as well, and counted as dropped by both ends.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sent(&self) -> Result<u64> {
        let LiveCount { map, interface } = &self.count;
        let value = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY);
        let value =
            value.map_err(|error| FluxError::os(Op::Query, interface, bpf::errno(&error)))?;
        Ok(value.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes))
    }

    /// Stops for good; returns the number of frames sent.
    ///
    /// # Errors
    /// What ended it before it was told to.
    pub fn stop(mut self) -> Result<u64> {
        self.runner.stop()?;
        self.sent()
    }
}

/// The loaded program.
struct Program {
    fd: OwnedFd,
    /// Attached, though to an interface that sees no packet: the programs that run in the kernel
    /// are in a table that is rewritten when one comes or goes, 20 ms each time. A program that
    /// is in it anyway is run without that.
    _attached: XdpLink,
    /// Where that interface is: each program gets one of its own.
    _aside: NetNs,
}

/// The program that sends there, and its counter.
fn load(egress: &Egress) -> Result<(Program, MapHandle)> {
    let prepare = |open: &mut OpenSourceSkel<'_>| {
        if let Some(constants) = open.maps.rodata_data.as_deref_mut() {
            constants.target = egress.index;
        }
        Ok(())
    };
    let keep = |skel: &SourceSkel<'_>| {
        let fd = skel.progs.flux_source.as_fd().try_clone_to_owned();
        Ok((fd, MapHandle::try_from(&skel.maps.bss)?))
    };
    let mut object = MaybeUninit::uninit();
    let loaded = libbpf::load(SourceSkelBuilder::default(), &mut object, prepare, keep);
    let (fd, counter) = loaded.map_err(|refused| refused.error(Op::Load, egress.interface))?;
    let fd = fd.map_err(|error| FluxError::os(Op::Load, egress.interface, error))?;
    let aside = NetNs::create().map_err(entering)?;
    let attached = aside.inside(|| bpf::attach_xdp(fd.as_fd(), LOOPBACK, XdpMode::Skb));
    let program = Program {
        _attached: attached.map_err(|error| FluxError::os(Op::Attach, "loopback", error))?,
        _aside: aside,
        fd,
    };
    Ok((program, counter))
}

/// Sends `frames` frames; how many the next call is to send.
fn call(program: &Program, frame: &[u8], frames: u32, batch: u32) -> io::Result<u32> {
    let start = clock::monotonic_ns();
    match bpf::run_live(program.fd.as_fd(), frame, frames, batch) {
        Ok(()) => Ok(next_call(frames, clock::monotonic_ns() - start)),
        // A signal came in between; the program counted what was sent.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {
            Ok(frames)
        }
        Err(error) => Err(error),
    }
}

/// Frames that take [`CALL_NS`], seeing that `frames` took `elapsed_ns`. At most doubled, so that
/// one odd measurement does not make a call of a second.
fn next_call(frames: u32, elapsed_ns: u64) -> u32 {
    let fitting = u64::from(frames) * CALL_NS / elapsed_ns.max(1);
    let most = frames.saturating_mul(2).min(LONGEST_CALL);
    u32::try_from(fitting).unwrap_or(most).min(most).max(SHORTEST_CALL)
}

fn refused(interface: &str, error: io::Error) -> FluxError {
    match error.raw_os_error() {
        Some(libc::EINVAL) => FluxError::new(
            ErrorKind::Unsupported,
            format!("cannot send live frames on {interface}"),
            "this kernel has none",
        )
        .with_hint("needs Linux 5.18; --sim runs on any kernel")
        .with_source(error),
        _ => FluxError::os(Op::Kick, interface, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_soon_take_the_time_they_are_to_take() {
        for frames_per_us in [1u64, 10, 100] {
            let mut frames = FIRST_CALL;
            for _ in 0..20 {
                frames = next_call(frames, u64::from(frames) * 1000 / frames_per_us);
            }
            let elapsed_ns = u64::from(frames) * 1000 / frames_per_us;
            assert!(elapsed_ns.abs_diff(CALL_NS) < CALL_NS / 100, "{elapsed_ns} ns");
        }
    }

    #[test]
    fn a_call_stays_within_its_bounds_whatever_the_clock_says() {
        assert_eq!(next_call(FIRST_CALL, 0), 2 * FIRST_CALL);
        assert_eq!(next_call(LONGEST_CALL, 1), LONGEST_CALL);
        assert_eq!(next_call(FIRST_CALL, u64::MAX), SHORTEST_CALL);
    }
}
