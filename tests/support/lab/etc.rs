//! An `/etc` of a thread's own, so that names and addresses are what the test says, whatever the
//! machine's files, its DNS and its name service cache say.

use super::check;
use std::ffi::CStr;
use std::{fs, ptr};

/// Calls `f` on a thread in whose `/etc` there is a hosts file with these lines, and which asks
/// nobody but that file. What the thread mounts goes with it.
pub fn with_hosts<R: Send>(hosts: &str, f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let inside = scope.spawn(move || {
            // SAFETY: takes a number; changes this thread's namespace only.
            check(unsafe { libc::unshare(libc::CLONE_NEWNS) }).expect("a mount namespace");
            mount(c"none", c"/", ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
            // nscd answers before any file does, where it runs.
            for dir in [c"/etc", c"/run/nscd", c"/var/run/nscd"] {
                if fs::exists(dir.to_str().expect("ASCII")).is_ok_and(|is_there| is_there) {
                    mount(c"none", dir, c"tmpfs".as_ptr(), 0);
                }
            }
            let files = [
                ("hosts", hosts),
                ("nsswitch.conf", "hosts: files\n"),
                // All lines of a name count, not the first alone.
                ("host.conf", "multi on\n"),
            ];
            for (name, text) in files {
                fs::write(format!("/etc/{name}"), text).expect("our own /etc");
            }
            f()
        });
        match inside.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn mount(what: &CStr, place: &CStr, kind: *const libc::c_char, flags: libc::c_ulong) {
    let (what, to, nothing) = (what.as_ptr(), place.as_ptr(), ptr::null());
    // SAFETY: reads strings that end in NUL and live through the call; no data.
    let done = unsafe { libc::mount(what, to, kind, flags, nothing) };
    check(done).unwrap_or_else(|error| panic!("mount at {place:?}: {error}"));
}
