//! What the live views of commands with several targets share: the latest numbers of each, the
//! picture that `p` holds, the note that stays until a key, and the line at the bottom.

use super::{Action, Footer, Page, Screen, Scroll, clean};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;

/// Narrowest screen whose bottom line says how to scroll.
const WIDE: usize = 60;

/// The numbers of each target, and where on their page one is.
pub struct TargetsView<T> {
    screen: Screen,
    what: String,
    /// The numbers of each target, in the order of their first.
    latest: Vec<T>,
    /// What is shown as long as the picture is held.
    held: Option<Vec<T>>,
    note: Option<String>,
    scroll: Scroll,
}

impl<T: Clone> TargetsView<T> {
    pub fn new(targets: &[String], screen: Screen) -> Self {
        let what = match targets {
            [target] => clean(target),
            targets => format!("{} targets", targets.len()),
        };
        Self { screen, what, latest: Vec::new(), held: None, note: None, scroll: Scroll::default() }
    }

    /// The latest numbers, which a held picture need not show.
    pub fn latest(&self) -> &[T] {
        &self.latest
    }

    /// Replaces the numbers at `place`, or adds them at the end where it has none.
    pub fn put(&mut self, place: usize, numbers: T) {
        match self.latest.get_mut(place) {
            Some(earlier) => *earlier = numbers,
            None => self.latest.push(numbers),
        }
    }

    /// Shows `note` until the next key.
    pub fn note(&mut self, note: String) {
        self.note = Some(note);
    }

    /// Says that nothing can be sent to a target.
    pub fn note_send_error(&mut self, target: &str, error: &str) {
        self.note(format!("cannot send to {}: {}", clean(target), clean(error)));
    }

    /// Does what the keys of all these views say; `None`: it is none of them.
    pub fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if let Some(action) = self.scroll.key(key) {
            return Some(action);
        }
        self.note = None;
        if key.code != KeyCode::Char('p') {
            return None;
        }
        self.held = if self.held.is_some() { None } else { Some(self.latest.clone()) };
        Some(Action::Redraw)
    }

    /// Draws the page of `command`: `right` is the right end of its title, `own_keys` what its own
    /// keys do, and `body` turns the numbers into lines for a screen.
    pub fn draw(
        &mut self,
        frame: &mut Frame,
        command: &str,
        right: String,
        own_keys: &str,
        body: impl FnOnce(&[T], &Screen) -> Vec<Line<'static>>,
    ) {
        let width = usize::from(frame.area().width);
        let screen = Screen { width: Some(width), ..self.screen };
        let body = match self.held.as_ref().unwrap_or(&self.latest).as_slice() {
            [] => vec![Line::raw("probing ...")],
            shown => body(shown, &screen),
        };
        let title = (format!(" flux {command}  {}", self.what), right);
        let page = Page { title, head: Vec::new(), body, footer: self.footer(width, own_keys) };
        self.scroll.draw(page, frame);
    }

    fn footer(&self, width: usize, own_keys: &str) -> Footer {
        if let Some(note) = &self.note {
            return Footer::Note(format!(" note: {note}"));
        }
        let arrows = match (width >= WIDE, self.screen.unicode) {
            (true, true) => "  ↑↓ scroll",
            (true, false) => "  j k scroll",
            (false, _) => "",
        };
        let hold = if self.held.is_some() { "p HELD, go on" } else { "p hold" };
        Footer::Keys(format!(" q quit{arrows}{own_keys}  {hold}"))
    }
}

/// The lines of a table: its headings strong, and its rows that are `odd` in a colour of their own.
pub fn table_lines(
    text: &str,
    screen: &Screen,
    odd: impl Fn(usize) -> bool,
) -> impl Iterator<Item = Line<'static>> {
    text.lines().enumerate().map(move |(at, line)| {
        // The first line has the headings.
        let style = match at.checked_sub(1) {
            None => strong(),
            Some(row) if odd(row) && screen.style.colour() => Style::default().fg(Color::Yellow),
            Some(_) => Style::default(),
        };
        Line::styled(line.to_owned(), style)
    })
}

/// How headings look.
pub fn strong() -> Style {
    Style::default().add_modifier(Modifier::BOLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyModifiers;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn view() -> TargetsView<u32> {
        TargetsView::new(&["a".to_owned(), "b".to_owned()], Screen::default())
    }

    fn press(view: &mut TargetsView<u32>, key: char) -> Option<Action> {
        view.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE))
    }

    /// The first line of the body, and the line at the bottom.
    fn drawn(view: &mut TargetsView<u32>) -> (String, String) {
        let mut terminal = Terminal::new(TestBackend::new(60, 4)).unwrap();
        let lines = |numbers: &[u32], _: &Screen| vec![Line::raw(format!("{numbers:?}"))];
        terminal.draw(|frame| view.draw(frame, "x", String::new(), "  n own", lines)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..60).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (row(1).trim_end().to_owned(), row(3).trim_end().to_owned())
    }

    #[test]
    fn p_holds_the_picture_and_lets_it_go() {
        let mut view = view();
        assert_eq!(drawn(&mut view).0, "probing ...");
        view.put(0, 1);
        view.put(1, 2);
        assert_eq!(press(&mut view, 'p'), Some(Action::Redraw));
        view.put(0, 3);
        let keys = " q quit  j k scroll  n own  p HELD, go on".to_owned();
        assert_eq!(drawn(&mut view), ("[1, 2]".to_owned(), keys));
        assert_eq!(view.latest(), [3, 2]);
        press(&mut view, 'p');
        assert_eq!(drawn(&mut view).0, "[3, 2]");
    }

    #[test]
    fn a_note_stays_until_a_key_that_does_not_scroll() {
        let mut view = view();
        view.note_send_error("x\x1b[2J", "Network is down");
        press(&mut view, 'j');
        assert_eq!(drawn(&mut view).1, " note: cannot send to x?[2J: Network is down");
        assert_eq!(press(&mut view, 'n'), None, "a key of the command's own");
        assert_eq!(drawn(&mut view).1, " q quit  j k scroll  n own  p hold");
    }
}
