//! The two ethtool requests that have no netlink route: driver name and queue counts.
//!
//! The ioctl looks the interface up in the network namespace of the calling thread; sysfs would
//! look in the one it was mounted in.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_drvinfo` of linux/ethtool.h.
#[repr(C)]
struct DriverInfo {
    cmd: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    expansion_rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// `struct ethtool_channels` of linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct ChannelsRequest {
    cmd: u32,
    max_rx: u32,
    max_tx: u32,
    max_other: u32,
    max_combined: u32,
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

const _: () = assert!(size_of::<DriverInfo>() == 196);
const _: () = assert!(size_of::<ChannelsRequest>() == 36);

/// Requests of `request`, which return at most as many bytes as the struct they start.
///
/// # Safety
/// The type is `repr(C)`, valid for any bytes, starts with the command, and is at least as large
/// as the kernel's struct for that command.
unsafe trait Request {}
// SAFETY: as asserted above, it is as large as `struct ethtool_drvinfo`, all integers.
unsafe impl Request for DriverInfo {}
// SAFETY: as asserted above, it is as large as `struct ethtool_channels`, all integers.
unsafe impl Request for ChannelsRequest {}

/// Channels in use: `rx` and `tx` have one direction each, `combined` both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) rx: u32,
    pub(crate) tx: u32,
    pub(crate) combined: u32,
}

/// The name of the driver behind `ifname`.
pub(crate) fn driver_info(ifname: &str) -> io::Result<String> {
    let mut info = DriverInfo {
        cmd: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        expansion_rom: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    request(ifname, &mut info)?;
    let name = info.driver.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// How many channels of `ifname` are in use. EOPNOTSUPP where the driver does not tell.
pub(crate) fn channels(ifname: &str) -> io::Result<Channels> {
    let mut channels = ChannelsRequest { cmd: ETHTOOL_GCHANNELS, ..ChannelsRequest::default() };
    request(ifname, &mut channels)?;
    Ok(Channels { rx: channels.rx, tx: channels.tx, combined: channels.combined })
}

fn request<T: Request>(ifname: &str, data: &mut T) -> io::Result<()> {
    let mut name = [0; libc::IFNAMSIZ];
    if ifname.len() >= name.len() || ifname.bytes().any(|byte| byte == 0) {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in name.iter_mut().zip(ifname.bytes()) {
        *to = from as libc::c_char;
    }
    // Any socket will do: device requests go by its namespace, not its protocol.
    let socket = UnixDatagram::unbound()?;
    let mut ifreq = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: std::ptr::from_mut(data).cast() },
    };
    // SAFETY: `ifreq` outlives the call, and its data pointer comes from an exclusive reference to
    // a `Request`, whose impl promises the room the kernel writes to.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut ifreq) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_has_no_driver() {
        let error = driver_info("flux-no-such").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert_eq!(
            channels("a-name-too-long-for-ifreq").unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
    }
}
