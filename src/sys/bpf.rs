//! The libbpf calls that libbpf-rs has no form of.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `XDP_FLAGS_*` of linux/if_link.h that a link takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum XdpMode {
    Skb = 1 << 1,
    Native = 1 << 2,
}

/// libbpf returns −errno.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}

/// An attached program; detached on drop, and by the kernel when the process ends.
///
/// Closing alone would leave it attached for as long as a child process that is just being
/// started holds a copy of the descriptor.
pub(crate) struct XdpLink(OwnedFd);

impl Drop for XdpLink {
    fn drop(&mut self) {
        // SAFETY: takes a descriptor, which is still open.
        unsafe { libbpf_sys::bpf_link_detach(self.0.as_raw_fd()) };
    }
}

impl XdpLink {
    /// Whether it is still on an interface: somebody else may have detached it, and it ends with
    /// the interface. True where the kernel does not tell.
    pub(crate) fn is_attached(&self) -> bool {
        xdp_link(self.0.as_fd()).map_or(true, |(_, ifindex)| ifindex != 0)
    }
}

/// Attaches `program` to an interface until the link is dropped.
pub(crate) fn attach_xdp(
    program: BorrowedFd<'_>,
    ifindex: u32,
    mode: XdpMode,
) -> io::Result<XdpLink> {
    let opts = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        flags: mode as u32,
        ..Default::default()
    };
    let (program, target) = (program.as_raw_fd(), ifindex as i32);
    // SAFETY: reads the options, which say their size and live through the call.
    let link = unsafe {
        libbpf_sys::bpf_link_create(program, target, libbpf_sys::BPF_XDP, &raw const opts)
    };
    let link = check(link)?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(XdpLink(unsafe { OwnedFd::from_raw_fd(link) }))
}

/// Attaches `program` without a link and takes it off again at once. Refuses for the reason that a
/// link is refused for, which the kernel puts in words here alone: libbpf warns of them.
pub(crate) fn try_by_netlink(
    program: BorrowedFd<'_>,
    ifindex: u32,
    mode: XdpMode,
) -> io::Result<()> {
    /// `XDP_FLAGS_UPDATE_IF_NOEXIST`: nobody's program is replaced.
    const IF_NONE: u32 = 1;
    let (fd, index, mode) = (program.as_raw_fd(), ifindex as i32, mode as u32);
    let none = std::ptr::null();
    // SAFETY: takes numbers, and no options.
    check(unsafe { libbpf_sys::bpf_xdp_attach(index, fd, mode | IF_NONE, none) })?;
    let opts = libbpf_sys::bpf_xdp_attach_opts {
        sz: size_of::<libbpf_sys::bpf_xdp_attach_opts>() as libbpf_sys::size_t,
        old_prog_fd: fd,
        ..Default::default()
    };
    // SAFETY: reads the options, which say their size and live through the call.
    check(unsafe { libbpf_sys::bpf_xdp_detach(index, mode, &raw const opts) })?;
    Ok(())
}

/// The number of the link that holds this program on this interface; `None` when it is attached
/// without one. EPERM without CAP_SYS_ADMIN.
pub(crate) fn link_of(program: u32, ifindex: u32) -> io::Result<Option<u32>> {
    let mut id = 0;
    loop {
        // SAFETY: writes one number, which is ours.
        let found = unsafe { libbpf_sys::bpf_link_get_next_id(id, &raw mut id) };
        match check(found) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            found => found?,
        };
        // SAFETY: takes a number.
        match check(unsafe { libbpf_sys::bpf_link_get_fd_by_id(id) }) {
            Ok(fd) => {
                // SAFETY: a new descriptor that nobody else owns.
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                if xdp_link(fd.as_fd()).is_ok_and(|found| found == (program, ifindex)) {
                    return Ok(Some(id));
                }
            }
            // It went away meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Program and interface of an XDP link; an interface of 0 for one that was detached.
fn xdp_link(link: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut len = size_of::<libbpf_sys::bpf_link_info>() as u32;
    let (link, place) = (link.as_raw_fd(), &raw mut info);
    // SAFETY: writes at most `len` bytes, the size of `info`; no member that points anywhere is
    // set, so nothing else is written.
    check(unsafe { libbpf_sys::bpf_link_get_info_by_fd(link, place, &raw mut len) })?;
    if info.type_ != libbpf_sys::BPF_LINK_TYPE_XDP {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: of an XDP link the kernel fills this member in; any bytes make a valid one.
    Ok((info.prog_id, unsafe { info.__bindgen_anon_1.xdp.ifindex }))
}

/// The errno in a libbpf-rs error, which shows it in its text alone.
pub(crate) fn errno(error: &libbpf_rs::Error) -> io::Error {
    let text = format!("{error:#}");
    let number = text.rsplit_once("(os error ").and_then(|(_, tail)| {
        tail.split_once(')').and_then(|(number, _)| number.parse::<i32>().ok())
    });
    number.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error)
}

/// `BPF_MAP_TYPE_XSKMAP`.
pub(crate) const XSKMAP: u32 = 17;

/// A BPF map of any owner, with keys and values of 4 bytes.
pub(crate) struct WordMap {
    fd: OwnedFd,
    kind: u32,
    max_entries: u32,
}

impl WordMap {
    /// EINVAL when `fd` is no such map.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let mut info = libbpf_sys::bpf_map_info::default();
        let mut len = size_of::<libbpf_sys::bpf_map_info>() as u32;
        let (map, place) = (fd.as_raw_fd(), &raw mut info);
        // SAFETY: writes at most `len` bytes, the size of `info`.
        let done = unsafe { libbpf_sys::bpf_map_get_info_by_fd(map, place, &raw mut len) };
        check(done)?;
        if (info.key_size, info.value_size) != (4, 4) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(Self { fd, kind: info.type_, max_entries: info.max_entries })
    }

    /// `BPF_MAP_TYPE_*`.
    pub(crate) fn kind(&self) -> u32 {
        self.kind
    }

    pub(crate) fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// Sets the value at `key`; EEXIST if there is one and it must be `new`.
    pub(crate) fn set(&self, key: u32, value: u32, new: bool) -> io::Result<()> {
        let flags = if new { libbpf_sys::BPF_NOEXIST } else { libbpf_sys::BPF_ANY };
        let (map, flags) = (self.fd.as_raw_fd(), u64::from(flags));
        let (key, value) = ((&raw const key).cast(), (&raw const value).cast());
        // SAFETY: reads a key and a value of the sizes that the map has, which new() looked at.
        check(unsafe { libbpf_sys::bpf_map_update_elem(map, key, value, flags) })?;
        Ok(())
    }

    /// Removes the value at `key`, if there is one.
    pub(crate) fn remove(&self, key: u32) -> io::Result<()> {
        let (map, key) = (self.fd.as_raw_fd(), (&raw const key).cast());
        // SAFETY: reads a key of the size that the map has, which new() looked at.
        match check(unsafe { libbpf_sys::bpf_map_delete_elem(map, key) }) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Returns when every run of a program that had begun before has ended: some milliseconds. Kernels
/// that isolate CPUs (`nohz_full`) cannot tell, nor can a process that may not ask.
pub(crate) fn programs_done() -> io::Result<()> {
    /// `MEMBARRIER_CMD_GLOBAL`: all that ran under RCU, as XDP programs do.
    const GLOBAL: libc::c_int = 1;
    let (flags, cpu): (libc::c_int, libc::c_int) = (0, 0);
    // SAFETY: takes three numbers.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, flags, cpu) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Name of the loaded program with that number. EPERM without CAP_SYS_ADMIN.
pub(crate) fn program_name(id: u32) -> io::Result<String> {
    // SAFETY: takes a number.
    let fd = check(unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let name = program_info(fd.as_fd())?.name.map(|byte| byte as u8);
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    Ok(name.to_string_lossy().into_owned())
}

/// Whether the kernel made machine code of the program.
#[cfg(feature = "tools")]
pub(crate) fn is_jited(program: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(program_info(program)?.jited_prog_len > 0)
}

fn program_info(program: BorrowedFd<'_>) -> io::Result<libbpf_sys::bpf_prog_info> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = size_of::<libbpf_sys::bpf_prog_info>() as u32;
    let (program, place) = (program.as_raw_fd(), &raw mut info);
    // SAFETY: writes at most `len` bytes, the size of `info`; all its pointers are null, so
    // nothing else is written.
    let done = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program, place, &raw mut len) };
    check(done)?;
    Ok(info)
}

/// `BPF_F_TEST_XDP_LIVE_FRAMES`: what the program returns is done with the frame.
#[cfg(feature = "tools")]
const TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// Runs `program` on `frames` live frames that hold `packet`, `batch` at a time (up to 256), on
/// the current CPU. They seem to come from the loopback interface of the calling thread's network
/// namespace. Linux 5.18; EINTR when a signal ended it early.
#[cfg(feature = "tools")]
pub(crate) fn run_live(
    program: BorrowedFd<'_>,
    packet: &[u8],
    frames: u32,
    batch: u32,
) -> io::Result<()> {
    let mut opts = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
        data_in: packet.as_ptr().cast(),
        data_size_in: packet.len() as u32,
        repeat: i32::try_from(frames).unwrap_or(i32::MAX),
        flags: TEST_XDP_LIVE_FRAMES,
        batch_size: batch,
        ..Default::default()
    };
    // SAFETY: reads `packet` with the length given; the options say their size and ask for no
    // output.
    let done = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut opts) };
    check(done)?;
    Ok(())
}

/// Runs `program` once on `packet`: the action it returned, and the packet as it left it.
#[cfg(test)]
pub(crate) fn test_run(program: BorrowedFd<'_>, packet: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    let mut out = vec![0u8; packet.len() + 512];
    let mut opts = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
        data_in: packet.as_ptr().cast(),
        data_size_in: packet.len() as u32,
        data_out: out.as_mut_ptr().cast(),
        data_size_out: out.len() as u32,
        repeat: 1,
        ..Default::default()
    };
    // SAFETY: reads `packet` and writes into `out`, both with the lengths given, both ours.
    let done = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut opts) };
    check(done)?;
    out.truncate(opts.data_size_out as usize);
    Ok((opts.retval, out))
}

/// Runs `program` `times` times on `packet`: the nanoseconds that one run takes on average.
#[cfg(test)]
pub(crate) fn test_time(program: BorrowedFd<'_>, packet: &[u8], times: u32) -> io::Result<u32> {
    let mut opts = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
        data_in: packet.as_ptr().cast(),
        data_size_in: packet.len() as u32,
        repeat: i32::try_from(times).unwrap_or(i32::MAX),
        ..Default::default()
    };
    // SAFETY: reads `packet` with the length given; the options say their size and ask for no
    // output.
    let done = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut opts) };
    check(done)?;
    Ok(opts.duration)
}
