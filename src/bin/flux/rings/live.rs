//! The live view: a page redrawn in place, and the keys that move it.

use super::lines::{Layout, Line, Tone, clean};
use super::page::page;
use crate::output::{Action, Footer, Page, Screen, Scroll, View as Shown};
use crossterm::event::{KeyCode, KeyEvent};
use fluxnet::tools::rings::{Event, Sample};
use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Drawn, Span};
use std::time::{Duration, Instant};

/// How long a note stays.
const NOTE: Duration = Duration::from_secs(8);
/// What to do where nothing can be drawn.
pub const HINT: &str =
    "leave out --live: with --watch off a terminal, or with --json, samples follow one another";

/// What is shown, and where in it one is.
pub struct View {
    /// What is looked at, in words.
    what: String,
    every: Duration,
    layout: Layout,
    sample: Option<Box<Sample>>,
    note: Option<(String, Instant)>,
    scroll: Scroll,
}

impl View {
    pub fn new(what: String, every: Duration, layout: Layout) -> Self {
        Self { what, every, layout, sample: None, note: None, scroll: Scroll::default() }
    }

    fn footer(&self, width: usize) -> Footer {
        if let Some((note, since)) = &self.note
            && since.elapsed() < NOTE
        {
            return Footer::Note(format!(" note: {}", clean(note)));
        }
        let keys = match (width >= 60, self.layout.screen.unicode) {
            (true, true) => " q quit  ↑↓ PgUp PgDn scroll  v rings or rows",
            (true, false) => " q quit  j k PgUp PgDn scroll  v rings or rows",
            (false, _) => " q quit  j k scroll  v view",
        };
        Footer::Keys(keys.to_owned())
    }

    fn drawn(&self, line: &Line) -> Drawn<'static> {
        let colour = self.layout.screen.style.colour();
        let style = |tone| {
            let style = Style::default();
            match (tone, colour) {
                (Tone::Plain, _) | (Tone::Bar, false) => style,
                (Tone::Title, _) | (Tone::Bad | Tone::Odd, false) => {
                    style.add_modifier(Modifier::BOLD)
                }
                (Tone::Bar, true) => style.fg(Color::Cyan),
                (Tone::Odd, true) => style.fg(Color::Yellow),
                (Tone::Bad, true) => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            }
        };
        let spans = line
            .0
            .iter()
            .map(|(tone, text)| Span::styled(self.layout.screen.fit(text), style(*tone)));
        Drawn::from(spans.collect::<Vec<_>>())
    }
}

impl Shown for View {
    type Event = Event;

    fn take(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Note { text } => self.note = Some((text, Instant::now())),
            Event::Sample(sample) => {
                self.layout.since_s.get_or_insert(sample.time_s);
                self.sample = Some(sample);
            }
        }
        None
    }

    /// It stays on the terminal when the view has gone.
    fn last(&mut self) -> Option<Event> {
        self.sample.take().map(Event::Sample)
    }

    fn key(&mut self, key: KeyEvent) -> Action {
        if let Some(action) = self.scroll.key(key) {
            return action;
        }
        if key.code != KeyCode::Char('v') {
            return Action::Nothing;
        }
        let rows = self.sample.as_ref().is_some_and(|sample| self.layout.rows(sample));
        self.layout.rows = Some(!rows);
        self.scroll.top = 0;
        Action::Redraw
    }

    fn draw(&mut self, frame: &mut Frame) {
        let width = usize::from(frame.area().width);
        let screen = Screen { width: Some(width), ..self.layout.screen };
        let mut layout = Layout { screen, ..self.layout };
        let (mut head, mut body) = (Vec::new(), Vec::new());
        match &self.sample {
            None => body.push(Line::of(Tone::Plain, "looking ...")),
            Some(sample) => {
                let mut page = page(sample, &layout);
                // Between the title and the keys. What is wrong must not be below the screen's end.
                let room = usize::from(frame.area().height).saturating_sub(2);
                if page.head.len() + sample.missing.len() + page.body.len() > room {
                    layout.diagnosis_first = true;
                    page = self::page(sample, &layout);
                }
                let first = page.first;
                head = page.head;
                body = page.body;
                for missing in &sample.missing {
                    let text = format!("warning: there may be more: {missing}");
                    head.push(Line::of(Tone::Odd, clean(&text)));
                }
                if sample.sockets.is_empty() {
                    body.push(Line::of(Tone::Odd, "no AF_XDP socket (yet)"));
                }
                // A head that would leave no room scrolls, behind what is wrong.
                if first > 0 && head.len() * 4 > usize::from(frame.area().height) {
                    head.insert(0, Line::default());
                    body.splice(first..first, head.drain(..));
                }
            }
        }
        let every = humantime::format_duration(self.every);
        let drawn = |lines: &[Line]| lines.iter().map(|line| self.drawn(line)).collect();
        let page = Page {
            title: (format!(" flux rings  {}", self.what), format!("every {every} ")),
            head: drawn(&head),
            body: drawn(&body),
            footer: self.footer(width),
        };
        self.scroll.draw(page, frame);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::output::{drawn, press};
    use crossterm::event::{KeyEventKind, KeyModifiers};

    fn view(sample: Option<Sample>, unicode: bool) -> View {
        let screen = Screen { unicode, ..Screen::default() };
        let layout = Layout { screen, ..Layout::default() };
        let mut view = View::new("all interfaces".into(), Duration::from_secs(1), layout);
        if let Some(sample) = sample {
            view.take(Event::Sample(Box::new(sample)));
        }
        view
    }

    #[test]
    fn two_sockets_fit_80_by_24() {
        let lines = drawn(&mut view(Some(fixture::sharing()), true), 80, 24);
        assert_eq!(lines.len(), 24);
        assert!(lines[0].starts_with(" flux rings  all interfaces"), "{lines:#?}");
        assert!(lines[0].ends_with("every 1s"), "{lines:#?}");
        assert_eq!(lines[1], "source iter, at 0.0 s, looked in 412 µs, rates over 500 ms");
        assert!(lines[2].starts_with("eth0: driver veth"), "{lines:#?}");
        assert!(lines[4].starts_with("eth0 queue 0: xdpsock[1234] fd 5"), "{lines:#?}");
        assert!(lines[7].starts_with("  rx      2048      12  ▏"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("eth0 queue 1:")), "{lines:#?}");
        assert_eq!(lines[23], " q quit  ↑↓ PgUp PgDn scroll  v rings or rows");
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn what_is_wrong_comes_first_where_the_screen_does_not_hold_all() {
        for (sample, width, height) in
            [(fixture::sample(vec![fixture::starved(0)]), 44, 12), (fixture::sixteen(), 60, 10)]
        {
            let lines = drawn(&mut view(Some(sample), true), width, height);
            assert!(lines[1].starts_with("starved: queue"), "{lines:#?}");
        }
        let mut roomy = view(Some(fixture::sample(vec![fixture::starved(0)])), true);
        assert!(drawn(&mut roomy, 80, 24)[1].starts_with("source iter"));
    }

    #[test]
    fn the_last_sample_is_given_back_at_the_end() {
        let mut view = view(Some(fixture::sharing()), true);
        assert!(matches!(view.last(), Some(Event::Sample(sample)) if sample.sockets.len() == 2));
    }

    #[test]
    fn a_trouble_is_seen_at_40_by_10_and_the_rest_by_scrolling() {
        let mut view = view(Some(fixture::sample(vec![fixture::starved(0)])), false);
        let first = drawn(&mut view, 40, 10);
        assert!(first[0].starts_with(" flux rings"), "{first:#?}");
        assert!(first[9].starts_with(" q quit  j k scroll  v view"), "{first:#?}");
        assert!(first[9].contains("1-8 of "), "{first:#?}");
        assert!(first.concat().is_ascii(), "{first:#?}");
        assert_eq!(press(&mut view, KeyCode::End), Action::Redraw);
        let last = drawn(&mut view, 40, 10);
        assert!(last[8].contains("+20.4k/s"), "{last:#?}");
        assert!(first[1].starts_with("starved: queue 0: the fill"), "{first:#?}");
    }

    #[test]
    fn many_sockets_are_rows_and_v_makes_them_rings() {
        let mut view = view(Some(fixture::sixteen()), true);
        let rows = drawn(&mut view, 80, 24);
        assert!(rows.iter().filter(|line| line.contains("xdpsock[1234]")).count() >= 12);
        assert_eq!(press(&mut view, KeyCode::Char('v')), Action::Redraw);
        let rings = drawn(&mut view, 80, 24);
        assert_eq!(rings.iter().filter(|line| line.contains("  fill  ")).count(), 2, "{rings:#?}");
        assert!(rings[23].contains("1-20 of "), "{rings:#?}");
        for _ in 0..3 {
            press(&mut view, KeyCode::PageDown);
        }
        let further = drawn(&mut view, 80, 24);
        assert!(further[23].contains("58-77 of "), "{further:#?}");
        assert_eq!(further[1], rings[1], "the head stays");
        press(&mut view, KeyCode::Home);
        press(&mut view, KeyCode::Char('j'));
        press(&mut view, KeyCode::Down);
        press(&mut view, KeyCode::Char('k'));
        assert!(drawn(&mut view, 80, 24)[23].contains("2-21 of "));
        assert_eq!(press(&mut view, KeyCode::Char('v')), Action::Redraw);
        assert_eq!(drawn(&mut view, 80, 24), rows);
    }

    #[test]
    fn one_cannot_scroll_past_the_end_nor_stay_there_when_sockets_go() {
        let mut view = view(Some(fixture::sixteen()), true);
        press(&mut view, KeyCode::Char('v'));
        drawn(&mut view, 80, 24);
        press(&mut view, KeyCode::End);
        let end = drawn(&mut view, 80, 24);
        press(&mut view, KeyCode::Down);
        press(&mut view, KeyCode::PageDown);
        assert_eq!(drawn(&mut view, 80, 24), end);
        view.take(Event::Sample(Box::new(fixture::sharing())));
        let fewer = drawn(&mut view, 80, 24);
        assert!(fewer.iter().any(|line| line.contains("queue 0: xdpsock")), "{fewer:#?}");
    }

    #[test]
    fn q_escape_and_control_c_leave_and_other_keys_do_not() {
        let mut view = view(None, true);
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(press(&mut view, code), Action::Leave);
        }
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.key(interrupt), Action::Leave);
        for code in [KeyCode::Char('c'), KeyCode::Char('x'), KeyCode::Enter] {
            assert_eq!(press(&mut view, code), Action::Nothing);
        }
        let mut released = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!(view.key(released), Action::Nothing);
    }

    #[test]
    fn it_says_that_it_looks_that_there_is_none_and_that_there_may_be_more() {
        let mut view = view(None, true);
        assert!(drawn(&mut view, 80, 24).concat().contains("looking ..."));
        let mut sample = fixture::sample(Vec::new());
        sample.missing = vec!["pid 7: no right to look".into()];
        view.take(Event::Sample(Box::new(sample)));
        view.take(Event::Note { text: "the socket of \x1b[2Jx is gone".into() });
        let lines = drawn(&mut view, 80, 24);
        assert!(lines.contains(&"no AF_XDP socket (yet)".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"warning: there may be more: pid 7: no right to look".to_owned()));
        assert_eq!(lines[23], " note: the socket of ?[2Jx is gone");
    }

    #[test]
    fn no_screen_is_too_small_to_draw_on() {
        for (width, height) in [(1, 1), (1, 24), (80, 1), (80, 2), (3, 3), (20, 5)] {
            for sample in [None, Some(fixture::sixteen()), Some(fixture::sharing())] {
                drawn(&mut view(sample, true), width, height);
            }
        }
    }
}
