//! The live view: the table of the report, redrawn in place after every round.

use super::report;
use super::text::{conclusion, named};
use crate::output::{Action, Screen, TargetsView, View as Shown, strong, table, table_lines, wrap};
use crossterm::event::{KeyCode, KeyEvent};
use fluxnet::tools::trace::{Event, Plan, Rounds, Summary};
use ratatui::Frame;
use ratatui::text::Line;
use std::collections::HashMap;
use std::time::Duration;

/// What to do where nothing can be drawn.
pub const HINT: &str = "leave out --live: -c 10 shows the same table at its end, --json each event";

/// What is shown, and where in it one is.
pub struct View {
    shown: TargetsView<Summary>,
    /// Where in that each target is.
    places: HashMap<String, usize>,
    /// Whether there are names, and whether they are shown.
    names: Option<bool>,
    every: Duration,
    rounds: Option<u64>,
    mtu: bool,
}

impl View {
    pub fn new(plan: &Plan, screen: Screen) -> Self {
        Self {
            shown: TargetsView::new(&plan.targets, screen),
            places: HashMap::new(),
            names: plan.names.then_some(true),
            every: plan.interval,
            rounds: match plan.rounds {
                Rounds::Count(rounds) => Some(rounds),
                Rounds::Once | Rounds::Endless => None,
            },
            mtu: plan.mtu,
        }
    }

    fn put(&mut self, summary: Summary) {
        let new = self.places.len();
        let place = *self.places.entry(summary.target.clone()).or_insert(new);
        self.shown.put(place, summary);
    }

    /// The right end of the title.
    fn progress(&self) -> String {
        let round = self.shown.latest().iter().map(|summary| summary.rounds).max().unwrap_or(0);
        let of = self.rounds.map(|rounds| format!(" of {rounds}")).unwrap_or_default();
        format!("round {round}{of}, every {} ", humantime::format_duration(self.every))
    }
}

fn body(summaries: &[Summary], names: bool, mtu: bool, screen: &Screen) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for summary in summaries {
        if summaries.len() > 1 {
            lines.push(Line::styled(named(summary), strong()));
        }
        let rows = report::rows(summary, names, screen);
        let lossy: Vec<bool> = rows.lossy().collect();
        let is_lossy = |row: usize| lossy.get(row).is_some_and(|lossy| *lossy);
        lines.extend(table_lines(&table(&rows, screen).text, screen, is_lossy));
        let end = wrap(&conclusion(summary, mtu), screen.width, 2);
        lines.extend(end.lines().map(|line| Line::raw(line.to_owned())));
        if summaries.len() > 1 {
            lines.push(Line::default());
        }
    }
    lines
}

impl Shown for View {
    type Event = Event;

    fn take(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Interim(summary) => {
                self.put(summary);
                return None;
            }
            Event::Summary(ref summary) => self.put(summary.clone()),
            Event::SendError(ref failed) => {
                self.shown.note_send_error(&failed.target, &failed.error);
            }
            Event::Session(ref event) => {
                if let Some(text) = event.text() {
                    self.shown.note(text.to_owned());
                }
            }
            _ => {}
        }
        Some(event)
    }

    fn key(&mut self, key: KeyEvent) -> Action {
        if let Some(action) = self.shown.key(key) {
            return action;
        }
        if key.code != KeyCode::Char('n') {
            return Action::Nothing;
        }
        self.names = self.names.map(|shown| !shown);
        Action::Redraw
    }

    fn draw(&mut self, frame: &mut Frame) {
        let progress = self.progress();
        let own_keys = if self.names.is_some() { "  n names" } else { "" };
        let (names, mtu) = (self.names == Some(true), self.mtu);
        let body = |shown: &[Summary], screen: &Screen| body(shown, names, mtu, screen);
        self.shown.draw(frame, "trace", progress, own_keys, body);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{TARGET, diamond, plain, summary, troubled};
    use super::*;
    use crate::output::{drawn, press};
    use fluxnet::tools::probe::SendError;

    fn view(targets: &[&str]) -> View {
        let plan =
            Plan { names: true, rounds: Rounds::Endless, ..Plan::new(targets.iter().copied()) };
        View::new(&plan, Screen::default())
    }

    #[test]
    fn the_table_is_that_of_the_report_and_grows_with_the_rounds() {
        let mut view = view(&[TARGET]);
        assert!(drawn(&mut view, 80, 24).concat().contains("probing ..."));
        assert!(view.take(Event::Interim(plain())).is_none());
        let lines = drawn(&mut view, 80, 24);
        assert!(lines[0].starts_with(" flux trace  203.0.113.7  "), "{lines:#?}");
        assert!(lines[0].ends_with("round 1, every 1s"), "{lines:#?}");
        assert!(lines[1].starts_with("Host  ") && lines[1].ends_with("  Jttr"), "{lines:#?}");
        assert!(lines[7].starts_with(" 6. 203.0.113.7 "), "{lines:#?}");
        assert_eq!(lines[8], "reached 203.0.113.7 in 6 hops, 20.0 ms");
        assert_eq!(lines[23], " q quit  j k scroll  n names  p hold");
        view.take(Event::Interim(Summary { rounds: 2, ..plain() }));
        assert!(drawn(&mut view, 80, 24)[0].ends_with("round 2, every 1s"));
    }

    #[test]
    fn n_changes_between_names_and_addresses_where_names_are_looked_up() {
        let mut view = view(&[TARGET]);
        view.take(Event::Interim(troubled()));
        assert!(drawn(&mut view, 80, 24)[4].starts_with(" 3. core.example.net "));
        assert_eq!(press(&mut view, KeyCode::Char('n')), Action::Redraw);
        assert!(drawn(&mut view, 80, 24)[4].starts_with(" 3. 172.16.23.2 "));
        let plan = Plan { rounds: Rounds::Count(9), ..Plan::new([TARGET]) };
        let mut numeric = View::new(&plan, Screen::default());
        numeric.take(Event::Interim(troubled()));
        press(&mut numeric, KeyCode::Char('n'));
        let lines = drawn(&mut numeric, 80, 24);
        assert!(lines[4].starts_with(" 3. 172.16.23.2 "), "{lines:#?}");
        assert!(lines[0].ends_with("round 1 of 9, every 1s"), "{lines:#?}");
        assert!(!lines[23].contains("names"), "{lines:#?}");
    }

    #[test]
    fn p_holds_the_picture_while_numbers_come_in() {
        let mut view = view(&[TARGET]);
        view.take(Event::Interim(plain()));
        press(&mut view, KeyCode::Char('p'));
        view.take(Event::Interim(troubled()));
        let held = drawn(&mut view, 80, 24);
        assert!(held[23].contains("HELD") && held[7].starts_with(" 6. "), "{held:#?}");
        press(&mut view, KeyCode::Char('p'));
        assert!(drawn(&mut view, 80, 24).concat().contains("core.example.net"));
    }

    #[test]
    fn several_targets_follow_one_another_and_scroll() {
        let mut view = view(&[TARGET, "host"]);
        view.take(Event::Interim(plain()));
        view.take(Event::Interim(summary("host", diamond().hops)));
        let lines = drawn(&mut view, 60, 12);
        assert!(lines[0].starts_with(" flux trace  2 targets"), "{lines:#?}");
        assert_eq!(lines[1], TARGET);
        assert!(lines[11].ends_with("1-10 of 21"), "{lines:#?}");
        press(&mut view, KeyCode::End);
        let end = drawn(&mut view, 60, 12);
        assert!(end.iter().any(|line| line.starts_with("reached host (203.0.113.7)")), "{end:#?}");
        // The first target's place stays the first.
        view.take(Event::Interim(plain()));
        press(&mut view, KeyCode::Home);
        assert_eq!(drawn(&mut view, 60, 12)[1], TARGET);
    }

    #[test]
    fn a_note_is_shown_until_a_key_and_kept_for_the_end() {
        let mut view = view(&[TARGET]);
        let failed =
            SendError { target: "x\x1b[2J".into(), error: "Network is down".into(), hint: None };
        assert!(view.take(Event::SendError(failed)).is_some());
        let lines = drawn(&mut view, 80, 24);
        assert_eq!(lines[23], " note: cannot send to x?[2J: Network is down");
        press(&mut view, KeyCode::Char('p'));
        assert!(drawn(&mut view, 80, 24)[23].starts_with(" q quit"));
        assert!(view.take(Event::Summary(plain())).is_some());
    }

    #[test]
    fn no_screen_is_too_small_to_draw_on_and_forty_columns_show_the_loss() {
        let mut view = view(&[TARGET]);
        view.take(Event::Interim(diamond()));
        for (width, height) in [(1, 1), (1, 24), (80, 1), (80, 2), (3, 3), (20, 5)] {
            drawn(&mut view, width, height);
        }
        let lines = drawn(&mut view, 40, 24);
        assert!(lines[1].contains("Loss%") && lines[1].contains("Avg"), "{lines:#?}");
        assert!(lines.concat().is_ascii(), "{lines:#?}");
    }
}
