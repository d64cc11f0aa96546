//! What an interface's driver tells by the ethtool ioctl: the requests that sysfs has no file for.
//!
//! ```text
//!   Ethtool ── a socket, and with it a network namespace ──┬── fixed     structs of a known size
//!                                                          └── tables    answers of any length
//!   queues     which of a driver's counters belong to which RX queue        └── room  guarded
//! ```
//!
//! Invariant: an interface is looked up in the namespace that the handle was opened in, whatever
//! thread asks. (sysfs would look in the one it was mounted in.) Of an answer of any length, as
//! much is used as lies in our memory, whatever length the kernel says it has.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

#[cfg(all(feature = "bpf", feature = "tools"))]
mod fixed;
#[cfg(all(feature = "bpf", feature = "tools"))]
mod queues;
#[cfg(all(feature = "bpf", feature = "tools"))]
mod room;
#[cfg(all(feature = "bpf", feature = "tools"))]
mod tables;

#[cfg(all(feature = "bpf", feature = "tools"))]
pub(crate) use queues::RxCounters;

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

/// Requests whose answer is at most as many bytes as the struct they start.
///
/// # Safety
/// The type is `repr(C)`, valid for any bytes, starts with the command, and is at least as large
/// as the kernel's struct for that command.
unsafe trait Request {}
// SAFETY: as asserted above, it is as large as `struct ethtool_drvinfo`, all integers.
unsafe impl Request for DriverInfo {}
// SAFETY: as asserted above, it is as large as `struct ethtool_channels`, all integers.
unsafe impl Request for ChannelsRequest {}

/// A driver's name, and the address of its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Driver {
    pub(crate) name: String,
    /// Such as `0000:3b:00.0`; empty where there is no device.
    #[cfg_attr(not(all(feature = "bpf", feature = "tools")), allow(dead_code))]
    pub(crate) bus: String,
}

/// Channels in use: `rx` and `tx` have one direction each, `combined` both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) rx: u32,
    pub(crate) tx: u32,
    pub(crate) combined: u32,
}

/// Asks about the interfaces of one network namespace.
#[derive(Debug)]
pub(crate) struct Ethtool {
    /// Any socket will do: device requests go by its namespace, not its protocol.
    socket: UnixDatagram,
}

impl Ethtool {
    /// For the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: UnixDatagram::unbound()? })
    }

    /// The driver behind `ifname`.
    pub(crate) fn driver(&self, ifname: &str) -> io::Result<Driver> {
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
        self.request(ifname, &mut info)?;
        Ok(Driver { name: text(&info.driver), bus: text(&info.bus) })
    }

    /// How many channels of `ifname` are in use. EOPNOTSUPP where the driver does not tell.
    pub(crate) fn channels(&self, ifname: &str) -> io::Result<Channels> {
        let mut channels = ChannelsRequest { cmd: ETHTOOL_GCHANNELS, ..Default::default() };
        self.request(ifname, &mut channels)?;
        Ok(Channels { rx: channels.rx, tx: channels.tx, combined: channels.combined })
    }

    fn request<T: Request>(&self, ifname: &str, data: &mut T) -> io::Result<()> {
        // SAFETY: the pointer comes from an exclusive reference to a `Request`, whose impl
        // promises the room that the kernel writes to.
        unsafe { self.ioctl(ifname, std::ptr::from_mut(data).cast()) }
    }

    /// # Safety
    /// `data` starts a request of linux/ethtool.h, and the memory from there on is either room
    /// that its answer may fill with any bytes, or not writable at all.
    unsafe fn ioctl(&self, ifname: &str, data: *mut libc::c_char) -> io::Result<()> {
        let mut name = [0; libc::IFNAMSIZ];
        if ifname.len() >= name.len() || ifname.bytes().any(|byte| byte == 0) {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in name.iter_mut().zip(ifname.bytes()) {
            *to = from as libc::c_char;
        }
        let mut ifreq = libc::ifreq {
            ifr_name: name,
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data },
        };
        // SAFETY: `ifreq` outlives the call, and the caller answers for its data pointer.
        let done = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL, &raw mut ifreq) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// What is before the first NUL.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// The name of the driver behind `ifname` in the calling thread's namespace.
#[cfg(feature = "bpf")]
pub(crate) fn driver_info(ifname: &str) -> io::Result<String> {
    Ok(Ethtool::open()?.driver(ifname)?.name)
}

/// How many channels of `ifname` in the calling thread's namespace are in use.
#[cfg(feature = "bpf")]
pub(crate) fn channels(ifname: &str) -> io::Result<Channels> {
    Ethtool::open()?.channels(ifname)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_has_no_driver() {
        let ethtool = Ethtool::open().unwrap();
        let error = ethtool.driver("flux-no-such").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert_eq!(
            ethtool.channels("a-name-too-long-for-ifreq").unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
    }
}
