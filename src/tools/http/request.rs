//! What a client asks for, and the text of its answers.

/// Longest request head.
pub(super) const HEAD: usize = 8 << 10;
/// Most header fields.
pub(super) const FIELDS: usize = 64;
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

/// There are too many requests that have yet to be answered.
pub(super) const BUSY: Refusal = Refusal::new(
    "503 Service Unavailable",
    "too many requests wait for their answers: ask again in a moment\n",
);

/// The request that `head` begins with. `None`: more is to come.
pub(super) fn request(head: &[u8]) -> Option<Request> {
    let too_long = || (head.len() >= HEAD).then_some(Request::Refused(TOO_LONG));
    parse(head).or_else(too_long)
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

/// The answer with the metrics, or why there are none.
pub(super) fn answer(metrics: Result<String, String>) -> Vec<u8> {
    match metrics {
        Ok(text) => response("200 OK", METRICS, "", Some(&text)),
        Err(why) => {
            let why = format!("{why}\n");
            response("500 Internal Server Error", PLAIN, "", Some(&why))
        }
    }
}

/// The answer to a HEAD request. How long the metrics would be is only known once they are made.
pub(super) fn answer_head() -> Vec<u8> {
    response("200 OK", METRICS, "", None)
}

/// The answer to a request that is refused.
pub(super) fn refuse(refusal: &Refusal) -> Vec<u8> {
    let Refusal { status, body, field, head } = *refusal;
    response(status, PLAIN, field, (!head).then_some(body))
}

fn response(status: &str, content: &str, field: &str, body: Option<&str>) -> Vec<u8> {
    let length = body.map(|body| format!("Content-Length: {}\r\n", body.len()));
    let length = length.unwrap_or_default();
    let mut all = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\n{length}{field}Connection: close\r\n\r\n"
    );
    all.push_str(body.unwrap_or_default());
    all.into_bytes()
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
