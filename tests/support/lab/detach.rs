//! Detaching somebody else's XDP program, as `bpftool link detach` does.

use std::io;

/// Commands of bpf(2), of linux/bpf.h.
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_LINK_GET_NEXT_ID: libc::c_long = 31;
const BPF_LINK_DETACH: libc::c_long = 34;
/// `BPF_LINK_TYPE_XDP`
const LINK_XDP: u32 = 6;

/// bpf(2) with an attribute of words; what it returns, and the words as it left them.
fn bpf(command: libc::c_long, words: [u32; 4]) -> io::Result<(i32, [u32; 4])> {
    let mut attribute = words;
    let (place, len) = ((&raw mut attribute), size_of_val(&attribute));
    // SAFETY: reads and writes `len` bytes of the attribute, and where BPF_OBJ_GET_INFO_BY_FD is told
    // of a buffer, that, which lives through the call.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, place, len) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok((done as i32, attribute)) }
}

/// The kind of a link, and the number of its program.
fn link_info(fd: i32) -> io::Result<(u32, u32)> {
    // struct bpf_link_info: type, id, prog_id.
    let mut info = [0u32; 16];
    let at = (&raw mut info) as u64;
    bpf(
        BPF_OBJ_GET_INFO_BY_FD,
        [fd as u32, size_of_val(&info) as u32, at as u32, (at >> 32) as u32],
    )?;
    Ok((info[0], info[2]))
}

/// Detaches the XDP program that is on an interface of the calling thread's namespace, by the link
/// of its owner. Links are told by their programs: an index of an interface is one in each
/// namespace.
pub fn detach_xdp(interface: &str) {
    let told = super::run(&format!("ip -d link show dev {interface}"));
    let (_, after) = told.split_once("prog/xdp id ").expect("an XDP program");
    let program: u32 = after.split_whitespace().next().unwrap().parse().unwrap();
    let mut id = 0;
    while let Ok((_, words)) = bpf(BPF_LINK_GET_NEXT_ID, [id, 0, 0, 0]) {
        id = words[1];
        let Ok((fd, _)) = bpf(BPF_LINK_GET_FD_BY_ID, [id, 0, 0, 0]) else { continue };
        let ours = link_info(fd).is_ok_and(|found| found == (LINK_XDP, program));
        let detached = ours && bpf(BPF_LINK_DETACH, [fd as u32, 0, 0, 0]).is_ok();
        // SAFETY: a descriptor of ours.
        unsafe { libc::close(fd) };
        if detached {
            return;
        }
    }
    panic!("no XDP link is on {interface}");
}
