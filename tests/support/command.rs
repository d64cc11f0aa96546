//! What the command line tests share: the command in a bare environment, and its output.
#![allow(dead_code)] // each test file uses its part

use crate::schema::assert_valid;
use assert_cmd::assert::Assert;
use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use std::io::BufRead;
use std::process::{Child, Command, Output, Stdio};

/// The command with an environment that no machine's settings get into.
pub fn flux(line: &str) -> Command {
    let mut command = Command::new(cargo_bin!("flux"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    for name in ["COLUMNS", "NO_COLOR", "TERM", "LANG", "LC_ALL", "LC_CTYPE"] {
        command.env_remove(name);
    }
    command
}

/// Where the files of a test go: a directory without blanks, at which command lines are split.
pub fn temp_dir(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir();
    let blank = dir.to_string_lossy().contains(char::is_whitespace);
    let dir = if blank { "/tmp".into() } else { dir };
    dir.join(format!("flux-{name}-{}", std::process::id()))
}

/// Runs the command to its end.
pub fn run(line: &str) -> Output {
    flux(line).output().unwrap()
}

/// Starts the command; what it says can be read while it runs.
pub fn start(line: &str) -> Child {
    flux(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads on to the next line that begins so; fails when the command ends without it.
#[track_caller]
pub fn line_of(told: &mut impl BufRead, begin: &str) -> String {
    let mut line = String::new();
    while !line.starts_with(begin) {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended without a line of {begin}");
    }
    line
}

/// Sends a signal to a command that was not waited for yet.
#[cfg(unix)]
#[allow(unsafe_code)]
pub fn signal(child: &Child, signal: libc::c_int) {
    // SAFETY: takes two numbers; the child was not waited for, so that the number is still its own.
    let sent = unsafe { libc::kill(child.id() as libc::pid_t, signal) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// What went to standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What went to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts the exit status and shows everything when it is another.
#[track_caller]
pub fn assert_exit(line: &str, output: &Output, status: i32) {
    Assert::new(output.clone()).append_context("command line", line.to_owned()).code(status);
    assert!(!stderr(output).contains("panicked"), "{}", stderr(output));
}

/// Asserts that a line cannot run, and that `value` is named in the error, which has a hint.
#[track_caller]
pub fn assert_refused(line: &str, value: &str) {
    let output = run(line);
    assert_exit(line, &output, 2);
    let text = stderr(&output);
    let mut lines = text.lines().skip_while(|line| !line.starts_with("error: "));
    let error = lines.next().unwrap_or_else(|| panic!("flux {line}: {text}"));
    assert!(error.contains(value), "flux {line}: {error}");
    let hint = lines.next().unwrap_or_else(|| panic!("flux {line}: {text}"));
    assert!(hint.starts_with("hint: "), "flux {line}: {hint}");
    assert!(stdout(&output).is_empty(), "flux {line}: {}", stdout(&output));
}

/// The same with --json: the stream stays JSON and ends with the error.
#[track_caller]
pub fn assert_refused_as_json(line: &str, value: &str) {
    let line = format!("{line} --json");
    let events = events(&line, 2);
    let last = events.last().unwrap_or_else(|| panic!("flux {line}: no event"));
    assert_eq!(last["event"], "error", "flux {line}");
    assert!(last["error"].as_str().is_some_and(|e| e.contains(value)), "flux {line}: {last}");
    assert!(last["hint"].is_string(), "flux {line}: {last}");
}

/// Asserts that it is no error when nobody reads what goes to standard output.
#[track_caller]
pub fn assert_ends_with_its_reader(line: &str) {
    let mut child = start(line);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_exit(line, &output, 0);
    assert!(!stderr(&output).contains("error"), "flux {line}: {}", stderr(&output));
}

/// Runs to `status` and reads standard output as JSON lines.
#[track_caller]
pub fn events(line: &str, status: i32) -> Vec<Value> {
    let output = run(line);
    assert_exit(line, &output, status);
    json_lines(&output)
}

/// Standard output as JSON lines.
#[track_caller]
pub fn json_lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(json_line).collect()
}

/// An object that a command printed: it begins with its name and command, and is as the schema in
/// docs/json says.
#[track_caller]
pub fn json_line(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let begin = format!(r#"{{"event":{},"command":{}"#, value["event"], value["command"]);
    assert!(line.starts_with(&begin), "{line}");
    assert_valid(&value);
    value
}

/// The only event of this name on standard output.
#[track_caller]
pub fn only(output: &Output, name: &str) -> Value {
    let mut events = json_lines(output);
    events.retain(|event| event["event"] == name);
    assert_eq!(events.len(), 1, "{name}: {events:#?}");
    events.remove(0)
}

/// The events of one name.
pub fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// A copy of the command where everybody can run it, gone with this value.
#[cfg(unix)]
pub struct Copy(std::path::PathBuf);

#[cfg(unix)]
impl Copy {
    pub fn new(name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        // By another process: while ours writes a program, another thread's child may hold that
        // descriptor until it runs its own, and the kernel runs no file that somebody writes to.
        let copied = Command::new("cp").arg(cargo_bin!("flux")).arg(dir.join("flux")).status();
        assert!(copied.unwrap().success(), "cp to {dir:?}");
        Self(dir)
    }

    /// Runs a command line as a user with these capabilities (for setpriv) and no others.
    pub fn as_nobody(&self, capabilities: &str, line: &str) -> Output {
        self.command_as_nobody(capabilities, line).output().unwrap()
    }

    /// Runs a command line as a user without capabilities but those of the file, and of these (for
    /// setpriv) at most.
    pub fn bounded(&self, capabilities: &str, line: &str) -> Output {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args(["--inh-caps=-all", "--ambient-caps=-all"]);
        command.arg(format!("--bounding-set=-all{capabilities}"));
        command.arg(self.path()).args(line.split_whitespace());
        command.output().unwrap()
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.0.join("flux")
    }

    /// The same, not started yet.
    pub fn command_as_nobody(&self, capabilities: &str, line: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        for set in ["bounding-set", "inh-caps", "ambient-caps"] {
            command.arg(format!("--{set}=-all{capabilities}"));
        }
        command.arg(self.path()).args(line.split_whitespace());
        command // setpriv: util-linux
    }
}

#[cfg(unix)]
impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // a panic is on its way, or it worked
    }
}
