//! Somebody else's XDP programs, made without a compiler: they pass all packets.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Commands of bpf(2), of linux/bpf.h.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
/// `BPF_PROG_TYPE_XDP`
const XDP: u32 = 6;
/// `BPF_XDP`
const ATTACH_XDP: u32 = 37;
/// `IFLA_XDP | NLA_F_NESTED`, `IFLA_XDP_FD` and `IFLA_XDP_FLAGS`.
const IFLA_XDP: u16 = 43 | 1 << 15;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;

/// The hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Skb = 1 << 1,
    Native = 1 << 2,
}

fn bpf(command: libc::c_long, attribute: &mut [u32; 32]) -> io::Result<OwnedFd> {
    let (place, len) = (attribute.as_mut_ptr(), size_of_val(attribute));
    // SAFETY: reads `len` bytes of the attribute, and what it points to, which live through the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, place, len) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both commands make a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A program called `pass_all`.
fn program() -> OwnedFd {
    // r0 = XDP_PASS; exit
    let code: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
    let licence = c"GPL";
    let mut attribute = [0u32; 32];
    let pointer = |attribute: &mut [u32; 32], at: usize, to: u64| {
        (attribute[at], attribute[at + 1]) = (to as u32, (to >> 32) as u32);
    };
    (attribute[0], attribute[1]) = (XDP, code.len() as u32);
    pointer(&mut attribute, 2, code.as_ptr() as u64);
    pointer(&mut attribute, 4, licence.as_ptr() as u64);
    // prog_name: at byte 48
    for (word, letters) in b"pass_all".chunks(4).enumerate() {
        attribute[12 + word] = u32::from_ne_bytes(letters.try_into().unwrap());
    }
    bpf(BPF_PROG_LOAD, &mut attribute).expect("a program")
}

fn index(interface: &str) -> u32 {
    let name = std::ffi::CString::new(interface).unwrap();
    // SAFETY: reads a string that ends in NUL and lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "no {interface}");
    index
}

/// Attaches one by a link, which is what is given back: it ends with the last descriptor.
pub fn attach_by_link(interface: &str, hook: Hook) -> OwnedFd {
    let program = program();
    let mut attribute = [0u32; 32];
    attribute[..4].copy_from_slice(&[
        program.as_raw_fd() as u32,
        index(interface),
        ATTACH_XDP,
        hook as u32,
    ]);
    bpf(BPF_LINK_CREATE, &mut attribute).expect("a link")
}

/// Attaches one as `ip link set dev IFACE xdp obj FILE` does: it stays when its owner ends.
pub fn attach_by_netlink(interface: &str, hook: Hook) {
    let program = program();
    let attribute = |kind: u16, value: u32| {
        [[8, 0], kind.to_ne_bytes()].concat().into_iter().chain(value.to_ne_bytes())
    };
    let inner: Vec<u8> = attribute(IFLA_XDP_FD, program.as_raw_fd() as u32)
        .chain(attribute(IFLA_XDP_FLAGS, hook as u32))
        .collect();
    let mut message = Vec::new();
    let len = 16 + 16 + 4 + inner.len() as u32;
    message.extend(len.to_ne_bytes());
    message.extend(libc::RTM_SETLINK.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend([0; 4]); // family, type
    message.extend(index(interface).to_ne_bytes());
    message.extend([0; 8]); // flags, change
    message.extend((4 + inner.len() as u16).to_ne_bytes());
    message.extend(IFLA_XDP.to_ne_bytes());
    message.extend(inner);
    // SAFETY: takes three numbers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE) };
    assert!(fd >= 0);
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let (place, len) = (message.as_ptr().cast(), message.len());
    // SAFETY: reads `len` bytes of the message, which lives through the call.
    assert!(unsafe { libc::send(socket.as_raw_fd(), place, len, 0) } > 0);
    let mut answer = [0u8; 4096];
    let (place, len) = (answer.as_mut_ptr().cast(), answer.len());
    // SAFETY: writes at most `len` bytes into the answer, which is ours.
    assert!(unsafe { libc::recv(socket.as_raw_fd(), place, len, 0) } >= 20);
    let errno = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    assert_eq!(errno, 0, "XDP on {interface}: {}", io::Error::from_raw_os_error(-errno));
}
