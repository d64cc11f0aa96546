//! What a packet costs in user space, in instructions.
//!
//! Each contestant runs under callgrind for two different times. The difference of the
//! instructions of the whole process, over the difference of the packets, is what a packet costs:
//! start and end are in both runs and cancel out; loop, kicks and libc's part of a system call
//! are in it. Empty turns are hardly: everybody waits with poll(2), and callgrind, slowed further
//! by its cache simulation, is so much slower than the source that the ring is seldom empty (ours
//! counts its empty turns). xdpsock's l2fwd also spins inside a batch while the kernel is late with
//! a completion, and that is when others use the CPU; so of several runs the cheapest counts, for
//! everybody.

use crate::child::Program;
use crate::roster::{self, Contestant, Terms, Wait, find};
use crate::stage::Stage;
use fluxnet::tools::bench::{Library, Poll, Workload};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

const BATCH: u32 = 64;
const TIMES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
/// Runs of each time.
const RUNS: usize = 3;
/// CPU seconds of a run at most.
const CPU_SECONDS: u64 = 120;

/// Counts, prints, and returns the same as data.
pub fn run(stage: &Stage<'_>, terms: &Terms, workloads: &[Workload]) -> Value {
    let Some(valgrind) = find("valgrind") else {
        println!("\ninstructions: valgrind is not installed");
        return Value::Null;
    };
    println!("\ninstructions per packet in user space, batch {BATCH}, waiting with poll(2):");
    let mut all = Vec::new();
    for &workload in workloads {
        let theirs = roster::xdpsock(terms, workload, Wait::Poll, BATCH);
        let theirs = theirs.and_then(|c| row(stage, &valgrind, workload, &c, None, &mut all));
        let mut variants = vec![true];
        if workload == Workload::L2fwd {
            variants.push(false);
        }
        for prefetch in variants {
            let ours = roster::ours(terms, workload, Library::Raw, Poll::Syscall, BATCH, prefetch);
            row(stage, &valgrind, workload, &ours, theirs, &mut all);
        }
    }
    Value::Array(all)
}

fn row(
    stage: &Stage<'_>,
    valgrind: &Path,
    workload: Workload,
    contestant: &Contestant,
    theirs: Option<f64>,
    all: &mut Vec<Value>,
) -> Option<f64> {
    let name = &contestant.name;
    match per_packet(stage, valgrind, workload, contestant) {
        Ok((cost, refused, said)) => {
            let ratio = theirs.map(|theirs| cost / theirs);
            let ratio_text = ratio.map_or(String::new(), |ratio| format!("{ratio:.2} of xdpsock"));
            let full = if refused.is_nan() {
                String::new()
            } else {
                format!("ring full for {:.0} %", refused * 100.0)
            };
            let turns = said.lines().find(|line| line.starts_with("{\"packets\"")).unwrap_or("");
            println!("  {workload:<7} {name:<28} {cost:6.2}  {ratio_text:<16} {full:<20} {turns}");
            all.push(json!({
                "workload": workload.to_string(), "contestant": name, "instructions": cost,
                "of_xdpsock": ratio, "ring_full": refused,
            }));
            Some(cost)
        }
        Err(error) => {
            println!("  {workload:<7} {name:<28}      -  {error}");
            None
        }
    }
}

fn per_packet(
    stage: &Stage<'_>,
    valgrind: &Path,
    workload: Workload,
    contestant: &Contestant,
) -> Result<(f64, f64, String), String> {
    let mut runs = Vec::new();
    let (mut least, mut said) = (f64::INFINITY, String::new());
    for time in TIMES {
        let mut cheapest: Option<(u64, u64)> = None;
        for _ in 0..RUNS {
            let file = stage.dir().join("callgrind.out");
            let program = under(valgrind, &contestant.program, &file);
            let (packets, refused, output) = stage.count(workload, &program, time)?;
            let cost = |(instructions, packets): (u64, u64)| instructions as f64 / packets as f64;
            let run = (instructions(&file)?, packets);
            if cheapest.is_none_or(|before| cost(run) < cost(before)) {
                cheapest = Some(run);
            }
            least = least.min(refused);
            said = output;
        }
        runs.extend(cheapest);
    }
    let (fewer, more) = (runs[0], runs[1]);
    let packets = more.1 as f64 - fewer.1 as f64;
    if packets < 10_000.0 {
        return Err(format!("too few packets: {} and {}", fewer.1, more.1));
    }
    let least = if least.is_finite() { least } else { f64::NAN };
    Ok(((more.0 as f64 - fewer.0 as f64) / packets, least, said))
}

fn under(valgrind: &Path, program: &Program, file: &Path) -> Program {
    let mut args: Vec<OsString> =
        ["--tool=callgrind", "--fair-sched=yes", "--cache-sim=yes"].map(OsString::from).to_vec();
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(file);
    args.extend([out, program.path.clone().into_os_string()]);
    args.extend(program.args.iter().cloned());
    Program { path: valgrind.to_owned(), args, cpu_seconds: CPU_SECONDS, ..program.clone() }
}

/// All instructions that callgrind counted.
fn instructions(file: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("callgrind: {error}"))?;
    let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    let first = totals.and_then(|totals| totals.split(' ').next());
    first.and_then(|n| n.parse().ok()).ok_or_else(|| "callgrind wrote no totals".to_owned())
}
