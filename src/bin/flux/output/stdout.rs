//! Standard output: buffered, flushed when somebody may be waiting for it.

use crate::failure::Failure;
use fluxnet::tools::json_line::JsonLine;
use serde::Serialize;
use std::io::{BufWriter, ErrorKind, Write};
use std::time::{Duration, Instant};

/// Longest time that output stays in the buffer while events come.
const AT_MOST: Duration = Duration::from_millis(100);

/// When buffered output is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// After every event.
    Event,
    /// At the first event after 100 ms: for runs with so many events that a write each would
    /// disturb what is measured.
    Timed,
}

/// Standard output.
pub struct Stdout {
    inner: BufWriter<std::io::Stdout>,
    policy: FlushPolicy,
    flushed: Instant,
    json: JsonLine,
}

impl Stdout {
    /// Standard output, flushed after every event. As long as no command is known, JSON names
    /// `flux`.
    pub fn new() -> Self {
        let inner = BufWriter::with_capacity(1 << 16, std::io::stdout());
        let json = JsonLine::new("flux");
        Self { inner, policy: FlushPolicy::Event, flushed: Instant::now(), json }
    }

    /// Names the command in every line of JSON.
    pub fn set_command(&mut self, command: &str) {
        self.json = JsonLine::new(command);
    }

    /// Chooses when to flush.
    pub fn set_flush_policy(&mut self, policy: FlushPolicy) {
        self.policy = policy;
    }

    /// Writes text as it is.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.inner.write_all(bytes).map_err(|error| failure(&error))
    }

    /// Writes `event` as one line of JSON, with what every object has.
    pub fn json(&mut self, event: &impl Serialize) -> Result<(), Failure> {
        let line = self.json.of(event).map_err(|error| failure(&error.into()))?;
        self.inner.write_all(line).map_err(|error| failure(&error))
    }

    /// An event is complete: flushes if the policy says so.
    pub fn event_done(&mut self) -> Result<(), Failure> {
        if self.policy == FlushPolicy::Event || self.flushed.elapsed() >= AT_MOST {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands everything on.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.flushed = Instant::now();
        self.inner.flush().map_err(|error| failure(&error))
    }
}

fn failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::io("cannot write to standard output", error),
    }
}
