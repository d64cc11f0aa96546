//! A view redrawn in place: the terminal, the keys, and the page that is scrolled.
//!
//! ```text
//!   run, in its thread ─▶ events ─▶ View ─▶ Scroll ─▶ Live: the terminal, in another thread
//!        ▲                                              │
//!        └──────────────── Control: stop ◀── keys ──────┘
//! ```
//!
//! A command brings a [`View`] and a run, which goes on in the thread that began it, as sockets and
//! clocks are its own. [`watch`] has the terminal as long as that takes; [`Scroll`] lays a page out
//! and moves it.

use super::{RawTerminal, Screen};
use crate::failure::Failure;
use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use fluxnet::FluxError;
use fluxnet::error::ErrorKind;
use fluxnet::tools::Control;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use std::io::{IsTerminal, Stdout};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Longest wait for a key before events and signals are looked for.
const SLICE: Duration = Duration::from_millis(100);
/// Most columns, and most lines, that are drawn on: terminals can say that they have 65535 of both, and
/// each cell takes memory.
const LARGEST: u16 = 1000;
/// Shortest wait for a key: without any crossterm does not look.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Leave,
    Redraw,
    Nothing,
}

/// What a command shows.
pub trait View: Send {
    /// What its run reports.
    type Event: Send;
    /// Takes what the run reports; returns what is worth keeping for when the terminal scrolls again.
    fn take(&mut self, event: Self::Event) -> Option<Self::Event>;
    /// What is worth keeping of what it shows at the end.
    fn last(&mut self) -> Option<Self::Event> {
        None
    }
    /// Does what `key` says.
    fn key(&mut self, key: KeyEvent) -> Action;
    /// Draws itself.
    fn draw(&mut self, frame: &mut Frame);
}

/// The line at the bottom.
pub enum Footer {
    /// The keys; where one is on the page stands beside them.
    Keys(String),
    /// Something to say.
    Note(String),
}

/// What is drawn: a title, lines that stay, lines that scroll, and the line at the bottom.
pub struct Page {
    pub title: (String, String),
    pub head: Vec<Line<'static>>,
    pub body: Vec<Line<'static>>,
    pub footer: Footer,
}

/// Where on a page one is.
#[derive(Debug, Default)]
pub struct Scroll {
    /// First line of the body on the screen.
    pub top: usize,
    /// Lines of the body, and how many of them fit: as last drawn.
    lines: usize,
    fit: usize,
}

impl Scroll {
    /// Does what the keys of all views say; `None`: it is none of them.
    pub fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return Some(Action::Nothing);
        }
        let last = self.lines.saturating_sub(self.fit);
        let screenful = self.fit.saturating_sub(1).max(1);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.top = match key.code {
            KeyCode::Char('c') if control => return Some(Action::Leave),
            KeyCode::Char('q') | KeyCode::Esc => return Some(Action::Leave),
            KeyCode::Up | KeyCode::Char('k') => self.top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => (self.top + 1).min(last),
            KeyCode::PageUp => self.top.saturating_sub(screenful),
            KeyCode::PageDown | KeyCode::Char(' ') => (self.top + screenful).min(last),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => return None,
        };
        Some(Action::Redraw)
    }

    /// Draws the part of `page` that is on the screen.
    pub fn draw(&mut self, page: Page, frame: &mut Frame) {
        let area = frame.area();
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let Page { title: (left, right), mut head, mut body, footer } = page;
        // A head that would leave no room scrolls with the rest.
        if head.len() > height / 3 {
            head.append(&mut body);
            std::mem::swap(&mut head, &mut body);
        }
        let fit = height.saturating_sub(2 + head.len());
        (self.lines, self.fit) = (body.len(), fit);
        self.top = self.top.min(body.len().saturating_sub(fit));
        let footer = match footer {
            Footer::Note(note) => note,
            Footer::Keys(keys) if self.lines <= self.fit => keys,
            Footer::Keys(keys) => spread(&keys, &self.place(), width),
        };
        let middle = head.into_iter().chain(body.into_iter().skip(self.top).take(fit));
        let rows = std::iter::once(bar(&title(&left, &right, width), width))
            .chain(middle)
            .take(height.saturating_sub(1));
        for (y, line) in (area.y..).zip(rows) {
            frame.render_widget(line, Rect { y, height: 1, ..area });
        }
        if height > 1 {
            let y = area.bottom() - 1;
            frame.render_widget(bar(&footer, width), Rect { y, height: 1, ..area });
        }
    }

    fn place(&self) -> String {
        format!("{}-{} of {} ", self.top + 1, self.lines.min(self.top + self.fit), self.lines)
    }
}

/// The one to the left and the other to the right.
fn spread(left: &str, right: &str, width: usize) -> String {
    let gap = width.saturating_sub(left.chars().count() + right.chars().count());
    format!("{left}{}{right}", " ".repeat(gap.max(1)))
}

/// The title, of which only whole parts are left out where it is too long: what it is about, which
/// stands behind two spaces, then one of its ends.
fn title(left: &str, right: &str, width: usize) -> String {
    let command = left.trim_start().split_once("  ").map_or(left, |(command, _)| command);
    let ends = [(left, right), (command, right), ("", right), (command, "")];
    let fits = |(left, right): &&(&str, &str)| {
        let gap = usize::from(!left.is_empty() && !right.is_empty());
        left.chars().count() + gap + right.trim_end().chars().count() <= width
    };
    let (left, right) = ends.iter().find(fits).unwrap_or(&("", ""));
    spread(left, right, width)
}

/// A line across the screen, in reverse.
fn bar(text: &str, width: usize) -> Line<'static> {
    let reverse = Style::default().add_modifier(Modifier::REVERSED);
    Line::styled(format!("{text:<width$}"), reverse)
}

/// Refuses `--live` where nothing can be redrawn; `hint` is what to do instead.
pub fn needs_terminal(screen: &Screen, hint: &str) -> Result<(), Failure> {
    if screen.addressable {
        return Ok(());
    }
    let error = "cannot draw for --live: standard output is not a terminal that can be redrawn";
    Err(Failure::Error { error: error.into(), hint: Some(hint.into()) })
}

/// Shows what `run` reports until it has ended: what it returned, and the events that the view kept.
///
/// `hint` is what to do where nothing can be drawn.
pub fn watch<V: View, T>(
    view: V,
    control: &Arc<Control>,
    hint: &'static str,
    run: impl FnOnce(&mut dyn FnMut(V::Event)) -> T,
) -> Result<(T, Vec<V::Event>), Failure> {
    let live = Live::start(view, Arc::clone(control), hint)?;
    let (teller, told) = channel();
    std::thread::scope(|scope| {
        let shown = scope.spawn(move || show(live, &told, control));
        // When nobody listens any more, the run was told to stop.
        let outcome = run(&mut |event| drop(teller.send(event)));
        drop(teller);
        match shown.join() {
            Ok(kept) => Ok((outcome, kept?)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Draws what the run reports, until it ends.
fn show<V: View>(
    mut live: Live<V>,
    told: &Receiver<V::Event>,
    control: &Control,
) -> Result<Vec<V::Event>, Failure> {
    let mut kept = Vec::new();
    let result = loop {
        let mut news = false;
        let more = loop {
            match told.try_recv() {
                Ok(event) => {
                    news = true;
                    kept.extend(live.view.take(event));
                }
                Err(TryRecvError::Empty) => break true,
                Err(TryRecvError::Disconnected) => break false,
            }
        };
        if !more {
            break Ok(());
        }
        if control.is_stopped() {
            // It ends as soon as it has told the rest: no key matters.
            kept.extend(told.iter().filter_map(|event| live.view.take(event)));
            break Ok(());
        }
        let drawn = if news { live.redraw() } else { Ok(()) };
        if let Err(error) = drawn.and_then(|()| live.wait(SLICE)) {
            break Err(error);
        }
    };
    kept.extend(live.view.last());
    // The run must not go on with nobody to see it.
    control.stop();
    result.map(|()| kept).map_err(Failure::from)
}

/// A view on this process's terminal.
struct Live<V> {
    view: V,
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// What of it is drawn on.
    area: Rect,
    control: Arc<Control>,
    /// What to do where it cannot be drawn.
    hint: &'static str,
    /// Last of all: what is dropped before it may still draw.
    _taken: RawTerminal,
}

impl<V: View> Live<V> {
    /// Takes the terminal.
    fn start(view: V, control: Arc<Control>, hint: &'static str) -> Result<Self, Failure> {
        let failed = |error| Failure::io("cannot draw on this terminal", &error).with_hint(hint);
        let taken = RawTerminal::new().map_err(failed)?;
        let area = area().map_err(failed)?;
        let options = TerminalOptions { viewport: Viewport::Fixed(area) };
        let backend = CrosstermBackend::new(std::io::stdout());
        let terminal = Terminal::with_options(backend, options).map_err(failed)?;
        let mut live = Self { view, terminal, area, control, hint, _taken: taken };
        live.redraw().map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        Ok(live)
    }

    /// Lets `time` pass, and does what keys say meanwhile. Ends early when one leaves.
    fn wait(&mut self, time: Duration) -> Result<(), FluxError> {
        let hint = self.hint;
        let failed = |error| cannot("read keys", &error, hint);
        let start = Instant::now();
        while !self.control.is_stopped() {
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
                Action::Leave => self.control.stop(),
                Action::Redraw => self.redraw()?,
                Action::Nothing => {}
            }
        }
        Ok(())
    }

    /// Draws the view as it is now.
    fn redraw(&mut self) -> Result<(), FluxError> {
        let Self { view, terminal, area, hint, .. } = self;
        let failed = |error| cannot("draw", &error, hint);
        let now = self::area().map_err(failed)?;
        if *area != now {
            terminal.resize(now).and_then(|()| terminal.clear()).map_err(failed)?;
            *area = now;
        }
        terminal.draw(|frame| view.draw(frame)).map_err(|error| cannot("draw", &error, hint))?;
        Ok(())
    }
}

/// The terminal as it is now, as far as it is drawn on.
fn area() -> std::io::Result<Rect> {
    let (width, height) = crossterm::terminal::size()?;
    Ok(drawn_on(width, height))
}

fn drawn_on(width: u16, height: u16) -> Rect {
    Rect { x: 0, y: 0, width: width.clamp(1, LARGEST), height: height.clamp(1, LARGEST) }
}

fn cannot(what: &str, error: &std::io::Error, hint: &str) -> FluxError {
    FluxError::new(ErrorKind::System, format!("cannot {what}"), error.to_string()).with_hint(hint)
}

/// The screen that `view` draws, line by line.
#[cfg(test)]
pub fn drawn(view: &mut impl View, width: u16, height: u16) -> Vec<String> {
    let backend = ratatui::backend::TestBackend::new(width, height);
    let mut terminal = Terminal::new(backend).unwrap();
    terminal.draw(|frame| view.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let cells = |y| (0..width).map(move |x| buffer[(x, y)].symbol());
    (0..height).map(|y| cells(y).collect::<String>().trim_end().to_owned()).collect()
}

/// Presses a key.
#[cfg(test)]
pub fn press(view: &mut impl View, code: KeyCode) -> Action {
    view.key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_loses_whole_parts_and_never_half_a_word() {
        let title = |width| title(" flux ping  2 targets", "19 of 20 answered ", width);
        assert_eq!(title(44), " flux ping  2 targets     19 of 20 answered ");
        assert_eq!(title(30), "flux ping   19 of 20 answered ");
        assert_eq!(title(20), "  19 of 20 answered ");
        assert_eq!(title(12).trim(), "flux ping");
        assert_eq!(title(4).trim(), "");
    }

    #[test]
    fn no_terminal_is_larger_than_what_is_drawn_on() {
        let size = |width, height| (drawn_on(width, height).width, drawn_on(width, height).height);
        assert_eq!(size(65535, 65535), (LARGEST, LARGEST));
        assert_eq!((size(80, 24), size(0, 0)), ((80, 24), (1, 1)));
    }
}
