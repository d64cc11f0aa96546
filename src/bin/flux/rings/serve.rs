//! `--metrics`: an HTTP server that takes a look when it is asked for one.
//!
//! ```text
//!   run ─▶ pause ─▶ wait for GET /metrics ─┐
//!    ▲                                     ▼
//!    └──── sample ─▶ text ─▶ answer ◀── a look
//! ```
//!
//! One request at a time, each with a deadline: a slow client costs the next one that much, and
//! no more than one is ever held.

use super::metrics::Exporter;
use super::wait::Waiting;
use crate::failure::Failure;
use fluxnet::FluxError;
use fluxnet::error::ErrorKind;
use fluxnet::tools::Control;
use fluxnet::tools::rings::{Event, Observer, Plan, run};
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time from accepting a request to its last byte, and again for the answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longest request head.
const HEAD: usize = 8 << 10;
/// Most header fields.
const FIELDS: usize = 64;
/// How long what follows a refused request is read, so that the answer is not lost to a reset.
const DRAIN: Duration = Duration::from_millis(100);
/// Pause after the system refused a connection, for it to have something again.
const REFUSED: Duration = Duration::from_millis(50);
/// Content type of the format (Prometheus, exposition formats).
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Listens on `address`.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there: choose another port",
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            _ => "give an address of this machine and a free port",
        };
        Failure::io(format_args!("cannot serve metrics on {address}"), &error).with_hint(hint)
    })
}

/// A listening socket.
pub struct Server {
    listener: TcpListener,
    control: Arc<Control>,
}

impl Server {
    /// Serves on `listener` until `control` says stop and somebody connects.
    pub fn new(listener: TcpListener, control: Arc<Control>) -> Self {
        Self { listener, control }
    }

    /// Answers requests until one asks for metrics; `None` when it is time to stop.
    pub fn wait(&self) -> Option<TcpStream> {
        while !self.control.is_stopped() {
            match self.listener.accept() {
                Ok((stream, _)) if !self.control.is_stopped() => {
                    // A client that went away or sends rubbish is its own trouble.
                    if let Ok(Some(stream)) = take(stream) {
                        return Some(stream);
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => std::thread::sleep(REFUSED),
            }
        }
        None
    }
}

/// Connects to `listener`'s address, for one that waits in [`Server::wait`] to look up.
pub fn waker(listener: &TcpListener) -> io::Result<impl Fn() + Send + Sync + 'static> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(move || {
        // Where nobody can connect, nobody waits for a connection.
        let _ = TcpStream::connect_timeout(&address, DRAIN);
    })
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Metrics,
    /// To be refused with this status, body, and a header field if need be.
    Refused(&'static str, &'static str, &'static str),
}

const TOO_LONG: Asked =
    Asked::Refused("431 Request Header Fields Too Large", "the request is too long\n", "");

/// Reads a request; gives the connection back when it asks for metrics, else answers it.
fn take(mut stream: TcpStream) -> io::Result<Option<TcpStream>> {
    let deadline = Instant::now() + DEADLINE;
    let mut head = Vec::new();
    let asked = loop {
        if let Some(asked) = parse(&head) {
            break asked;
        }
        if head.len() >= HEAD {
            break TOO_LONG;
        }
        stream.set_read_timeout(Some(left(deadline)?))?;
        let mut some = [0; 1024];
        match stream.read(&mut some)? {
            0 => return Ok(None),
            read => head.extend_from_slice(&some[..read]),
        }
    };
    match asked {
        Asked::Metrics => Ok(Some(stream)),
        Asked::Refused(status, body, field) => {
            respond(&mut stream, status, PLAIN, field, body)?;
            drain(&mut stream)?;
            Ok(None)
        }
    }
}

/// What is left until `deadline`; an error when nothing is.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// `None`: more is to come.
fn parse(head: &[u8]) -> Option<Asked> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Some(TOO_LONG),
        Err(_) => return Some(Asked::Refused("400 Bad Request", "this is no HTTP\n", "")),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some(match (path, request.method) {
        ("/metrics", Some("GET")) => Asked::Metrics,
        ("/metrics", _) => {
            Asked::Refused("405 Method Not Allowed", "only GET is served\n", "Allow: GET\r\n")
        }
        _ => Asked::Refused("404 Not Found", "metrics are at /metrics\n", ""),
    })
}

fn respond(
    stream: &mut TcpStream,
    status: &str,
    content: &str,
    field: &str,
    body: &str,
) -> io::Result<()> {
    let mut all = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {}\r\n{field}\
         Connection: close\r\n\r\n",
        body.len()
    );
    all.push_str(body);
    let deadline = Instant::now() + DEADLINE;
    let mut rest = all.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.shutdown(Shutdown::Write)
}

/// Closing with unread bytes would reset the connection, and take the answer with it.
fn drain(stream: &mut TcpStream) -> io::Result<()> {
    let deadline = Instant::now() + DRAIN;
    let mut some = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        if stream.read(&mut some)? == 0 {
            return Ok(());
        }
    }
}

/// Serves until the server's control says stop. `told` gets the notes, for people.
pub fn serve(
    plan: &Plan,
    observer: &mut dyn Observer,
    simulated: bool,
    server: &Server,
    exporter: &mut Exporter,
    told: &mut dyn FnMut(&Event),
) -> Result<(), FluxError> {
    let pending = RefCell::new(None);
    let mut started = false;
    loop {
        let mut looked = Instant::now();
        let mut wait = |observer: &mut dyn Observer, _: Duration| {
            *pending.borrow_mut() = server.wait();
            let passed = looked.elapsed();
            looked = Instant::now();
            // Time has to be made to pass on a simulated machine.
            if simulated { observer.pause(passed) } else { Ok(()) }
        };
        let mut scraped = Waiting { observer: &mut *observer, wait: &mut wait };
        let result = run(plan, &mut scraped, &server.control, &mut |event| {
            if let Event::Sample(sample) = &event {
                started = true;
                answer(&pending, exporter.text(sample).map_err(|error| error.to_string()));
            }
            told(&event);
        });
        match result {
            Ok(_) => return Ok(()),
            Err(error) if !started => return Err(error),
            Err(error) => {
                answer(&pending, Err(error.to_string()));
                told(&Event::Note { text: error.to_string() });
            }
        }
        // The look after this one is the next client's.
        *pending.borrow_mut() = server.wait();
        if pending.borrow().is_none() {
            return Ok(());
        }
    }
}

/// Answers who waits, if somebody does.
fn answer(pending: &RefCell<Option<TcpStream>>, text: Result<String, String>) {
    let Some(mut stream) = pending.borrow_mut().take() else { return };
    // Whoever does not take the answer has lost it.
    let _ = match text {
        Ok(text) => respond(&mut stream, "200 OK", METRICS, "", &text),
        Err(error) => {
            respond(&mut stream, "500 Internal Server Error", PLAIN, "", &format!("{error}\n"))
        }
    };
}

/// The error for an address that cannot be told.
pub fn lost(error: &io::Error) -> FluxError {
    FluxError::new(ErrorKind::System, "cannot tell where metrics are served", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fake, NETNS};
    use super::super::metrics::tests::parsed;
    use super::*;
    use fluxnet::tools::rings::Selection;

    /// How long to wait for an answer that must come.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn request(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn scrape(address: SocketAddr) -> std::collections::HashMap<String, f64> {
        let answer = request(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        parsed(body)
    }

    /// Serves a made-up machine while `client` talks to it; how the server ended, and its notes.
    fn with_server(
        fake: Fake,
        client: impl FnOnce(SocketAddr),
    ) -> (Result<(), FluxError>, Vec<String>) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let wake = waker(&listener).unwrap();
        let control = Arc::new(Control::default());
        let server = Server::new(listener, Arc::clone(&control));
        let serving = std::thread::spawn(move || {
            let plan = Plan {
                select: Selection::default(),
                over: Duration::ZERO,
                every: Some(Duration::from_secs(1)),
                count: None,
            };
            let mut fake = fake;
            let mut notes = Vec::new();
            let mut told = |event: &Event| {
                if let Event::Note { text: note } = event {
                    notes.push(note.clone());
                }
            };
            let mut exporter = Exporter::new(Some(NETNS));
            let result = serve(&plan, &mut fake, true, &server, &mut exporter, &mut told);
            (result, notes)
        });
        client(address);
        control.stop();
        wake();
        serving.join().unwrap()
    }

    #[test]
    fn each_scrape_is_a_look_and_counters_rise_over_the_wrap() {
        let name = r#"flux_ring_produced_total{interface="fake0",queue="0",ring="rx"}"#;
        let (result, notes) = with_server(Fake::new(), |address| {
            let first = scrape(address);
            let info = r#"{interface="fake0",queue="0",comm="made \"up\"",mode="zerocopy"}"#;
            assert_eq!(first.get(&format!("flux_xsk_info{info}")), Some(&1.0), "{first:#?}");
            assert_eq!(first["flux_rings_incomplete"], 1.0);
            for step in 1..=3 {
                assert_eq!(scrape(address)[name], first[name] + 1000.0 * f64::from(step));
            }
            assert!(first[name] + 3000.0 > f64::from(u32::MAX));
        });
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(notes, ["a better source is not used: this one is made up"]);
    }

    #[test]
    fn all_but_get_metrics_is_refused_and_serving_goes_on() {
        let (result, _) = with_server(Fake::new(), |address| {
            let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n", "y".repeat(2 * HEAD));
            let fields = "X: y\r\n".repeat(FIELDS + 1);
            let fields = format!("GET /metrics HTTP/1.1\r\n{fields}\r\n");
            let table: [(&[u8], &str); 9] = [
                (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
                (b"GET /metrics/x HTTP/1.1\r\n\r\n", "404 Not Found"),
                (b"POST / HTTP/1.1\r\n\r\n", "404 Not Found"),
                (b"HEAD /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
                (b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", "405 Method"),
                (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400 Bad Request"),
                (b"GET /metrics\r\n\r\n", "400 Bad Request"),
                (long.as_bytes(), "431 Request"),
                (fields.as_bytes(), "431 Request"),
            ];
            for (bytes, status) in table {
                let answer = request(address, bytes);
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
                assert!(answer.contains("Connection: close"), "{answer}");
            }
            assert!(request(address, b"GET /metrics?x=y HTTP/1.0\r\n\r\n").contains(" 200 OK"));
            // In two pieces, and gone without a word.
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /met").unwrap();
            drop(stream);
            assert!(!scrape(address).is_empty());
        });
        assert!(result.is_ok(), "{result:?}");
    }

    #[test]
    fn a_client_that_says_nothing_holds_the_next_one_up_no_longer_than_the_deadline() {
        let (result, _) = with_server(Fake::new(), |address| {
            let start = Instant::now();
            let mut silent = TcpStream::connect(address).unwrap();
            // Answered while the silent one still says nothing: it was given up at its deadline.
            assert!(!scrape(address).is_empty());
            assert!(start.elapsed() >= DEADLINE, "{:?}", start.elapsed());
            silent.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(silent.read(&mut [0]).unwrap(), 0, "it was told");
        });
        assert!(result.is_ok(), "{result:?}");
    }

    #[test]
    fn a_look_that_fails_is_an_answer_and_not_the_end() {
        let fake = Fake { fails_at: Some(3), ..Fake::new() };
        let (result, notes) = with_server(fake, |address| {
            assert!(!scrape(address).is_empty());
            let answer = request(address, b"GET /metrics HTTP/1.1\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
            assert!(answer.contains("this look was to fail"), "{answer}");
            assert!(!scrape(address).is_empty());
        });
        assert!(result.is_ok(), "{result:?}");
        assert!(notes.iter().any(|note| note.contains("this look was to fail")), "{notes:?}");
    }

    #[test]
    fn a_machine_that_cannot_be_looked_at_is_an_error_at_once() {
        let fake = Fake { fails_at: Some(1), ..Fake::new() };
        let (result, _) = with_server(fake, |_| {});
        assert!(result.is_err_and(|error| error.to_string().contains("cannot look")));
    }

    #[test]
    fn an_address_in_use_says_so() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let Err(Failure::Error { error, hint }) = bind(address) else { panic!("bound twice") };
        assert!(error.contains(&address.to_string()) && error.contains("in use"), "{error}");
        assert!(hint.is_some_and(|hint| hint.contains("another port")));
    }
}
