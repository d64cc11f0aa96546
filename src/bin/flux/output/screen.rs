//! What the place we print to can show. The environment is read here and nowhere else.

use std::io::IsTerminal;

/// Colours, or none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// For standard error.
    pub fn of_stderr() -> Self {
        Self { colour: std::io::stderr().is_terminal() && colour_allowed(&env) }
    }

    /// Whether there are colours.
    pub fn colour(self) -> bool {
        self.colour
    }

    /// Something is wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Something is odd.
    pub fn odd(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Something stands out.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Standard output as something to look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Screen {
    /// Whether it is a terminal.
    pub terminal: bool,
    /// Whether the cursor can be moved on it, so that a view can be redrawn in place.
    pub addressable: bool,
    /// Columns; `None` where lines may have any length (a file, a pipe).
    pub width: Option<usize>,
    /// Whether it takes more than ASCII.
    pub unicode: bool,
    /// Colours.
    pub style: Style,
}

impl Screen {
    /// Of this process.
    pub fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self {
            terminal,
            addressable: terminal && !dumb(&env),
            width: columns(&env).or_else(|| terminal_width(std::io::stdout())),
            unicode: unicode(&env),
            style: Style { colour: terminal && colour_allowed(&env) },
        }
    }
}

impl Screen {
    /// Columns of the terminal that standard error is, if it is one.
    pub fn width_of_stderr() -> Option<usize> {
        let stderr = std::io::stderr();
        let size = || terminal_width(std::io::stderr());
        if stderr.is_terminal() { columns(&env).or_else(size) } else { None }
    }

    /// `text` in the characters it takes: µs as us, 4 × 2 as 4 x 2, and nothing else of ours is
    /// beyond ASCII.
    pub fn fit(&self, text: &str) -> String {
        if self.unicode {
            return text.to_owned();
        }
        let ascii = |c| match c {
            'µ' => 'u',
            '×' => 'x',
            c => c,
        };
        text.chars().map(ascii).collect()
    }
}

/// Columns of the terminal that `stream` is, if it is one. Some terminals know their columns and
/// not their rows (a serial console, `stty cols 44 rows 0`).
#[cfg(unix)]
fn terminal_width(stream: impl IsTerminal + std::os::fd::AsFd) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let columns = match terminal_size::terminal_size_of(stream) {
        Some((width, _)) => width.0,
        None => crossterm::terminal::window_size().ok()?.columns,
    };
    Some(usize::from(columns)).filter(|&columns| columns > 0)
}

/// Columns of the terminal that `stream` is, if it is one.
#[cfg(windows)]
fn terminal_width(stream: impl std::os::windows::io::AsHandle) -> Option<usize> {
    terminal_size::terminal_size_of(stream).map(|(width, _)| width.0.into())
}

/// What others named, without what would speak to the terminal.
pub fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn columns(env: &dyn Fn(&str) -> Option<String>) -> Option<usize> {
    env("COLUMNS")?.parse().ok().filter(|&columns| columns > 0)
}

fn dumb(env: &dyn Fn(&str) -> Option<String>) -> bool {
    env("TERM").is_some_and(|term| term == "dumb")
}

fn colour_allowed(env: &dyn Fn(&str) -> Option<String>) -> bool {
    env("NO_COLOR").is_none() && !dumb(env)
}

/// By the locale for characters, as POSIX orders the variables.
fn unicode(env: &dyn Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(env);
    let utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    utf8 && !dumb(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
    }

    #[test]
    fn the_environment_is_honoured() {
        assert!(colour_allowed(&with(&[("TERM", "xterm")])));
        assert!(!colour_allowed(&with(&[("NO_COLOR", "1")])));
        assert!(!colour_allowed(&with(&[("TERM", "dumb")])));
        assert_eq!(columns(&with(&[("COLUMNS", "40")])), Some(40));
        assert_eq!(columns(&with(&[("COLUMNS", "0")])), None);
        assert_eq!(columns(&with(&[("COLUMNS", "wide")])), None);
        assert!(unicode(&with(&[("LANG", "en_GB.UTF-8")])));
        assert!(!unicode(&with(&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")])));
        assert!(!unicode(&with(&[("LANG", "en_GB.UTF-8"), ("TERM", "dumb")])));
        assert!(!unicode(&with(&[])));
    }

    #[test]
    fn text_without_colour_is_bare() {
        assert_eq!(Style::default().bad("error:"), "error:");
        assert_eq!(Style { colour: true }.bad("x"), "\x1b[1;31mx\x1b[0m");
    }
}
