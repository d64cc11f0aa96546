//! The live view: the table of all targets, redrawn in place while the run goes on.

use super::report::Summaries;
use crate::output::{Action, Screen, TargetsView, View as Shown, table, table_lines};
use crossterm::event::KeyEvent;
use fluxnet::tools::Control;
use fluxnet::tools::ping::{Event, Plan, Summary};
use ratatui::Frame;
use ratatui::text::Line;
use std::time::Duration;

/// What to do where nothing can be drawn.
pub const HINT: &str = "leave out --live: -q shows the same table at its end, --json each event";
/// Time from one look at the numbers to the next.
const EVERY: Duration = Duration::from_millis(250);

/// Asks for the numbers so far, again and again, until the run is over.
pub fn ask(control: &Control) {
    let mut seen = control.asked();
    while !seen.stop {
        control.ask_interim();
        // Our own question is in what was seen, and does not end the sleep.
        seen = control.wait(control.asked(), EVERY);
    }
}

/// What is shown, and where in it one is.
pub struct View {
    shown: TargetsView<Summary>,
    /// How many targets can be used: numbers come for these alone.
    usable: usize,
    /// Which of these the next numbers are of: they come for one after the other.
    next: usize,
}

impl View {
    pub fn new(plan: &Plan, screen: Screen) -> Self {
        let shown = TargetsView::new(&plan.targets, screen);
        Self { shown, usable: plan.targets.len(), next: 0 }
    }

    fn put(&mut self, summary: Summary) {
        self.shown.put(self.next, summary);
        self.next = (self.next + 1) % self.usable.max(1);
    }
}

fn body(summaries: &[Summary], screen: &Screen) -> Vec<Line<'static>> {
    let mut rows = Summaries::default();
    summaries.iter().for_each(|summary| rows.push(Event::Summary(summary.clone())));
    let lossy = |row| summaries.get(row).is_some_and(|summary: &Summary| summary.loss_pct > 0.0);
    table_lines(&table(&rows, screen).text, screen, lossy).collect()
}

impl Shown for View {
    type Event = Event;

    fn take(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Interim(summary) => {
                self.put(summary);
                return None;
            }
            Event::Start(ref start) => self.usable = start.targets.len(),
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
        self.shown.key(key).unwrap_or(Action::Nothing)
    }

    fn draw(&mut self, frame: &mut Frame) {
        let latest = self.shown.latest();
        let sent: u64 = latest.iter().map(|summary| summary.sent).sum();
        let received: u64 = latest.iter().map(|summary| summary.received).sum();
        let answered = format!("{received} of {sent} answered ");
        self.shown.draw(frame, "ping", answered, "", body);
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::summary;
    use super::*;
    use crate::output::{drawn, press};
    use crossterm::event::KeyCode;

    fn view(targets: &[&str]) -> View {
        View::new(&Plan::new(targets.iter().copied()), Screen::default())
    }

    #[test]
    fn the_table_has_a_row_for_each_target_and_follows_the_numbers() {
        let mut view = view(&["10.0.0.2", "10.0.0.2"]);
        assert!(drawn(&mut view, 80, 10).concat().contains("probing ..."));
        for received in [10, 9] {
            assert!(view.take(Event::Interim(summary("10.0.0.2", received))).is_none());
        }
        let lines = drawn(&mut view, 80, 10);
        assert!(lines[0].starts_with(" flux ping  2 targets "), "{lines:#?}");
        assert!(lines[0].ends_with("19 of 20 answered"), "{lines:#?}");
        assert!(lines[1].starts_with("target ") && lines[2].starts_with("10.0.0.2 "), "{lines:#?}");
        assert_eq!(lines[9], " q quit  j k scroll  p hold");
        view.take(Event::Interim(summary("10.0.0.2", 8)));
        assert!(drawn(&mut view, 80, 10)[0].ends_with("17 of 20 answered"), "the first again");
    }

    #[test]
    fn each_target_keeps_its_row_where_others_cannot_be_used() {
        let mut view = view(&["10.0.0.9", "10.0.0.2", "[2001:db8::9]", "10.0.0.3"]);
        view.usable = 3;
        for _ in 0..3 {
            for received in [10, 9, 8] {
                view.put(summary("10.0.0.2", received));
            }
        }
        let latest = view.shown.latest().to_vec();
        assert_eq!(latest.iter().map(|s| s.received).collect::<Vec<_>>(), [10, 9, 8]);
    }

    #[test]
    fn p_holds_the_picture_while_numbers_come_in() {
        let mut view = view(&["10.0.0.2"]);
        view.take(Event::Interim(summary("10.0.0.2", 10)));
        assert_eq!(press(&mut view, KeyCode::Char('p')), Action::Redraw);
        view.take(Event::Interim(summary("10.0.0.2", 3)));
        let held = drawn(&mut view, 80, 10);
        assert!(!held[2].contains("70%") && held[9].contains("HELD"), "{held:#?}");
        press(&mut view, KeyCode::Char('p'));
        assert!(drawn(&mut view, 80, 10)[2].contains("70%"));
    }

    #[test]
    fn who_asks_for_numbers_ends_with_the_run() {
        let control = Control::default();
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&control));
            while control.interim() < 2 {
                std::thread::yield_now();
            }
            control.stop();
            asking.join().unwrap();
        });
    }

    #[test]
    fn what_is_told_besides_numbers_is_kept_for_the_end() {
        let mut view = view(&["10.0.0.2"]);
        assert!(view.take(Event::Summary(summary("10.0.0.2", 10))).is_some());
    }
}
