//! [`OutputFile`]: a file that a command opens before its work and writes after it.
//!
//! ```text
//!   open ──▶ .flux-123-0.tmp ──▶ commit: written, on the disk, renamed to NAME
//!                    └─────────▶ dropped: removed; a NAME that was there is as it was
//! ```
//!
//! Invariant: readers find the old file or the new one, never a part. What cannot be replaced by
//! its name (a pipe, a device, a file in a directory that is not ours) is written where it is.
//! Callers: what saves reports and draws charts.

use crate::error::{ErrorKind, FluxError, Result, errno_text};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A file that is there once it is complete.
#[derive(Debug)]
pub struct OutputFile {
    /// As it was named.
    name: PathBuf,
    file: File,
    /// What is written meanwhile, and what it is renamed to.
    scratch: Option<(PathBuf, PathBuf)>,
}

impl OutputFile {
    /// Opens what will be `name`.
    ///
    /// # Errors
    /// When no file of that name can be written.
    pub fn open(name: &Path) -> Result<Self> {
        let failed = |error| refused(name, error);
        let target = target(name);
        let there = match fs::metadata(&target) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if target.file_name().is_none() || there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let in_place = || File::options().write(true).open(&target);
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let file = in_place().map_err(failed)?;
            return Ok(Self { name: name.to_owned(), file, scratch: None });
        }
        let scratch = scratch(&target);
        let _ = fs::remove_file(&scratch); // of a process that had our number and was killed
        match File::options().write(true).create_new(true).open(&scratch) {
            Ok(file) => {
                if let Some(there) = there {
                    let _ = fs::set_permissions(&scratch, there.permissions()); // else the usual ones
                }
                Ok(Self { name: name.to_owned(), file, scratch: Some((scratch, target)) })
            }
            // A directory that is not ours may have a file that is.
            Err(_) if there.is_some() => {
                let file = in_place().map_err(failed)?;
                Ok(Self { name: name.to_owned(), file, scratch: None })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Makes `bytes` the file's content.
    ///
    /// # Errors
    /// When they cannot be written; then the file is as it was before.
    pub fn commit(mut self, bytes: &[u8]) -> Result<PathBuf> {
        let mut write = || {
            let Some((scratch, target)) = &self.scratch else {
                self.file.write_all(bytes)?;
                return cut(&self.file, bytes.len());
            };
            self.file.write_all(bytes)?;
            self.file.sync_all()?;
            // Some names cannot be taken over (a mount on the file, a sticky directory).
            fs::rename(scratch, target).or_else(|error| match fs::metadata(target) {
                Ok(_) => fs::write(target, bytes),
                Err(_) => Err(error),
            })
        };
        write().map_err(|error| refused(&self.name, error))?;
        if let Some((scratch, _)) = self.scratch.take() {
            let _ = fs::remove_file(scratch); // where it was not renamed
        }
        Ok(std::mem::take(&mut self.name))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some((scratch, _)) = &self.scratch {
            let _ = fs::remove_file(scratch); // nothing can be done about it in here
        }
    }
}

/// Where links lead to, also to a file that is not there yet: the link itself stays.
fn target(name: &Path) -> PathBuf {
    fs::canonicalize(name).unwrap_or_else(|_| match fs::read_link(name) {
        Ok(led) => name.parent().map_or_else(|| led.clone(), |dir| dir.join(&led)),
        Err(_) => name.to_owned(),
    })
}

/// A name beside `target` that no other file of this process has.
fn scratch(target: &Path) -> PathBuf {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Relaxed);
    target.with_file_name(format!(".flux-{}-{number}.tmp", std::process::id()))
}

/// Leaves the first `len` bytes of a file; a pipe or a device has no length.
fn cut(file: &File, len: usize) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(len as u64) } else { Ok(()) }
}

/// Why `name` cannot be written.
pub(crate) fn refused(name: &Path, error: io::Error) -> FluxError {
    let what = format!("cannot write {}", name.display());
    let refused = FluxError::new(ErrorKind::System, what, errno_text(&error));
    let dir = name.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.exists());
    refused.with_hint(next_step(error.kind(), dir)).with_source(error)
}

/// What helps; `missing` is the directory, where that is not there.
fn next_step(why: io::ErrorKind, missing: Option<&Path>) -> String {
    use io::ErrorKind::{
        InvalidFilename, IsADirectory, NotADirectory, NotFound, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    let next = match (why, missing) {
        (InvalidFilename, _) => "use a shorter name",
        (IsADirectory, _) => "name a file, not a directory",
        (NotADirectory, _) => "a part of its path is a file: name a file in a directory",
        (StorageFull | QuotaExceeded, _) => "free some space, or name a file on another disk",
        (ReadOnlyFilesystem, _) => "name a file on a file system that is not read-only",
        (NotFound, Some(dir)) => {
            return format!("make its directory first: mkdir -p {}", dir.display());
        }
        _ => "name a file in a directory that you may write to",
    };
    next.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is gone with its owner.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("flux-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn count(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_old_file_is_there_until_the_new_one_is_complete() {
        let dir = Dir::new("output");
        let name = dir.0.join("run.json");
        OutputFile::open(&name).unwrap().commit(b"old").unwrap();
        let file = OutputFile::open(&name).unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"old");
        assert_eq!(file.commit(b"new").unwrap(), name);
        assert_eq!((fs::read(&name).unwrap(), dir.count()), (b"new".to_vec(), 1));
    }

    #[cfg(unix)]
    #[test]
    fn rights_and_links_stay_and_two_files_of_one_directory_do_not_meet() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = Dir::new("kept");
        let (name, link) = (dir.0.join("run.json"), dir.0.join("link.json"));
        fs::write(&name, "old").unwrap();
        fs::set_permissions(&name, fs::Permissions::from_mode(0o600)).unwrap();
        let (one, other) = (OutputFile::open(&name).unwrap(), OutputFile::open(&name).unwrap());
        one.commit(b"one").unwrap();
        other.commit(b"other").unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"other");
        assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o600);
        symlink("later.json", &link).unwrap();
        OutputFile::open(&link).unwrap().commit(b"new").unwrap();
        assert_eq!(fs::read(dir.0.join("later.json")).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(dir.count(), 3);
    }

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let dir = Dir::new("dropped");
        let name = dir.0.join("run.json");
        drop(OutputFile::open(&name).unwrap());
        assert_eq!(dir.count(), 0);
        fs::write(&name, "old").unwrap();
        drop(OutputFile::open(&name).unwrap());
        assert_eq!((fs::read(&name).unwrap(), dir.count()), (b"old".to_vec(), 1));
    }

    #[test]
    fn a_name_that_takes_no_file_is_refused_when_it_is_opened() {
        let dir = Dir::new("refused");
        let missing = dir.0.join("none/run.json");
        let error = OutputFile::open(&missing).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot write {}: ", missing.display())));
        assert!(error.hint().unwrap().contains("mkdir -p"), "{error:?}");
        assert!(OutputFile::open(&dir.0).is_err(), "a directory");
        assert!(
            OutputFile::open(Path::new("")).is_err() && OutputFile::open(Path::new("/")).is_err()
        );
    }

    #[cfg(unix)]
    #[test]
    fn each_cause_has_its_next_step() {
        let dir = Dir::new("causes");
        let (there, missing) = (dir.0.join("run.json"), dir.0.join("none/run.json"));
        let mkdir = format!("mkdir -p {}", dir.0.join("none").display());
        let table = [
            (&there, libc::ENAMETOOLONG, "shorter name"),
            (&there, libc::EISDIR, "not a directory"),
            (&there, libc::ENOTDIR, "a part of its path is a file"),
            (&missing, libc::ENOTDIR, "a part of its path is a file"),
            (&there, libc::ENOSPC, "free some space"),
            (&there, libc::EDQUOT, "free some space"),
            (&there, libc::EROFS, "not read-only"),
            (&there, libc::EACCES, "may write to"),
            (&missing, libc::EACCES, "may write to"),
            (&there, libc::ENOENT, "may write to"),
            (&missing, libc::ENOENT, &mkdir),
        ];
        for (name, errno, next) in table {
            let error = refused(name, io::Error::from_raw_os_error(errno));
            assert!(error.hint().unwrap().contains(next), "{error}: {:?}", error.hint());
        }
        let long = dir.0.join("x".repeat(300));
        assert_eq!(OutputFile::open(&long).unwrap_err().hint(), Some("use a shorter name"));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay_what_they_are() {
        let dir = Dir::new("links");
        let (link, real) = (dir.0.join("link"), dir.0.join("real"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        OutputFile::open(&link).unwrap().commit(b"new").unwrap();
        assert_eq!(
            (fs::read(&real).unwrap(), fs::read_link(&link).unwrap()),
            (b"new".to_vec(), real)
        );
        OutputFile::open(Path::new("/dev/null")).unwrap().commit(b"away").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
