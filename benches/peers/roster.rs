//! Who takes part in a workload, and with which settings.

use crate::child::Program;
use fluxnet::proto::MacAddr;
use fluxnet::tools::bench::{Library, Poll, Workload};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The peers, as their files are called.
pub const PEERS: &[&str] =
    &["xdpsock", "xdp-bench", "xdp-trafficgen", "dpdk-testpmd", "tcpreplay", "trafgen"];

/// CPU seconds that no measurement comes near.
const CPU_SECONDS: u64 = 120;

/// How a contestant waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Spin,
    /// Spinning, with the kernel's busy polling asked for.
    BusyPoll,
    Adaptive,
    /// poll(2).
    Poll,
}

impl Wait {
    /// What ours has in its place.
    pub fn ours(self) -> Wait {
        if self == Wait::BusyPoll { Wait::Spin } else { self }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wait::Spin => "spin",
            Wait::BusyPoll => "busy-poll",
            Wait::Adaptive => "adaptive",
            Wait::Poll => "poll",
        })
    }
}

/// One contestant with one setting.
#[derive(Clone, Debug)]
pub struct Contestant {
    pub name: String,
    /// The mode of the library, for ours.
    pub ours: Option<Library>,
    pub wait: Option<Wait>,
    pub batch: Option<u32>,
    /// It sends by the kernel's `ndo_xdp_xmit`, which a veth has only while its peer takes packets
    /// in NAPI (generic receive offload).
    pub far_gro: bool,
    pub program: Program,
}

impl Contestant {
    /// Whether ratios are of this: mode C, which does what the peers do.
    pub fn is_reference(&self) -> bool {
        self.ours == Some(Library::Raw)
    }

    pub fn setting(&self) -> String {
        match (self.wait, self.batch) {
            (Some(wait), Some(batch)) => format!("{wait} {batch}"),
            (None, Some(batch)) => batch.to_string(),
            (Some(wait), None) => wait.to_string(),
            (None, None) if self.far_gro => "kernel".to_owned(),
            (None, None) => "top speed".to_owned(),
        }
    }
}

/// What contestants are told.
pub struct Terms {
    pub interface: String,
    /// What forward sends by.
    pub out: String,
    /// The CPU of the source, and of threads that do nothing.
    pub first_cpu: usize,
    /// The contestant's.
    pub last_cpu: usize,
    /// UMEM frames of ours.
    pub frames: Option<u32>,
    /// What txonly sends.
    pub packet: Vec<u8>,
    pub from: MacAddr,
    pub to: MacAddr,
    /// This program.
    pub itself: PathBuf,
    /// For the files that contestants need.
    pub dir: PathBuf,
    pub installed: BTreeMap<&'static str, PathBuf>,
}

/// The peers that are in a directory of `FLUX_PEERS` or of `PATH`.
pub fn installed() -> BTreeMap<&'static str, PathBuf> {
    PEERS.iter().filter_map(|&name| Some((name, find(name)?))).collect()
}

/// The program `name`, where it is installed.
pub fn find(name: &str) -> Option<PathBuf> {
    let lists = ["FLUX_PEERS", "PATH"].iter().filter_map(std::env::var_os);
    let dirs: Vec<PathBuf> =
        lists.flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>()).collect();
    dirs.iter().map(|dir| dir.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Everybody who does `workload`, in each mode of waiting at each of `batches`.
pub fn roster(terms: &Terms, workload: Workload, batches: &[u32]) -> Vec<Contestant> {
    let mut all = Vec::new();
    for &batch in batches {
        for poll in [Poll::Busy, Poll::Adaptive, Poll::Syscall] {
            all.push(ours(terms, workload, Library::Raw, poll, batch, true));
        }
    }
    if workload == Workload::Rxdrop {
        for mode in [Library::Engine, Library::System] {
            for poll in [Poll::Busy, Poll::Syscall] {
                all.push(ours(terms, workload, mode, poll, 64, true));
            }
        }
    }
    if workload == Workload::Forward {
        for poll in [Poll::Busy, Poll::Syscall] {
            all.push(ours(terms, workload, Library::Engine, poll, 64, true));
        }
    }
    for &batch in batches {
        for wait in [Wait::Spin, Wait::BusyPoll, Wait::Poll] {
            all.extend(xdpsock(terms, workload, wait, batch));
            all.extend(xdp_tools(terms, workload, wait, batch));
            all.extend(testpmd(terms, workload, wait, batch));
        }
    }
    if workload == Workload::Forward {
        all.extend(
            ["redirect", "redirect-map", "redirect-multi"]
                .into_iter()
                .filter_map(|does| redirect(terms, does)),
        );
    }
    if workload == Workload::Txonly {
        all.extend(tcpreplay(terms));
        all.extend(trafgen(terms));
    }
    all
}

/// Ours: this program, started again.
pub fn ours(
    terms: &Terms,
    workload: Workload,
    mode: Library,
    poll: Poll,
    batch: u32,
    prefetch: bool,
) -> Contestant {
    let hex: String = terms.packet.iter().map(|byte| format!("{byte:02x}")).collect();
    let frames = terms.frames.map(|n| format!(" --frames {n}")).unwrap_or_default();
    let args = format!(
        "--contestant {workload} --interface {} --out {} --mode {mode} --poll {poll} \
         --batch {batch} --prefetch {prefetch} --packet {hex}{frames}",
        terms.interface, terms.out
    );
    let letter = match mode {
        Library::Raw => "C",
        Library::Engine => "A",
        Library::System => "B",
    };
    let note = if prefetch { "" } else { ", no prefetch" };
    Contestant {
        name: format!("flux {letter} ({mode}{note})"),
        ours: Some(mode),
        wait: Some(match poll {
            Poll::Busy => Wait::Spin,
            Poll::Adaptive => Wait::Adaptive,
            Poll::Syscall => Wait::Poll,
        }),
        batch: Some(batch),
        far_gro: false,
        program: Program { ends_with_input: true, ..program(terms, &terms.itself, &args) },
    }
}

/// Its main loop is what ours is compared to.
pub fn xdpsock(terms: &Terms, workload: Workload, wait: Wait, batch: u32) -> Option<Contestant> {
    let path = terms.installed.get("xdpsock")?;
    let does = match workload {
        Workload::Rxdrop => "-r".to_owned(),
        Workload::L2fwd => "-l".to_owned(),
        Workload::Forward => return None, // it has one interface
        // The length is with frame check sequence.
        _ => format!("-t -s 64 -G {} -H {}", terms.to, terms.from),
    };
    let args = format!("{does} -i {} -q 0 -N -c -b {batch} -Q{}", terms.interface, flag(wait));
    Some(peer("xdpsock", Some(wait), Some(batch), program(terms, path, &args)))
}

fn xdp_tools(terms: &Terms, workload: Workload, wait: Wait, batch: u32) -> Option<Contestant> {
    let (name, does) = match workload {
        Workload::Rxdrop => ("xdp-bench", "xsk-drop".to_owned()),
        Workload::L2fwd => ("xdp-bench", "xsk-tx".to_owned()),
        Workload::Forward => return None, // its sockets have one interface
        _ if wait == Wait::BusyPoll => return None, // it has no such option
        _ => ("xdp-trafficgen", format!("xsk-udp -s 64 -m {} -M {}", terms.to, terms.from)),
    };
    let path = terms.installed.get(name)?;
    let args =
        format!("{does} -q 0 -A native -C copy -b {batch} -Q{} {}", flag(wait), terms.interface);
    Some(peer(name, Some(wait), Some(batch), program(terms, path, &args)))
}

/// The kernel's own path: no packet reaches user space, and all is done in softirq where the
/// source's frames arrive, on the source's CPU.
fn redirect(terms: &Terms, does: &str) -> Option<Contestant> {
    let path = terms.installed.get("xdp-bench")?;
    let args = format!("{does} -m native {} {}", terms.interface, terms.out);
    let name = format!("xdp-bench {does}");
    Some(Contestant { far_gro: true, ..peer(&name, None, None, program(terms, path, &args)) })
}

fn flag(wait: Wait) -> &'static str {
    match wait {
        Wait::BusyPoll => " -B",
        Wait::Poll => " -p",
        Wait::Spin | Wait::Adaptive => "",
    }
}

/// Its main thread sleeps on the first CPU, the one that forwards is on the last.
fn testpmd(terms: &Terms, workload: Workload, wait: Wait, batch: u32) -> Option<Contestant> {
    let path = terms.installed.get("dpdk-testpmd")?;
    let budget = match wait {
        Wait::Spin => 0,
        Wait::BusyPoll => 64,
        Wait::Adaptive | Wait::Poll => return None,
    };
    if terms.first_cpu == terms.last_cpu {
        return None; // it takes two
    }
    let does = match workload {
        Workload::Rxdrop => "rxonly".to_owned(),
        Workload::L2fwd => "macswap".to_owned(),
        Workload::Forward => "io".to_owned(),
        _ => format!("txonly --txpkts=60 --eth-peer=0,{}", terms.to),
    };
    let (first, last) = (terms.first_cpu, terms.last_cpu);
    let interfaces = [&terms.interface, &terms.out];
    let used = if workload == Workload::Forward { 2 } else { 1 };
    let device = |(at, interface): (usize, &&String)| {
        format!(
            "--vdev net_af_xdp{at},iface={interface},start_queue=0,queue_count=1,force_copy=1,\
             busy_budget={budget}"
        )
    };
    let devices: Vec<String> = interfaces[..used].iter().enumerate().map(device).collect();
    let devices = devices.join(" ");
    let args = format!(
        "-l {first},{last} --main-lcore {first} --no-huge -m 512 --no-pci --no-telemetry \
         --file-prefix peers {devices} -- --forward-mode={does} --burst={batch} --rxq=1 \
         --txq=1 --nb-cores=1 --total-num-mbufs=16384 --no-lsc-interrupt"
    );
    let program = Program { cpu: None, ..program(terms, path, &args) };
    Some(peer("dpdk-testpmd", Some(wait), Some(batch), program))
}

/// Packets in the capture that tcpreplay repeats: what it does once a repetition is then nothing.
const CAPTURED: u32 = 4096;

fn tcpreplay(terms: &Terms) -> Option<Contestant> {
    let path = terms.installed.get("tcpreplay")?;
    let file = terms.dir.join("packets.pcap");
    let len = terms.packet.len() as u32;
    // Magic, version 2.4, zone, accuracy, longest packet, Ethernet.
    let header = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 0xffff, 1].map(u32::to_ne_bytes).concat();
    let record = [[0, 0, len, len].map(u32::to_ne_bytes).concat(), terms.packet.clone()].concat();
    std::fs::write(&file, [header, record.repeat(CAPTURED as usize)].concat()).ok()?;
    let args = format!("-i {} -q --topspeed -K --loop=0 packets.pcap", terms.interface);
    Some(peer("tcpreplay", None, None, program(terms, path, &args)))
}

fn trafgen(terms: &Terms) -> Option<Contestant> {
    let path = terms.installed.get("trafgen")?;
    let bytes: Vec<String> = terms.packet.iter().map(|byte| format!("{byte:#04x}")).collect();
    std::fs::write(terms.dir.join("trafgen.cfg"), format!("{{ {} }}\n", bytes.join(", "))).ok()?;
    // Without the last two it changes settings of the whole machine.
    let args = format!(
        "-c trafgen.cfg -o {} -P 1 --no-cpu-stats --no-sock-mem --notouch-irq",
        terms.interface
    );
    Some(peer("trafgen", None, None, program(terms, path, &args)))
}

fn program(terms: &Terms, path: &Path, args: &str) -> Program {
    Program {
        path: path.to_owned(),
        args: args.split_whitespace().map(OsString::from).collect(),
        cpu: Some(terms.last_cpu),
        cpu_seconds: CPU_SECONDS,
        ends_with_input: false,
    }
}

fn peer(name: &str, wait: Option<Wait>, batch: Option<u32>, program: Program) -> Contestant {
    Contestant { name: name.to_owned(), ours: None, wait, batch, far_gro: false, program }
}
