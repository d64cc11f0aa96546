//! Lines in tones, and how they are laid out: what all parts of a page are made of.

pub use crate::output::clean;
use crate::output::{Screen, wrap};
use fluxnet::tools::rings::{Sample, SocketSample};
use fluxnet::tools::session::Trouble;

/// From this many sockets on, one row each unless all is asked for.
const MANY: usize = 5;

/// What a piece of a line is, for colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Title,
    Bar,
    Odd,
    Bad,
}

/// One line, in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(pub Vec<(Tone, String)>);

impl Line {
    /// Of one tone.
    pub fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![(tone, text.into())])
    }

    /// Its letters.
    pub fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// Lines, and what they had no room for.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What goes for all sockets.
    pub head: Vec<Line>,
    /// The sockets.
    pub body: Vec<Line>,
    /// Lines of the body that say what is wrong, where that comes first.
    pub first: usize,
    /// Headings of columns left out for want of room.
    pub hidden: Vec<&'static str>,
}

/// How a page is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// What it is printed on.
    pub screen: Screen,
    /// All of each socket.
    pub verbose: bool,
    /// One row per socket, or a block; `None`: rows where they are many.
    pub rows: Option<bool>,
    /// What is wrong before all else, for screens that do not hold it all.
    pub diagnosis_first: bool,
    /// Since when samples are taken, in s of their clock; `None`: there is one.
    pub since_s: Option<f64>,
}

impl Layout {
    /// Whether sockets get one row each.
    pub fn rows(&self, sample: &Sample) -> bool {
        self.rows.unwrap_or(!self.verbose && sample.sockets.len() >= MANY)
    }
}

/// The lines as text.
pub fn paint<'a>(lines: impl IntoIterator<Item = &'a Line>, screen: &Screen) -> String {
    let mut text = String::new();
    for line in lines {
        for (tone, piece) in &line.0 {
            let piece = screen.fit(piece);
            text.push_str(&match tone {
                Tone::Plain | Tone::Bar => piece,
                Tone::Title => screen.style.strong(&piece),
                Tone::Odd => screen.style.odd(&piece),
                Tone::Bad => screen.style.bad(&piece),
            });
        }
        text.push('\n');
    }
    text
}

/// What is wrong, as it is told to people.
pub fn words(kind: Trouble) -> String {
    kind.name().replace('_', " ")
}

/// How bad it is.
pub fn tone(kind: Trouble) -> Tone {
    if kind == Trouble::Idle { Tone::Odd } else { Tone::Bad }
}

/// A number, or `unknown` where the source cannot know it.
pub fn or<T: ToString>(value: Option<T>, unknown: &str) -> String {
    value.map_or_else(|| unknown.to_owned(), |value| value.to_string())
}

/// A sentence in lines that keep to the screen, with its first word of a tone of its own.
pub fn sentence(first: (Tone, &str), rest: &str, indent: usize, layout: &Layout) -> Vec<Line> {
    let width = layout.screen.width.map(|width| width.saturating_sub(indent).max(20));
    let whole = format!("{}{rest}", first.1);
    let wrapped = wrap(&whole, width, 2);
    let pad = " ".repeat(indent);
    let mut lines: Vec<Line> =
        wrapped.lines().map(|line| Line::of(Tone::Plain, format!("{pad}{line}"))).collect();
    if let Some(line) = lines.first_mut() {
        let text = line.text();
        if let Some(tail) = text.trim_start().strip_prefix(first.1) {
            let first = (first.0, format!("{pad}{}", first.1));
            *line = Line(vec![first, (Tone::Plain, tail.to_owned())]);
        }
    }
    lines
}

/// A network namespace: by its name where it has one.
pub fn netns(inode: Option<u32>, name: Option<&str>) -> String {
    name.map_or_else(|| or(inode, "?"), clean)
}

/// `xdpsock[1234]`.
pub fn owner(socket: &SocketSample) -> String {
    match (&socket.comm, socket.pid) {
        (None, None) => "owner unknown".into(),
        (comm, pid) => {
            format!("{}[{}]", comm.as_deref().map_or("?".into(), clean), or(pid, "?"))
        }
    }
}
