//! How programs of ours are loaded, and what libbpf says meanwhile.
//!
//! ```text
//!   load()   open ── size maps, set constants ── load ── keep what is needed of it
//!      └── quiet(): libbpf's words are kept for the error, not printed
//! ```
//!
//! Invariant: the print callback that the program itself gave to libbpf-rs is there again when no
//! call of ours is under way, and gets meanwhile what other threads' calls have to say.

use super::bpf::errno;
use crate::error::{FluxError, Op};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{OpenObject, PrintCallback, PrintLevel};
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

/// Most warnings that an error's cause quotes.
const WARNINGS_KEPT: usize = 3;

thread_local! {
    /// How many [`Quiet`] this thread has.
    static QUIET: Cell<u32> = const { Cell::new(0) };
    /// The last warnings of libbpf on this thread.
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

type Callback = Option<(PrintLevel, PrintCallback)>;

/// How many [`Quiet`] there are, and what was there before the first.
static BEFORE: Mutex<(u32, Callback)> = Mutex::new((0, None));

fn keep_or_pass_on(level: PrintLevel, text: String) {
    if QUIET.get() == 0 {
        let callback = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).1;
        if let Some((_, theirs)) = callback.filter(|(least, _)| level <= *least) {
            theirs(level, text);
        }
    } else if level == PrintLevel::Warn {
        WARNINGS.with_borrow_mut(|kept| {
            if kept.len() == WARNINGS_KEPT {
                kept.remove(0);
            }
            kept.push(text.trim().trim_start_matches("libbpf: ").to_owned());
        });
    }
}

/// As long as there is one, libbpf does not print what it has to say of this thread's calls.
///
/// libbpf has one print callback for the whole process, and this library is not alone in it: the
/// callback that was set by [`libbpf_rs::set_print`] before is put back with the last `Quiet`. One
/// that was set past libbpf-rs, by libbpf's own `libbpf_set_print`, is not known to libbpf-rs: its
/// default is put in its place.
#[must_use = "ends with the drop"]
pub(crate) struct Quiet(PhantomData<*const ()>); // not Send: counted by thread

/// Keeps libbpf's own words off stderr until the result is dropped.
pub(crate) fn quiet() -> Quiet {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if before.0 == 0 {
        let theirs = libbpf_rs::get_print();
        // All that they want to hear must come through here.
        let level = theirs.map_or(PrintLevel::Warn, |(level, _)| level.max(PrintLevel::Warn));
        before.1 = theirs;
        libbpf_rs::set_print(Some((level, keep_or_pass_on)));
    }
    before.0 += 1;
    QUIET.set(QUIET.get() + 1);
    WARNINGS.take();
    Quiet(PhantomData)
}

impl Quiet {
    /// The warnings of this thread since the last look.
    pub(crate) fn said(&self) -> String {
        WARNINGS.take().join("; ")
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(QUIET.get().saturating_sub(1));
        let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        before.0 = before.0.saturating_sub(1);
        if before.0 > 0 {
            return;
        }
        let now = libbpf_rs::set_print(before.1.take());
        // A callback that another thread set meanwhile stays.
        let ours: PrintCallback = keep_or_pass_on;
        if now.is_none_or(|(_, callback)| !std::ptr::fn_addr_eq(callback, ours)) {
            libbpf_rs::set_print(now);
        }
    }
}

/// Why libbpf refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) source: io::Error,
    /// What it said meanwhile; may be empty.
    pub(crate) said: String,
}

impl Refused {
    fn new(error: &libbpf_rs::Error) -> Self {
        Self { source: errno(error), said: WARNINGS.take().join("; ") }
    }

    /// As the error of an operation on `object`.
    pub(crate) fn error(self, op: Op, object: impl Display) -> FluxError {
        let permission = matches!(self.source.raw_os_error(), Some(libc::EPERM | libc::EACCES));
        let error = FluxError::os(op, object, self.source);
        if self.said.is_empty() || permission { error } else { error.with_cause(self.said) }
    }
}

/// Loads a program of ours: `prepare` sizes its maps and sets its constants, `keep` takes out what
/// is needed of it afterwards. The rest is closed.
pub(crate) fn load<'obj, B: SkelBuilder<'obj>, T>(
    builder: B,
    object: &'obj mut MaybeUninit<OpenObject>,
    prepare: impl FnOnce(&mut B::Output) -> libbpf_rs::Result<()>,
    keep: impl FnOnce(&<B::Output as OpenSkel<'obj>>::Output) -> libbpf_rs::Result<T>,
) -> Result<T, Refused> {
    let _quiet = quiet();
    let load = || {
        let mut open = builder.open(object)?;
        prepare(&mut open)?;
        keep(&open.load()?)
    };
    load().map_err(|error| Refused::new(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    static HEARD: AtomicU32 = AtomicU32::new(0);

    fn hear(_level: PrintLevel, _text: String) {
        HEARD.fetch_add(1, Ordering::Relaxed);
    }

    /// In a process of its own: the callback is the process's, and other tests load programs.
    #[test]
    fn the_callback_that_was_there_is_there_again_and_hears_other_threads_meanwhile() {
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sys::libbpf::tests::a_callback_in_place", "--ignored"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    #[ignore = "needs a process of its own"]
    fn a_callback_in_place() {
        let theirs: PrintCallback = hear;
        let is_there = |callback| {
            libbpf_rs::get_print().is_some_and(|(_, now)| std::ptr::fn_addr_eq(now, callback))
        };
        libbpf_rs::set_print(Some((PrintLevel::Info, theirs)));
        let (outer, inner) = (quiet(), quiet());
        keep_or_pass_on(PrintLevel::Warn, "libbpf: ours\n".into());
        keep_or_pass_on(PrintLevel::Info, "of no use".into());
        assert_eq!((HEARD.load(Ordering::Relaxed), WARNINGS.take()), (0, vec!["ours".to_owned()]));
        std::thread::spawn(|| {
            keep_or_pass_on(PrintLevel::Info, "theirs".into());
            keep_or_pass_on(PrintLevel::Debug, "more than they want".into());
        })
        .join()
        .unwrap();
        assert_eq!(HEARD.load(Ordering::Relaxed), 1);
        drop(outer);
        assert!(!is_there(theirs), "the inner one is still there");
        drop(inner);
        assert!(is_there(theirs));

        let quiet = quiet();
        libbpf_rs::set_print(None);
        drop(quiet);
        assert!(libbpf_rs::get_print().is_none(), "set meanwhile, and kept");
    }
}
