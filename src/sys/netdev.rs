//! What an interface is, by ioctl: sysfs would look in the namespace it was mounted in.

use super::{check, link_watch};
use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

fn no_device() -> io::Error {
    io::Error::from_raw_os_error(libc::ENODEV)
}

/// The interface's index. ENODEV when there is none of that name.
pub(crate) fn index(name: &str) -> io::Result<u32> {
    let name = CString::new(name).map_err(|_| no_device())?;
    // SAFETY: reads a string that ends in NUL and lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        // The C library hides that it had no descriptor left to ask with.
        0 => Err(match request(&name.to_string_lossy(), libc::SIOCGIFINDEX) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                error
            }
            _ => no_device(),
        }),
        index => Ok(index),
    }
}

/// The name that the interface of this index has now; `None` when there is none any more.
pub(crate) fn name(index: u32) -> Option<String> {
    let mut name = [0 as libc::c_char; libc::IF_NAMESIZE];
    // SAFETY: writes a name of at most IF_NAMESIZE bytes into the array.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    let bytes: Vec<u8> = name.iter().map(|&c| c as u8).take_while(|&byte| byte != 0).collect();
    (!found.is_null()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn request(name: &str, number: libc::Ioctl) -> io::Result<libc::ifreq> {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    if name.len() >= ifr_name.len() || name.bytes().any(|byte| byte == 0) {
        return Err(no_device());
    }
    for (to, from) in ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_map: no_map() };
    let mut ifreq = libc::ifreq { ifr_name, ifr_ifru };
    // Any socket will do: device requests go by its namespace, not its protocol.
    let socket = UnixDatagram::unbound()?;
    // SAFETY: both requests that come here write into the ifreq itself, which is ours.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw mut ifreq) })?;
    Ok(ifreq)
}

/// The union's largest member, zeroed.
fn no_map() -> libc::__c_anonymous_ifru_map {
    libc::__c_anonymous_ifru_map { mem_start: 0, mem_end: 0, base_addr: 0, irq: 0, dma: 0, port: 0 }
}

/// Whether the interface is administratively up.
pub(crate) fn is_up(name: &str) -> io::Result<bool> {
    let ifreq = request(name, libc::SIOCGIFFLAGS as libc::Ioctl)?;
    // SAFETY: the kernel filled this member in, and all of the union was initialised before.
    let flags = unsafe { ifreq.ifr_ifru.ifru_flags };
    Ok(libc::c_int::from(flags) & libc::IFF_UP != 0)
}

/// The MTU in bytes.
pub(crate) fn mtu(name: &str) -> io::Result<u32> {
    let ifreq = request(name, libc::SIOCGIFMTU as libc::Ioctl)?;
    // SAFETY: the kernel filled this member in, and all of the union was initialised before.
    let mtu = unsafe { ifreq.ifr_ifru.ifru_mtu };
    Ok(u32::try_from(mtu).unwrap_or(0))
}

/// RX and TX queues of an interface whose driver does not answer `ethtool -l` (veth before Linux
/// 5.13), from its address in sysfs. That shows the namespace it was mounted in, so the index is
/// compared first; in another one rtnetlink tells the allocated queues. `None` where
/// neither tells.
pub(crate) fn sysfs_queues(name: &str, index: u32) -> Option<(u32, u32)> {
    let dir = format!("/sys/class/net/{name}");
    let same = std::fs::read_to_string(format!("{dir}/ifindex"))
        .is_ok_and(|text| text.trim().parse() == Ok(index));
    if !same {
        return link_watch::allocated_queues(index);
    }
    let entries = std::fs::read_dir(format!("{dir}/queues")).ok()?;
    let names: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
    let count = |start: &[u8]| {
        let all = names.iter().filter(|name| name.as_encoded_bytes().starts_with(start));
        u32::try_from(all.count()).ok().filter(|&count| count > 0)
    };
    Some((count(b"rx-")?, count(b"tx-")?))
}
