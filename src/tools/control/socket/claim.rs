//! Taking the socket of an instance: its lock, and what another process left behind.
//!
//! The lock (`flock`) is what counts: the kernel takes it from a process that dies, however it does,
//! and of two that start at once one has it. Only who holds it removes the socket's file.

use super::directory::{Directory, Place, foreign, next_step};
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::sys::{process, unix};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

/// How often a lock file is opened anew that its owner removed meanwhile.
const TRIES: usize = 100;
/// How long who listens on the socket has to take a connection.
const TIME: Duration = Duration::from_millis(100);

/// The socket of an instance, ours until it is dropped.
pub(super) struct Claim {
    pub(super) listener: UnixListener,
    files: Files,
}

/// What lies in the directory as long as we run.
struct Files {
    place: Place,
    /// The socket is ours as well.
    bound: bool,
    /// Locked until it is closed.
    locked: File,
}

impl Drop for Files {
    fn drop(&mut self) {
        // While the lock is held, so that neither is another process's. Nothing can be done about an
        // error, and the next process takes over what is left.
        if self.bound {
            let _ = std::fs::remove_file(&self.place.socket);
        }
        let _ = std::fs::remove_file(&self.place.lock);
    }
}

/// Who wants it, for messages.
struct Wish<'a> {
    command: &'a str,
    instance: &'a str,
    socket: &'a Path,
}

impl Wish<'_> {
    fn refuse(&self, kind: ErrorKind, why: impl Into<String>) -> FluxError {
        let what = format!("cannot open control socket {}", self.socket.display());
        FluxError::new(kind, what, why)
    }

    fn failed(&self, error: io::Error) -> FluxError {
        let cause = errno_text(&error);
        self.refuse(ErrorKind::System, cause)
            .with_hint(next_step(&error).unwrap_or("check the rights of its directory"))
            .with_source(error)
    }

    /// Another process has it.
    fn taken(&self, process: Option<u32>) -> FluxError {
        let Self { command, instance, .. } = self;
        let (by, next) = match process {
            Some(number) => (format!(" (process {number})"), format!(", or end process {number}")),
            None => (String::new(), String::new()),
        };
        self.refuse(ErrorKind::Busy, format!("{command} runs on {instance} already{by}"))
            .with_hint(format!("send it the request \"stop\"{next}; then start again"))
    }

    fn foreign(&self, path: &Path, why: String) -> FluxError {
        self.refuse(ErrorKind::Permission, why)
            .with_hint(format!("let its owner remove {}, and start again", path.display()))
    }
}

impl Claim {
    pub(super) fn new(directory: &Directory, command: &str, instance: &str) -> Result<Self> {
        let place = directory.place(command, instance)?;
        directory.prepare()?;
        let socket = place.socket.clone();
        let wish = Wish { command, instance, socket: &socket };
        let locked = locked(&place.lock, &wish)?;
        // From here on dropping removes the lock, and further down the socket.
        let mut files = Files { place, bound: false, locked };
        clear(&wish)?;
        let listener = UnixListener::bind(&socket).map_err(|error| wish.failed(error))?;
        files.bound = true;
        let number = format!("{}\n", std::process::id());
        let emptied = files.locked.set_len(0);
        emptied
            .and_then(|()| files.locked.write_all(number.as_bytes()))
            .and_then(|()| std::fs::set_permissions(&socket, Permissions::from_mode(0o600)))
            .and_then(|()| listener.set_nonblocking(true))
            .map_err(|error| wish.failed(error))?;
        Ok(Self { listener, files })
    }

    pub(super) fn path(&self) -> &Path {
        &self.files.place.socket
    }
}

/// The lock file, locked and still the one in the directory.
fn locked(path: &Path, wish: &Wish<'_>) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK); // no link, and no wait for a pipe
    for _ in 0..TRIES {
        let mut file = options.open(path).map_err(|error| wish.failed(error))?;
        let found = file.metadata().map_err(|error| wish.failed(error))?;
        if let Some(why) = foreign(&found) {
            return Err(wish.foreign(path, why));
        }
        if !found.is_file() {
            return Err(wish.foreign(path, format!("{} is not a file", path.display())));
        }
        if found.nlink() > 1 {
            let why = format!("{} is another file as well, by a hard link", path.display());
            return Err(wish.foreign(path, why)); // it would be emptied
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(wish.taken(owner(&mut file))),
            Err(TryLockError::Error(error)) => return Err(wish.failed(error)),
        }
        // A process that ended removed it after we opened it: then the lock is nobody's.
        let same = |there: &std::fs::Metadata| (there.dev(), there.ino());
        match path.symlink_metadata() {
            Ok(there) if same(&there) == (found.dev(), found.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wish.failed(error)),
        }
    }
    Err(wish.taken(None))
}

/// The process that has the lock, where it has written its number yet.
fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Removes the socket of a process that is no more. With the lock held nobody of ours listens there;
/// another program may.
fn clear(wish: &Wish<'_>) -> Result<()> {
    let found = match wish.socket.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(wish.failed(error)),
    };
    if let Some(why) = foreign(&found) {
        return Err(wish.foreign(wish.socket, why));
    }
    if !found.file_type().is_socket() {
        return Err(wish.foreign(wish.socket, "what lies there is not a socket".into()));
    }
    match unix::connect(wish.socket, TIME) {
        Ok(stream) => Err(wish.taken(process::peer(&stream).ok().map(|peer| peer.process))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(wish.socket).map_err(|error| wish.failed(error))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let why = "another program listens there, and takes no connection";
            let next = format!("end it (ss -xlp src {} names it)", wish.socket.display());
            Err(wish.refuse(ErrorKind::Busy, why).with_hint(next))
        }
        Err(error) => Err(wish.failed(error)),
    }
}
