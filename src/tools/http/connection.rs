//! One connection: its request, by a deadline, and the answer.

use super::request::{self, BUSY, HEAD, Request};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// Longest time from accepting a request to its last byte, and again for the answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// How long what follows a refused request is read, so that the answer is not lost to a reset.
const DRAIN: Duration = Duration::from_millis(100);
/// Most of an answer that is sent before the other clients have their turn.
const CHUNK: usize = 256 << 10;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its request is yet to come, or to end.
    Reads,
    /// It waits for the metrics.
    Waits,
    /// It is sent its answer.
    Writes,
    /// It has its answer; what it still sends is read, and forgotten.
    Drains,
}

/// A client. Its stream does not block.
pub(super) struct Connection {
    pub(super) number: u64,
    stream: TcpStream,
    phase: Phase,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Of the output, what was sent.
    sent: usize,
    /// The request was refused: more of it may come.
    refused: bool,
    /// When it last sent something of its request, or was accepted.
    pub(super) heard: Instant,
    /// When the connection ends. None while it waits for the metrics.
    pub(super) deadline: Option<Instant>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, number: u64) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let now = Instant::now();
        Ok(Self {
            number,
            stream,
            phase: Phase::Reads,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            refused: false,
            heard: now,
            deadline: Some(now + DEADLINE),
        })
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// What to poll for. That the client is gone is reported in any case.
    pub(super) fn interest(&self) -> libc::c_short {
        match self.phase {
            Phase::Reads | Phase::Drains => libc::POLLIN,
            Phase::Waits => 0,
            Phase::Writes => libc::POLLOUT,
        }
    }

    /// Whether nothing is owed to it: it has sent no whole request, or has its answer.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.phase, Phase::Reads | Phase::Drains)
    }

    /// Whether it waits for the metrics.
    pub(super) fn waits(&self) -> bool {
        self.phase == Phase::Waits
    }

    /// Goes on as far as it goes without waiting. Metrics are refused where the server is `busy`.
    /// False: the connection ends.
    pub(super) fn turn(&mut self, busy: bool) -> bool {
        let goes_on = match self.phase {
            Phase::Reads => self.read(busy),
            Phase::Waits => Ok(false), // it went away
            Phase::Writes => self.write(),
            Phase::Drains => self.drain(),
        };
        goes_on.unwrap_or_else(|error| {
            matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        })
    }

    /// Begins to send the metrics. False: the connection ends.
    pub(super) fn answer(&mut self, metrics: Result<String, String>) -> bool {
        self.send(request::answer(metrics));
        self.turn(false)
    }

    fn read(&mut self, busy: bool) -> io::Result<bool> {
        loop {
            let mut some = [0; 1024];
            let room = some.len().min(HEAD - self.input.len());
            let read = self.stream.read(&mut some[..room])?;
            if read == 0 {
                return Ok(false);
            }
            self.heard = Instant::now();
            self.input.extend_from_slice(&some[..read]);
            let Some(request) = request::request(&self.input) else { continue };
            self.input = Vec::new();
            match request {
                Request::Metrics if busy => self.refuse(&BUSY),
                Request::Metrics => {
                    (self.phase, self.deadline) = (Phase::Waits, None);
                    return Ok(true);
                }
                Request::Head => self.send(request::answer_head()),
                Request::Refused(refusal) => self.refuse(&refusal),
            }
            return self.write();
        }
    }

    fn refuse(&mut self, refusal: &request::Refusal) {
        self.refused = true;
        self.send(request::refuse(refusal));
    }

    fn send(&mut self, output: Vec<u8>) {
        (self.phase, self.output, self.sent) = (Phase::Writes, output, 0);
        self.deadline = Some(Instant::now() + DEADLINE);
    }

    fn write(&mut self) -> io::Result<bool> {
        // A client that took nothing for all its time gets no more, also if it would now.
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(false);
        }
        let end = self.output.len().min(self.sent + CHUNK);
        self.sent += self.stream.write(&self.output[self.sent..end])?;
        if self.sent < self.output.len() {
            return Ok(true);
        }
        if self.refused {
            self.stream.shutdown(Shutdown::Write)?;
            (self.phase, self.output) = (Phase::Drains, Vec::new());
            self.deadline = Some(Instant::now() + DRAIN);
        }
        Ok(self.refused)
    }

    /// Closing with unread bytes would reset the connection, and take the answer with it.
    fn drain(&mut self) -> io::Result<bool> {
        Ok(self.stream.read(&mut [0; 4096])? > 0)
    }
}
