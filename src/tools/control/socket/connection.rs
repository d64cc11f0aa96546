//! One client: what it sent, and what waits to be sent to it.

use super::request::LONGEST;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What is read at a time.
const CHUNK: usize = 4096;

/// What a connection asks of its server.
pub(super) enum Asks<'a> {
    /// An answer to this line.
    Line(&'a [u8]),
    /// The error for a line without an end, and why.
    Refuse(&'static str),
}

/// Answers with a line.
pub(super) type Answers<'a> = dyn FnMut(Asks<'_>) -> Vec<u8> + 'a;

/// A client. Its stream does not block.
pub(super) struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Of the output, what was sent.
    sent: usize,
    /// By when it is to have sent a whole request, or taken its answer.
    pub(super) deadline: Instant,
    /// Nothing more is read from it.
    ends: bool,
    /// It has had an answer.
    answered: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, deadline: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (input, output) = (Vec::new(), Vec::new());
        Ok(Self { stream, input, output, sent: 0, deadline, ends: false, answered: false })
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// What to poll for: the next request is read once the last answer is gone.
    pub(super) fn interest(&self) -> libc::c_short {
        if self.sent < self.output.len() { libc::POLLOUT } else { libc::POLLIN }
    }

    /// Sends, reads and answers as far as it goes without waiting. False: the connection ends.
    ///
    /// It reads at most one request of full length and what came in one read behind it, so that the
    /// others have their turn. `silence` begins anew with an answer, and once it is sent.
    pub(super) fn turn(&mut self, silence: Duration, answer: &mut Answers<'_>) -> bool {
        let mut asked = false;
        loop {
            let sends = !self.output.is_empty();
            match self.flush() {
                Ok(true) if sends => self.deadline = Instant::now() + silence,
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false, // it went away
            }
            if self.ends {
                return false;
            }
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                let rest = self.input.split_off(end + 1);
                let line = std::mem::replace(&mut self.input, rest);
                self.put(answer(Asks::Line(&line[..end])));
                self.deadline = Instant::now() + silence;
                (asked, self.answered) = (true, true);
                continue;
            }
            if self.input.len() >= LONGEST {
                self.refuse("the request is longer than 64 KiB", answer);
                continue;
            }
            if asked {
                return true;
            }
            match self.read() {
                Ok(0) if self.input.is_empty() => return false,
                Ok(0) => self.refuse("the request does not end with a newline", answer),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Says why, and ends. What the socket has no room for is not sent. A client that had its answers and
    /// asks for nothing gets no line: it would take it for its next answer.
    pub(super) fn expel(mut self, why: &'static str, answer: &mut Answers<'_>) {
        let idle = self.answered && self.input.is_empty();
        if self.output.is_empty() && !idle {
            self.refuse(why, answer);
        }
        let _ = self.flush();
    }

    fn refuse(&mut self, why: &'static str, answer: &mut Answers<'_>) {
        self.put(answer(Asks::Refuse(why)));
        self.ends = true;
    }

    fn put(&mut self, output: Vec<u8>) {
        (self.output, self.sent) = (output, 0);
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut chunk = [0; CHUNK];
        let room = CHUNK.min(LONGEST - self.input.len());
        let read = self.stream.read(&mut chunk[..room])?;
        self.input.extend_from_slice(&chunk[..read]);
        Ok(read)
    }

    /// True: all of it is sent.
    fn flush(&mut self) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(true)
    }
}
