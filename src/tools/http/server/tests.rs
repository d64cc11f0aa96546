//! What clients get, however other clients behave.

use super::super::request::{DEADLINE, FIELDS, HEAD};
use super::*;
use crate::tools::http::{bind, parse_address};
use std::io::{Read, Write};
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// How long to wait for an answer that must come.
const PATIENCE: Duration = Duration::from_secs(60);
const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server whose metrics are how often they were asked for.
fn counting() -> Server {
    let scrapes = AtomicU64::new(0);
    start(move || Ok(format!("scrapes_total {}\n", scrapes.fetch_add(1, Relaxed) + 1)))
}

fn start(render: impl FnMut() -> std::result::Result<String, String> + Send + 'static) -> Server {
    serve(bind(parse_address("0").unwrap()).unwrap(), render).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes back for `bytes`.
fn request(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The metrics, and how long they took.
fn scrape(server: &Server) -> (String, Duration) {
    let start = Instant::now();
    let answer = request(server, GET);
    let took = start.elapsed();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert!(head.ends_with("Connection: close"), "{head}");
    (body.to_owned(), took)
}

/// Whether the server closed a connection; it waits until it did.
fn closed(mut stream: TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0) | Err(_))
}

fn open(server: &Server) -> usize {
    server.shared.connections().open.len()
}

#[test]
fn each_scrape_is_rendered_once() {
    let server = counting();
    for nth in 1..=3 {
        assert_eq!(scrape(&server).0, format!("scrapes_total {nth}\n"));
    }
}

#[test]
fn ten_silent_connections_do_not_delay_a_scrape() {
    let server = counting();
    let median = |server: &Server| {
        let mut took: Vec<Duration> = (0..9).map(|_| scrape(server).1).collect();
        took.sort_unstable();
        took[4]
    };
    let alone = median(&server);
    let silent: Vec<TcpStream> = (0..10).map(|_| connect(&server)).collect();
    let beside = median(&server);
    // With one connection at a time it was ten deadlines: 20 s.
    assert!(beside < alone + Duration::from_millis(100), "{alone:?} alone, {beside:?} beside");
    assert!(silent.into_iter().all(closed), "a silent one is closed at its deadline");
    assert_eq!(scrape(&server).0, "scrapes_total 19\n", "none was rendered for a silent one");
}

#[test]
fn half_a_request_and_a_slow_one_hold_up_nobody() {
    let server = counting();
    let mut half = connect(&server);
    half.write_all(b"GET /met").unwrap();
    let mut slow = connect(&server);
    let (begin, end) = GET.split_at(GET.len() - 4);
    // Byte by byte, with somebody else's whole scrape in between each.
    for byte in begin {
        slow.write_all(&[*byte]).unwrap();
        scrape(&server);
    }
    // In time or too late, as this machine has it: the others were answered.
    let _ = slow.write_all(end);
    let mut answer = String::new();
    let _ = slow.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(closed(half));
    // Gone without a word.
    let mut gone = connect(&server);
    gone.write_all(b"GET /met").unwrap();
    drop(gone);
    scrape(&server);
}

#[test]
fn a_client_that_never_reads_is_given_up_and_holds_up_nobody() {
    // More than the buffers of both sockets hold.
    let server = start(|| Ok("x".repeat(64 << 20)));
    let mut deaf = connect(&server);
    deaf.write_all(GET).unwrap();
    assert_eq!(scrape(&server).0.len(), 64 << 20);
    let shared = &server.shared;
    let (connections, waited) = shared
        .ended
        .wait_timeout_while(shared.connections(), PATIENCE, |all| !all.open.is_empty())
        .unwrap();
    drop(connections);
    assert!(!waited.timed_out(), "its deadline of {DEADLINE:?} does not end it");
    let mut some = Vec::new();
    let _ = deaf.read_to_end(&mut some);
    assert!(some.starts_with(b"HTTP/1.1 200 OK") && some.len() < 64 << 20);
}

#[test]
fn of_too_many_connections_the_oldest_goes() {
    let server = counting();
    let silent: Vec<TcpStream> = (0..MOST + 8).map(|_| connect(&server)).collect();
    // The last of them were accepted once a later one is answered.
    scrape(&server);
    assert!(open(&server) <= MOST);
    let start = Instant::now();
    let mut silent = silent.into_iter();
    assert!(silent.by_ref().take(8).all(closed));
    // They went long before their deadline, unless this machine is very busy.
    assert!(start.elapsed() < DEADLINE * 10);
    assert!(silent.all(closed));
}

#[test]
fn scrapes_at_once_are_all_answered_one_after_another() {
    let inside = Arc::new(AtomicBool::new(false));
    let server = start(move || {
        assert!(!inside.swap(true, Relaxed), "two at once");
        std::thread::yield_now();
        inside.store(false, Relaxed);
        Ok("up 1\n".to_owned())
    });
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..MOST).map(|_| scope.spawn(|| scrape(&server).0)).collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), "up 1\n");
        }
    });
}

#[test]
fn all_but_get_metrics_is_refused_and_serving_goes_on() {
    let server = counting();
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n", "y".repeat(2 * HEAD));
    let fields = "X: y\r\n".repeat(FIELDS + 1);
    let fields = format!("GET /metrics HTTP/1.1\r\n{fields}\r\n");
    let table: [(&[u8], &str); 8] = [
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"GET /metrics/x HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST / HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", "405 Method Not Allowed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400 Bad Request"),
        (b"GET /metrics\r\n\r\n", "400 Bad Request"),
        (long.as_bytes(), "431 Request"),
        (fields.as_bytes(), "431 Request"),
    ];
    for (bytes, status) in table {
        let answer = request(&server, bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
        assert!(answer.contains("Connection: close"), "{answer}");
        assert_eq!(answer.contains("Allow: GET, HEAD\r\n"), status.starts_with("405"), "{answer}");
    }
    assert!(request(&server, b"GET /metrics?x=y HTTP/1.0\r\n\r\n").contains(" 200 OK"));
    assert_eq!(scrape(&server).0, "scrapes_total 2\n", "what is refused is not rendered");
}

#[test]
fn head_gets_no_body() {
    let server = counting();
    let answer = request(&server, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n") && answer.contains("version=0.0.4"), "{answer}");
    let answer = request(&server, b"HEAD / HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(scrape(&server).0, "scrapes_total 1\n");
}

#[test]
fn what_cannot_be_rendered_is_an_answer_and_a_panic_is_the_end_of_one_connection() {
    let mut scrapes = 0;
    let server = start(move || {
        scrapes += 1;
        match scrapes {
            1 => Err("this one was to fail".to_owned()),
            2 => std::panic::resume_unwind(Box::new("quietly")),
            _ => Ok("up 1\n".to_owned()),
        }
    });
    let answer = request(&server, GET);
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("was to fail"), "{answer}");
    assert_eq!(request(&server, GET), "");
    assert_eq!(scrape(&server).0, "up 1\n");
}

#[test]
fn when_it_is_dropped_its_connections_are_closed_and_its_port_is_free() {
    for text in ["0", ":0", "[::]:0"] {
        // A machine without IPv6 has no such address.
        let Ok(listener) = bind(parse_address(text).unwrap()) else { continue };
        let server = serve(listener, || Ok(String::new())).unwrap();
        let port = server.address().port();
        let silent = TcpStream::connect(("localhost", port));
        drop(server);
        if let Ok(stream) = silent {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert!(closed(stream));
        }
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "{text}");
    }
}
