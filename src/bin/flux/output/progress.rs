//! A progress bar on standard error, where somebody is looking.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::io::{self, Write};

/// Redraws a second at most.
const HZ: u8 = 20;
/// Columns left free at the right: the terminal echoes "^C" behind the bar, and an echo that
/// wraps would leave the bar standing.
const ECHO: u16 = 4;

/// Standard error, a little narrower than it is.
#[derive(Debug)]
struct Narrow;

impl Narrow {
    fn put(text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }

    /// Moves the cursor; `way` is the letter of ECMA-48.
    fn step(n: usize, way: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { Self::put(&format!("\x1b[{n}{way}")) }
    }
}

impl TermLike for Narrow {
    fn width(&self) -> u16 {
        let size = terminal_size::terminal_size_of(io::stderr());
        size.map_or(80, |(width, _)| width.0).saturating_sub(ECHO).max(1)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        Self::step(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        Self::step(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        Self::step(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        Self::step(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        Self::put(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        Self::put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        Self::put("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A bar, or nothing.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// No bar.
    pub fn none() -> Self {
        Self(None)
    }

    /// A bar up to `total` of what `unit` names.
    pub fn new(total: u64, unit: &str, unicode: bool) -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Narrow), HZ);
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}, {{eta}} to go");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars(if unicode {
                "█▉▊▋▌▍▎▏ "
            } else {
                "#> "
            }));
        }
        Self(Some(bar))
    }

    /// One more is done.
    pub fn step(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Runs `print` while the bar is out of the way. Before the first step there is none to see.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) if bar.position() > 0 => bar.suspend(print),
            _ => print(),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
