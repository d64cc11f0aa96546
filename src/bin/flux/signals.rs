//! Signals: the first Ctrl-C or SIGTERM stops the run, the second ends the process; Ctrl-\ asks
//! for the numbers so far; SIGHUP reloads where a run can, and stops the others.

use crate::output::restore;
use fluxnet::tools::Control;
use std::sync::Arc;

/// Exit status after the second Ctrl-C: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Lets signals speak to the run through what is returned.
///
/// A handler that cannot be installed leaves the signal's default action, which ends the process;
/// the kernel then takes back the sockets and the XDP link. So errors are not worth a failure.
pub fn control() -> Arc<Control> {
    let control = Arc::new(Control::default());
    let stop = Arc::clone(&control);
    let _ = ctrlc::set_handler(move || end(|| stop.stop(), &stop));
    #[cfg(unix)]
    others(&control);
    control
}

/// The first time as `ask` does it, the second time at once.
fn end(ask: impl Fn(), control: &Control) {
    if control.is_stopped() {
        restore();
        std::process::exit(INTERRUPTED);
    }
    ask();
}

/// The signals besides SIGINT.
#[cfg(unix)]
fn others(control: &Arc<Control>) {
    use signal_hook::consts::{SIGHUP, SIGQUIT, SIGTERM};
    let control = Arc::clone(control);
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGHUP, SIGQUIT, SIGTERM]) else {
        return;
    };
    // Never joined: it sleeps in read(2) and ends with the process.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => end(|| control.hang_up(), &control),
                SIGTERM => end(|| control.stop(), &control),
                _ => control.ask_interim(),
            }
        }
    });
}
