//! What the standard library does not do: signals, the fate of children, `ethtool -S`.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes a child that stays on `cpu` (if named), has a process group of its own, and ends with the
/// calling thread, however that ends. What it starts itself ends at `cpu_seconds` of CPU time.
pub fn prepare(command: &mut Command, cpu: Option<usize>, cpu_seconds: u64) {
    const WORD: usize = libc::c_ulong::BITS as usize;
    let mask = cpu.map(|cpu| {
        let mut words = vec![0; cpu / WORD + 1];
        words[cpu / WORD] = (1 as libc::c_ulong) << (cpu % WORD);
        words
    });
    let limit = libc::rlimit { rlim_cur: cpu_seconds, rlim_max: cpu_seconds };
    let before_exec = move || {
        // SAFETY: changes the calling process alone.
        ok(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // SAFETY: reads `limit`, which outlives the call.
        ok(unsafe { libc::setrlimit(libc::RLIMIT_CPU, &raw const limit) })?;
        if let Some(words) = &mask {
            let (bytes, place) = (size_of_val(words.as_slice()), words.as_ptr().cast());
            // SAFETY: reads `bytes` bytes of `words`.
            ok(unsafe { libc::sched_setaffinity(0, bytes, place) })?;
        }
        Ok(())
    };
    command.process_group(0);
    // SAFETY: between fork and exec it makes system calls only; it neither allocates nor locks.
    unsafe { command.pre_exec(before_exec) };
}

/// Sends `signal` to all processes of a group.
pub fn signal_group(group: u32, signal: libc::c_int) {
    if let Ok(group @ 2..) = i32::try_from(group) {
        // SAFETY: no memory is involved. A group that is gone is an error, and nothing to do.
        unsafe { libc::kill(-group, signal) };
    }
}

/// Whether this process has root's rights.
pub fn is_root() -> bool {
    // SAFETY: no memory is involved; cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Clock ticks a second, the unit of CPU time in /proc.
pub fn ticks_per_second() -> f64 {
    // SAFETY: no memory is involved.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

/// Time that all CPUs together have worked since they were started, for whomever.
pub fn busy_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut numbers = stat.split_whitespace().skip(1).map_while(|n| n.parse::<u64>().ok());
    // user, nice, system; then idle and waiting; then interrupts and what a hypervisor took.
    let work: u64 = numbers.by_ref().take(3).sum();
    (work + numbers.skip(2).take(3).sum::<u64>()) as f64 / ticks_per_second()
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
const NAME_BYTES: usize = 32;

/// The driver's counters of one interface, as `ethtool -S` reads them.
pub struct DriverCounters {
    socket: UnixDatagram,
    interface: String,
    names: Vec<String>,
}

impl DriverCounters {
    /// Those of `interface` in the namespace of the calling thread.
    pub fn open(interface: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // struct ethtool_sset_info: cmd, reserved, mask (64 bits), one u32 a set asked for.
        let mut info = [ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_STATS, 0, 0];
        request(&socket, interface, &mut info)?;
        let count = info[4];
        // struct ethtool_gstrings: cmd, set, length, then the names.
        let mut text = vec![0u32; 3 + count as usize * NAME_BYTES / 4];
        (text[0], text[1], text[2]) = (ETHTOOL_GSTRINGS, ETH_SS_STATS, count);
        request(&socket, interface, &mut text)?;
        let bytes: Vec<u8> = text[3..].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let names = bytes.chunks(NAME_BYTES).map(|name| {
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(NAME_BYTES);
            String::from_utf8_lossy(&name[..end]).into_owned()
        });
        Ok(Self { names: names.collect(), socket, interface: interface.to_owned() })
    }

    /// The counter called `name`.
    pub fn read(&self, name: &str) -> io::Result<u64> {
        let at =
            self.names.iter().position(|known| known == name).ok_or_else(|| {
                io::Error::other(format!("{} has no counter {name}", self.interface))
            })?;
        // struct ethtool_stats: cmd, count, then a u64 each.
        let mut values = vec![0u32; 2 + 2 * self.names.len()];
        (values[0], values[1]) = (ETHTOOL_GSTATS, self.names.len() as u32);
        request(&self.socket, &self.interface, &mut values)?;
        let half = |at: usize| values[at].to_ne_bytes();
        let ([a, b, c, d], [e, f, g, h]) = (half(2 + 2 * at), half(3 + 2 * at));
        Ok(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// `data` starts with the command, and is as large as the kernel's answer to it: a set of
/// counters is as long as the driver said, and does not change while its queues do not.
fn request(socket: &UnixDatagram, interface: &str, data: &mut [u32]) -> io::Result<()> {
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name[..libc::IFNAMSIZ - 1].iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    let mut ifreq = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data.as_mut_ptr().cast() },
    };
    // SAFETY: `ifreq` and what it points to outlive the call, with room for the answer.
    ok(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut ifreq) })
}

fn ok(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
