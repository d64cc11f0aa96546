//! `flux rings`: Args → plan → run → report.
//!
//! ```text
//!   Args ─▶ Plan ─▶ run(observer) ─▶ Event ─┬─▶ page ─▶ text, or the live view
//!                                           ├─▶ JSON, a line per sample
//!                                           └─▶ metrics ─▶ HTTP
//! ```

mod args;
mod block;
mod compact;
#[cfg(test)]
mod fixture;
mod live;
mod metrics;
mod page;
mod serve;
mod wait;

use crate::cli::Answer;
use crate::failure::Failure;
use crate::output::{
    EventPrinter, EventText, Lines, Live, Screen, Stdout, Style, hidden, note, say, tell,
};
use crate::signals;
pub use args::{Args, join_watch};
use fluxnet::tools::rings::{Event, Observer, Outcome, Plan, Sample, SimObserver, run};
use fluxnet::tools::{Control, topology};
use live::{HINT, View};
use page::{Layout, Line, Tone, clean, page, paint};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wait::Waiting;

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    let screen = Screen::of_stdout();
    let live = args.watch.is_some() && !args.json && screen.addressable;
    let plan = args.plan(live)?;
    let listener = args.metrics.map(serve::bind).transpose()?;
    let mut observer = observer(args)?;
    args.interface.as_deref().map(|name| observer.find(name)).transpose()?;
    let simulated = args.sim.is_some();
    if let Some(listener) = listener {
        return scraped(&plan, &mut *observer, simulated, listener);
    }
    let control = signals::control();
    let since_s = None;
    let layout = Layout { screen, verbose: args.verbose, rows: None, since_s };
    let outcome = if live {
        watched(&plan, &mut *observer, simulated, layout, &control)?
    } else {
        let mut wait = wait::plain(simulated, &control);
        let mut waiting = Waiting { observer: &mut *observer, wait: &mut wait };
        let text = Text::new(&plan, layout);
        let mut printer = EventPrinter::new(args.json, text, &control, out);
        let result = run(&plan, &mut waiting, &control, &mut |event| printer.take(event));
        printer.finish()?;
        result?
    };
    if outcome.sockets == 0 {
        tell(&none(&plan), args.json, out)?;
        return Ok(Answer::No);
    }
    Ok(Answer::Yes)
}

/// Who looks.
fn observer(args: &Args) -> Result<Box<dyn Observer>, Failure> {
    if let Some((spec, config)) = args.simulated()? {
        return Ok(Box::new(SimObserver::new(&topology::simulator(spec)?, &config)?));
    }
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    return Ok(Box::new(fluxnet::tools::rings::KernelObserver::open(args.source())?));
    #[cfg(not(all(target_os = "linux", feature = "bpf")))]
    {
        let why = if cfg!(target_os = "linux") {
            "this flux was built without the feature bpf"
        } else {
            "this system is not Linux"
        };
        let by = args.source().map_or(String::new(), |source| format!(" by {}", source.name()));
        let what = format!("cannot look at AF_XDP sockets{by}");
        let error = fluxnet::FluxError::new(fluxnet::error::ErrorKind::Unsupported, what, why);
        Err(error.with_hint("use --sim: the simulated kernel runs everywhere").into())
    }
}

/// The live view.
fn watched(
    plan: &Plan,
    observer: &mut dyn Observer,
    simulated: bool,
    layout: Layout,
    control: &Arc<Control>,
) -> Result<Outcome, Failure> {
    let every = plan.every.unwrap_or(plan.over);
    let view = View::new(what(plan), every, layout);
    let live = RefCell::new(Live::start(view, Arc::clone(control), HINT)?);
    let mut trouble = None;
    let mut wait = |observer: &mut dyn Observer, time: Duration| {
        if !simulated {
            return live.borrow_mut().wait(time);
        }
        // Simulated time passes beside ours, in steps short enough for a key.
        let mut left = time;
        while !left.is_zero() && !control.is_stopped() {
            let (start, step) = (Instant::now(), left.min(wait::SLICE));
            observer.pause(step)?;
            live.borrow_mut().wait(step.saturating_sub(start.elapsed()))?;
            left -= step;
        }
        Ok(())
    };
    let mut waiting = Waiting { observer, wait: &mut wait };
    let outcome = run(plan, &mut waiting, control, &mut |event| {
        let mut live = live.borrow_mut();
        live.view().take(event);
        if let Err(error) = live.redraw() {
            control.stop();
            trouble = Some(error);
        }
    })?;
    match trouble {
        Some(error) => Err(error.into()),
        None => Ok(outcome),
    }
}

/// The metrics server.
fn scraped(
    plan: &Plan,
    observer: &mut dyn Observer,
    simulated: bool,
    listener: std::net::TcpListener,
) -> Result<Answer, Failure> {
    let address = listener.local_addr().map_err(|error| serve::lost(&error))?;
    let wake = serve::waker(&listener).map_err(|error| serve::lost(&error))?;
    let control = signals::control();
    control.on_request(wake);
    say(&format!("metrics are at http://{address}/metrics, until Ctrl-C\n"));
    let server = serve::Server::new(listener, control);
    let mut exporter = metrics::Exporter::new(own_netns());
    let mut warned = Warned::default();
    let mut told = |event: &Event| match event {
        Event::Note { text } => say(&note(&clean(text))),
        Event::Sample(sample) => say(&warned.warnings(sample)),
    };
    serve::serve(plan, observer, simulated, &server, &mut exporter, &mut told)?;
    Ok(Answer::Yes)
}

/// Our network namespace, as samples number them.
fn own_netns() -> Option<u32> {
    #[cfg(target_os = "linux")]
    return {
        use std::os::linux::fs::MetadataExt;
        u32::try_from(std::fs::metadata("/proc/self/ns/net").ok()?.st_ino()).ok()
    };
    #[cfg(not(target_os = "linux"))]
    None
}

/// Says once what may be missing from samples.
#[derive(Default)]
struct Warned(Vec<String>);

impl Warned {
    fn warnings(&mut self, sample: &Sample) -> String {
        if self.0 == sample.missing {
            return String::new();
        }
        self.0.clone_from(&sample.missing);
        let warning = Style::of_stderr().odd("warning:");
        let line = |missing| format!("{warning} there may be more sockets: {}\n", clean(missing));
        self.0.iter().map(|missing| line(missing)).collect()
    }
}

/// What is looked at, in words.
fn what(plan: &Plan) -> String {
    let mut what =
        plan.select.interface.as_deref().map_or_else(|| "all interfaces".to_owned(), clean);
    if !plan.select.queues.is_empty() {
        what += &format!(" queue {}", queues(plan));
    }
    if let Some(pid) = plan.select.pid {
        what += &format!(" pid {pid}");
    }
    what
}

fn queues(plan: &Plan) -> String {
    let queues: Vec<String> = plan.select.queues.iter().map(u32::to_string).collect();
    queues.join(",")
}

/// That there is none, and the next step.
fn none(plan: &Plan) -> String {
    let select = &plan.select;
    let on = select.interface.as_deref().map(clean);
    let place = match (&on, select.queues.is_empty()) {
        (Some(name), true) => format!(" on {name}"),
        (Some(name), false) => format!(" on {name} queue {}", queues(plan)),
        (None, false) => format!(" on queue {}", queues(plan)),
        (None, true) => String::new(),
    };
    match (&on, select.pid) {
        (_, Some(pid)) => format!(
            "process {pid} has no AF_XDP socket{place}: leave out -p to see those of all processes"
        ),
        (Some(name), None) if select.queues.is_empty() => format!(
            "{name} has no AF_XDP socket: start the application, or leave out {name} to see those \
             on all interfaces"
        ),
        (Some(_), None) => format!(
            "there is no AF_XDP socket{place}: leave out --queue to see those on all queues"
        ),
        (None, None) => {
            format!("there is no AF_XDP socket{place} on this machine: start the application first")
        }
    }
}

/// Prints samples as pages of text.
struct Text {
    /// Whether samples follow one another.
    goes_on: bool,
    printed: bool,
    layout: Layout,
    hidden: Vec<&'static str>,
    warned: Warned,
}

impl Text {
    fn new(plan: &Plan, layout: Layout) -> Self {
        let goes_on = plan.every.is_some();
        Self { goes_on, printed: false, layout, hidden: Vec::new(), warned: Warned::default() }
    }

    fn sample(&mut self, sample: &Sample) -> String {
        if sample.sockets.is_empty() && !self.goes_on {
            return String::new();
        }
        if self.goes_on {
            self.layout.since_s.get_or_insert(sample.time_s);
        }
        let mut page = page(sample, &self.layout);
        if self.printed {
            page.head.insert(0, Line::default());
        }
        if sample.sockets.is_empty() {
            page.body.push(Line::of(Tone::Odd, "no AF_XDP socket (yet)"));
        }
        self.printed = true;
        self.hidden = page.hidden;
        paint(page.head.iter().chain(&page.body), &self.layout.screen)
    }
}

impl EventText for Text {
    type Event = Event;

    fn lines(&mut self, event: &Event) -> Lines {
        match event {
            Event::Note { text } => Lines::err(note(&clean(text))),
            Event::Sample(sample) => {
                Lines { out: self.sample(sample), err: self.warned.warnings(sample) }
            }
        }
    }

    fn end(&mut self) -> Lines {
        Lines::err(hidden(&self.hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxnet::tools::rings::Selection;

    fn plan(interface: Option<&str>, pid: Option<u32>, queues: Vec<u32>) -> Plan {
        let interface = interface.map(str::to_owned);
        let select = Selection { interface, pid, queues };
        Plan { select, over: Duration::ZERO, every: None, count: None }
    }

    #[test]
    fn no_socket_is_told_with_what_was_looked_for_and_the_next_step() {
        let table = [
            (plan(None, None, vec![]), "there is no AF_XDP socket on this machine: start"),
            (plan(Some("eth0"), None, vec![]), "eth0 has no AF_XDP socket: start"),
            (
                plan(Some("eth0"), None, vec![0, 3]),
                "there is no AF_XDP socket on eth0 queue 0,3: leave out --queue",
            ),
            (
                plan(Some("eth0"), Some(7), vec![1]),
                "process 7 has no AF_XDP socket on eth0 queue 1: leave out -p",
            ),
            (plan(None, Some(7), vec![]), "process 7 has no AF_XDP socket: leave out -p"),
        ];
        for (plan, want) in table {
            assert!(none(&plan).starts_with(want), "{}", none(&plan));
        }
        assert_eq!(what(&plan(Some("eth0"), Some(7), vec![1, 2])), "eth0 queue 1,2 pid 7");
        assert_eq!(what(&plan(None, None, vec![])), "all interfaces");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_namespace_has_a_number() {
        assert!(own_netns().is_some_and(|inode| inode > 0));
    }
}
