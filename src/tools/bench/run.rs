//! The run: every setting once a round.

use super::advise::advise;
use super::event::{Event, Note};
#[cfg(all(target_os = "linux", feature = "bpf"))]
use super::kernel::Site;
use super::plan::{Place, Plan, Setting, Workload};
use super::report::{Machine, Report, SettingReport, Start};
use super::sample::Sample;
use super::{setting, sim};
use crate::config::Granted;
use crate::error::{ErrorKind, FluxError, Result};
use crate::tools::Control;
use crate::tools::session::{Opened, Trouble};
use crate::tools::traffic::rfc2544::PORT;
use std::collections::BTreeSet;

/// What a run found, and what ended it.
#[derive(Debug)]
pub struct Outcome {
    /// What was measured, as far as it went.
    pub report: Report,
    /// Why it did not go on.
    pub error: Option<FluxError>,
}

/// Measures what `plan` asks for, and tells `sink` what happens meanwhile. Ends early, with what
/// there is, when `control` says so, and when an error comes after the first sample.
///
/// # Errors
/// When the plan cannot be, or the kernel refuses what the first sample takes.
pub fn run(plan: &Plan, control: &Control, sink: &mut dyn FnMut(Event)) -> Result<Outcome> {
    plan.check()?;
    let mut place = Measuring::open(plan)?;
    let mut failed = None;
    let settings = plan.settings();
    let total = settings.len() * plan.repeat as usize;
    let mut measured: Vec<_> = settings.iter().map(|_| setting::Measured::default()).collect();
    let (mut start, mut warned) = (None, BTreeSet::new());
    let mut done = 0;
    'rounds: for round in 0..plan.repeat {
        for at in order(settings.len(), round) {
            if control.is_stopped() {
                break 'rounds;
            }
            let (sample, granted) = match place.measure(plan, &settings[at], control) {
                Ok(measured) => measured,
                // What was measured before is worth no less.
                Err(error) if done > 0 => {
                    failed = Some(error);
                    break 'rounds;
                }
                Err(error) => return Err(error),
            };
            if start.is_none() {
                let opened = Opened::of(&granted, settings[at].poll.poller());
                let first = Start { opened, out: place.out(plan).map(str::to_owned) };
                sink(Event::Start(Box::new(first.clone())));
                start = Some(first);
            }
            if control.is_stopped() {
                // Cut short: it is none of the samples that were asked for.
                break 'rounds;
            }
            let why = match &plan.place {
                Place::Interface { name, .. } => {
                    sample.trouble.clone().or_else(|| silence(name, &settings[at], &sample))
                }
                _ => sample.trouble.clone(),
            };
            if let Some(why) = why
                && warned.insert(why.text.clone())
            {
                sink(Event::Note(why));
            }
            measured[at].samples.push(sample);
            measured[at].queues = granted.queues.len() as u32;
            measured[at].pages = granted.pages;
            done += 1;
            sink(Event::Sample { setting: at, round, done, total });
        }
    }
    let measured = settings.iter().zip(&measured);
    let results: Vec<_> =
        measured.filter_map(|(setting, measured)| setting::report(setting, measured)).collect();
    let (backend, place, remark) = match &plan.place {
        Place::Lab => ("xdp", "lab", None),
        Place::Interface { .. } => ("xdp", "interface", None),
        Place::Sim(_) => ("sim", "sim", Some("simulated rings: not a NIC figure")),
    };
    let (best, undecided) = advise(&results);
    if failed.is_none() && done > 0 && results.iter().all(|setting| setting.packets == 0) {
        failed = Some(no_packet(plan, &results));
    }
    let report = Report {
        backend: backend.to_owned(),
        place: place.to_owned(),
        remark: remark.map(str::to_owned),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine(),
        opened: start,
        sample_s: plan.duration.as_secs_f64(),
        repeat: plan.repeat,
        complete: done == total,
        best,
        undecided,
        results,
    };
    Ok(Outcome { report, error: failed })
}

/// That there was nothing to measure.
fn no_packet(plan: &Plan, results: &[SettingReport]) -> FluxError {
    let sent = results.iter().all(|setting| setting.workload == Workload::Txonly);
    let why =
        if sent { "no packet was sent in any setting" } else { "no packet came in any setting" };
    let name = match &plan.place {
        Place::Interface { name, .. } => name,
        Place::Lab => {
            return FluxError::new(ErrorKind::System, "cannot measure", why)
                .with_hint("repeat with a longer --duration, on a machine with less to do");
        }
        // Where nothing is wrong, each sample has a burst at least.
        Place::Sim(_) => {
            return FluxError::new(ErrorKind::System, "cannot measure", why)
                .with_hint("leave the trouble that the notes name out of --sim");
        }
    };
    let what = format!("cannot measure on {name}");
    if sent {
        return FluxError::new(ErrorKind::Device, what, why)
            .with_hint(format!("`flux doctor {name}` says whether it can send"));
    }
    FluxError::new(ErrorKind::Host, what, why).with_hint(format!(
        "have the machine at the other end of {name} send to UDP port {PORT} meanwhile, or use \
         --lab, which has traffic of its own"
    ))
}

/// Why a setting that waits for packets may have seen none.
fn silence(interface: &str, setting: &Setting, sample: &Sample) -> Option<Note> {
    if setting.workload == Workload::Txonly {
        return None;
    }
    if sample.wrong_queue > 0 {
        let queues = &setting.queues;
        let text = format!(
            "packets for us came to queues of {interface} other than {queues}: use --queue all, or \
             steer them"
        );
        return Some(Note::new(Trouble::WrongQueue, text));
    }
    (sample.packets == 0).then(|| {
        let text = format!(
            "nothing came to {interface}: packets to UDP port {PORT} are ours, from the machine at \
             its other end"
        );
        Note::new(Trouble::Idle, text)
    })
}

/// The settings of a round: there and back in turn, so that what drifts meets both ends alike.
fn order(settings: usize, round: u32) -> Box<dyn Iterator<Item = usize>> {
    if round.is_multiple_of(2) { Box::new(0..settings) } else { Box::new((0..settings).rev()) }
}

/// The opened place.
enum Measuring {
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    Kernel(Site),
    Sim(crate::simulator::SimSpec),
}

impl Measuring {
    fn open(plan: &Plan) -> Result<Self> {
        match &plan.place {
            Place::Sim(spec) => {
                sim::check(plan, spec)?;
                Ok(Measuring::Sim(spec.clone()))
            }
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            Place::Lab => Ok(Measuring::Kernel(Site::lab(plan)?)),
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            Place::Interface { name, out } => {
                Ok(Measuring::Kernel(Site::interface(plan, name, out.as_deref())?))
            }
            #[cfg(not(all(target_os = "linux", feature = "bpf")))]
            Place::Lab | Place::Interface { .. } => Err(crate::error::FluxError::new(
                crate::error::ErrorKind::Unsupported,
                "cannot measure AF_XDP",
                "this build has the simulated kernel alone",
            )
            .with_hint("build on Linux with the feature `bpf`, or use --sim")),
        }
    }

    /// The interface that workload forward sends by, where it is measured.
    fn out(&self, plan: &Plan) -> Option<&str> {
        if !plan.workloads.contains(&Workload::Forward) {
            return None;
        }
        match self {
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            Measuring::Kernel(site) => site.out(),
            Measuring::Sim(_) => Some(sim::OUT),
        }
    }

    fn measure(
        &mut self,
        plan: &Plan,
        setting: &Setting,
        control: &Control,
    ) -> Result<(Sample, Granted)> {
        match self {
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            Measuring::Kernel(site) => site.measure(plan, setting, control),
            Measuring::Sim(spec) => sim::measure(plan, spec, setting, control),
        }
    }
}

fn machine() -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let line = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
    };
    Machine {
        cpu: line("/proc/cpuinfo", "model name"),
        cpus: cpus as u32,
        kernel: line("/proc/sys/kernel/osrelease", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_interface_is_explained() {
        use super::super::plan::{Library, Poll};
        use crate::config::HugePages;
        let setting = |workload| Setting {
            workload,
            mode: Library::Raw,
            batch: 64,
            poll: Poll::Busy,
            packet_size: 60,
            queues: crate::Queues::Only(vec![0]),
            hugepages: HugePages::Off,
            prefetch: true,
        };
        let why = |workload, packets, wrong_queue| {
            let sample = Sample { packets, wrong_queue, ..Sample::default() };
            silence("eth0", &setting(workload), &sample).map(|note| note.text)
        };
        assert_eq!(why(Workload::Rxdrop, 1, 0), None);
        assert_eq!(why(Workload::Txonly, 0, 0), None);
        assert!(why(Workload::Parse, 0, 0).unwrap().contains("UDP port 9"));
        assert!(why(Workload::L2fwd, 5, 7).unwrap().contains("other than 0: use --queue all"));
    }

    #[test]
    fn rounds_go_there_and_back_and_meet_every_setting_once() {
        assert!(
            order(3, 0).eq([0, 1, 2]) && order(3, 1).eq([2, 1, 0]) && order(3, 2).eq([0, 1, 2])
        );
    }
}
