//! What the calling thread may do: its effective capabilities.

use super::check;
use std::io;

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 bits.
const VERSION: u32 = 0x2008_0522;

/// The effective capabilities, a bit for each number of linux/capability.h.
pub(crate) fn effective() -> io::Result<u64> {
    // struct __user_cap_header_struct: version, and the calling thread.
    let mut header = [VERSION, 0];
    // struct __user_cap_data_struct, twice: effective, permitted, inheritable.
    let mut data = [0u32; 6];
    let (header, place) = (header.as_mut_ptr(), data.as_mut_ptr());
    // SAFETY: reads and writes the header of two words, and writes six words of data, all ours.
    let done = unsafe { libc::syscall(libc::SYS_capget, header, place) };
    check(done as libc::c_int)?;
    Ok(u64::from(data[0]) | u64::from(data[3]) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_are_those_of_proc() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        let told = u64::from_str_radix(line.trim(), 16).unwrap();
        assert_eq!(effective().unwrap(), told);
    }
}
