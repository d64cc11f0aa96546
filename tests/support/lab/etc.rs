//! An `/etc` of a thread's own, so that names and addresses are what the test says, whatever the
//! machine's files, its DNS and its name service cache say.

use super::check;
use std::ffi::CString;
use std::fs;
use std::net::ToSocketAddrs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Calls `f` on a thread whose root directory has nothing but an `/etc`, in which names are looked
/// up in a hosts file with these lines and nowhere else. Needs root. Without mounts: in a container
/// or a chroot not all of them are ours to change.
pub fn with_hosts<R: Send>(hosts: &str, f: impl FnOnce() -> R + Send) -> R {
    let root = Root::new(hosts);
    // Older C libraries load the code for this at the first time, from where it will not be found.
    let _ = ("localhost", 0).to_socket_addrs();
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: takes a number; from here on this thread's root directory is its own.
            check(unsafe { libc::unshare(libc::CLONE_FS) }).expect("a root of our own");
            let path = CString::new(root.0.as_os_str().as_bytes()).expect("no NUL");
            // SAFETY: reads a string that ends in NUL and lives through the call.
            check(unsafe { libc::chroot(path.as_ptr()) }).expect("chroot");
            f()
        });
        match inside.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The directory, gone with this value.
struct Root(PathBuf);

impl Root {
    fn new(hosts: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("flux-etc-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let root = Self(std::env::temp_dir().join(name));
        let etc = root.0.join("etc");
        fs::create_dir_all(&etc).expect("a temporary directory");
        let files = [
            ("hosts", hosts),
            ("nsswitch.conf", "hosts: files\n"),
            // All lines of a name count, not the first alone.
            ("host.conf", "multi on\n"),
        ];
        for (name, text) in files {
            fs::write(etc.join(name), text).expect("our own /etc");
        }
        root
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a panic is on its way, or it worked
    }
}
