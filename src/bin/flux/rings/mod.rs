//! `flux rings`: Args → plan → run → report.
//!
//! ```text
//!   Args ─▶ Plan ─▶ run(sampler) ─▶ Event ─┬─▶ page ─▶ text, or the live view
//!                                          └─▶ JSON, a line per sample
//!                   serve(sampler) ─▶ metrics ─▶ HTTP
//! ```

mod args;
mod block;
mod compact;
#[cfg(test)]
mod fixture;
mod lines;
mod live;
mod metrics;
mod page;
mod serve;
mod text;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::{
    EventPrinter, EventText, Lines, Screen, Stdout, needs_terminal, note, say, tell, watch,
};
use crate::signals;
pub use args::{Args, join_watch};
use fluxnet::tools::rings::{Event, Observer, Outcome, Plan, Sampler, SimObserver, run};
use fluxnet::tools::{Control, http, topology};
use lines::{Layout, clean};
use live::{HINT, View};
use std::net::TcpListener;
use std::sync::Arc;
use text::{Text, Warned};

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    let screen = Screen::of_stdout();
    if args.live {
        needs_terminal(&screen, HINT)?;
    }
    let live = args.redraws() && screen.addressable;
    let mut plan = args.plan(live)?;
    let listener = args.metrics.map(http::bind).transpose()?;
    let mut observer = observer(args)?;
    let mut sampler = Sampler::new(&mut *observer, &plan.select)?;
    // Named by an alternative name, it is told by the kernel's.
    plan.select.interface = sampler.interface().or(plan.select.interface);
    let control = signals::control();
    if let Some(listener) = listener {
        return scraped(&mut sampler, listener, &control);
    }
    let layout = Layout { screen, verbose: args.verbose, ..Layout::default() };
    let outcome = if live {
        watched(&plan, &mut sampler, layout, &control, out)?
    } else {
        let text = Text::new(&plan, layout);
        let mut printer = EventPrinter::new(args.json, text, &control, out);
        let result = run(&plan, &mut sampler, &control, &mut |event| printer.take(event));
        printer.finish()?;
        result?
    };
    if outcome.sockets == 0 {
        if !outcome.doubts.is_empty() {
            return Err(text::unknown(&plan, &outcome.doubts));
        }
        tell(&text::none(&plan), args.json, out)?;
        return Ok(Answer::No);
    }
    Ok(Answer::Yes)
}

/// Who looks.
fn observer(args: &Args) -> Result<Box<dyn Observer>, Failure> {
    if let Some((options, config)) = args.simulated()? {
        return Ok(Box::new(SimObserver::new(&topology::simulator(options)?, &config)?));
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
    sampler: &mut Sampler<'_>,
    layout: Layout,
    control: &Arc<Control>,
    out: &mut Stdout,
) -> Result<Outcome, Failure> {
    let every = plan.every.unwrap_or(plan.over);
    let view = View::new(text::what(plan), every, layout);
    let (result, kept) = watch(view, control, HINT, |tell| run(plan, sampler, control, tell))?;
    // The last sample stays when the view has gone.
    let mut text = Text::new(plan, layout);
    for event in &kept {
        let Lines { out: lines, err } = text.lines(event);
        out.text(&lines)?;
        out.flush()?;
        say(&err);
    }
    Ok(result?)
}

/// The metrics server.
fn scraped(
    sampler: &mut Sampler<'_>,
    listener: TcpListener,
    control: &Arc<Control>,
) -> Result<Answer, Failure> {
    let mut exporter = metrics::Exporter::new(own_netns());
    let mut warned = Warned::default();
    let mut told = |event| match event {
        Event::Note { text } => say(&note(&clean(&text))),
        Event::Sample(sample) => say(&warned.warnings(&sample)),
    };
    let mut serving = |address| {
        say(&format!("metrics are at http://{address}/metrics, until Ctrl-C\n"));
    };
    serve::serve(sampler, &mut exporter, listener, control, &mut serving, &mut told)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn our_namespace_has_a_number() {
        assert!(own_netns().is_some_and(|inode| inode > 0));
    }
}
