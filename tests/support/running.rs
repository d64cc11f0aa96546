//! A command that goes on until it is told to stop: its events as they come, and what it came to.
#![allow(dead_code)] // each test file uses its part of it

use crate::command::{json_line, signal, start};
use crate::lab::PATIENCE;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Instant;

/// `flux … --json` on its way; the child inherits this thread's namespace. Killed on drop.
///
/// Its output is read all the time, so that it never waits for us.
pub struct Running {
    line: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<Value>,
    stderr: Option<JoinHandle<String>>,
}

/// What a run with `--json` said, and its status.
pub struct Ended {
    pub line: String,
    pub status: Option<i32>,
    pub events: Vec<Value>,
    pub stderr: String,
}

impl Running {
    pub fn start(line: &str) -> Self {
        let line = format!("{line} --json");
        let mut child = start(&line);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut errors = child.stderr.take().unwrap();
        let (tell, lines) = mpsc::channel();
        // Until its end, or that of the test.
        std::thread::spawn(move || stdout.lines().try_for_each(|line| tell.send(line.unwrap())));
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            errors.read_to_string(&mut text).unwrap();
            text
        });
        Self { line, child, lines, seen: Vec::new(), stderr: Some(stderr) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn so_far(&mut self) -> &[Value] {
        self.seen.extend(self.lines.try_iter().map(|line| json_line(&line)));
        &self.seen
    }

    /// Takes further events until one makes it so.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(json_line(&line)),
                Err(error) => panic!("{error}, and not yet: {what}: {}", self.last_words()),
            }
            if self.seen.last().is_some_and(&mut is_so) {
                return;
            }
        }
    }

    /// Takes further events until the first of that name.
    #[track_caller]
    pub fn until_event(&mut self, name: &str) {
        self.until(name, |event| event["event"] == name);
    }

    /// The next event.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        self.until("another event", |_| true);
        self.seen.last().cloned().unwrap_or_default()
    }

    fn last_words(&self) -> String {
        let last = self.seen.iter().skip(self.seen.len().saturating_sub(100));
        last.fold(format!("flux {}", self.line), |text, event| format!("{text}\n{event}"))
    }

    /// Says stop, as Ctrl-C does, and waits for the end.
    #[track_caller]
    pub fn interrupt(self) -> Ended {
        signal(&self.child, libc::SIGINT);
        self.end()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(json_line(&line)),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(error) => panic!("{error}, and it has not ended: {}", self.last_words()),
            }
        }
        let status = self.child.wait().unwrap().code();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        let events = std::mem::take(&mut self.seen);
        let ended = Ended { line: std::mem::take(&mut self.line), status, events, stderr };
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        ended
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub fn kill(self) {}
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Runs `flux … --json` to its end.
    #[track_caller]
    pub fn of_line(line: &str) -> Self {
        Running::start(line).end()
    }

    /// The events of one name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == name)
    }

    /// The first event of one name.
    #[track_caller]
    pub fn first(&self, name: &str) -> &Value {
        let first = self.events.iter().find(|event| event["event"] == name);
        first.unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(to, "flux {} gave {:?}", self.line, self.status)?;
        self.events.iter().try_for_each(|event| writeln!(to, "{event}"))?;
        to.write_str(&self.stderr)
    }
}
