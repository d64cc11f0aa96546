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

    #[test]
    fn loopback_has_the_name_that_the_hosts_file_gives_it() {
        let Some(_turn) = crate::lab::as_root() else { return };
        let hosts = "127.0.0.1 four.test again.test\n::1 six.test # ::2 none.test\n";
        crate::lab::etc::with_hosts(hosts, || {
            let name = |addr: &str| name_of(addr.parse().unwrap());
            assert_eq!(name("127.0.0.1").as_deref(), Some("four.test"));
            assert_eq!(name("::1").as_deref(), Some("six.test"));
            assert_eq!((name("127.0.0.2"), name("::2")), (None, None));
        });
    }
}
