//! Events as the lines ping prints.

use super::Args;
use super::report::Summaries;
use crate::opened::{self, millis};
use crate::output::{EventText, Json, Lines, Screen, chart, hidden, percent, table};
use fluxnet::text::counts::counted;
use fluxnet::tools::ping::{
    Answerer, Event, Outstanding, Plan, Reply, Start, Summary, Timeout, WrongByte,
};
use fluxnet::tools::probe::TargetRoute;
use fluxnet::tools::session::{RouteMoved, SessionEvent};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::net::IpAddr;

/// Prints events.
pub struct Text {
    screen: Screen,
    numeric: bool,
    quiet: bool,
    /// Which targets are listed at the end, instead of all else: those that answered, or the others.
    list: Option<bool>,
    /// The newest probe of each target that was said to be outstanding.
    outstanding: HashMap<String, u64>,
    flood: bool,
    verbose: bool,
    /// Whether the interface was asked for: then ping tells it in its header.
    interface: bool,
    several: bool,
    /// How many targets were given.
    asked: usize,
    /// Targets that have no route any more, which was said.
    broken: HashSet<String>,
    /// Addresses of the targets that were given by name.
    named: HashMap<String, IpAddr>,
    header_done: bool,
    dots: bool,
    /// What the end tells.
    summaries: Summaries,
}

impl Text {
    /// For the run of `plan`.
    pub fn new(args: &Args, plan: &Plan, screen: Screen) -> Self {
        Self {
            screen,
            numeric: args.numeric,
            quiet: args.quiet || args.lists(),
            list: args.lists().then_some(args.alive),
            outstanding: HashMap::new(),
            flood: args.flood,
            verbose: args.common.output.verbose,
            interface: plan.interface.is_some(),
            several: plan.targets.len() > 1,
            asked: plan.targets.len(),
            broken: HashSet::new(),
            named: HashMap::new(),
            header_done: false,
            dots: false,
            summaries: Summaries::default(),
        }
    }

    fn event(&mut self, event: &Event) -> Lines {
        match event {
            Event::Start(start) => self.start(start),
            Event::Neighbour(found) => Lines::err(opened::neighbour(found, self.verbose)),
            Event::Interim(summary) => Lines::err(interim(summary)),
            Event::SendError(failed) if self.broken.contains(&failed.target) => Lines::default(),
            Event::SendError(failed) => Lines::err(opened::send_error(failed)),
            Event::Session(event) => {
                if let SessionEvent::Route(RouteMoved { targets, interface, .. }) = event {
                    for target in targets {
                        match interface {
                            Some(_) => drop(self.broken.remove(target)),
                            None => drop(self.broken.insert(target.clone())),
                        }
                    }
                }
                Lines::err(opened::session(event))
            }
            Event::Summary(summary) if summary.own_address && self.list.is_none() => {
                Lines::default()
            }
            Event::Summary(_) => {
                self.summaries.push(event.clone());
                Lines::default()
            }
            _ if self.quiet => Lines::default(),
            _ if self.flood => Lines::out(self.dot(event)),
            Event::Reply(reply) => self.reply(reply, ""),
            Event::Duplicate(reply) => self.reply(reply, "(DUP!)"),
            Event::Late(reply) => self.reply(reply, "(LATE!)"),
            Event::Corrupt(reply) => self.reply(reply, "(BAD CHECKSUM!)"),
            Event::Icmp(error) => {
                let text = self.screen.style.bad(&error.text);
                let to = self.of(&error.target);
                Lines::out(format!("From {}{to} icmp_seq={} {text}\n", error.from, error.seq))
            }
            // The error was its line.
            Event::Timeout(timeout) if timeout.after_error || self.was_said(timeout) => {
                Lines::default()
            }
            Event::Outstanding(Outstanding { target, seq }) => {
                self.outstanding.insert(target.clone(), *seq);
                let target = if self.several { format!("{target} ") } else { String::new() };
                Lines::out(format!("{target}no answer yet for icmp_seq={seq}\n"))
            }
            Event::Timeout(timeout) => {
                let text = self.screen.style.bad("timed out");
                let target = if self.several { format!("{} ", timeout.target) } else { "".into() };
                Lines::out(format!("{target}icmp_seq={} {text}\n", timeout.seq))
            }
        }
    }

    fn start(&mut self, start: &Start) -> Lines {
        for target in &start.targets {
            if target.name.parse::<IpAddr>().is_err() {
                self.named.insert(target.name.clone(), target.address);
            }
        }
        let err = opened::start((&start.opened, &start.interfaces), &start.targets, self.verbose);
        // One start comes per interface; the header is for the run.
        let out = if self.header_done || self.list.is_some() {
            String::new()
        } else {
            self.header(start)
        };
        self.header_done = true;
        Lines { out, err }
    }

    fn header(&self, start: &Start) -> String {
        let size = start.payload_bytes;
        match (self.several, start.targets.first()) {
            (false, Some(TargetRoute { name, address, source, .. })) => {
                let from = if self.interface {
                    format!(" from {source} {}:", start.opened.interface)
                } else {
                    String::new()
                };
                match address {
                    // IPv4 header, ICMP header.
                    IpAddr::V4(_) => format!(
                        "PING {name} ({address}){from} {size}({}) bytes of data.\n",
                        size + 28
                    ),
                    IpAddr::V6(_) => format!("PING {name} ({address}){from} {size} data bytes\n"),
                }
            }
            _ => match (start.targets.len(), self.asked) {
                (all, asked) if all == asked => {
                    format!("PING {}, {size} data bytes\n", counted(all, "target"))
                }
                (some, asked) => format!("PING {some} of {asked} targets, {size} data bytes\n"),
            },
        }
    }

    /// Whether a probe was said to be outstanding: that it was given up then is nothing new.
    fn was_said(&self, timeout: &Timeout) -> bool {
        self.outstanding.get(&timeout.target).is_some_and(|&seq| timeout.seq <= seq)
    }

    fn reply(&self, reply: &Reply, mark: &str) -> Lines {
        let mut line = String::with_capacity(80);
        // A String takes every write.
        if let Some(time) = reply.unix_time_s {
            let _ = write!(line, "[{time:.6}] ");
        }
        let _ = write!(line, "{} bytes from ", reply.bytes);
        match self.named.get(&reply.target) {
            Some(address) if !self.numeric && reply.from == *address => {
                let _ = write!(line, "{} ({})", reply.target, reply.from);
            }
            _ => {
                let _ = write!(line, "{}", reply.from);
            }
        }
        let _ = write!(line, ": icmp_seq={} ttl={}", reply.seq, reply.reply_ttl);
        match reply.rtt_us {
            Some(rtt) => drop(write!(line, " time={} ms", millis(rtt))),
            None => line.push_str(" time=?"),
        }
        let marks = [
            (!mark.is_empty(), mark),
            (reply.out_of_order, "(REORDERED)"),
            (reply.truncated, "(truncated)"),
            (reply.different_address, "(DIFFERENT ADDRESS!)"),
        ];
        for (_, mark) in marks.iter().filter(|(is_so, _)| *is_so) {
            let _ = write!(line, " {}", self.screen.style.odd(mark));
        }
        line.push('\n');
        if let Some(WrongByte { offset, expected, actual }) = reply.wrong_byte {
            let text =
                format!("wrong data byte #{offset} should be 0x{expected:x} but was 0x{actual:x}");
            let _ = writeln!(line, "{}", self.screen.style.odd(&text));
        }
        Lines::out(line)
    }

    /// ping prints a dot for each probe and a backspace for each reply: what stays are the lost.
    fn dot(&mut self, event: &Event) -> String {
        let mark = match event {
            Event::Timeout(timeout) if !timeout.after_error => ".",
            Event::Icmp(_) => "E",
            Event::Corrupt(_) => "C",
            _ => "",
        };
        if !self.screen.terminal {
            return String::new();
        }
        self.dots |= !mark.is_empty();
        mark.into()
    }

    /// Which target an ICMP error is about, where that is not plain.
    fn of(&self, target: &str) -> String {
        if self.several { format!(" (to {target})") } else { String::new() }
    }
}

impl EventText for Text {
    type Event = Event;

    fn lines(&mut self, event: &Event) -> Lines {
        self.event(event)
    }

    /// The summaries: a block for one target, a table for several; and the histograms.
    fn end(&mut self) -> Lines {
        if let Some(alive) = self.list {
            let is_alive = |s: &Summary| s.received > 0 || s.own_address;
            // Nothing is known of those that this host could not send to: their reasons were said.
            let known = self.summaries.each().filter(|s| s.error.is_none());
            let listed = known.filter(|s| is_alive(s) == alive);
            return Lines::out(listed.map(|s| format!("{}\n", s.target)).collect());
        }
        let mut lines = Lines::out(if self.dots { "\n".into() } else { String::new() });
        if !self.several {
            lines.out.extend(self.summaries.each().map(block));
        } else if !self.summaries.is_empty() {
            let table = table(&self.summaries, &self.screen);
            lines.out += &format!("\n{}", table.text);
            lines.err = hidden(&table.hidden);
        }
        lines.out.extend(self.summaries.each().filter_map(answerers));
        for summary in self.summaries.each().filter(|s| !s.histogram.is_empty()) {
            let replies: u64 = summary.histogram.iter().map(|row| row.count).sum();
            let lost = percent(summary.loss_pct);
            let title = format!("\n{}: {replies} round-trip times, {lost}% lost\n", summary.target);
            lines.out += &title;
            lines.out += &chart(&summary.histogram, &self.screen);
        }
        lines
    }

    fn json(&self, event: &Event) -> Json {
        if matches!(event, Event::Summary(_)) { Json::Last } else { Json::Now }
    }

    /// Errors and answers with a wrong checksum do not end a probe, which goes on waiting.
    fn is_step(&self, event: &Event) -> bool {
        matches!(event, Event::Reply(_) | Event::Timeout(_))
    }
}

/// The numbers of one target at the end, as ping's block.
fn block(summary: &Summary) -> String {
    let mut text = format!("\n--- {} ping statistics ---\n", summary.target);
    // A String takes every write.
    let _ = write!(text, "{} packets transmitted, {} received", summary.sent, summary.received);
    if summary.unsent > 0 {
        let _ = write!(text, ", {} not sent", summary.unsent);
    }
    let odd = [
        (summary.duplicates, "duplicates"),
        (summary.truncated_replies, "truncated"),
        (summary.different_address_replies, "from a different address"),
        (summary.corrupt, "corrupted"),
        (summary.errors, "errors"),
        (summary.reordered, "reordered"),
        (summary.late, "late"),
    ];
    for (count, name) in odd.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, ", +{count} {name}");
    }
    let (loss, time) = (percent(summary.loss_pct), whole_ms(summary.elapsed_s));
    let _ = writeln!(text, ", {loss}% packet loss, time {time}ms");
    if let Some(times) = times(summary) {
        let _ = writeln!(text, "rtt {times}");
    }
    text
}

/// Who answered for a group.
fn answerers(summary: &Summary) -> Option<String> {
    let all = summary.answerers.as_ref().filter(|all| !all.is_empty())?;
    let (count, hosts) = (all.len(), if all.len() == 1 { "host" } else { "hosts" });
    let mut text = format!("\n{count} {hosts} answered {}:\n", summary.target);
    for Answerer { address, received, duplicates, rtt_us } in all {
        let _ = write!(text, "  {address}: {received} received");
        if *duplicates > 0 {
            let _ = write!(text, ", +{duplicates} duplicates");
        }
        if let Some(rtt) = rtt_us {
            let [min, mean, max] = [rtt.min, rtt.mean, rtt.max].map(millis);
            let _ = write!(text, ", min/mean/max = {min}/{mean}/{max} ms");
        }
        text.push('\n');
    }
    Some(text)
}

/// Whole milliseconds, as ping prints them. Seconds were made from nanoseconds, which are counted
/// here: 4.001 s are 4001 ms, though the product of floats is a little less.
fn whole_ms(elapsed_s: f64) -> u64 {
    (elapsed_s * 1e9).round() as u64 / 1_000_000
}

/// The numbers so far, on one line.
fn interim(summary: &Summary) -> String {
    let times = times(summary).map(|times| format!(", {times}")).unwrap_or_default();
    format!(
        "{}: {}/{} packets, {}% loss{times}\n",
        summary.target,
        summary.received,
        summary.sent,
        percent(summary.loss_pct)
    )
}

fn times(summary: &Summary) -> Option<String> {
    let rtt = summary.rtt_us?;
    let values = [rtt.min, rtt.mean, rtt.p50, rtt.p90, rtt.p99, rtt.max, rtt.stddev].map(five);
    Some(format!("min/mean/p50/p90/p99/max/sd = {} ms", values.join("/")))
}

/// µs as ms in five characters, so that a line of seven fits 80 columns.
fn five(us: f64) -> String {
    let ms = us / 1000.0;
    let decimals = match ms {
        ms if ms >= 999.95 => 0,
        ms if ms >= 99.995 => 1,
        ms if ms >= 9.9995 => 2,
        _ => 3,
    };
    format!("{ms:.decimals$}")
}

#[cfg(test)]
mod tests;
