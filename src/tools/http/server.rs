//! [`serve`]: the thread that polls the listener and its clients.

use super::connection::Connection;
use super::renderer::{Renderer, Text};
use crate::error::{ErrorKind, FluxError, Result};
use crate::sys::poll::{Woken, entry, pause, poll};
use std::io::{self, PipeReader, PipeWriter, pipe};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Most silent connections for long: those that have sent no whole request. For one more the one
/// silent longest goes, once it has been for [`GRACE`].
pub(super) const MOST: usize = 32;
/// What a client has for its request, before it may go for others.
const GRACE: Duration = Duration::from_millis(100);
/// Most silent connections at any time: from here on the one silent longest goes at once. A process
/// may have 1024 descriptors by default, and the command needs some as well.
pub(super) const CROWD: usize = 256;
/// Most requests that wait for their answers, or are sent them. One more is refused.
pub(super) const WHOLE: usize = 64;
/// Most connections that are accepted before the others have their turn.
const BATCH: usize = 64;
/// Pause after the system refused a connection, where none of ours can go for it.
const REFUSED: Duration = Duration::from_millis(50);

/// A server that runs as long as this lives.
pub struct Server {
    address: SocketAddr,
    /// Closed to end the thread.
    wake: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// Serves `GET /metrics` on `listener` by what `render` returns, which is called for one request at
/// a time, on a thread of its own.
///
/// # Errors
/// When the system has no thread, or does not say what the address is.
pub fn serve(
    listener: TcpListener,
    render: impl FnMut() -> std::result::Result<String, String> + Send + 'static,
) -> Result<Server> {
    start(listener, render).map_err(|error| {
        FluxError::new(ErrorKind::System, "cannot serve metrics", error.to_string())
    })
}

fn start(
    listener: TcpListener,
    render: impl FnMut() -> Text + Send + 'static,
) -> io::Result<Server> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let (asleep, wake) = pipe()?;
    let renderer = Renderer::start(render)?;
    let clients = Vec::new();
    let service =
        Service { listener, asleep, renderer, clients, next: 0, renders: None, rests: false };
    let thread = Builder::new().name("metrics".into()).spawn(|| service.run())?;
    Ok(Server { address, wake: Some(wake), thread: Some(thread) })
}

impl Server {
    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    /// Closes the port and the connections. What `render` is at is not waited for: it may wait for
    /// the thread that is in here.
    fn drop(&mut self) {
        drop(self.wake.take());
        let _ = self.thread.take().map(JoinHandle::join); // nothing is left to be done about a panic
    }
}

/// What the thread has.
struct Service {
    listener: TcpListener,
    asleep: PipeReader,
    renderer: Renderer,
    /// In the order in which they were accepted.
    clients: Vec<Connection>,
    /// Number of the next one.
    next: u64,
    /// The one whose metrics are being made.
    renders: Option<u64>,
    /// No connection is accepted for a moment.
    rests: bool,
}

impl Service {
    fn run(mut self) {
        loop {
            let accepts = if self.rests { 0 } else { libc::POLLIN };
            let mut entries = vec![
                entry(self.asleep.as_raw_fd(), libc::POLLIN),
                self.renderer.entry(),
                entry(self.listener.as_raw_fd(), accepts),
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
                let ready: Vec<_> = entries[3..].iter().map(|entry| entry.revents != 0).collect();
                self.turns(&ready);
                if entries[1].revents != 0 && self.answer().is_err() {
                    return;
                }
                if entries[2].revents != 0 {
                    self.accept();
                }
            }
            let now = Instant::now();
            self.clients.retain(|client| client.deadline.is_none_or(|deadline| now < deadline));
            self.thin_out();
            self.render();
        }
    }

    /// How long to sleep.
    fn patience(&self) -> Option<Duration> {
        let deadline = self.clients.iter().filter_map(|client| client.deadline).min();
        let oldest = (self.silent() > MOST).then(|| self.silent_longest()).flatten();
        let grace = oldest.map(|at| self.clients[at].heard + GRACE);
        let next = deadline.into_iter().chain(grace).min();
        let patience = next.map(|next| next.saturating_duration_since(Instant::now()));
        if self.rests { Some(patience.map_or(REFUSED, |time| time.min(REFUSED))) } else { patience }
    }

    fn turns(&mut self, ready: &[bool]) {
        let mut whole = self.clients.len() - self.silent();
        let mut ready = ready.iter();
        self.clients.retain_mut(|client| {
            if !ready.next().is_some_and(|ready| *ready) {
                return true;
            }
            let goes_on = client.turn(whole >= WHOLE);
            whole += usize::from(client.waits());
            goes_on
        });
    }

    /// Has metrics made for the request that waits longest.
    fn render(&mut self) {
        if self.renders.is_none() {
            let waits = self.clients.iter().filter(|client| client.waits());
            self.renders = waits.min_by_key(|client| client.heard).map(|client| client.number);
            if self.renders.is_some() {
                self.renderer.ask();
            }
        }
    }

    /// Sends the metrics to the one they were made for, unless it went away.
    fn answer(&mut self) -> io::Result<()> {
        let text = self.renderer.take()?;
        let number = self.renders.take();
        let at = self.clients.iter().position(|client| Some(client.number) == number);
        if let Some(at) = at
            && !text.is_some_and(|text| self.clients[at].answer(text))
        {
            self.clients.remove(at);
        }
        Ok(())
    }

    fn accept(&mut self) {
        use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
        for _ in 0..BATCH {
            match self.listener.accept().and_then(|(stream, _)| Connection::new(stream, self.next))
            {
                Ok(client) => self.admit(client),
                Err(error) if error.kind() == WouldBlock => return,
                Err(error) if matches!(error.kind(), ConnectionAborted | Interrupted) => {}
                // Out of descriptors or memory. Half of the silent ones go, as what makes the
                // metrics needs descriptors, too.
                Err(_) => {
                    let half = self.silent().div_ceil(2);
                    (0..half).for_each(|_| self.evict());
                    if half == 0 {
                        self.rests = true;
                        return;
                    }
                }
            }
        }
    }

    /// Takes a client in. Most have sent their request by now: they are never among the silent.
    fn admit(&mut self, mut client: Connection) {
        self.next += 1;
        let whole = self.clients.len() - self.silent();
        if client.turn(whole >= WHOLE) {
            self.clients.push(client);
        }
        while self.silent() > CROWD {
            self.evict();
        }
    }

    fn silent(&self) -> usize {
        self.clients.iter().filter(|client| client.is_silent()).count()
    }

    fn silent_longest(&self) -> Option<usize> {
        let silent = self.clients.iter().enumerate().filter(|(_, client)| client.is_silent());
        silent.min_by_key(|(_, client)| client.heard).map(|(at, _)| at)
    }

    /// Closes silent connections that are too many, and have had their time.
    fn thin_out(&mut self) {
        while self.silent() > MOST
            && let Some(at) = self.silent_longest()
            && self.clients[at].heard.elapsed() >= GRACE
        {
            self.evict();
        }
    }

    /// Closes the connection that has been silent longest, unless its request is there by now.
    fn evict(&mut self) {
        let whole = self.clients.len() - self.silent();
        let Some(at) = self.silent_longest() else { return };
        let client = &mut self.clients[at];
        let heard = client.heard;
        let goes_on = client.turn(whole >= WHOLE);
        if !goes_on || client.is_silent() && client.heard == heard {
            self.clients.remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
