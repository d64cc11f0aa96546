//! Ours against its peers: the same traffic, the same far end, the same CPU, and the counters of
//! the interface as the one judge. As root, in namespaces of its own.
//!
//! ```text
//!   for each workload, round, contestant:
//!     start it pinned to the last CPU, in the lab ─▶ attached? ─▶ source on (first CPU)
//!     ─▶ packets flow? ─▶ warm-up ─▶ counters ─▶ window ─▶ counters ─▶ end it, source off
//! ```
//!
//! Ours is this program, started again with `--contestant`: so all are processes, started and
//! ended alike. Peers are looked for in `FLUX_PEERS` (directories, with colons between) and in
//! `PATH`; one that is not there is left out. Nothing is fetched or built.
//!
//! `cargo bench --bench peers -- --quick`

mod child;
mod contestant;
mod instructions;
mod report;
mod roster;
mod stage;
mod sys;

use clap::Parser;
use fluxnet::proto::{EthernetMut, EthernetView};
use fluxnet::tools::bench::{Library, Poll, Workload};
use fluxnet::tools::traffic::{Lab, LiveSource, pin, rfc2544};
use report::{Row, Table};
use roster::{PEERS, Terms};
use serde_json::{Value, json};
use stage::Stage;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes of a packet, without frame check sequence.
const LEN: usize = 60;
const BATCHES: &[u32] = &[16, 32, 64, 256];

/// Measures flux against its peers on a veth pair of its own.
#[derive(Parser)]
#[command(name = "peers")]
struct Args {
    /// Samples of each contestant, all of them once a round; 0 for none.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of a sample.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Batches of 64 alone.
    #[arg(long)]
    quick: bool,
    /// Workloads: rxdrop, txonly, l2fwd, forward.
    #[arg(long, value_delimiter = ',', default_value = "rxdrop,txonly,l2fwd,forward")]
    workloads: Vec<Workload>,
    /// Contestants whose names begin so, e.g. flux,xdpsock.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// UMEM frames of ours, instead of the library's default.
    #[arg(long)]
    frames: Option<u32>,
    /// Also count instructions per packet (needs valgrind).
    #[arg(long)]
    instructions: bool,
    /// What cargo says.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    task: TaskArgs,
}

/// For the processes that this program starts of itself.
#[derive(clap::Args)]
struct TaskArgs {
    #[arg(long, hide = true)]
    contestant: Option<Workload>,
    #[arg(long, hide = true, default_value = "")]
    interface: String,
    #[arg(long, hide = true, default_value = "")]
    out: String,
    #[arg(long, hide = true, default_value = "raw")]
    mode: Library,
    #[arg(long, hide = true, default_value = "busy")]
    poll: Poll,
    #[arg(long, hide = true, default_value_t = 64)]
    batch: u32,
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set)]
    prefetch: bool,
    #[arg(long, hide = true, default_value = "")]
    packet: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.task.contestant {
        Some(workload) => be_contestant(workload, &args.task, args.frames),
        None => compare(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn be_contestant(
    workload: Workload,
    args: &TaskArgs,
    frames: Option<u32>,
) -> Result<(), Box<dyn Error>> {
    let digits = args.packet.as_bytes().chunks(2);
    let byte = |digits: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(digits)?, 16)?);
    let packet: Result<Vec<u8>, Box<dyn Error>> = digits.map(byte).collect();
    let task = contestant::Task {
        interface: args.interface.clone(),
        out: args.out.clone(),
        workload,
        mode: args.mode,
        poll: args.poll,
        batch: args.batch,
        prefetch: args.prefetch,
        frames,
        packet: packet?,
    };
    Ok(contestant::run(&task)?)
}

/// A directory that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> std::io::Result<Self> {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // One that was killed could not remove its own.
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_prefix("peers-"));
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let dir = parent.join(format!("peers-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn compare(args: &Args) -> Result<(), Box<dyn Error>> {
    if !sys::is_root() {
        println!("SKIP peers: needs root for network namespaces");
        return Ok(());
    }
    if !(0.01..=60.0).contains(&args.seconds) || args.rounds > 1000 {
        return Err("--seconds must be 0.01 to 60, --rounds at most 1000".into());
    }
    let known = [Workload::Rxdrop, Workload::Txonly, Workload::L2fwd, Workload::Forward];
    if let Some(other) = args.workloads.iter().find(|workload| !known.contains(workload)) {
        return Err(format!("peers have no workload {other}").into());
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stopped);
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed))?;
    let stop = || stopped.load(Ordering::Relaxed);

    let cpus = allowed_cpus()?;
    let (Some(&first_cpu), Some(&last_cpu)) = (cpus.first(), cpus.last()) else {
        return Err("no CPU".into());
    };
    let scratch = Scratch::make()?;
    let lab = Lab::open_two(1)?;
    let source = LiveSource::start(lab.egress(first_cpu)?, rfc2544::to_us(LEN)?)?;
    source.pause();
    let mut packet = source.packet().bytes().to_vec();
    EthernetMut::parse(&mut packet)?.swap();
    let view = EthernetView::parse(&packet)?;
    let terms = Terms {
        interface: lab.ours().to_owned(),
        out: lab.out().to_owned(),
        first_cpu,
        last_cpu,
        from: view.src(),
        to: view.dst(),
        packet: packet.clone(),
        frames: args.frames,
        itself: std::env::current_exe()?,
        dir: scratch.0.clone(),
        installed: roster::installed(),
    };
    for name in PEERS {
        match terms.installed.get(name) {
            Some(path) => println!("{name:<15} {}", path.display()),
            None => println!("{name:<15} not installed"),
        }
    }
    // Children end with the thread that started them, so that one is there all the time.
    let data = std::thread::scope(|scope| {
        let body = || -> Result<Value, String> {
            lab.enter_ours().and_then(|()| pin(first_cpu)).map_err(|error| error.to_string())?;
            let stage = Stage::new(&lab, &source, &scratch.0, &stop)?;
            let (mut tables, mut loads) = (Vec::new(), Vec::new());
            if args.rounds > 0 {
                for &workload in &args.workloads {
                    loads.push(warn_of_others());
                    let table = measure(args, &stage, &terms, workload, &stop);
                    table.print();
                    tables.push(table);
                }
                println!("\nsummary:");
                tables.iter().for_each(Table::summary);
            }
            let counted = if args.instructions && !stop() {
                instructions::run(&stage, &terms, &args.workloads)
            } else {
                Value::Null
            };
            Ok(json!({
                "rounds": args.rounds,
                "seconds": args.seconds,
                "complete": !stop(),
                "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease")
                    .unwrap_or_default().trim(),
                "cpus": cpus.len(),
                "busy_before_workload": loads,
                "not_installed": PEERS.iter()
                    .filter(|&name| !terms.installed.contains_key(name)).collect::<Vec<_>>(),
                "workloads": tables.iter().map(Table::data).collect::<Vec<_>>(),
                "instructions": counted,
            }))
        };
        scope.spawn(body).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers.json");
    std::fs::write(&file, serde_json::to_string_pretty(&data)?)?;
    println!("\nwritten: {}", file.display());
    if stop() { Err("interrupted".into()) } else { Ok(()) }
}

/// CPUs' worth of time that others use while nothing of ours runs. Figures are worth little then.
fn warn_of_others() -> f64 {
    let (before, time) = (sys::busy_seconds(), Duration::from_millis(500));
    std::thread::sleep(time);
    let busy = (sys::busy_seconds() - before) / time.as_secs_f64();
    if busy > 0.1 {
        eprintln!("warning: others use {:.0} % of a CPU, so figures will be off", busy * 100.0);
    }
    busy
}

/// Every contestant once a round, there and back in turn.
fn measure(
    args: &Args,
    stage: &Stage<'_>,
    terms: &Terms,
    workload: Workload,
    stop: &dyn Fn() -> bool,
) -> Table {
    let batches = if args.quick { &[64] } else { BATCHES };
    let mut contestants = roster::roster(terms, workload, batches);
    if !args.only.is_empty() {
        contestants.retain(|it| args.only.iter().any(|name| it.name.starts_with(name.as_str())));
    }
    let new = |contestant| Row { contestant, samples: Vec::new(), failure: None };
    let mut rows: Vec<Row> = contestants.into_iter().map(new).collect();
    let window = Duration::from_secs_f64(args.seconds);
    for round in 0..args.rounds {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let row = &mut rows[at];
            // What failed before would most likely take its whole time limit again.
            if stop() || (row.failure.is_some() && row.samples.is_empty()) {
                continue;
            }
            let label = format!("{} {}", row.contestant.name, row.contestant.setting());
            match stage.measure(workload, &row.contestant, window) {
                Ok(sample) => {
                    let rate = sample.rate / 1e6;
                    eprintln!("{workload} {}/{} {label}: {rate:.3} Mpps", round + 1, args.rounds);
                    row.samples.push(sample);
                }
                Err(error) => {
                    eprintln!("{workload} {}/{} {label}: {error}", round + 1, args.rounds);
                    row.failure = Some(error);
                }
            }
        }
    }
    Table { workload, rows }
}

/// The CPUs that this process may use.
fn allowed_cpus() -> Result<Vec<usize>, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut cpus = Vec::new();
    for part in list.unwrap_or_default().trim().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(from.parse::<usize>()?..=to.parse()?);
    }
    Ok(cpus)
}
