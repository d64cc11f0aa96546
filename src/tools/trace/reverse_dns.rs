//! Names of addresses, looked up beside the probing and never waited for while it goes on.
//!
//! ```text
//!   ask ──▶ wanted ──▶ threads: Lookup ──▶ answers ──▶ known ──▶ get
//! ```
//!
//! Invariant: `ask` and `get` do not block, and `settle` not for long; what `get` gives cannot do a
//! terminal any harm, whatever is in the PTR record.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that look up names. A resolver answers in milliseconds or not for many seconds.
const THREADS: usize = 8;
/// Longest name in the DNS, as text.
const LONGEST: usize = 253;
/// How long outstanding names are waited for in the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who knows names.
pub(super) trait Lookup {
    /// The name of an address. May take long.
    fn name(&self, addr: IpAddr) -> Option<String>;
}

impl<F: Fn(IpAddr) -> Option<String>> Lookup for F {
    fn name(&self, addr: IpAddr) -> Option<String> {
        self(addr)
    }
}

/// The resolver of this host: its hosts file and the DNS, as it is set up.
pub(super) struct HostResolver;

impl Lookup for HostResolver {
    #[cfg(unix)]
    fn name(&self, addr: IpAddr) -> Option<String> {
        crate::sys::resolver::name_of(addr)
    }

    #[cfg(not(unix))]
    fn name(&self, _addr: IpAddr) -> Option<String> {
        None
    }
}

/// Where names come from.
enum Source {
    /// Answers at once.
    Direct(Box<dyn Lookup>),
    Threads(Threads),
}

struct Threads {
    source: Arc<dyn Lookup + Send + Sync>,
    wanted: Sender<IpAddr>,
    queue: Arc<Mutex<Receiver<IpAddr>>>,
    reply: Sender<(IpAddr, Option<String>)>,
    answers: Receiver<(IpAddr, Option<String>)>,
    running: usize,
}

/// Names of addresses.
pub(super) struct Names {
    source: Source,
    /// `None`: it has no name, or it is not known yet.
    known: HashMap<IpAddr, Option<String>>,
    outstanding: usize,
}

impl Names {
    /// Asks `source` from threads of its own, which begin with the first question and end with
    /// the process or with this.
    pub(super) fn new(source: Box<dyn Lookup + Send + Sync>) -> Self {
        let (wanted, queue) = mpsc::channel();
        let (reply, answers) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let source = source.into();
        Self::with(Source::Threads(Threads { source, wanted, queue, reply, answers, running: 0 }))
    }

    /// Asks `source` at once, which must know: a simulated network.
    pub(super) fn direct(source: Box<dyn Lookup>) -> Self {
        Self::with(Source::Direct(source))
    }

    fn with(source: Source) -> Self {
        Self { source, known: HashMap::new(), outstanding: 0 }
    }

    /// Wants the name of an address. Asking twice costs nothing.
    pub(super) fn ask(&mut self, addr: IpAddr) {
        if self.known.contains_key(&addr) {
            return;
        }
        let name = match &mut self.source {
            Source::Direct(source) => source.name(addr).and_then(harmless),
            Source::Threads(threads) => {
                self.outstanding += usize::from(threads.ask(addr));
                None
            }
        };
        self.known.insert(addr, name);
    }

    /// The name of an address, if it is known by now.
    pub(super) fn get(&mut self, addr: IpAddr) -> Option<&str> {
        self.gather(Duration::ZERO);
        self.known.get(&addr)?.as_deref()
    }

    /// Waits a while for the names that were asked for.
    pub(super) fn settle(&mut self) {
        self.gather(PATIENCE);
    }

    /// Takes in what is answered, until all is or the time is over.
    fn gather(&mut self, longest: Duration) {
        let Source::Threads(threads) = &self.source else { return };
        let deadline = Instant::now() + longest;
        while self.outstanding > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((addr, name)) = threads.answers.recv_timeout(left) else { return };
            self.outstanding -= 1;
            self.known.insert(addr, name.and_then(harmless));
        }
    }
}

impl Threads {
    /// Whether somebody is there to answer.
    fn ask(&mut self, addr: IpAddr) -> bool {
        if self.running < THREADS {
            self.running += usize::from(self.spawn());
        }
        self.running > 0 && self.wanted.send(addr).is_ok()
    }

    /// One thread more, detached: one that hangs in a lookup holds nobody up.
    fn spawn(&self) -> bool {
        let (source, queue, reply) = (self.source.clone(), self.queue.clone(), self.reply.clone());
        let work = move || {
            loop {
                // The lock is held while waiting for a question, not while answering it.
                let Ok(question) = queue.lock().map(|queue| queue.recv()) else { return };
                let Ok(addr) = question else { return };
                if reply.send((addr, source.name(addr))).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("names".into()).spawn(work).is_ok()
    }
}

/// A name as it may be shown: letters, digits, `-`, `_` and `.`, and nothing that reads as an
/// address, which would be somebody else's.
fn harmless(name: String) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(&name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = !name.is_empty() && name.len() <= LONGEST && name.chars().all(allowed);
    (is_name && name.parse::<IpAddr>().is_err()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LONG: Duration = Duration::from_secs(60);

    fn addr(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn names_come_from_threads_and_each_is_asked_for_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let mut names = Names::new(Box::new(move |addr: IpAddr| {
            counter.fetch_add(1, Ordering::Relaxed);
            (addr != self::addr(7)).then(|| format!("r{addr}.example."))
        }));
        for last in (0..100).chain(0..100) {
            names.ask(addr(last));
        }
        names.gather(LONG);
        assert_eq!(asked.load(Ordering::Relaxed), 100);
        assert_eq!(names.get(addr(1)), Some("r192.0.2.1.example"));
        assert_eq!(names.get(addr(7)), None);
        assert_eq!(names.get(addr(200)), None, "never asked for");
    }

    #[test]
    fn a_lookup_that_hangs_holds_up_neither_questions_nor_the_end() {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let mut names = Names::new(Box::new(move |addr: IpAddr| {
            if addr == self::addr(1) {
                // Until the test is over.
                let _ = held.lock().unwrap().recv();
            }
            Some("quick.example".into())
        }));
        names.ask(addr(1));
        names.ask(addr(2));
        let deadline = Instant::now() + LONG;
        while names.get(addr(2)).is_none() && Instant::now() < deadline {
            names.gather(Duration::from_millis(10));
        }
        assert_eq!(names.get(addr(2)), Some("quick.example"));
        let began = Instant::now();
        // It comes back, although the lookup hangs until the end of this test.
        names.settle();
        assert!(began.elapsed() >= PATIENCE);
        assert_eq!(names.get(addr(1)), None);
        release.send(()).unwrap();
        names.gather(LONG);
        assert_eq!(names.get(addr(1)), Some("quick.example"), "late is better than never");
    }

    #[test]
    fn a_simulated_network_answers_at_once() {
        let mut names = Names::direct(Box::new(|_: IpAddr| Some("sim.example".into())));
        names.ask(addr(1));
        assert_eq!(names.get(addr(1)), Some("sim.example"));
    }

    #[test]
    fn threads_end_with_their_owner() {
        let source = Arc::new(());
        let held = source.clone();
        let mut names = Names::new(Box::new(move |_: IpAddr| {
            let _ = &held;
            None
        }));
        names.ask(addr(1));
        names.gather(LONG);
        drop(names);
        let deadline = Instant::now() + LONG;
        while Arc::strong_count(&source) > 1 {
            assert!(Instant::now() < deadline, "a thread is still there");
            thread::yield_now();
        }
    }

    #[test]
    fn a_hostile_name_is_dropped() {
        let long = "a".repeat(254);
        let names = [
            ("core1.example.net", Some("core1.example.net")),
            ("_x-1.example.", Some("_x-1.example")),
            ("", None),
            (".", None),
            ("\u{1b}]0;gotcha\u{7}.example", None),
            ("a b.example", None),
            ("caf\u{e9}.example", None),
            ("tab\t.example", None),
            ("198.51.100.1", None),
            (long.as_str(), None),
        ];
        for (name, want) in names {
            assert_eq!(harmless(name.to_owned()).as_deref(), want, "{name:?}");
        }
    }
}
