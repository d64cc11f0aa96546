//! The live view: the table of all targets, redrawn in place while the run goes on.

use super::report::Summaries;
use crate::output::{Action, Footer, Page, Screen, Scroll, View as Shown, clean, table};
use crossterm::event::{KeyCode, KeyEvent};
use fluxnet::tools::Control;
use fluxnet::tools::ping::{Event, Plan, Summary};
use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
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
    screen: Screen,
    what: String,
    targets: usize,
    /// The numbers of each target, in the order of the targets.
    latest: Vec<Summary>,
    /// The target that the next numbers are of: they come for one after the other.
    next: usize,
    /// What is shown as long as the picture is held.
    held: Option<Vec<Summary>>,
    note: Option<String>,
    scroll: Scroll,
}

impl View {
    pub fn new(plan: &Plan, screen: Screen) -> Self {
        Self {
            screen,
            what: match plan.targets.as_slice() {
                [target] => clean(target),
                targets => format!("{} targets", targets.len()),
            },
            targets: plan.targets.len(),
            latest: Vec::new(),
            next: 0,
            held: None,
            note: None,
            scroll: Scroll::default(),
        }
    }

    fn put(&mut self, summary: Summary) {
        match self.latest.get_mut(self.next) {
            Some(place) => *place = summary,
            None => self.latest.push(summary),
        }
        self.next = (self.next + 1) % self.targets.max(1);
    }

    fn body(&self, screen: &Screen) -> Vec<Line<'static>> {
        let shown = self.held.as_ref().unwrap_or(&self.latest);
        if shown.is_empty() {
            return vec![Line::raw("probing ...")];
        }
        let mut rows = Summaries::default();
        shown.iter().for_each(|summary| rows.push(Event::Summary(summary.clone())));
        let table = table(&rows, screen);
        let strong = Style::default().add_modifier(Modifier::BOLD);
        let lines = table.text.lines().enumerate().map(|(at, line)| {
            // The first line has the headings.
            let style = match at.checked_sub(1).and_then(|row| shown.get(row)) {
                None => strong,
                Some(summary) if summary.lost > 0 => self.odd(),
                Some(_) => Style::default(),
            };
            Line::styled(line.to_owned(), style)
        });
        lines.collect()
    }

    fn odd(&self) -> Style {
        let style = Style::default();
        if self.screen.style.colour() { style.fg(Color::Yellow) } else { style }
    }

    fn title(&self) -> (String, String) {
        let sent: u64 = self.latest.iter().map(|summary| summary.sent).sum();
        let received: u64 = self.latest.iter().map(|summary| summary.received).sum();
        (format!(" flux ping  {}", self.what), format!("{received} of {sent} answered "))
    }

    fn footer(&self, width: usize) -> Footer {
        if let Some(note) = &self.note {
            return Footer::Note(format!(" note: {note}"));
        }
        let arrows = match (width >= 60, self.screen.unicode) {
            (true, true) => "  ↑↓ scroll",
            (true, false) => "  j k scroll",
            (false, _) => "",
        };
        let hold = if self.held.is_some() { "p HELD, go on" } else { "p hold" };
        Footer::Keys(format!(" q quit{arrows}  {hold}"))
    }
}

impl Shown for View {
    type Event = Event;

    fn take(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Interim(summary) => {
                self.put(summary);
                return None;
            }
            Event::SendError(ref failed) => {
                let (target, error) = (clean(&failed.target), clean(&failed.error));
                self.note = Some(format!("cannot send to {target}: {error}"));
            }
            Event::Session(ref event) => {
                if let Some(text) = event.text() {
                    self.note = Some(text.to_owned());
                }
            }
            _ => {}
        }
        Some(event)
    }

    fn key(&mut self, key: KeyEvent) -> Action {
        if let Some(action) = self.scroll.key(key) {
            return action;
        }
        self.note = None;
        if key.code != KeyCode::Char('p') {
            return Action::Nothing;
        }
        self.held = if self.held.is_some() { None } else { Some(self.latest.clone()) };
        Action::Redraw
    }

    fn draw(&mut self, frame: &mut Frame) {
        let width = usize::from(frame.area().width);
        let screen = Screen { width: Some(width), ..self.screen };
        let page = Page {
            title: self.title(),
            head: Vec::new(),
            body: self.body(&screen),
            footer: self.footer(width),
        };
        self.scroll.draw(page, frame);
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::summary;
    use super::*;
    use crate::output::{drawn, press};

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
