//! [`serve`]: the thread that accepts, and one for each connection.

use super::request::{self, Request};
use crate::error::{ErrorKind, FluxError, Result};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Most connections at once. The oldest is closed for one more.
pub(super) const MOST: usize = 32;
/// Most threads: those of connections that were closed have yet to notice.
const THREADS: usize = 2 * MOST;
/// Longest wait for something to be free again, after the system refused a connection.
const REFUSED: Duration = Duration::from_millis(50);
/// Longest time for a connection to ourselves.
const WAKE: Duration = Duration::from_millis(100);

/// Makes the text of the metrics, or says why it cannot.
type Render = dyn FnMut() -> std::result::Result<String, String> + Send;

/// A server that runs as long as this lives.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    /// One scrape at a time.
    render: Mutex<Box<Render>>,
    connections: Mutex<Connections>,
    /// A connection has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Connections {
    /// Number of the next one.
    next: u64,
    /// Oldest first, with a second handle to close it by.
    open: VecDeque<(u64, TcpStream)>,
    threads: usize,
}

/// Serves `GET /metrics` on `listener` by what `render` returns, which is called by one thread of
/// the server at a time.
///
/// # Errors
/// When the system has no thread, or does not say what the address is.
pub fn serve(
    listener: TcpListener,
    render: impl FnMut() -> std::result::Result<String, String> + Send + 'static,
) -> Result<Server> {
    let failed = |error: io::Error| {
        FluxError::new(ErrorKind::System, "cannot serve metrics", error.to_string())
    };
    let address = listener.local_addr().map_err(failed)?;
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        render: Mutex::new(Box::new(render)),
        connections: Mutex::default(),
        ended: Condvar::new(),
    });
    let accepts = Arc::clone(&shared);
    let acceptor = Builder::new().name("metrics".into());
    let acceptor = acceptor.spawn(move || accept(&listener, &accepts)).map_err(failed)?;
    Ok(Server { address, shared, acceptor: Some(acceptor) })
}

impl Server {
    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Relaxed: whatever is read after it is behind a lock, or the connection that wakes.
        self.shared.stop.store(true, Relaxed);
        let mut to = self.address;
        if to.ip().is_unspecified() {
            to.set_ip(match to.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let woken = TcpStream::connect_timeout(&to, WAKE).is_ok();
        // Where nobody can connect, it may sleep on until the process ends.
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
        for (_, stream) in &self.shared.connections().open {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.load(Relaxed) {
        match listener.accept() {
            Ok(_) if shared.stop.load(Relaxed) => {}
            Ok((stream, _)) => shared.admit(stream),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Out of descriptors or memory: until a connection ends, or somebody else's does.
            Err(_) => drop(shared.ended.wait_timeout(shared.connections(), REFUSED)),
        }
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection a thread, where there is room; the oldest goes for it.
    fn admit(self: &Arc<Self>, stream: TcpStream) {
        let Ok(second) = stream.try_clone() else { return };
        let mut connections = self.connections();
        if connections.threads == THREADS {
            return;
        }
        if connections.open.len() == MOST
            && let Some((_, oldest)) = connections.open.pop_front()
        {
            let _ = oldest.shutdown(Shutdown::Both);
        }
        let number = connections.next;
        connections.next += 1;
        connections.threads += 1;
        connections.open.push_back((number, second));
        drop(connections);
        let place = Place { number, shared: Arc::clone(self) };
        // Where there is no thread the place is given back at once, and the connection closed.
        let thread = Builder::new().name(format!("metrics-{number}"));
        let _ = thread.spawn(move || place.talk(stream));
    }
}

/// A connection's place among the open ones, given back when this is dropped.
struct Place {
    number: u64,
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.shared.connections();
        connections.open.retain(|(number, _)| *number != self.number);
        connections.threads -= 1;
        drop(connections);
        self.shared.ended.notify_all();
    }
}

impl Place {
    /// Reads a request and answers it. A client that went away, is too slow or does not take the
    /// answer has lost it.
    fn talk(&self, mut stream: TcpStream) {
        let _ = match request::read(&mut stream) {
            Ok(Some(Request::Metrics)) => match self.render() {
                Some(metrics) => request::answer(&mut stream, metrics),
                None => Ok(()),
            },
            Ok(Some(Request::Head)) => request::answer_head(&mut stream),
            Ok(Some(Request::Refused(refusal))) => request::refuse(&mut stream, &refusal),
            Ok(None) | Err(_) => Ok(()),
        };
        // The second handle keeps the connection open until the place is given back.
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// The metrics, when it is our turn; `None` when nobody waits for them any more.
    fn render(&self) -> Option<std::result::Result<String, String>> {
        let mut render = self.shared.render.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.shared.connections().open.iter().any(|(number, _)| *number == self.number);
        if open { Some(render()) } else { None }
    }
}

#[cfg(test)]
mod tests;
