//! Signals: the first Ctrl-C or SIGTERM stops the run, the second ends the process; Ctrl-\ asks
//! for the numbers so far.

use crate::output::restore;
use fluxnet::tools::Control;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Exit status after the second Ctrl-C: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Lets signals speak to the run through what is returned.
///
/// A handler that cannot be installed leaves the signal's default action, which ends the process;
/// the kernel then takes back the sockets and the XDP link. So errors are not worth a failure.
pub fn control() -> Arc<Control> {
    control_and(|| ())
}

/// The same; `wake` is called once the first signal has asked to stop.
pub fn control_and(wake: impl Fn() + Send + 'static) -> Arc<Control> {
    let control = Arc::new(Control::default());
    let stop = Arc::clone(&control);
    // Relaxed: the flags carry no data besides themselves.
    let _ = ctrlc::set_handler(move || {
        if stop.stop.swap(true, Relaxed) {
            restore();
            std::process::exit(INTERRUPTED);
        }
        wake();
    });
    #[cfg(unix)]
    interim(&control);
    control
}

#[cfg(unix)]
fn interim(control: &Arc<Control>) {
    let control = Arc::clone(control);
    let Ok(mut signals) = signal_hook::iterator::Signals::new([signal_hook::consts::SIGQUIT])
    else {
        return;
    };
    // Never joined: it sleeps in read(2) and ends with the process.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            control.interim.fetch_add(1, Relaxed);
        }
    });
}
