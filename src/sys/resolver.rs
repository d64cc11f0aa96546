//! The host's resolver: names of addresses.

use std::ffi::CStr;
use std::net::IpAddr;

/// Room for any name and its zero (`NI_MAXHOST`).
const ROOM: usize = 1025;

/// The name of an address in the hosts file, the DNS or wherever else this host looks. Takes as
/// long as the resolver does, which can be many seconds. Whoever answers for the address can have
/// put anything in there.
pub(crate) fn name_of(addr: IpAddr) -> Option<String> {
    match addr {
        IpAddr::V4(addr) => {
            // SAFETY: integers alone, for which all zeroes is a value.
            let mut place: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            place.sin_family = libc::AF_INET as libc::sa_family_t;
            place.sin_addr.s_addr = u32::from_ne_bytes(addr.octets());
            look_up(&place)
        }
        IpAddr::V6(addr) => {
            // SAFETY: integers alone, for which all zeroes is a value.
            let mut place: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            place.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            place.sin6_addr.s6_addr = addr.octets();
            look_up(&place)
        }
    }
}

/// A socket address of a fixed kind: what `getnameinfo` takes.
trait Place {}
impl Place for libc::sockaddr_in {}
impl Place for libc::sockaddr_in6 {}

fn look_up<T: Place>(place: &T) -> Option<String> {
    let mut name = [0_u8; ROOM];
    let length = size_of::<T>() as libc::socklen_t;
    let (at, room) = (name.as_mut_ptr().cast(), ROOM as _);
    let address = (&raw const *place).cast();
    let nothing = std::ptr::null_mut();
    // SAFETY: reads `length` bytes of `place`, a whole socket address, and writes at most `room`
    // bytes of `name`, both of which live until it returns; it is asked for no service.
    let result =
        unsafe { libc::getnameinfo(address, length, at, room, nothing, 0, libc::NI_NAMEREQD) };
    if result != 0 {
        return None; // it has no name, or nobody could be asked
    }
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first name of an address in the hosts file, where that is asked first.
    fn in_hosts(addr: &str) -> Option<String> {
        let text = std::fs::read_to_string("/etc/hosts").ok()?;
        let switch = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
        let hosts = switch.lines().find_map(|line| line.strip_prefix("hosts:"));
        if !hosts.unwrap_or("files").trim().starts_with("files") {
            return None;
        }
        let lines = text.lines().filter_map(|line| line.split('#').next());
        let mut entries = lines.map(str::split_whitespace);
        entries.find_map(|mut words| (words.next()? == addr).then(|| words.next())?.map(Into::into))
    }

    #[test]
    fn loopback_has_the_name_that_the_hosts_file_gives_it() {
        let named = ["127.0.0.1", "::1"].map(|loopback| Some((loopback, in_hosts(loopback)?)));
        if named.iter().all(Option::is_none) {
            #[cfg(target_os = "linux")]
            crate::lab::skip("/etc/hosts names no loopback address");
        }
        // Only what the file answers: nobody on the network is asked.
        for (loopback, want) in named.into_iter().flatten() {
            assert_ne!(want, loopback, "an address is no name");
            assert_eq!(name_of(loopback.parse().unwrap()), Some(want), "{loopback}");
        }
    }
}
