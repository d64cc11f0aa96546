//! What becomes of the network namespaces of a process: nothing may be left of them.

use super::PATIENCE;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The network namespaces that a process is in or holds, but for this thread's; by inode.
pub fn namespaces_of(process: u32) -> BTreeMap<String, File> {
    let mut found = BTreeMap::new();
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let threads = tasks.map(|task| task.unwrap().path().join("ns/net"));
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let descriptors = descriptors.map(|entry| entry.unwrap().path());
    for path in threads.chain(descriptors) {
        // Threads come and go.
        let Ok(target) = fs::read_link(&path) else { continue };
        if target.to_string_lossy().starts_with("net:[")
            && target != own
            && let Ok(file) = File::open(&path)
        {
            found.insert(target.to_string_lossy().into_owned(), file);
        }
    }
    found
}

/// Sees namespaces go, without keeping them: the kernel says so itself (RTM_DELNSID).
pub struct Watch {
    netlink: OwnedFd,
    pub waiting: Vec<i32>,
}

/// Of linux/netlink.h, linux/rtnetlink.h and linux/net_namespace.h.
const SOL_NETLINK: libc::c_int = 270;
const RTNLGRP_NSID: libc::c_int = 28;
const RTM_NEWNSID: u16 = 88;
const RTM_DELNSID: u16 = 89;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

impl Watch {
    /// Watches from this thread's namespace, in which those to be watched get numbers.
    pub fn new(watched: &[File]) -> Self {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes three numbers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else owns.
        let netlink = unsafe { OwnedFd::from_raw_fd(fd) };
        let group = RTNLGRP_NSID;
        let (place, len) = ((&raw const group).cast(), size_of_val(&group) as u32);
        let option = libc::NETLINK_ADD_MEMBERSHIP;
        // SAFETY: reads `len` bytes of the value, which lives through the call.
        let joined = unsafe { libc::setsockopt(fd, SOL_NETLINK, option, place, len) };
        assert_eq!(joined, 0, "{}", io::Error::last_os_error());
        let mut watch = Self { netlink, waiting: Vec::new() };
        // A number is in use for as long as its namespace lives.
        static NEXT: AtomicI32 = AtomicI32::new(0);
        for namespace in watched {
            let id = NEXT.fetch_add(1, Relaxed);
            watch.number(namespace, id);
            watch.waiting.push(id);
        }
        watch
    }

    /// Gives a namespace a number here, and waits for the kernel's consent.
    fn number(&self, namespace: &File, id: i32) {
        let mut message = Vec::new();
        message.extend(36u32.to_ne_bytes());
        message.extend(RTM_NEWNSID.to_ne_bytes());
        message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        message.extend([0; 8]); // sequence and port
        message.extend([0; 4]); // struct rtgenmsg, padded
        for (kind, value) in [(NETNSA_FD, namespace.as_raw_fd()), (NETNSA_NSID, id)] {
            message.extend(8u16.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(value.to_ne_bytes());
        }
        let (fd, place) = (self.netlink.as_raw_fd(), message.as_ptr().cast());
        // SAFETY: reads the message, which lives through the call.
        let sent = unsafe { libc::send(fd, place, message.len(), 0) };
        assert_eq!(sent, 36, "{}", io::Error::last_os_error());
        loop {
            for (kind, body) in self.receive(PATIENCE).expect("an answer") {
                if kind == libc::NLMSG_ERROR as u16 {
                    assert_eq!(body[..4], [0; 4], "{body:?}");
                    return;
                }
            }
        }
    }

    /// The messages of one datagram: type and what comes after the header.
    fn receive(&self, patience: Duration) -> Option<Vec<(u16, Vec<u8>)>> {
        let fd = self.netlink.as_raw_fd();
        let mut ready = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, ours.
        if unsafe { libc::poll(&raw mut ready, 1, patience.as_millis() as i32) } != 1 {
            return None;
        }
        let mut buffer = vec![0u8; 1 << 16];
        let (place, room) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: writes at most `room` bytes into the buffer.
        let got = unsafe { libc::recv(fd, place, room, 0) };
        let mut rest = &buffer[..usize::try_from(got).expect("a datagram")];
        let mut messages = Vec::new();
        while rest.len() >= 16 {
            let len = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            let kind = u16::from_ne_bytes(rest[4..6].try_into().unwrap());
            messages.push((kind, rest[16..len].to_vec()));
            rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        }
        Some(messages)
    }

    /// Waits until all are gone; how many are left after `patience`.
    pub fn left_after(mut self, patience: Duration) -> usize {
        let until = Instant::now() + patience;
        while !self.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let Some(messages) = self.receive(left) else { break };
            for (kind, body) in messages {
                let mut attributes = body.get(4..).unwrap_or_default();
                while kind == RTM_DELNSID && attributes.len() >= 8 {
                    let len = u16::from_ne_bytes(attributes[..2].try_into().unwrap()) as usize;
                    let name = u16::from_ne_bytes(attributes[2..4].try_into().unwrap());
                    let value = i32::from_ne_bytes(attributes[4..8].try_into().unwrap());
                    if name == NETNSA_NSID {
                        self.waiting.retain(|id| *id != value);
                    }
                    attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or_default();
                }
            }
        }
        self.waiting.len()
    }
}
