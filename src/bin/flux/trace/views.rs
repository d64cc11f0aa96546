//! [`Views`]: what is printed as text, by the view that was chosen.

use super::args::{Args, View};
use super::text::Text;
use super::{dot, graph, report};
use crate::output::{EventText, Json, Lines, Screen, hidden, wrap};
use fluxnet::tools::trace::{Event, Plan, Summary};

/// Prints events as text: hops as they come, and what the chosen view makes of a target's end.
pub struct Views {
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
    /// For the run of `plan`.
    pub fn new(args: &Args, plan: &Plan, screen: Screen) -> Self {
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
            // Nothing was sent: no table.
            View::Paths | View::Report if summary.error.is_some() => {
                self.text.title(summary) + &self.text.conclusion(summary)
            }
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
