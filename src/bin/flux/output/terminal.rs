//! The whole terminal for a view that is redrawn, and giving it back as it was.

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

/// Whether the terminal is ours. No data goes with it: any ordering does.
static RAW: AtomicBool = AtomicBool::new(false);

/// The terminal is ours as long as this lives: keys come at once, and nothing scrolls away.
#[derive(Debug)]
pub struct RawTerminal(());

impl RawTerminal {
    /// Takes it.
    pub fn new() -> io::Result<Self> {
        enable_raw_mode()?;
        RAW.store(true, SeqCst);
        let taken = Self(());
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(taken)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal what it was, if it is ours. Also for those who end the process from where
/// nothing is dropped. A terminal that is gone needs nothing back: errors say no more than that.
pub fn restore() {
    if RAW.swap(false, SeqCst) {
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    }
}
