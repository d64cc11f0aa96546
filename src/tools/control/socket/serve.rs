//! The server: one thread that polls the socket and its clients.

use super::claim::Claim;
use super::connection::{Asks, Connection};
use super::directory::Directory;
use super::request::{Object, Request, error_object, line, refuse, unknown};
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::sys::poll::{Woken, entry, pause, poll};
use crate::sys::process;
use crate::tools::control::Control;
use crate::tools::json_line::SCHEMA;
use serde_json::Value;
use std::io::{self, PipeReader, PipeWriter, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Pause after the system refused a connection, for it to have room again.
const REFUSED: Duration = Duration::from_millis(50);

/// What a command answers. It is called on the server's thread, and other clients wait for it; they
/// are not expected to send or read meanwhile.
///
/// Its keys stand beside those that all answers of the request have. These win: a handler cannot
/// change `event`, `command` and `instance`, nor what the server itself says in `status`.
pub trait Handler: Send {
    /// The command's own requests.
    fn requests(&self) -> &[&str] {
        &[]
    }

    /// What the command does at the moment: the keys of `status` besides those that all have.
    fn status(&mut self) -> Object;

    /// Reads rules and configuration again, or asks the run to ([`Control::ask_reload`]).
    ///
    /// # Errors
    /// What is wrong with them. By default: there is nothing to reload.
    fn reload(&mut self) -> Result<Object> {
        Err(refuse("this command has nothing to reload").with_hint("stop it and start it anew"))
    }

    /// Answers one of [`requests`](Self::requests).
    ///
    /// # Errors
    /// Why it cannot be done.
    fn answer(&mut self, request: &Request) -> Result<Object> {
        Err(refuse(format!("there is no request \"{}\"", request.name)))
    }
}

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one may take for a request, and to read an answer. The time that the handler takes
    /// does not count.
    pub silence: Duration,
    /// How many there may be. With one more, the one that has been silent longest goes.
    pub clients: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { silence: Duration::from_secs(10), clients: 32 }
    }
}

/// Serves the socket of an instance until it is dropped.
pub struct Server {
    path: PathBuf,
    /// Closed to end the thread.
    wake: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Takes the socket of `command` and `instance` in `directory`, and serves it on a thread of its
    /// own. The request `stop` stops `control`.
    ///
    /// # Errors
    /// When another process has the socket, or it cannot be made.
    pub fn start(
        directory: &Directory,
        (command, instance): (&'static str, &str),
        control: Arc<Control>,
        limits: Limits,
        handler: impl Handler + 'static,
    ) -> Result<Self> {
        let claim = Claim::new(directory, command, instance)?;
        let path = claim.path().to_owned();
        let failed = |error: io::Error| {
            let what = format!("cannot serve control socket {}", path.display());
            FluxError::new(ErrorKind::System, what, errno_text(&error)).with_source(error)
        };
        let (asleep, wake) = pipe().map_err(failed)?;
        let (instance, started) = (instance.to_owned(), Instant::now());
        let busy = Duration::ZERO;
        let desk = Desk { command, instance, control, started, busy, stop: false, handler };
        let service = Service { claim, asleep, limits, clients: Vec::new(), rests: false, desk };
        let thread = Builder::new().name("flux-control".into());
        let thread = thread.spawn(|| service.run()).map_err(failed)?;
        Ok(Self { path, wake: Some(wake), thread: Some(thread) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.wake.take());
        let _ = self.thread.take().map(JoinHandle::join); // nothing is left to be done about a panic
    }
}

/// What the thread has.
struct Service<H> {
    claim: Claim,
    asleep: PipeReader,
    limits: Limits,
    clients: Vec<Connection>,
    /// No connection is accepted for a moment.
    rests: bool,
    desk: Desk<H>,
}

impl<H: Handler> Service<H> {
    fn run(mut self) {
        loop {
            let accepts = if self.rests { 0 } else { libc::POLLIN };
            let mut entries = vec![
                entry(self.asleep.as_raw_fd(), libc::POLLIN),
                entry(self.claim.listener.as_raw_fd(), accepts),
            ];
            let clients =
                self.clients.iter().map(|client| entry(client.raw_fd(), client.interest()));
            entries.extend(clients);
            let woken = poll(&mut entries, self.patience());
            if woken.is_err() {
                pause(REFUSED); // out of memory: it may come back
            }
            self.rests = false;
            if matches!(woken, Ok(Woken::Ready)) {
                if entries[0].revents != 0 {
                    return;
                }
                // Before any expires: what has come by now counts.
                let ready: Vec<_> = entries[2..].iter().map(|entry| entry.revents != 0).collect();
                self.turns(&ready);
                if entries[1].revents != 0 {
                    self.accept();
                }
            }
            self.expire();
        }
    }

    /// How long to sleep.
    fn patience(&self) -> Option<Duration> {
        let next = self.clients.iter().map(|client| client.deadline).min();
        let patience = next.map(|next| next.saturating_duration_since(Instant::now()));
        if self.rests { Some(patience.map_or(REFUSED, |time| time.min(REFUSED))) } else { patience }
    }

    fn turns(&mut self, ready: &[bool]) {
        let silence = self.limits.silence;
        let mut at = 0;
        for &is_ready in ready {
            let (client, desk) = (&mut self.clients[at], &mut self.desk);
            let goes_on = !is_ready || client.turn(silence, &mut |asks| desk.answer(asks));
            // Only now: the answer to `stop` is on its way before the command ends.
            desk.stop_if_asked();
            // The others were silent because they were not served. The deadline of this one is new.
            let busy = std::mem::take(&mut desk.busy);
            let others = self.clients.iter_mut().enumerate().filter(|(other, _)| *other != at);
            others.for_each(|(_, other)| other.deadline += busy);
            if goes_on {
                at += 1;
            } else {
                self.clients.remove(at);
            }
        }
    }

    fn accept(&mut self) {
        match self.claim.listener.accept() {
            Ok((stream, _)) if is_ours(&stream) => {
                let deadline = Instant::now() + self.limits.silence;
                if let Ok(client) = Connection::new(stream, deadline) {
                    self.clients.push(client);
                }
                if self.clients.len() > self.limits.clients {
                    // All have the same time, so the first deadline is the longest silence.
                    let clients = self.clients.iter().enumerate();
                    let silent = clients.min_by_key(|(_, client)| client.deadline);
                    if let Some((at, _)) = silent {
                        self.expel(at, "there are too many connections");
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
                self.rests = !matches!(error.kind(), ConnectionAborted | Interrupted | WouldBlock);
            }
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(at) = self.clients.iter().position(|client| client.deadline <= now) {
            self.expel(at, "no whole request came in time");
        }
    }

    fn expel(&mut self, at: usize, why: &'static str) {
        let desk = &mut self.desk;
        self.clients.remove(at).expel(why, &mut |asks| desk.answer(asks));
    }
}

/// The rights of the file say so already, but for the moment in which it is made.
fn is_ours(stream: &UnixStream) -> bool {
    let user = process::user();
    process::peer(stream).is_ok_and(|peer| peer.user == user || peer.user == 0)
}

/// What answers.
struct Desk<H> {
    command: &'static str,
    instance: String,
    control: Arc<Control>,
    started: Instant,
    /// What the handler took since it was last asked for.
    busy: Duration,
    /// The command is to be stopped.
    stop: bool,
    handler: H,
}

impl<H: Handler> Desk<H> {
    fn answer(&mut self, asks: Asks<'_>) -> Vec<u8> {
        let answer = match asks {
            Asks::Refuse(why) => Err(refuse(why).with_hint("send one JSON object a line")),
            Asks::Line(line) => Request::parse(line).and_then(|request| self.answer_to(&request)),
        };
        line(&answer.unwrap_or_else(|error| error_object(self.command, &error)))
    }

    fn answer_to(&mut self, request: &Request) -> Result<Object> {
        let handler = &mut self.handler;
        let before = Instant::now();
        // A fault of the handler ends its answer, not the command.
        let told = catch_unwind(AssertUnwindSafe(|| match request.name.as_str() {
            "status" => Ok(handler.status()),
            "reload" => handler.reload(),
            "stop" => Ok(Object::new()),
            name if handler.requests().contains(&name) => handler.answer(request),
            name => Err(unknown(name, handler.requests())),
        }));
        self.busy += before.elapsed();
        let hint = "report it, with what was asked";
        let told = told.unwrap_or_else(|_| Err(refuse("its handler failed").with_hint(hint)));
        let mut object = told?;
        object.insert("event".into(), request.name.as_str().into());
        object.insert("command".into(), self.command.into());
        object.insert("instance".into(), self.instance.as_str().into());
        match request.name.as_str() {
            "status" => {
                object.insert("version".into(), env!("CARGO_PKG_VERSION").into());
                object.insert("schema".into(), SCHEMA.into());
                object.insert("process".into(), std::process::id().into());
                let elapsed = self.started.elapsed().as_secs_f64();
                object.insert("elapsed_s".into(), Value::from(elapsed));
            }
            "stop" => self.stop = true,
            _ => {}
        }
        Ok(object)
    }

    fn stop_if_asked(&mut self) {
        if std::mem::take(&mut self.stop) {
            self.control.stop();
        }
    }
}
