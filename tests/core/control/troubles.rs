//! The control socket with a slow handler, a server that does not answer, two networks, and what
//! lies in its directory and is not of a command that runs.

use super::*;
use crate::schema::{Fault, Mutation, mutated, schema};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Fails in place of never coming back.
fn bounded<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = channel();
    std::thread::spawn(move || drop(done.send(f())));
    result.recv_timeout(LONG / 2).expect("it does not come back")
}

/// A listener whose process is stopped: its queue is full, and nobody takes from it.
fn full_queue(path: &std::path::Path) -> (UnixListener, UnixStream) {
    let listener = UnixListener::bind(path).unwrap();
    // SAFETY: takes two numbers; std has no way to choose the length of the queue.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let first = UnixStream::connect(path).unwrap();
    (listener, first)
}

#[test]
fn a_server_that_takes_no_connection_is_waited_for_in_bounds() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    drop(start(&directory, &control).unwrap()); // makes the directory
    let _full = full_queue(&scratch.file("pump-eth0.sock"));
    let asked = directory.clone();
    let time = Duration::from_millis(300);
    let error = bounded(move || ask(&asked, PUMP, &Request::new("status"), time)).unwrap_err();
    assert!(error.to_string().contains("does not answer within 0.3 s"), "{error}");
    assert!(error.hint().is_some());
    let wanted = directory.clone();
    let error = bounded(move || start(&wanted, &control).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("takes no connection"), "{error}");
    // It runs, so it is named to who asks for another.
    let other = Request::new("status");
    let error = bounded(move || ask(&directory, ("pump", "eth9"), &other, LONG)).unwrap_err();
    assert_eq!(error.hint(), Some("it runs on eth0"));
}

/// A handler that takes as long as it is told to; its keys are those of the server.
struct Slow {
    began: Sender<()>,
    end: Receiver<Duration>,
}

impl Handler for Slow {
    fn requests(&self) -> &[&str] {
        &["slow"]
    }

    fn status(&mut self) -> Object {
        let keys =
            ["event", "command", "instance", "version", "schema", "process", "elapsed_s", "a_b"];
        keys.into_iter().map(|key| (key.to_owned(), json!("the handler's"))).collect()
    }

    fn answer(&mut self, _: &Request) -> Result<Object> {
        self.began.send(()).unwrap();
        std::thread::sleep(self.end.recv_timeout(LONG).unwrap());
        Ok(self.status())
    }
}

fn slow(directory: &Directory, limits: Limits) -> (Server, Receiver<()>, Sender<Duration>) {
    let (began, begins) = channel();
    let (ends, end) = channel();
    let control = Arc::new(Control::default());
    let server = Server::start(directory, PUMP, control, limits, Slow { began, end }).unwrap();
    (server, begins, ends)
}

fn client(server: &Server) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(server.path()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    BufReader::new(stream)
}

fn send(client: &mut BufReader<UnixStream>, request: &str) {
    client.get_mut().write_all(&Request::new(request).line()).unwrap();
}

fn event(client: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
    value["event"].clone()
}

#[test]
fn the_time_of_a_slow_handler_is_nobodys_silence() {
    let scratch = Scratch::new();
    let silence = Duration::from_secs(1);
    let limits = Limits { silence, ..Limits::default() };
    let (server, begins, ends) = slow(&scratch.sockets(), limits);
    let (mut asks, mut waits) = (client(&server), client(&server));
    send(&mut waits, "status");
    assert_eq!(event(&mut waits), "status");
    send(&mut asks, "slow");
    begins.recv_timeout(LONG).unwrap();
    send(&mut waits, "status");
    ends.send(silence * 3 / 2).unwrap();
    assert_eq!(event(&mut waits), "status");
    assert_eq!(event(&mut asks), "slow");
    // Both had all their answers: they are closed without a word.
    for mut client in [asks, waits] {
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn a_large_request_that_came_while_the_handler_was_busy_is_read_to_its_end() {
    let scratch = Scratch::new();
    let silence = Duration::from_millis(500);
    let limits = Limits { silence, ..Limits::default() };
    let (server, begins, ends) = slow(&scratch.sockets(), limits);
    let (mut asks, mut large) = (client(&server), client(&server));
    send(&mut asks, "slow");
    begins.recv_timeout(LONG).unwrap();
    let request = Request::new("status").with("filler", "x".repeat(60 << 10));
    large.get_mut().write_all(&request.line()).unwrap();
    ends.send(silence * 2).unwrap();
    assert_eq!(event(&mut large), "status");
}

#[test]
fn of_too_many_clients_the_one_that_was_silent_longest_goes() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let limits = Limits { silence: LONG * 10, clients: 2 };
    let server = start_with(&directory, &control, limits).unwrap();
    let (mut first, mut second) = (client(&server), client(&server));
    for client in [&mut second, &mut first] {
        send(client, "status");
        assert_eq!(event(client), "status");
    }
    let mut third = client(&server);
    let mut rest = String::new();
    second.read_to_string(&mut rest).unwrap();
    for client in [&mut first, &mut third] {
        send(client, "status");
        assert_eq!(event(client), "status", "it was not silent longest");
    }
}

#[test]
fn a_handler_cannot_take_the_place_of_the_servers_keys_and_they_come_first() {
    let scratch = Scratch::new();
    let (server, begins, ends) = slow(&scratch.sockets(), Limits::default());
    let mut client = client(&server);
    let mut answer = |request: &str| {
        send(&mut client, request);
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        line
    };
    let status = answer("status");
    let begin = r#"{"event":"status","command":"pump","instance":"eth0","version":""#;
    assert!(status.starts_with(begin), "{status}");
    assert!(status.contains(r#","schema":1,"process":"#), "{status}");
    assert!(status.ends_with("\"a_b\":\"the handler's\"}\n"), "{status}");
    assert!(schema("control").takes(&serde_json::from_str(&status).unwrap()), "{status}");
    ends.send(Duration::ZERO).unwrap();
    let own = answer("slow");
    begins.recv_timeout(LONG).unwrap();
    assert!(own.starts_with(r#"{"event":"slow","command":"pump","instance":"eth0","#), "{own}");
    let error = answer("slo");
    assert!(error.starts_with(r#"{"event":"error","command":"pump","error":"#), "{error}");
}

#[test]
fn answers_and_errors_are_as_their_schema_says() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let server = start(&directory, &control).unwrap();
    let lines = b"{\"request\":\"status\"}\n{\"request\":\"add\"}\n{}\n{\"request\":\"reload\"}\n\
        {\"request\":\"break\"}\n{\"request\":\"stop\"}\n";
    let answers = raw(&server, lines);
    let events: Vec<_> = answers.iter().map(|answer| answer["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["status", "add", "error", "error", "error", "stop"]);
    let schema = schema("control");
    for answer in &answers {
        assert!(schema.takes(answer), "{answer}");
        let own = answer["event"] != "error"; // may have more keys, and of any type
        for Mutation { what, fault, object: wrong, .. } in mutated(answer) {
            if !matches!(fault, Fault::Key | Fault::Type) {
                continue;
            }
            if !own || !(what.contains("too many") || what.contains("/count")) {
                assert!(!schema.takes(&wrong), "{what}: {wrong}");
            }
        }
    }
}

#[test]
fn two_network_namespaces_have_a_socket_each_for_one_name() {
    let Some(_turn) = crate::lab::as_root() else { return };
    let scratch = Scratch::new();
    let (directory, here) = (scratch.sockets(), Arc::new(Control::default()));
    let networks: Vec<File> = (0..2)
        .map(|_| std::thread::spawn(crate::lab::new_namespace).join().unwrap().unwrap())
        .collect();
    let there = Arc::new(Control::default());
    let server = start(&directory, &here).unwrap();
    let inside = |at: usize| networks[at].as_fd();
    let other = crate::lab::inside(inside(0), || start(&directory, &there)).unwrap();
    assert_ne!(server.path(), other.path());
    let stop = || tell(&directory, &Request::new("stop"));
    let error = crate::lab::inside(inside(1), stop).unwrap_err();
    assert!(error.to_string().ends_with("it does not run"), "{error}");
    let number = networks[0].metadata().unwrap().ino();
    let hint = error.hint().unwrap();
    assert!(hint.contains(&format!("eth0 in network namespace {number}")), "{hint}");
    crate::lab::inside(inside(0), stop).unwrap();
    there.wait(Default::default(), LONG);
    assert!(there.is_stopped() && !here.is_stopped());
}

#[test]
fn what_does_not_run_is_not_named() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let server = start(&directory, &control).unwrap();
    drop(UnixListener::bind(scratch.file("pump-dead.sock")).unwrap());
    symlink("/nowhere", scratch.file("pump-link.sock")).unwrap();
    symlink(server.path(), scratch.file("pump-alias.sock")).unwrap();
    std::fs::write(scratch.file("pump-file.sock"), "").unwrap();
    let hint = |instance| {
        let error = ask(&directory, ("pump", instance), &Request::new("status"), LONG).unwrap_err();
        (error.to_string(), error.hint().unwrap().to_owned())
    };
    assert_eq!(hint("eth9").1, "it runs on eth0");
    assert_eq!(hint("dead").1, "it runs on eth0");
    for instance in ["link", "alias", "file"] {
        assert!(hint(instance).0.contains("is not a socket"), "{:?}", hint(instance));
    }
    drop(server);
    assert!(hint("eth9").1.starts_with("start it first"), "{:?}", hint("eth9"));
}

#[test]
fn a_path_without_room_is_refused_before_anything_is_made() {
    let scratch = Scratch::new();
    let control = Arc::new(Control::default());
    let long = scratch.0.join("x".repeat(100));
    std::fs::DirBuilder::new().mode(0o700).create(&long).unwrap();
    let directory = Directory::at(long.join("flux"));
    let started = start(&directory, &control).err().unwrap();
    let asked = tell(&directory, &Request::new("status")).unwrap_err();
    for error in [started, asked] {
        assert_eq!(error.hint(), Some("use a shorter XDG_RUNTIME_DIR"), "{error}");
    }
    assert_eq!(std::fs::read_dir(&long).unwrap().count(), 0, "it left something");
}

#[test]
fn a_lock_that_is_another_file_as_well_is_not_emptied() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    drop(start(&directory, &control).unwrap());
    let lock = scratch.file("pump-eth0.lock");
    let precious = scratch.0.join("precious");
    std::fs::write(&precious, "kept").unwrap();
    std::fs::hard_link(&precious, &lock).unwrap();
    let error = start(&directory, &control).err().unwrap();
    assert!(error.to_string().contains("hard link") && error.hint().is_some(), "{error}");
    assert_eq!(std::fs::read(&precious).unwrap(), b"kept");
    std::fs::remove_file(&lock).unwrap();
    symlink(&precious, &lock).unwrap();
    let error = start(&directory, &control).err().unwrap();
    assert!(error.hint().unwrap().contains("symbolic link"), "{error:?}");
}

#[test]
fn a_start_that_fails_leaves_no_lock() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    drop(start(&directory, &control).unwrap());
    let other = UnixListener::bind(scratch.file("pump-eth0.sock")).unwrap();
    start(&directory, &control).err().unwrap();
    assert!(!scratch.file("pump-eth0.lock").exists());
    drop(other);
}
