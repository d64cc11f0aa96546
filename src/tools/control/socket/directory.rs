//! Where control sockets are, and whose they may be.

use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::sys::{process, unix};
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rights that nobody but the owner may have on the directory.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// A directory in which only owners remove and rename, such as /tmp.
const STICKY: u32 = 0o1000;
/// Longest name of a socket, without network and ending: the system has room for 107 bytes with the
/// path.
const LONGEST_NAME: usize = 48;

/// What an instance has in the directory.
pub(super) struct Place {
    pub(super) socket: PathBuf,
    pub(super) lock: PathBuf,
    /// Its network namespace, which is in their names: interfaces of two may have one name.
    pub(super) network: u64,
}

/// A directory of control sockets.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// That of this user: `/run/flux` for root, `$XDG_RUNTIME_DIR/flux` for others, and `/run/flux`
    /// where the variable is not set (a service manager may make it theirs).
    #[must_use]
    pub fn of_this_user() -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self::of(process::user(), runtime)
    }

    fn of(user: u32, runtime: Option<PathBuf>) -> Self {
        let runtime = runtime.filter(|path| user != 0 && path.is_absolute());
        Self(runtime.unwrap_or_else(|| "/run".into()).join("flux"))
    }

    /// Another one. It is made when the first socket is, the directory above it is not.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it where it is missing, and checks that it is ours alone.
    pub(super) fn prepare(&self) -> Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let next = match error.kind() {
                    io::ErrorKind::NotFound => "make the directory above it first",
                    _ => next_step(&error).unwrap_or("set XDG_RUNTIME_DIR to a directory of yours"),
                };
                return Err(self.refuse(errno_text(&error), next).with_source(error));
            }
        }
        self.check()
    }

    /// Checks that it is there, and ours alone.
    pub(super) fn check(&self) -> Result<()> {
        let found = self.0.symlink_metadata();
        let found = found.map_err(|error| {
            self.refuse(errno_text(&error), "start the command first").with_source(error)
        })?;
        if !found.is_dir() {
            return Err(self.refuse("it is not a directory", "remove it, and start again"));
        }
        let user = process::user();
        if found.uid() != user {
            let why =
                format!("it belongs to user {}, and this process is user {user}", found.uid());
            return Err(self.refuse(why, "run as its owner, or set XDG_RUNTIME_DIR"));
        }
        if found.mode() & WRITABLE_BY_OTHERS != 0 {
            let next = format!("chmod 700 {}", self.0.display());
            return Err(self.refuse("other users may write to it", next));
        }
        let above = self.0.parent().filter(|path| !path.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new(".")).metadata();
        let above =
            above.map_err(|e| self.refuse(errno_text(&e), "check the directory above it"))?;
        let safe = above.mode() & WRITABLE_BY_OTHERS == 0 || above.mode() & STICKY != 0;
        if !safe || ![0, user].contains(&above.uid()) {
            let why = "another user could put another directory in its place";
            return Err(self.refuse(why, "choose one below a directory of yours or of root"));
        }
        Ok(())
    }

    fn refuse(&self, why: impl Into<String>, next: impl Into<String>) -> FluxError {
        let what = format!("cannot use {} for control sockets", self.0.display());
        FluxError::new(ErrorKind::Permission, what, why).with_hint(next)
    }

    /// Where an instance is that runs in the network namespace of the calling thread.
    pub(super) fn place(&self, command: &str, instance: &str) -> Result<Place> {
        let network = process::network().map_err(|error| {
            let why = format!("cannot read the network namespace: {}", errno_text(&error));
            self.refuse(why, "mount /proc").with_source(error)
        })?;
        let file = |ending| self.0.join(format!("{}@{network}.{ending}", name(command, instance)));
        let (socket, lock) = (file("sock"), file("lock"));
        let length = socket.as_os_str().len();
        if length > unix::LONGEST_PATH {
            let most = unix::LONGEST_PATH;
            let why = format!("{} has {length} bytes, of at most {most}", socket.display());
            return Err(self.refuse(why, "use a shorter XDG_RUNTIME_DIR"));
        }
        Ok(Place { socket, lock, network })
    }

    /// On what a command runs, for messages. Those of another network namespace than `network` are
    /// named with it.
    pub(super) fn running(&self, command: &str, network: u64) -> Vec<String> {
        let start = format!("{command}-");
        let files = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            let name = name.strip_prefix(&start)?.strip_suffix(".sock")?;
            let (instance, of) = name.rsplit_once('@')?;
            let listens = file.file_type().is_ok_and(|kind| kind.is_socket())
                && match unix::connect(&file.path(), Duration::ZERO) {
                    Ok(_) => true,
                    // Its queue is full.
                    Err(error) => error.kind() == io::ErrorKind::WouldBlock,
                };
            let here = of.parse() == Ok(network);
            listens.then(|| match here {
                true => instance.to_owned(),
                false => format!("{instance} in network namespace {of}"),
            })
        });
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }
}

/// What to do about an error that the rights of a file are not the cause of.
pub(super) fn next_step(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::ENOSPC | libc::EDQUOT => Some("make room on the file system of its directory"),
        libc::ELOOP => Some("a symbolic link lies in its place: remove it, and start again"),
        _ => None,
    }
}

/// Whose a file is, where it is not ours.
pub(super) fn foreign(file: &Metadata) -> Option<String> {
    let user = process::user();
    let owner = file.uid();
    (owner != user).then(|| format!("it belongs to user {owner}, and this process is user {user}"))
}

/// Command and instance in one word. What a file's name should not have becomes `_`; then, and where
/// it would be too long, a hash of all of it keeps two instances apart.
fn name(command: &str, instance: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._@:+-".contains(c);
    let mut name: String =
        format!("{command}-{instance}").chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if name.len() > LONGEST_NAME || instance.chars().any(|c| !plain(c)) {
        name.truncate(LONGEST_NAME - 17);
        name.push_str(&format!("-{:016x}", fnv(instance.as_bytes())));
    }
    name
}

/// FNV-1a: the same in every version of the program, as std's hash need not be.
fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_others_have_their_own_directories() {
        let of = |user, runtime: Option<&str>| Directory::of(user, runtime.map(PathBuf::from)).0;
        assert_eq!(of(0, Some("/run/user/1000")), Path::new("/run/flux"));
        assert_eq!(of(1000, Some("/run/user/1000")), Path::new("/run/user/1000/flux"));
        assert_eq!(of(1000, None), Path::new("/run/flux"));
        assert_eq!(of(1000, Some("relative")), Path::new("/run/flux"));
    }

    #[test]
    fn a_full_disk_and_a_link_have_a_next_step_of_their_own() {
        let next = |errno| next_step(&io::Error::from_raw_os_error(errno)).unwrap_or("none");
        assert!(next(libc::ENOSPC).contains("make room") && next(libc::ELOOP).contains("link"));
        assert_eq!(next(libc::EACCES), "none");
    }

    #[test]
    fn every_instance_has_a_short_name_of_its_own_without_a_path_in_it() {
        assert_eq!(name("pump", "eth0"), "pump-eth0");
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c); // from the published test vectors
        let odd = ["../../etc/passwd", "a b", "a_b", "a\0b", "é", &"x".repeat(128), ""];
        let names: std::collections::BTreeSet<_> = odd.iter().map(|i| name("fw", i)).collect();
        assert_eq!(names.len(), odd.len(), "{names:?}");
        for name in names {
            assert!(name.len() <= LONGEST_NAME && !name.contains('/') && name.is_ascii(), "{name}");
        }
    }
}
