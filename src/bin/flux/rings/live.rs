//! The live view: a page redrawn in place, and the keys that move it.

use super::page::{Layout, Line, Tone, clean, page};
use super::wait::SLICE;
use crate::failure::Failure;
use crate::output::{Screen, Taken};
use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use fluxnet::FluxError;
use fluxnet::error::ErrorKind;
use fluxnet::tools::Control;
use fluxnet::tools::rings::{Event, Sample};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Drawn, Span};
use ratatui::{Frame, Terminal};
use std::io::{IsTerminal, Stdout};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Shortest wait for a key: without any crossterm does not look.
const SHORTEST: Duration = Duration::from_millis(1);
/// How long a note stays.
const NOTE: Duration = Duration::from_secs(8);

/// What is shown, and where in it one is.
pub struct View {
    /// What is looked at, in words.
    what: String,
    every: Duration,
    layout: Layout,
    sample: Option<Box<Sample>>,
    note: Option<(String, Instant)>,
    /// First line of the body on the screen.
    top: usize,
    /// Lines of the body, and how many of them fit: as last drawn.
    lines: usize,
    fit: usize,
}

/// What a key comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Leave,
    Redraw,
    Nothing,
}

impl View {
    pub fn new(what: String, every: Duration, layout: Layout) -> Self {
        let (sample, note) = (None, None);
        Self { what, every, layout, sample, note, top: 0, lines: 0, fit: 0 }
    }

    /// Takes what a run tells.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Note(note) => self.note = Some((note, Instant::now())),
            Event::Sample(sample) => {
                self.layout.since_s.get_or_insert(sample.time_s);
                self.sample = Some(sample);
            }
        }
    }

    /// Does what `key` says.
    pub fn key(&mut self, key: KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::Nothing;
        }
        let last = self.lines.saturating_sub(self.fit);
        let screenful = self.fit.saturating_sub(1).max(1);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.top = match key.code {
            KeyCode::Char('c') if control => return Action::Leave,
            KeyCode::Char('q') | KeyCode::Esc => return Action::Leave,
            KeyCode::Up | KeyCode::Char('k') => self.top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => (self.top + 1).min(last),
            KeyCode::PageUp => self.top.saturating_sub(screenful),
            KeyCode::PageDown | KeyCode::Char(' ') => (self.top + screenful).min(last),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            KeyCode::Char('v') => {
                let rows = self.sample.as_ref().is_some_and(|sample| self.layout.rows(sample));
                self.layout.rows = Some(!rows);
                0
            }
            _ => return Action::Nothing,
        };
        Action::Redraw
    }

    /// Draws itself.
    pub fn draw(&mut self, frame: &mut Frame) {
        let area = frame.area();
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let screen = Screen { width: Some(width), ..self.layout.screen };
        let layout = Layout { screen, ..self.layout };
        let (mut head, mut body) = (Vec::new(), Vec::new());
        match &self.sample {
            None => body.push(Line::of(Tone::Plain, "looking ...")),
            Some(sample) => {
                let page = page(sample, &layout);
                head = page.head;
                body = page.body;
                for missing in &sample.missing {
                    let text = format!("warning: there may be more: {missing}");
                    head.push(Line::of(Tone::Odd, clean(&text)));
                }
                if sample.sockets.is_empty() {
                    body.push(Line::of(Tone::Odd, "no AF_XDP socket (yet)"));
                }
            }
        }
        // A head that would leave no room scrolls with the rest.
        if head.len() > height / 3 {
            head.append(&mut body);
            std::mem::swap(&mut head, &mut body);
        }
        let fit = height.saturating_sub(2 + head.len());
        (self.lines, self.fit) = (body.len(), fit);
        self.top = self.top.min(body.len().saturating_sub(fit));
        let title = self.title(width);
        let footer = self.footer(width);
        let middle = head.iter().chain(body.iter().skip(self.top).take(fit));
        let rows = std::iter::once(bar(&title, width))
            .chain(middle.map(|line| self.drawn(line)))
            .take(height.saturating_sub(1));
        for (y, line) in (area.y..).zip(rows) {
            frame.render_widget(line, Rect { y, height: 1, ..area });
        }
        if height > 1 {
            let y = area.bottom() - 1;
            frame.render_widget(bar(&footer, width), Rect { y, height: 1, ..area });
        }
    }

    fn title(&self, width: usize) -> String {
        let every = humantime::format_duration(self.every);
        let left = format!("flux rings  {}", self.what);
        let right = format!("every {every}");
        let gap = width.saturating_sub(left.chars().count() + right.len() + 2);
        format!(" {left}{}{right} ", " ".repeat(gap.max(1)))
    }

    fn footer(&self, width: usize) -> String {
        if let Some((note, since)) = &self.note
            && since.elapsed() < NOTE
        {
            return format!(" note: {}", clean(note));
        }
        let keys = match (width >= 60, self.layout.screen.unicode) {
            (true, true) => " q quit  ↑↓ PgUp PgDn scroll  v rings or rows",
            (true, false) => " q quit  j k PgUp PgDn scroll  v rings or rows",
            (false, _) => " q quit  j k scroll  v view",
        };
        if self.lines <= self.fit {
            return keys.to_owned();
        }
        let place =
            format!("{}-{} of {} ", self.top + 1, self.lines.min(self.top + self.fit), self.lines);
        let gap = width.saturating_sub(keys.chars().count() + place.len());
        format!("{keys}{}{place}", " ".repeat(gap.max(1)))
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

/// A line across the screen, in reverse.
fn bar(text: &str, width: usize) -> Drawn<'static> {
    let reverse = Style::default().add_modifier(Modifier::REVERSED);
    Drawn::styled(format!("{text:<width$}"), reverse)
}

/// The view on this process's terminal.
pub struct Live {
    view: View,
    terminal: Terminal<CrosstermBackend<Stdout>>,
    control: Arc<Control>,
    /// Last of all: what is dropped before it may still draw.
    _taken: Taken,
}

impl Live {
    /// Takes the terminal.
    pub fn start(view: View, control: Arc<Control>) -> Result<Self, Failure> {
        let failed = |error| {
            Failure::io("cannot draw on this terminal", &error)
                .with_hint("add --json, or pipe the output: samples then follow one another")
        };
        let taken = Taken::new().map_err(failed)?;
        let terminal = Terminal::new(CrosstermBackend::new(std::io::stdout())).map_err(failed)?;
        let mut live = Self { view, terminal, control, _taken: taken };
        live.draw().map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        Ok(live)
    }

    /// Takes what a run tells, and shows it.
    pub fn take(&mut self, event: Event) -> Result<(), FluxError> {
        self.view.take(event);
        self.draw()
    }

    /// Lets `time` pass, and does what keys say meanwhile. Ends early when one leaves.
    pub fn wait(&mut self, time: Duration) -> Result<(), FluxError> {
        let failed = |error| cannot("read keys", &error);
        let start = Instant::now();
        while !self.control.stop.load(Relaxed) {
            let left = time.saturating_sub(start.elapsed());
            let ready = event::poll(left.clamp(SHORTEST, SLICE)).map_err(failed)?;
            // A terminal that hung up is always ready, and never has a key.
            if !std::io::stdout().is_terminal() {
                return Err(failed(std::io::Error::other("the terminal is gone")));
            }
            if !ready {
                if left.is_zero() {
                    break;
                }
                continue;
            }
            let action = match event::read().map_err(failed)? {
                event::Event::Key(key) => self.view.key(key),
                event::Event::Resize(..) => Action::Redraw,
                _ => Action::Nothing,
            };
            match action {
                Action::Leave => self.control.stop.store(true, Relaxed),
                Action::Redraw => self.draw()?,
                Action::Nothing => {}
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), FluxError> {
        let Self { view, terminal, .. } = self;
        terminal.draw(|frame| view.draw(frame)).map_err(|error| cannot("draw", &error))?;
        Ok(())
    }
}

fn cannot(what: &str, error: &std::io::Error) -> FluxError {
    FluxError::new(ErrorKind::System, format!("cannot {what}"), error.to_string())
        .with_hint("add --json, or pipe the output: samples then follow one another")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use ratatui::backend::TestBackend;

    fn view(sample: Option<Sample>, unicode: bool) -> View {
        let screen = Screen { unicode, ..Screen::default() };
        let layout = Layout { screen, ..Layout::default() };
        let mut view = View::new("all interfaces".into(), Duration::from_secs(1), layout);
        if let Some(sample) = sample {
            view.take(Event::Sample(Box::new(sample)));
        }
        view
    }

    fn drawn(view: &mut View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let cells = |y| (0..width).map(move |x| buffer[(x, y)].symbol());
        (0..height).map(|y| cells(y).collect::<String>().trim_end().to_owned()).collect()
    }

    fn press(view: &mut View, code: KeyCode) -> Action {
        view.key(KeyEvent::new(code, KeyModifiers::NONE))
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
    fn a_trouble_is_seen_at_40_by_10_by_scrolling() {
        let mut view = view(Some(fixture::sample(vec![fixture::starved(0)])), false);
        let first = drawn(&mut view, 40, 10);
        assert!(first[0].starts_with(" flux rings"), "{first:#?}");
        assert!(first[9].starts_with(" q quit  j k scroll  v view"), "{first:#?}");
        assert!(first[9].contains("1-8 of "), "{first:#?}");
        assert!(first.concat().is_ascii(), "{first:#?}");
        assert_eq!(press(&mut view, KeyCode::End), Action::Redraw);
        let last = drawn(&mut view, 40, 10);
        assert!(last[8].contains("more frames"), "{last:#?}");
        assert!(last.iter().any(|line| line.starts_with("  starved: the fill")), "{last:#?}");
    }

    #[test]
    fn many_sockets_are_rows_and_v_makes_them_rings() {
        let mut view = view(Some(fixture::sixteen()), true);
        let rows = drawn(&mut view, 80, 24);
        assert!(rows.iter().filter(|line| line.contains("xdpsock[1234]")).count() >= 16);
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
        view.take(Event::Note("the socket of \x1b[2Jx is gone".into()));
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
