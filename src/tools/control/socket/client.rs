//! Asking a command that runs.

use super::directory::{Directory, foreign, next_step};
use super::request::{Object, Request};
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::sys::unix;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest answer that is read.
const LONGEST_ANSWER: usize = 16 << 20;

/// Sends a request to the process that runs `command` on `instance`, and waits for its answer, at most
/// for `time`.
///
/// # Errors
/// When no such process runs, its socket is another user's, it does not answer in time, or it answers
/// with an error: then with its words.
pub fn ask(
    directory: &Directory,
    (command, instance): (&str, &str),
    request: &Request,
    time: Duration,
) -> Result<Object> {
    let deadline = Instant::now() + time;
    let place = directory.place(command, instance)?;
    let path = place.socket.as_path();
    let what = format!("cannot ask {command} on {instance}");
    let refuse = |kind, why: String| FluxError::new(kind, what.as_str(), why);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            refuse(ErrorKind::Host, "it does not run".into())
                .with_hint(running(&directory.running(command, place.network), directory.path()))
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let why = format!("it does not answer within {} s", time.as_secs_f64());
            refuse(ErrorKind::Host, why).with_hint("look at what its process does")
        }
        io::ErrorKind::PermissionDenied => refuse(ErrorKind::Permission, errno_text(&error))
            .with_hint("run as the user that started it"),
        _ => {
            let next = next_step(&error).map(str::to_owned);
            refuse(ErrorKind::System, errno_text(&error))
                .with_hint(next.unwrap_or_else(|| format!("check {}", path.display())))
                .with_source(error)
        }
    };
    let found = path.symlink_metadata().map_err(failed)?;
    directory.check()?;
    if let Some(why) = foreign(&found) {
        return Err(refuse(ErrorKind::Permission, why).with_hint("run as its owner"));
    }
    if !found.file_type().is_socket() {
        return Err(refuse(ErrorKind::Host, format!("{} is not a socket", path.display()))
            .with_hint("remove it, and start the command"));
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let stream = unix::connect(path, left).map_err(failed)?;
    let line = exchange(stream, &request.line(), deadline).map_err(failed)?;
    let strange = |why: &str| {
        refuse(ErrorKind::Host, why.into())
            .with_hint(format!("another program may listen on {}", path.display()))
    };
    let Ok(Value::Object(answer)) = serde_json::from_slice(&line) else {
        return Err(strange("its answer is not a JSON object"));
    };
    let word = |key: &str| answer.get(key).and_then(Value::as_str);
    match word("event") {
        Some("error") => {
            let error = refuse(ErrorKind::Host, word("error").unwrap_or("it failed").to_owned());
            Err(word("hint").into_iter().fold(error, FluxError::with_hint))
        }
        Some(_) => Ok(answer),
        None => Err(strange("its answer has no key \"event\"")),
    }
}

/// What runs instead.
fn running(names: &[String], directory: &Path) -> String {
    match names {
        [] => format!("start it first; nothing answers for it in {}", directory.display()),
        names => format!("it runs on {}", names.join(", ")),
    }
}

/// Sends a line and reads one.
fn exchange(mut stream: UnixStream, line: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut rest = line;
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left()?))?;
        match stream.write(rest) {
            Ok(sent) => rest = &rest[sent..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It may have said why before it closed.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(error),
        }
    }
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        stream.set_read_timeout(Some(left()?))?;
        let read = match stream.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up")),
            read => read?,
        };
        let part = &chunk[..read];
        if let Some(end) = part.iter().position(|&byte| byte == b'\n') {
            answer.extend_from_slice(&part[..end]);
            return Ok(answer);
        }
        answer.extend_from_slice(part);
        if answer.len() > LONGEST_ANSWER {
            return Err(io::Error::other("the answer has no end"));
        }
    }
}
