//! `flux trace`: Args → plan → run → report.
//!
//! ```text
//!   Args ─▶ Plan ─▶ run ─▶ Event ─┬─▶ text: hop lines as they come ──▶ conclusion
//!                                 ├─▶ JSON, a line per event
//!                                 └─▶ Summary ─▶ graph, report, dot
//! ```

mod args;
mod diff;
mod dot;
#[cfg(test)]
mod fixture;
mod graph;
mod hop;
mod live;
mod report;
mod text;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::{
    EventPrinter, EventText, FlushPolicy, Json, Lines, Screen, Stdout, hidden, needs_terminal, say,
    watch, wrap,
};
use crate::signals;
use crate::socket_options::World;
pub use args::Args;
use args::{Command, View};
use fluxnet::tools::trace::{Event, Outcome, Plan, Summary, run};
use text::Text;

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    if let Some(Command::Diff(args)) = &args.command {
        return diff::main(args, out);
    }
    let screen = Screen::of_stdout();
    if args.live {
        needs_terminal(&screen, live::HINT)?;
    }
    let World { mut env, virtual_time } = args.common.world()?;
    let plan = args.plan(virtual_time)?;
    // Answers to a whole path come within milliseconds: a write for each would hold them up.
    let many = plan.targets.len() > 1;
    out.set_flush_policy(if virtual_time || many {
        FlushPolicy::Timed
    } else {
        FlushPolicy::Event
    });
    let control = signals::control();
    let views = Views::new(args, &plan, screen);
    let mut printer = EventPrinter::new(args.common.output.json, views, &control, out);
    let result = if args.live {
        let run = |tell: &mut dyn FnMut(Event)| run(&plan, &mut env, &control, tell);
        let (result, kept) = watch(live::View::new(&plan, screen), &control, live::HINT, run)?;
        kept.into_iter().for_each(|event| printer.take(event));
        result
    } else {
        run(&plan, &mut env, &control, &mut |event| printer.take(event))
    };
    printer.finish()?;
    let outcome = result?;
    if args.common.output.verbose > 0 && !args.common.output.json {
        say(&counts(outcome));
    }
    Ok(answer(outcome))
}

/// One that was not reached makes the answer no.
fn answer(outcome: Outcome) -> Answer {
    if outcome.reached == outcome.targets { Answer::Yes } else { Answer::No }
}

fn counts(outcome: Outcome) -> String {
    let Outcome { foreign, malformed, unstamped, .. } = outcome;
    let mut text = format!("{foreign} packets were not for us, {malformed} made no sense\n");
    if unstamped > 0 {
        text += &format!("{unstamped} answers have user space's time of arrival\n");
    }
    text
}

/// Prints events as text: hops as they come, and what the chosen view makes of a target's end.
struct Views {
    view: View,
    names: bool,
    screen: Screen,
    text: Text,
    /// Targets of the graph for Graphviz so far.
    drawn: usize,
    several: bool,
    /// What tables had no room for.
    hidden: Vec<&'static str>,
}

impl EventText for Views {
    type Event = Event;

    fn lines(&mut self, event: &Event) -> Lines {
        match event {
            Event::Summary(summary) => Lines::out(self.block(summary)),
            _ => self.text.event(event),
        }
    }

    fn end(&mut self) -> Lines {
        let out = if self.drawn > 0 { dot::END.to_owned() } else { String::new() };
        Lines { out, err: hidden(&self.hidden) }
    }

    fn json(&self, event: &Event) -> Json {
        if matches!(event, Event::Summary(_)) { Json::Last } else { Json::Now }
    }
}

impl Views {
    fn new(args: &Args, plan: &Plan, screen: Screen) -> Self {
        Self {
            view: args.view(),
            names: plan.names,
            screen,
            text: Text::new(args, plan, screen),
            drawn: 0,
            several: plan.targets.len() > 1,
            hidden: Vec::new(),
        }
    }

    /// What is printed of one target at its end.
    fn block(&mut self, summary: &Summary) -> String {
        match self.view {
            View::Hops => self.text.hops(summary),
            View::Paths => {
                let table = graph::graph(summary, &self.screen);
                self.hide(table.hidden);
                let sure = wrap(&graph::certainty(summary), self.screen.width, 2);
                let title = self.text.title(summary);
                format!("{title}{}{sure}{}", table.text, self.text.conclusion(summary))
            }
            View::Report => {
                let table = report::report(summary, self.names, &self.screen);
                self.hide(table.hidden);
                let title = self.text.title(summary);
                title + &table.text + &self.text.conclusion(summary)
            }
            View::Dot => {
                let source = self.text.route(&summary.target).map(|route| route.source);
                let begin = if self.drawn == 0 { dot::BEGIN } else { "" };
                self.drawn += 1;
                let part = dot::part(self.drawn, summary, source, self.several);
                begin.to_owned() + &part
            }
        }
    }

    fn hide(&mut self, hidden: Vec<&'static str>) {
        for heading in hidden.into_iter().filter(|heading| !heading.is_empty()) {
            if !self.hidden.contains(&heading) {
                self.hidden.push(heading);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_yes_when_every_target_was_reached() {
        let outcome = |reached| Outcome { reached, targets: 2, ..Outcome::default() };
        assert_eq!((answer(outcome(2)), answer(outcome(1))), (Answer::Yes, Answer::No));
    }

    #[test]
    fn the_counts_of_what_was_ignored_tell_stamps_where_some_are_missing() {
        let some = Outcome { foreign: 3, malformed: 2, ..Outcome::default() };
        assert_eq!(counts(some), "3 packets were not for us, 2 made no sense\n");
        assert!(
            counts(Outcome { unstamped: 1, ..some })
                .ends_with("1 answers have user space's time of arrival\n")
        );
    }
}
