//! One connection: its request, by a deadline, and the answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Longest time from accepting a request to its last byte, and again for the answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// Longest request head.
pub(super) const HEAD: usize = 8 << 10;
/// Most header fields.
pub(super) const FIELDS: usize = 64;
/// How long what follows a refused request is read, so that the answer is not lost to a reset.
const DRAIN: Duration = Duration::from_millis(100);
/// Content type of the format (Prometheus, exposition formats).
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The metrics.
    Metrics,
    /// Whether there are any: an answer without them.
    Head,
    /// Something that is refused.
    Refused(Refusal),
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: &'static str,
    body: &'static str,
    /// A header field that goes with it.
    field: &'static str,
    /// Whether the client waits for no body.
    head: bool,
}

impl Refusal {
    const fn new(status: &'static str, body: &'static str) -> Self {
        Self { status, body, field: "", head: false }
    }
}

const TOO_LONG: Refusal =
    Refusal::new("431 Request Header Fields Too Large", "the request is too long\n");

/// Reads a request; `None` when the client went before it was complete.
///
/// # Errors
/// When it is not there by the deadline, or the connection broke.
pub(super) fn read(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let deadline = Instant::now() + DEADLINE;
    let mut head = Vec::new();
    loop {
        if let Some(request) = parse(&head) {
            return Ok(Some(request));
        }
        if head.len() >= HEAD {
            return Ok(Some(Request::Refused(TOO_LONG)));
        }
        stream.set_read_timeout(Some(left(deadline)?))?;
        let mut some = [0; 1024];
        match stream.read(&mut some) {
            Ok(0) => return Ok(None),
            Ok(read) => head.extend_from_slice(&some[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `None`: more is to come.
fn parse(head: &[u8]) -> Option<Request> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Some(Request::Refused(TOO_LONG)),
        Err(_) => {
            let refusal = Refusal::new("400 Bad Request", "this is not an HTTP request\n");
            return Some(Request::Refused(refusal));
        }
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some(match (path, request.method) {
        ("/metrics", Some("GET")) => Request::Metrics,
        ("/metrics", Some("HEAD")) => Request::Head,
        ("/metrics", _) => Request::Refused(Refusal {
            field: "Allow: GET, HEAD\r\n",
            ..Refusal::new("405 Method Not Allowed", "only GET is served\n")
        }),
        (_, method) => Request::Refused(Refusal {
            head: method == Some("HEAD"),
            ..Refusal::new("404 Not Found", "metrics are at /metrics\n")
        }),
    })
}

/// Answers with the metrics, or why there are none.
///
/// # Errors
/// When the client does not take the answer by the deadline.
pub(super) fn answer(stream: &mut TcpStream, metrics: Result<String, String>) -> io::Result<()> {
    match metrics {
        Ok(text) => send(stream, "200 OK", METRICS, "", Some(&text)),
        Err(why) => {
            let why = format!("{why}\n");
            send(stream, "500 Internal Server Error", PLAIN, "", Some(&why))
        }
    }
}

/// Answers a HEAD request. How long the metrics would be is only known once they are made.
///
/// # Errors
/// As [`answer`].
pub(super) fn answer_head(stream: &mut TcpStream) -> io::Result<()> {
    send(stream, "200 OK", METRICS, "", None)
}

/// Refuses a request.
///
/// # Errors
/// As [`answer`].
pub(super) fn refuse(stream: &mut TcpStream, refusal: &Refusal) -> io::Result<()> {
    let Refusal { status, body, field, head } = *refusal;
    send(stream, status, PLAIN, field, (!head).then_some(body))?;
    drain(stream)
}

fn send(
    stream: &mut TcpStream,
    status: &str,
    content: &str,
    field: &str,
    body: Option<&str>,
) -> io::Result<()> {
    let length = body.map(|body| format!("Content-Length: {}\r\n", body.len()));
    let length = length.unwrap_or_default();
    let mut all = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\n{length}{field}Connection: close\r\n\r\n"
    );
    all.push_str(body.unwrap_or_default());
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

/// What is left until `deadline`; an error when nothing is.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes, it is more to come, a request, or refused; a refusal stays one.
        #[test]
        fn any_bytes_are_a_request_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for bytes in [bytes.clone(), [b"GET /metrics HTTP/1.1\r\n", &bytes[..]].concat()] {
                if matches!(parse(&bytes), Some(Request::Refused(_))) {
                    let more = [&bytes[..], b"x\r\n\r\n"].concat();
                    prop_assert!(matches!(parse(&more), Some(Request::Refused(_))));
                }
            }
        }

        /// A request that comes in two pieces is the same request.
        #[test]
        fn a_request_may_come_in_pieces(at in 0usize..37) {
            let whole: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x:9100\r\n\r\n";
            prop_assert_eq!(parse(&whole[..at]), None);
            prop_assert_eq!(parse(whole), Some(Request::Metrics));
        }
    }
}
