//! The machine: what the kernel is, and what it lets us do.

use super::super::facts::{HugePages, Known, Limit, Machine, Tried};
use super::tried;
use crate::backend::kernel;
use crate::backend::xdp::{self, Loaded};
use crate::config::Config;
use crate::error::FluxError;
use crate::sys::bpf;
use crate::sys::hugepages::{self, HUGE_PAGE};
use crate::sys::rights::{FOR_PROGRAMS, FOR_SOCKETS, Rights};
use crate::sys::xsk::Xsk;
use crate::tools::probe::FRAMES;
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// More than any kernel's configuration has.
const CONFIG_BYTES: u64 = 8 << 20;

/// The machine, and the program that could be loaded for an interface with `queues` queues. The UMEM
/// is that of `flux ping`.
pub(super) fn facts(queues: u32) -> (Machine, Option<Loaded>) {
    let release = release();
    let program = xdp::load("this machine", queues, false);
    let size = Config::new("").frame_size;
    let frames = kernel::affordable(FRAMES, size);
    let bytes = |frames: u32| u64::from(frames) * u64::from(size);
    let huge = hugepages::count(HUGE_PAGE);
    let rights = Rights::now();
    let machine = Machine {
        socket: tried(&Xsk::open()),
        config: kernel_config(&release),
        capabilities: rights.effective.ok_or_else(|| "the kernel does not say".to_owned()),
        user_namespace: rights.user_namespace,
        socket_forbidden: rights.explain(FOR_SOCKETS),
        program_forbidden: rights.explain(FOR_PROGRAMS),
        program: match &program {
            Ok(_) => Tried::Worked,
            Err(error) => refused(error),
        },
        jit: jit(program.as_ref().ok()),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        memlock: memlock(),
        umem_bytes: bytes(frames),
        usual_umem_bytes: bytes(FRAMES),
        huge_pages: HugePages { total: huge.total as u64, free: huge.free as u64 },
        release,
    };
    (machine, program.ok())
}

/// Errno and cause of a refused attempt.
pub(super) fn refused(error: &FluxError) -> Tried {
    let text = error.to_string();
    let cause = text.split_once(": ").map_or(text.as_str(), |(_, cause)| cause);
    Tried::Refused(error.raw_os_error().unwrap_or(0), cause.to_owned())
}

fn release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

fn kernel_config(release: &str) -> Known<BTreeMap<String, String>> {
    let packed = File::open("/proc/config.gz").and_then(|file| text(GzDecoder::new(file)));
    // The second place is Debian's since its 7.3.
    let plain = [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")];
    let plain = || plain.iter().find_map(|path| File::open(path).and_then(text).ok());
    match packed.ok().or_else(plain) {
        Some(text) => Ok(options(&text)),
        None => Err(
            "none of /proc/config.gz, /boot/config-RELEASE, and config in /lib/modules/RELEASE \
             can be read"
                .into(),
        ),
    }
}

fn text(file: impl Read) -> io::Result<String> {
    let mut text = String::new();
    file.take(CONFIG_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Those that are set: `CONFIG_NET=y`.
fn options(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    pairs
        .filter(|(name, _)| name.starts_with("CONFIG_"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// As a program of ours got it, or else as the switch says, which only the first network
/// namespace shows.
fn jit(program: Option<&Loaded>) -> Known<bool> {
    if let Some(Ok(jited)) = program.map(|loaded| bpf::is_jited(loaded.program.as_fd())) {
        return Ok(jited);
    }
    match fs::read_to_string("/proc/sys/net/core/bpf_jit_enable") {
        Ok(text) => Ok(text.trim() != "0"),
        Err(_) => Err("no program can be loaded to look at".into()),
    }
}

fn memlock() -> Known<Limit> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    limit(&limits).ok_or_else(|| "/proc/self/limits does not say".into())
}

/// The soft limit.
fn limit(limits: &str) -> Option<Limit> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(Limit::Unlimited),
        bytes => bytes.parse().ok().map(Limit::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_are_set_are_read_and_no_others() {
        let text =
            "# Linux\nCONFIG_XDP_SOCKETS=y\n# CONFIG_XDP_SOCKETS_DIAG is not set\nCONFIG_X=m\n";
        let options = options(text);
        assert_eq!(options.get("CONFIG_XDP_SOCKETS").map(String::as_str), Some("y"));
        assert_eq!(options.len(), 2);
    }

    #[test]
    fn the_soft_limit_is_read() {
        let line = "Max locked memory         8388608              16777216             bytes\n";
        assert_eq!(limit(line), Some(Limit::Bytes(8 << 20)));
        assert_eq!(limit("Max locked memory  unlimited unlimited bytes"), Some(Limit::Unlimited));
        assert_eq!(limit("Max processes 1 2"), None);
    }

    #[test]
    fn this_machine_tells_its_kernel_and_limits() {
        let (machine, _) = facts(2);
        assert!(machine.release.contains('.'), "{}", machine.release);
        assert!(machine.memlock.is_ok() && machine.capabilities.is_ok());
        assert_eq!(machine.usual_umem_bytes, 8 << 20);
        assert!(machine.umem_bytes <= machine.usual_umem_bytes);
    }
}
