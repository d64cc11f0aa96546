//! One measurement: the same traffic, window and counters for everybody.

use crate::child::{Program, Running};
use crate::roster::{Contestant, find};
use crate::sys::{self, DriverCounters};
use fluxnet::tools::bench::Workload;
use fluxnet::tools::traffic::{Lab, LiveSource};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Nothing counts before.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long a contestant may take to attach; testpmd needs seconds.
const START: Duration = Duration::from_secs(15);
/// How long until packets flow.
const FLOW: Duration = Duration::from_secs(10);
/// That they do.
const FLOWING: u64 = 1000;
/// Pauses before a queue that is still in use is tried again: the kernel lets go of a socket some
/// time after its process.
const RETRIES_MS: [u64; 5] = [20, 50, 100, 200, 400];

/// What one window showed.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Packets a second.
    pub rate: f64,
    /// CPUs' worth of CPU time.
    pub cpu: f64,
    /// The share of what the source offered that was not handled.
    pub lost: Option<f64>,
    /// CPUs' worth of time that neither the contestant nor the source used.
    pub others: f64,
}

/// The lab, seen from the namespace of our end. For threads that have entered that.
pub struct Stage<'l> {
    lab: &'l Lab,
    source: &'l LiveSource,
    counters: DriverCounters,
    ip: PathBuf,
    dir: &'l Path,
    stop: &'l (dyn Fn() -> bool + Sync),
}

/// Has the source send, until it is dropped.
struct Flow<'s>(&'s LiveSource);

impl Drop for Flow<'_> {
    fn drop(&mut self) {
        self.0.pause();
    }
}

/// Generic receive offload at the far end of the second pair.
struct FarGro<'l> {
    lab: &'l Lab,
    ethtool: PathBuf,
}

impl FarGro<'_> {
    fn set(&self, word: &str) -> Result<(), String> {
        let body = || -> Result<(), String> {
            self.lab.enter_peer().map_err(|error| error.to_string())?;
            let args = ["-K", self.lab.sink(), "gro", word];
            let output = Command::new(&self.ethtool).args(args).output();
            match output.map_err(|error| format!("ethtool: {error}"))? {
                output if output.status.success() => Ok(()),
                output => {
                    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                    Err(format!("ethtool -K {} gro {word}: {said}", self.lab.sink()))
                }
            }
        };
        // A thread of its own: there is no way back out of a namespace.
        std::thread::scope(|scope| {
            let inside = scope.spawn(body);
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for FarGro<'_> {
    fn drop(&mut self) {
        let _ = self.set("off"); // the lab goes soon, and nobody else needs it
    }
}

/// The counters at one time.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    handled: u64,
    offered: u64,
}

impl<'l> Stage<'l> {
    pub fn new(
        lab: &'l Lab,
        source: &'l LiveSource,
        dir: &'l Path,
        stop: &'l (dyn Fn() -> bool + Sync),
    ) -> Result<Self, String> {
        let counters = DriverCounters::open(lab.ours())
            .map_err(|error| format!("the counters of {}: {error}", lab.ours()))?;
        let ip = find("ip").ok_or("ip (of iproute2) is not installed")?;
        Ok(Self { lab, source, counters, ip, dir, stop })
    }

    /// For files of one measurement.
    pub fn dir(&self) -> &Path {
        self.dir
    }

    /// Packets that `workload` has handled since the lab was opened.
    fn handled(&self, workload: Workload) -> io::Result<u64> {
        match workload {
            // What was delivered to sockets.
            Workload::Rxdrop => self.delivered(),
            Workload::Forward => Ok(self.lab.out_stats().map_err(io::Error::other)?.tx_packets),
            _ => Ok(self.lab.our_stats().map_err(io::Error::other)?.tx_packets),
        }
    }

    fn delivered(&self) -> io::Result<u64> {
        self.counters.read("rx_queue_0_xdp_redirect")
    }

    /// Packets that went into user space or came from there, arrived or not.
    fn touched(&self, workload: Workload) -> io::Result<u64> {
        match workload {
            Workload::Txonly => {
                let stats = self.lab.our_stats().map_err(io::Error::other)?;
                Ok(stats.tx_packets + stats.tx_dropped)
            }
            _ => self.delivered(),
        }
    }

    fn read(&self, workload: Workload) -> Result<Reading, String> {
        let once = || -> io::Result<(Duration, Reading)> {
            let before = Instant::now();
            let handled = self.handled(workload)?;
            let took = before.elapsed();
            let offered = self.source.sent().map_err(io::Error::other)?;
            Ok((took, Reading { at: before + took / 2, handled, offered }))
        };
        // Whoever is interrupted in between reads again.
        let mut reading = once();
        for _ in 0..3 {
            match &reading {
                Ok((took, _)) if *took > Duration::from_micros(200) => reading = once(),
                _ => break,
            }
        }
        reading.map(|(_, reading)| reading).map_err(|error| error.to_string())
    }

    /// Measures `contestant` over `window`.
    pub fn measure(
        &self,
        workload: Workload,
        contestant: &Contestant,
        window: Duration,
    ) -> Result<Sample, String> {
        let _gro = contestant.far_gro.then(|| self.far_gro()).transpose()?;
        let (mut running, flow) = self.start(workload, &contestant.program, START)?;
        running.run_for(WARM_UP, self.stop)?;
        let (before, cpu_before) = (self.read(workload)?, running.cpu_time());
        let (cpu_from, busy_before) = (Instant::now(), sys::busy_seconds());
        running.run_for(window, self.stop)?;
        let (after, cpu_after) = (self.read(workload)?, running.cpu_time());
        let cpu_window = cpu_from.elapsed().as_secs_f64();
        let busy = (sys::busy_seconds() - busy_before) / cpu_window;
        running.end(None); // while packets flow: some look for signals after packets only
        drop(running);
        drop(flow);
        let seconds = (after.at - before.at).as_secs_f64();
        let handled = (after.handled - before.handled) as f64;
        let offered = after.offered.saturating_sub(before.offered) as f64;
        let cpu = (cpu_after - cpu_before) / cpu_window;
        let source = if workload == Workload::Txonly { 0.0 } else { 1.0 };
        Ok(Sample {
            rate: handled / seconds,
            cpu,
            others: (busy - cpu - source).max(0.0),
            lost: (workload != Workload::Txonly && offered > 0.0)
                .then(|| (1.0 - handled / offered).max(0.0)),
        })
    }

    /// Runs `program` for `time` once packets flow. Returns how many packets it touched from its
    /// start to its end, the share of the offered ones that found no room, and what it wrote.
    pub fn count(
        &self,
        workload: Workload,
        program: &Program,
        time: Duration,
    ) -> Result<(u64, f64, String), String> {
        let touched = || self.touched(workload).map_err(|error| error.to_string());
        let before = touched()?;
        let (mut running, flow) = self.start(workload, program, 4 * START)?;
        let (from, offered) = (touched()?, self.read(workload)?.offered);
        running.run_for(time, self.stop)?;
        let (to, offered_then) = (touched()?, self.read(workload)?.offered);
        if !running.end(Some(4 * FLOW)) {
            return Err("did not end when it was asked to".to_owned());
        }
        let packets = touched()? - before;
        let output = running.output();
        drop(flow);
        let offered = offered_then.saturating_sub(offered);
        let refused =
            if offered > 0 { 1.0 - (to - from) as f64 / offered as f64 } else { f64::NAN };
        Ok((packets, refused, output))
    }

    /// Starts a contestant, and the source with it; returns when packets flow.
    fn start(
        &self,
        workload: Workload,
        program: &Program,
        limit: Duration,
    ) -> Result<(Running, Flow<'_>), String> {
        let mut tries = RETRIES_MS.iter();
        loop {
            self.clear()?;
            match self.try_start(workload, program, limit) {
                Ok(started) => return Ok(started),
                Err(error) if error.contains("busy") => match tries.next() {
                    Some(&pause) => std::thread::sleep(Duration::from_millis(pause)),
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }

    fn try_start(
        &self,
        workload: Workload,
        program: &Program,
        limit: Duration,
    ) -> Result<(Running, Flow<'_>), String> {
        let flow = Flow(self.source);
        let at_start = self.handled(workload).map_err(|error| error.to_string())?;
        let mut running = Running::start(program, self.dir).map_err(|error| error.to_string())?;
        let moves = || Ok(self.handled(workload)? > at_start + FLOWING);
        if workload == Workload::Txonly {
            running.wait_for("sending", limit, self.stop, moves)?;
        } else {
            running.wait_for("attaching to XDP", limit, self.stop, || self.attached())?;
            self.source.resume();
            running.wait_for("a flow of packets", FLOW, self.stop, moves)?;
        }
        Ok((running, flow))
    }

    /// Lets the far end of the second pair take packets in NAPI, until the result is dropped.
    fn far_gro(&self) -> Result<FarGro<'_>, String> {
        let ethtool = find("ethtool").ok_or("ethtool is not installed")?;
        let far = FarGro { lab: self.lab, ethtool };
        far.set("on")?;
        Ok(far)
    }

    /// Whether our end has an XDP program.
    fn attached(&self) -> io::Result<bool> {
        self.has_program(self.lab.ours())
    }

    fn has_program(&self, interface: &str) -> io::Result<bool> {
        let show = ["-j", "link", "show", "dev", interface];
        let output = Command::new(&self.ip).args(show).output()?;
        let links: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(links[0].get("xdp").is_some())
    }

    /// Waits until the one before is off our ends; a program that was left behind is taken off.
    pub fn clear(&self) -> Result<(), String> {
        [self.lab.ours(), self.lab.out()].into_iter().try_for_each(|end| self.clear_end(end))
    }

    fn clear_end(&self, end: &str) -> Result<(), String> {
        let off = ["link", "set", "dev", end, "xdp", "off"];
        for at in 0..20 {
            match self.has_program(end) {
                Ok(false) => return Ok(()),
                Ok(true) if at > 4 => {
                    let _ = Command::new(&self.ip).args(off).output(); // looked at again
                }
                Ok(true) => {}
                Err(error) => return Err(error.to_string()),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("an XDP program stays on {end}"))
    }
}
