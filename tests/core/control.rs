//! The control socket of commands that run for long: one that is asked, and others that ask it or
//! want its place.

mod troubles;

use fluxnet::error::{ErrorKind, Result};
use fluxnet::tools::Control;
use fluxnet::tools::control::socket::{Directory, Handler, Limits, Object, Request, Server, ask};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PUMP: (&str, &str) = ("pump", "eth0");
const LONG: Duration = Duration::from_secs(60);

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("flux-control-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    fn sockets(&self) -> Directory {
        Directory::at(self.0.join("flux"))
    }

    /// A file of this network namespace.
    fn file(&self, name: &str) -> PathBuf {
        let network = std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        let (name, ending) = name.rsplit_once('.').unwrap();
        self.0.join("flux").join(format!("{name}@{network}.{ending}"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A command that counts what it is asked.
struct Counting(u64);

impl Handler for Counting {
    fn requests(&self) -> &[&str] {
        &["add", "break"]
    }

    fn status(&mut self) -> Object {
        object(json!({ "count": self.0 }))
    }

    fn answer(&mut self, request: &Request) -> Result<Object> {
        assert_ne!(request.name, "break", "a fault of the handler");
        self.0 += request.fields.get("by").and_then(Value::as_u64).unwrap_or(1);
        Ok(self.status())
    }
}

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn start(directory: &Directory, control: &Arc<Control>) -> Result<Server> {
    start_with(directory, control, Limits::default())
}

fn start_with(directory: &Directory, control: &Arc<Control>, limits: Limits) -> Result<Server> {
    Server::start(directory, PUMP, Arc::clone(control), limits, Counting(0))
}

fn tell(directory: &Directory, request: &Request) -> Result<Object> {
    ask(directory, PUMP, request, LONG)
}

/// What comes back for bytes that no client of ours sends.
fn raw(server: &Server, bytes: &[u8]) -> Vec<Value> {
    let mut stream = UnixStream::connect(server.path()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let _ = stream.write_all(bytes); // it may be refused before all of it is sent
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let lines = BufReader::new(stream).lines();
    lines.map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap()).collect()
}

fn assert_error(answer: &Value, why: &str) {
    assert_eq!((&answer["event"], &answer["command"]), (&json!("error"), &json!("pump")));
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains(why), "{error} has no {why}");
    assert!(answer["hint"].is_string(), "{answer}");
}

#[test]
fn a_command_is_asked_for_its_state_and_for_requests_of_its_own_and_told_to_stop() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let server = start(&directory, &control).unwrap();
    assert_eq!(server.path(), scratch.file("pump-eth0.sock"));
    let rights = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((rights(server.path()), rights(directory.path())), (0o600, 0o700));
    let added = tell(&directory, &Request::new("add").with("by", 3)).unwrap();
    let common = json!({ "event": "add", "command": "pump", "instance": "eth0", "count": 3 });
    assert_eq!(Value::Object(added), common);
    let status = tell(&directory, &Request::new("status")).unwrap();
    assert_eq!((&status["count"], &status["schema"]), (&json!(3), &json!(1)));
    assert_eq!(status["process"], json!(std::process::id()));
    assert!(status["version"].is_string() && status["elapsed_s"].is_f64(), "{status:?}");
    let error = tell(&directory, &Request::new("reload")).unwrap_err();
    assert!(error.to_string().contains("nothing to reload"), "{error}");
    assert!(!control.is_stopped());
    assert_eq!(tell(&directory, &Request::new("stop")).unwrap()["event"], "stop");
    control.wait(Default::default(), LONG);
    assert!(control.is_stopped());
    drop(server);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it left something");
    let error = tell(&directory, &Request::new("status")).unwrap_err();
    assert!(error.to_string().ends_with("it does not run"), "{error}");
}

#[test]
fn bad_requests_get_an_error_object_and_the_next_client_an_answer() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let server = start(&directory, &control).unwrap();
    let long = [b"{\"request\":\"".as_slice(), &b"a".repeat(70 << 10), b"\"}\n"].concat();
    let cases: [(&[u8], &str); 8] = [
        (b"\n", "not JSON"),
        (b"GET / HTTP/1.1\r\n", "not JSON"),
        (b"[]\n", "not an object"),
        (b"{\"request\":null}\n", "not a string"),
        (b"{\"request\":\"statsu\"}\n", "there is no request \"statsu\""),
        (b"{\"request\":\"status\"}", "does not end with a newline"),
        (&long, "longer than 64 KiB"),
        (b"{\"request\":\"break\"}\n", "its handler failed"),
    ];
    for (bytes, why) in cases {
        let answers = raw(&server, bytes);
        assert_eq!(answers.len(), 1, "{why}: {answers:?}");
        assert_error(&answers[0], why);
    }
    let after_error = raw(&server, b"{}\n{\"request\":\"status\"}\n\xff\n{\"request\":\"add\"}\n");
    let events: Vec<_> = after_error.iter().map(|answer| answer["event"].as_str()).collect();
    assert_eq!(events, [Some("error"), Some("status"), Some("error"), Some("add")]);
    assert!(raw(&server, b"").is_empty() && !control.is_stopped());
}

#[test]
fn silent_half_and_deaf_clients_have_a_deadline_and_delay_nobody() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let limits = Limits { silence: Duration::from_millis(300), clients: 64 };
    let server = start_with(&directory, &control, limits).unwrap();
    let connect = || {
        let stream = UnixStream::connect(server.path()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    };
    let silent: Vec<_> = (0..10).map(|_| connect()).collect();
    let mut half = connect();
    half.write_all(b"{\"request\":").unwrap();
    // One that asks and never reads, until there is no more room on the way.
    let mut deaf = connect();
    deaf.set_nonblocking(true).unwrap();
    while deaf.write(&b"{\"request\":\"status\"}\n".repeat(100)).is_ok() {}
    let before = Instant::now();
    tell(&directory, &Request::new("add")).unwrap();
    assert!(before.elapsed() < LONG / 10, "the others were waited for");
    for mut stream in silent.into_iter().chain([half]) {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_error(&serde_json::from_str(&text).unwrap(), "no whole request came in time");
    }
    deaf.set_nonblocking(false).unwrap();
    deaf.set_read_timeout(Some(LONG)).unwrap();
    let (mut some, mut ended) = ([0; 4096], false);
    while !ended {
        ended = !matches!(deaf.read(&mut some), Ok(read) if read > 0);
    }
}

#[test]
fn of_too_many_clients_the_one_that_came_first_goes() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let limits = Limits { silence: LONG * 10, clients: 3 };
    let server = start_with(&directory, &control, limits).unwrap();
    let mut first = UnixStream::connect(server.path()).unwrap();
    let others: Vec<_> = (0..3).map(|_| UnixStream::connect(server.path()).unwrap()).collect();
    first.set_read_timeout(Some(LONG)).unwrap();
    let mut text = String::new();
    first.read_to_string(&mut text).unwrap();
    assert_error(&serde_json::from_str(&text).unwrap(), "too many connections");
    drop(others);
    tell(&directory, &Request::new("status")).unwrap();
}

#[test]
fn a_living_owner_is_named_and_keeps_its_socket() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let server = start(&directory, &control).unwrap();
    let error = start(&directory, &control).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let pid = std::process::id();
    assert!(error.to_string().ends_with(&format!("runs on eth0 already (process {pid})")));
    assert!(error.hint().unwrap().contains("\"stop\""), "{error:?}");
    tell(&directory, &Request::new("status")).unwrap();
    drop(server);
    // Another program, which knows nothing of locks.
    let other = UnixListener::bind(scratch.file("pump-eth0.sock")).unwrap();
    let error = start(&directory, &control).err().unwrap();
    assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    drop(other);
    start(&directory, &control).unwrap();
}

#[test]
fn what_is_no_socket_or_no_directory_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let refused = || {
        let error = start(&directory, &control).err().unwrap();
        assert!(error.hint().is_some(), "{error}");
        error.to_string()
    };
    let target = scratch.0.join("target");
    std::fs::DirBuilder::new().mode(0o700).create(&target).unwrap();
    symlink(&target, directory.path()).unwrap();
    assert!(refused().contains("not a directory"));
    std::fs::remove_file(directory.path()).unwrap();
    drop(start(&directory, &control).unwrap());
    for name in ["pump-eth0.sock", "pump-eth0.lock"] {
        let path = scratch.file(name);
        symlink("/nowhere", &path).unwrap();
        refused();
        assert!(path.symlink_metadata().unwrap().is_symlink(), "{name} was touched");
        std::fs::remove_file(&path).unwrap();
        let lock = scratch.file("pump-eth0.lock");
        let _ = std::fs::remove_file(lock);
    }
    std::fs::write(scratch.file("pump-eth0.sock"), "mine").unwrap();
    assert!(refused().contains("not a socket"));
    assert_eq!(std::fs::read(scratch.file("pump-eth0.sock")).unwrap(), b"mine");
    std::fs::remove_file(scratch.file("pump-eth0.sock")).unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(directory.path(), open.clone()).unwrap();
    assert!(refused().contains("other users may write to it"));
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(&scratch.0, open).unwrap();
    assert!(refused().contains("another directory in its place"));
}

/// A process that has the socket of the directory in `FLUX_TEST_CONTROL`; without it, a test that
/// does nothing.
#[test]
#[ignore = "started by other tests"]
fn own_it_until_killed() {
    let directory = Directory::at(std::env::var_os("FLUX_TEST_CONTROL").unwrap());
    let control = Arc::new(Control::default());
    match start(&directory, &control) {
        Ok(server) => {
            println!("\nOWNER");
            control.wait(Default::default(), LONG);
            drop(server);
        }
        Err(error) => println!("\nREFUSED {:?}", error.kind()),
    }
}

/// Such a process; killed on drop.
struct Owner {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Owner {
    fn spawn(directory: &Directory) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), directory)
    }

    fn run(mut command: Command, directory: &Directory) -> Self {
        command.args(["--exact", "control::own_it_until_killed", "--ignored", "--nocapture"]);
        command.env("FLUX_TEST_CONTROL", directory.path()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// How its start ended.
    fn started(&mut self) -> String {
        let mut told = self.output.by_ref().lines().map_while(Result::ok);
        told.find(|line| line == "OWNER" || line.starts_with("REFUSED")).unwrap()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_socket_of_a_killed_process_is_taken_over() {
    let scratch = Scratch::new();
    let directory = scratch.sockets();
    let mut owner = Owner::spawn(&directory);
    assert_eq!(owner.started(), "OWNER");
    let status = tell(&directory, &Request::new("status")).unwrap();
    assert_eq!(status["process"], json!(owner.child.id()));
    let control = Arc::new(Control::default());
    let error = start(&directory, &control).err().unwrap();
    assert!(error.to_string().contains(&format!("process {}", owner.child.id())), "{error}");
    drop(owner); // SIGKILL
    assert!(scratch.file("pump-eth0.sock").exists());
    let error = tell(&directory, &Request::new("status")).unwrap_err();
    assert!(error.to_string().contains("does not run"), "{error}");
    let server = start(&directory, &control).unwrap();
    let status = tell(&directory, &Request::new("status")).unwrap();
    assert_eq!(status["process"], json!(std::process::id()));
    drop(server);
}

#[test]
fn of_many_that_start_at_once_over_a_dead_one_just_one_has_the_socket() {
    let scratch = Scratch::new();
    let directory = scratch.sockets();
    let mut dead = Owner::spawn(&directory);
    dead.started();
    drop(dead);
    let mut owners: Vec<_> = (0..6).map(|_| Owner::spawn(&directory)).collect();
    let mut told: Vec<_> = owners.iter_mut().map(Owner::started).collect();
    told.sort();
    assert_eq!(
        told,
        ["OWNER", "REFUSED Busy", "REFUSED Busy", "REFUSED Busy", "REFUSED Busy", "REFUSED Busy"]
    );
    tell(&directory, &Request::new("stop")).unwrap();
}

#[test]
fn threads_that_start_and_end_in_turn_never_share_it() {
    let scratch = Scratch::new();
    let (directory, control) = (scratch.sockets(), Arc::new(Control::default()));
    let (owners, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let starts = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while starts.load(Relaxed) < 200 {
                    match start(&directory, &control) {
                        Ok(server) => {
                            most.fetch_max(owners.fetch_add(1, Relaxed) + 1, Relaxed);
                            starts.fetch_add(1, Relaxed);
                            owners.fetch_sub(1, Relaxed);
                            drop(server);
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(most.load(Relaxed), 1);
}

/// Not root, and of nobody who is logged in.
const NOBODY: u32 = 65534;

#[test]
fn another_users_socket_and_directory_are_refused() {
    let Some(_turn) = crate::lab::as_root() else { return };
    let (ours, theirs) = (Scratch::new(), Scratch::new());
    let control = Arc::new(Control::default());
    // Where the other user may run it, and look for directories.
    let program = theirs.0.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for scratch in [&ours, &theirs] {
        std::fs::set_permissions(&scratch.0, PermissionsExt::from_mode(0o755)).unwrap();
    }
    chown(&theirs.0, Some(NOBODY), None).unwrap();
    let other = |directory: &Directory| {
        let mut command = Command::new(&program);
        command.uid(NOBODY);
        Owner::run(command, directory)
    };
    let server = start(&ours.sockets(), &control).unwrap();
    assert_eq!(other(&ours.sockets()).started(), "REFUSED Permission");
    let mut owner = other(&theirs.sockets());
    assert_eq!(owner.started(), "OWNER");
    let refused = |error: fluxnet::FluxError, why: &str| {
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(error.to_string().contains(why) && error.hint().is_some(), "{error:?}");
    };
    let belongs = format!("it belongs to user {NOBODY}, and this process is user 0");
    refused(start(&theirs.sockets(), &control).err().unwrap(), &belongs);
    refused(tell(&theirs.sockets(), &Request::new("stop")).unwrap_err(), &belongs);
    // In our own directory, a file that was given away.
    drop(server);
    for name in ["pump-eth0.sock", "pump-eth0.lock"] {
        std::fs::write(ours.file(name), "").unwrap();
        chown(ours.file(name), Some(NOBODY), None).unwrap();
        refused(start(&ours.sockets(), &control).err().unwrap(), &belongs);
        assert!(ours.file(name).exists());
        std::fs::remove_file(ours.file(name)).unwrap();
        let _ = std::fs::remove_file(ours.file("pump-eth0.lock"));
    }
    start(&ours.sockets(), &control).unwrap();
}
