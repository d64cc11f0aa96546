//! An AF_XDP program that is not ours: `xsk.c`, compiled by `cc` and driven over stdin.
//!
//! ```text
//!   Foreign::start("flux0", &["mode=drop"])   runs in the calling thread's network namespace
//!        tell("norefill") ──stdin──▶ xsk.c ──stdout──▶ State: what it did, what it sees itself
//!   drop: killed;  stdin closed: it ends by itself
//! ```
#![allow(dead_code)] // each test file uses its part of it
#![allow(clippy::unwrap_used, clippy::expect_used)] // it runs in tests alone

use crate::lab;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// Name of the process.
pub const COMM: &str = "foreign-xsk";

/// The compiled program; compiled once a test binary.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/foreign/xsk.c");
        let dir = match option_env!("CARGO_TARGET_TMPDIR") {
            Some(dir) => PathBuf::from(dir),
            // The library's own tests have no such directory.
            None => std::env::current_exe().unwrap().parent().unwrap().to_owned(),
        };
        // Other test binaries may do the same right now, or run what is there.
        let (new, path) = (dir.join(format!("{COMM}.{}", std::process::id())), dir.join(COMM));
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&new).arg(source);
        let done = cc.output().expect("cc (gcc and libc6-dev)");
        assert!(done.status.success(), "cc: {}", String::from_utf8_lossy(&done.stderr));
        std::fs::rename(&new, &path).unwrap();
        path
    })
}

/// What the program says of itself.
#[derive(Clone, Debug)]
pub struct State(pub Value);

impl State {
    /// A number: `time_ns`, `received`, `sent`, `refilled`, `completed`, `lost`, `spare`, or one
    /// of the counters of `struct xdp_statistics`.
    pub fn count(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    /// `size`, `producer`, `consumer` or `flags` of `rx`, `tx`, `fill` or `comp`.
    pub fn ring(&self, ring: &str, field: &str) -> u32 {
        self.0[ring][field].as_u64().unwrap_or_else(|| panic!("no {ring} in {}", self.0)) as u32
    }

    /// Packets that it lost, or nearly: no frame for them, no room, no entry in the fill ring.
    pub fn losses(&self) -> [u64; 3] {
        ["rx_dropped", "rx_ring_full", "rx_fill_ring_empty_descs"].map(|name| self.count(name))
    }

    /// Asserts that somebody can have read `seen` of a ring between this state and `later`: the
    /// indices of a ring go up alone.
    #[track_caller]
    pub fn assert_read_before(&self, later: &State, ring: &str, field: &str, seen: u32) {
        let (from, to) = (self.ring(ring, field), later.ring(ring, field));
        let between = seen.wrapping_sub(from) <= to.wrapping_sub(from);
        assert!(
            between,
            "{ring} {field}: {seen} read, the owner says {from} before and {to} after"
        );
    }

    /// Asserts that a rate, in entries per second, was taken while a ring's consumer index went
    /// from one to the other of `indices`, in a time of `least_s` at the least that lies between
    /// this state and `later`.
    #[track_caller]
    pub fn assert_rate_before(&self, later: &State, rate: f64, indices: [u32; 2], least_s: f64) {
        let entries = f64::from(indices[1].wrapping_sub(indices[0]));
        let most_s = (later.count("time_ns") - self.count("time_ns")) as f64 / 1e9;
        // A float is not exact in its last digit.
        let slack = 1.0 + 1e-9;
        let possible = entries / most_s / slack..=entries / least_s * slack;
        assert!(possible.contains(&rate), "{rate}: {entries} entries in {least_s} to {most_s} s");
    }
}

/// A running program, killed on drop.
pub struct Foreign {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// What it said first: its socket is up.
    pub ready: State,
}

impl Foreign {
    /// Starts it on an interface of the calling thread's namespace and waits until its socket is
    /// up. The options are at the top of `xsk.c`.
    pub fn start(interface: &str, options: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .arg(interface)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the foreign program starts");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let nothing = State(Value::Null);
        // From here on drop kills it, also out of a panic.
        let mut foreign = Self { child, stdin, stdout, ready: nothing };
        foreign.ready = foreign.answer();
        foreign
    }

    fn answer(&mut self) -> State {
        let mut line = String::new();
        let got = self.stdout.read_line(&mut line).expect("its stdout");
        assert!(got > 0, "the foreign program ended; its stderr says why");
        State(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")))
    }

    /// Says a line to it (a mode, `leak N`, `pps N`, `send N`, `stats`); its state once it has
    /// obeyed.
    pub fn tell(&mut self, line: &str) -> State {
        writeln!(self.stdin, "{line}").expect("its stdin");
        let state = self.answer();
        assert_ne!(state.0["event"], "error", "{line}: {}", state.0);
        state
    }

    /// What it has done so far.
    pub fn stats(&mut self) -> State {
        self.tell("stats")
    }

    /// Waits until what it says of itself is so.
    #[track_caller]
    pub fn wait(&mut self, what: &str, is_so: impl Fn(&State) -> bool) -> State {
        lab::wait_for(what, || Some(self.stats()).filter(|state| is_so(state)))
    }

    /// Waits until a counter has risen by `more` since `before`.
    #[track_caller]
    pub fn wait_for_more(&mut self, before: &State, count: &str, more: u64) -> State {
        let enough = before.count(count) + more;
        self.wait(&format!("{count} of {enough}"), |state| state.count(count) >= enough)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The descriptor of its socket.
    pub fn fd(&self) -> i32 {
        self.ready.count("fd") as i32
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(self) {}
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}
