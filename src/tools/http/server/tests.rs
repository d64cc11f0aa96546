//! What clients get, however other clients behave.

use super::super::connection::DEADLINE;
use super::super::request::{FIELDS, HEAD};
use super::*;
use crate::tools::http::{bind, parse_address};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;

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
    connect_to(server.address())
}

fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes back for `bytes`.
fn request(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(bytes).unwrap();
    all(stream)
}

/// All that comes.
fn all(mut stream: TcpStream) -> String {
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
    // It was answered first, so its time was up first: reading now is too late.
    std::thread::sleep(DEADLINE);
    let mut some = Vec::new();
    let _ = deaf.read_to_end(&mut some);
    assert!(some.starts_with(b"HTTP/1.1 200 OK") && some.len() < 64 << 20);
}

#[test]
fn of_too_many_silent_connections_the_one_silent_longest_goes() {
    let server = counting();
    let mut silent: Vec<TcpStream> = (0..MOST + 8).map(|_| connect(&server)).collect();
    // The last of them were accepted once a later one is answered.
    scrape(&server);
    // The oldest says something, and is not the one silent longest any more.
    let mut talks = silent.remove(0);
    talks.write_all(&GET[..4]).unwrap();
    let start = Instant::now();
    let mut silent = silent.into_iter();
    assert!(silent.by_ref().take(8).all(closed));
    // They went long before their deadline, unless this machine is very busy.
    if start.elapsed() < DEADLINE / 2 {
        talks.write_all(&GET[4..]).unwrap();
        assert!(all(talks).starts_with("HTTP/1.1 200 OK"));
    }
    assert!(start.elapsed() < DEADLINE * 10);
    assert!(silent.all(closed));
}

#[test]
fn a_scrape_after_a_crowd_of_silent_connections_is_answered() {
    let server = counting();
    let silent: Vec<TcpStream> = (0..210).map(|_| connect(&server)).collect();
    assert_eq!(scrape(&server).0, "scrapes_total 1\n");
    // One that is slower than they were connects before they go, and has its time.
    let mut slow = connect(&server);
    let start = Instant::now();
    std::thread::sleep(GRACE / 2);
    slow.write_all(GET).unwrap();
    let answer = all(slow);
    // It is one of the newest, so it stays for all its time, unless this machine is very busy.
    if start.elapsed() < DEADLINE / 2 {
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    assert!(silent.into_iter().all(closed));
}

#[test]
fn every_scrape_beside_a_flood_of_silent_connections_is_answered() {
    const FLOOD: u64 = 10_000;
    let server = counting();
    let (ends, opened) = (AtomicBool::new(false), AtomicU64::new(0));
    let flood = || {
        let mut held = VecDeque::new();
        while opened.fetch_add(1, Relaxed) < FLOOD && !ends.load(Relaxed) {
            // The machine may have no port any more.
            let Ok(stream) = TcpStream::connect(server.address()) else { break };
            held.push_back(stream);
            if held.len() > 100 {
                held.pop_front();
            }
        }
    };
    std::thread::scope(|scope| {
        let floods = [scope.spawn(flood), scope.spawn(flood)];
        while opened.load(Relaxed) < 400 && !floods.iter().all(|flood| flood.is_finished()) {
            std::thread::yield_now();
        }
        let start = Instant::now();
        for nth in 1.. {
            assert_eq!(scrape(&server).0, format!("scrapes_total {nth}\n"));
            let over = floods.iter().all(|flood| flood.is_finished());
            if nth >= 20 && (over || start.elapsed() > DEADLINE) {
                break;
            }
        }
        ends.store(true, Relaxed);
    });
}

#[test]
fn a_request_that_waits_for_its_metrics_stays_however_many_are_silent() {
    let (go, gate) = channel();
    let server = start(move || {
        gate.recv().map_err(|error| error.to_string())?;
        Ok("up 1\n".to_owned())
    });
    let mut waits: Vec<TcpStream> = (0..2).map(|_| connect(&server)).collect();
    waits.iter_mut().for_each(|stream| stream.write_all(GET).unwrap());
    // More than there may be: the first of them go, and the two are older still.
    let mut silent: Vec<TcpStream> = (0..CROWD + 8).map(|_| connect(&server)).collect();
    assert!(silent.drain(..8).all(closed));
    for stream in waits {
        go.send(()).unwrap();
        assert!(all(stream).ends_with("up 1\n"));
    }
}

#[test]
fn one_request_too_many_is_answered_that_it_is() {
    let (go, gate) = channel();
    let server = start(move || {
        gate.recv().map_err(|error| error.to_string())?;
        Ok("up 1\n".to_owned())
    });
    let streams: Vec<TcpStream> = (0..WHOLE + 2)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(GET).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    let refused = || streams.iter().filter(|stream| stream.peek(&mut [0]).is_ok()).count();
    while refused() < 2 {
        assert!(start.elapsed() < PATIENCE, "{} of 2 are refused", refused());
        std::thread::yield_now();
    }
    (0..WHOLE).for_each(|_| go.send(()).unwrap());
    let answers = streams.into_iter().map(|stream| {
        stream.set_nonblocking(false).unwrap();
        all(stream)
    });
    let (met, refused): (Vec<_>, Vec<_>) =
        answers.partition(|answer| answer.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(met.len(), WHOLE);
    assert!(refused.iter().all(|answer| answer.starts_with("HTTP/1.1 503 ")), "{refused:?}");
}

/// Where this is set, the test below is the process that serves.
const SERVES: &str = "FLUX_TEST_SERVES";

#[test]
fn where_descriptors_are_few_silent_connections_go_for_a_scrape() {
    if std::env::var_os(SERVES).is_some() {
        let server = start(|| {
            // Makers of metrics open files, too.
            std::fs::File::open("/proc/self/stat").map_err(|error| error.to_string())?;
            Ok("up 1\n".to_owned())
        });
        println!("\nserves {}", server.address());
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let name = "where_descriptors_are_few_silent_connections_go_for_a_scrape";
    let name = format!("tools::http::server::tests::{name}");
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 24; exec \"$0\" \"$1\" --exact --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(SERVES, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .by_ref()
        .map_while(std::result::Result::ok)
        .find_map(|line| line.strip_prefix("serves ").map(|address| address.parse().unwrap()))
        .expect("it serves");
    let start = Instant::now();
    let silent: Vec<TcpStream> = (0..30).map(|_| connect_to(address)).collect();
    let mut stream = connect_to(address);
    stream.write_all(GET).unwrap();
    let answer = all(stream);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(start.elapsed() < DEADLINE * 10);
    drop(silent);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
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
