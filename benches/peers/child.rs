//! A contestant's process: started, watched, ended.

use crate::sys;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at something that is to happen.
const LOOK: Duration = Duration::from_millis(5);
/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What to start.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub args: Vec<OsString>,
    /// The one CPU it may use; `None` is for programs that place their threads themselves.
    pub cpu: Option<usize>,
    /// CPU time after which the kernel ends it.
    pub cpu_seconds: u64,
    /// Whether the end of its standard input ends it; else SIGINT does.
    pub ends_with_input: bool,
}

/// A running process. Dropping it kills it, and what it started.
pub struct Running {
    child: Child,
    log: PathBuf,
    ends_with_input: bool,
}

impl Running {
    /// Starts `program` in the namespace of the calling thread; what it says goes to a file in
    /// `dir`.
    pub fn start(program: &Program, dir: &Path) -> io::Result<Self> {
        let log = dir.join("output");
        let file = File::create(&log)?;
        let mut command = Command::new(&program.path);
        command.args(&program.args).current_dir(dir);
        // xdpsock takes no other locale; testpmd puts files into the directory.
        command.env("LC_ALL", "C").env("RUNTIME_DIRECTORY", dir);
        command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file);
        sys::prepare(&mut command, program.cpu, program.cpu_seconds);
        Ok(Self { child: command.spawn()?, log, ends_with_input: program.ends_with_input })
    }

    /// Waits for `done`, at most `limit`. An error says what happened instead.
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        stop: &dyn Fn() -> bool,
        mut done: impl FnMut() -> io::Result<bool>,
    ) -> Result<(), String> {
        let until = Instant::now() + limit;
        while !done().map_err(|error| error.to_string())? {
            self.alive()?;
            if stop() {
                return Err("interrupted".to_owned());
            }
            if Instant::now() > until {
                return Err(format!("{what} did not happen within {limit:?}; {}", self.said()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Lets it run for `time`.
    pub fn run_for(&mut self, time: Duration, stop: &dyn Fn() -> bool) -> Result<(), String> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.alive();
            }
            if stop() {
                return Err("interrupted".to_owned());
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    fn alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            // xdp-tools return -EBUSY to the shell and say nothing.
            Ok(Some(status)) if status.code() == Some(256 - libc::EBUSY) => {
                Err("ended with EBUSY: the queue is busy".to_owned())
            }
            Ok(Some(status)) => Err(format!("ended with {status}; {}", self.said())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// CPU time of all processes of its group so far, in seconds.
    pub fn cpu_time(&self) -> f64 {
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name in parentheses may hold anything; what follows is in a fixed order.
            let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
            let fields: Vec<&str> = rest.split(' ').collect();
            let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
            if number(2) == Some(u64::from(self.child.id())) {
                ticks += number(11).unwrap_or(0) + number(12).unwrap_or(0);
            }
        }
        ticks as f64 / sys::ticks_per_second()
    }

    /// What it wrote.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of what it wrote, in one.
    fn said(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.len() {
            0 => "it said nothing".to_owned(),
            n => format!("it said: {}", lines[n.saturating_sub(4)..].join(" / ")),
        }
    }

    /// Asks it to end and waits until it has. Whether it did so by itself.
    pub fn end(&mut self, patience: Option<Duration>) -> bool {
        drop(self.child.stdin.take());
        if !self.ends_with_input {
            sys::signal_group(self.child.id(), libc::SIGINT);
        }
        let until = Instant::now() + patience.unwrap_or(PATIENCE);
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        self.kill();
        false
    }

    fn kill(&mut self) {
        sys::signal_group(self.child.id(), libc::SIGKILL);
        let _ = self.child.wait(); // there is nothing else to be done
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Also when it has ended by itself: what it started may be left.
        self.kill();
    }
}
