//! What a run reports, for people: samples as pages, notes and warnings beside them.

use super::lines::{Layout, Line, Tone, clean, paint};
use super::page::page;
use crate::failure::Failure;
use crate::output::{EventText, Lines, Style, hidden, note};
use fluxnet::tools::rings::{Event, Plan, Sample};

/// Says once what may be missing from samples.
#[derive(Default)]
pub struct Warned(Vec<String>);

impl Warned {
    pub fn warnings(&mut self, sample: &Sample) -> String {
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
pub fn what(plan: &Plan) -> String {
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
pub fn none(plan: &Plan) -> String {
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
            "process {pid} has no AF_XDP socket{place}: leave out --pid to see those of all processes"
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

/// That there may be one all the same, and the next step.
pub fn unknown(plan: &Plan, doubts: &[String]) -> Failure {
    let doubts: Vec<String> = doubts.iter().map(|doubt| clean(doubt)).collect();
    let error = format!(
        "{}: no AF_XDP socket that can be seen from here: {}",
        what(plan),
        doubts.join("; ")
    );
    let hint = "run as root outside of containers to see the sockets of all processes; CAP_BPF and \
                CAP_PERFMON are enough";
    Failure::Error { error, hint: Some(hint.into()) }
}

/// Prints samples as pages of text.
pub struct Text {
    /// Whether samples follow one another.
    goes_on: bool,
    printed: bool,
    layout: Layout,
    hidden: Vec<&'static str>,
    warned: Warned,
}

impl Text {
    pub fn new(plan: &Plan, layout: Layout) -> Self {
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
    use std::time::Duration;

    fn plan(interface: Option<&str>, pid: Option<u32>, queues: Vec<u32>) -> Plan {
        let interface = interface.map(str::to_owned);
        let select = Selection { interface, pid, queues };
        Plan { select, over: Duration::ZERO, every: None, count: None, watched: false }
    }

    #[test]
    fn none_found_is_no_answer_where_not_all_could_be_looked_into() {
        let doubts = ["9 processes could not be looked into: \x1b is missing".to_owned()];
        let Failure::Error { error, hint } = unknown(&plan(Some("eth0"), None, vec![1]), &doubts)
        else {
            panic!("it is an error")
        };
        let want =
            "eth0 queue 1: no AF_XDP socket that can be seen from here: 9 processes could not be ";
        assert!(error.starts_with(want) && !error.contains('\x1b'), "{error}");
        assert!(hint.unwrap().starts_with("run as root"));
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
                "process 7 has no AF_XDP socket on eth0 queue 1: leave out --pid",
            ),
            (plan(None, Some(7), vec![]), "process 7 has no AF_XDP socket: leave out --pid"),
        ];
        for (plan, want) in table {
            assert!(none(&plan).starts_with(want), "{}", none(&plan));
        }
        assert_eq!(what(&plan(Some("eth0"), Some(7), vec![1, 2])), "eth0 queue 1,2 pid 7");
        assert_eq!(what(&plan(None, None, vec![])), "all interfaces");
    }
}
