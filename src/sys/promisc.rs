//! Promiscuous mode: the NIC takes frames that are addressed to others, too.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// As long as there is one for an interface, it is promiscuous. The kernel counts them, and takes
/// ours back with the socket: at the drop, and by itself however the process ends.
pub(crate) struct Promiscuous {
    _socket: OwnedFd,
}

impl Promiscuous {
    /// Turns it on, in the network namespace of the calling thread. Needs CAP_NET_RAW; ENODEV when
    /// there is no such interface.
    pub(crate) fn on(ifindex: u32) -> io::Result<Promiscuous> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // Protocol 0: it receives nothing.
        // SAFETY: takes three numbers.
        let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: a new descriptor that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let wanted = libc::packet_mreq {
            mr_ifindex: ifindex.cast_signed(),
            mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let (place, len) = ((&raw const wanted).cast(), size_of_val(&wanted) as libc::socklen_t);
        let (level, option) = (libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP);
        // SAFETY: reads `len` bytes of the value, which lives through the call.
        check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, place, len) })?;
        Ok(Self { _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{self, Lab, OURS};
    use crate::sys::netdev;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// How many want the interface to be promiscuous. The flag that netlink shows is no sign: it
    /// tells of `ip link set … promisc on` alone.
    fn count() -> u32 {
        let told = lab::run(&format!("ip -d link show dev {OURS}"));
        assert!(!told.contains("PROMISC"), "{told}");
        let (_, rest) = told.split_once("promiscuity ").unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn an_interface_is_promiscuous_until_the_last_drop() {
        let Some(_lab) = Lab::veth(1) else { return };
        let ifindex = netdev::index(OURS).unwrap();
        assert_eq!(count(), 0);
        let first = Promiscuous::on(ifindex).unwrap();
        let second = Promiscuous::on(ifindex).unwrap();
        assert_eq!(count(), 2);
        drop(first);
        assert_eq!(count(), 1);
        drop(second);
        assert_eq!(count(), 0);
        let error = Promiscuous::on(ifindex + 1000).err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    /// Not a test: what the one below kills.
    #[test]
    #[ignore = "waits to be killed"]
    fn hold_it() {
        let _on = Promiscuous::on(netdev::index(OURS).unwrap()).unwrap();
        println!("\nHOLDING");
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn a_killed_process_leaves_no_interface_promiscuous() {
        let Some(_lab) = Lab::veth(1) else { return };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sys::promisc::tests::hold_it", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "HOLDING"));
        assert_eq!(count(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
        lab::wait_until("no promiscuous interface", || count() == 0);
    }
}
