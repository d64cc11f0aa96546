//! The command on a pseudo-terminal of script(1).

use crate::lab;
use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Takes the main screen away, and gives it back.
pub const TAKEN: &str = "\x1b[?1049h";
pub const BACK: &str = "\x1b[?1049l";
const CURSOR: &str = "\x1b[?25h";

pub struct Terminal {
    script: Child,
    out: ChildStdout,
    seen: String,
}

impl Terminal {
    /// Runs a line of the command; `None` (and a line that says SKIP) without script(1).
    pub fn start(line: &str) -> Option<Self> {
        Self::start_by("", line)
    }

    /// By another command, which takes ours as its arguments.
    pub fn start_by(by: &str, line: &str) -> Option<Self> {
        if !lab::has(&["script"]) {
            return None;
        }
        let flux = assert_cmd::cargo::cargo_bin!("flux");
        // The settings of the terminal before and after, for who compares them.
        let shell = format!(
            "stty rows 24 cols 80; stty -g; {by} {} {line}; echo \"status $?\"; stty -g",
            flux.display()
        );
        let mut script = Command::new("script")
            .args(["-q", "-e", "-c", &shell, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .env_remove("NO_COLOR")
            .env_remove("COLUMNS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = script.stdout.take().unwrap();
        Some(Self { script, out, seen: String::new() })
    }

    /// Reads on until `what` finds something in all that was seen.
    pub fn until<T>(&mut self, what: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + lab::PATIENCE;
        let mut some = [0; 4096];
        loop {
            if let Some(found) = what(&self.seen) {
                return found;
            }
            assert!(Instant::now() < deadline, "{:?}", self.seen);
            let read = self.out.read(&mut some).unwrap();
            assert!(read > 0, "{:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&some[..read]));
        }
    }

    pub fn keys(&mut self, keys: &str) {
        self.script.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// All that was seen, once the command has ended.
    pub fn rest(mut self) -> String {
        self.out.read_to_string(&mut self.seen).unwrap();
        self.script.wait().unwrap();
        self.seen
    }

    /// Asserts that the terminal is what it was, and gives the status of the command.
    pub fn end(mut self) -> String {
        self.until(|seen| seen.contains("status ").then_some(()));
        let seen = self.rest();
        let (before, rest) = seen.split_once(TAKEN).unwrap();
        let (_, after) = rest.rsplit_once(BACK).unwrap();
        assert!(rest.contains(CURSOR), "{seen}");
        let settings = |text: &str| {
            text.lines().map(str::trim).rfind(|line| line.contains(':')).unwrap().to_owned()
        };
        assert_eq!(settings(before), settings(after), "{seen}");
        let (_, status) = after.split_once("status ").unwrap();
        status.lines().next().unwrap().trim().to_owned()
    }

    /// Takes the terminal away from under the command.
    pub fn hang_up(mut self) {
        self.script.kill().unwrap();
        self.script.wait().unwrap();
    }
}
