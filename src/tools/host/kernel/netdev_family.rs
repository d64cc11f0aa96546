//! Generic netlink, family `netdev`: what an interface's XDP can do (DEV_GET, Linux 6.3).
//!
//! The protocol is linux/netdev.h; attributes that are not there say that the kernel is older.

use std::io;

use super::genl::{Family, attribute, attributes};

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS: u16 = 4;
const NETDEV_A_DEV_XDP_RX_METADATA_FEATURES: u16 = 5;
const NETDEV_A_DEV_XSK_FEATURES: u16 = 6;

/// What a driver says that its XDP can do. Sets are the bits of linux/netdev.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct XdpFeatures {
    /// `enum netdev_xdp_act`.
    pub(crate) xdp: u64,
    /// Frames that a packet may take in zero-copy mode; `None` where there is no such mode.
    pub(crate) zero_copy_segments: Option<u32>,
    /// `enum netdev_xdp_rx_metadata`; `None` before Linux 6.6.
    pub(crate) rx_metadata: Option<u64>,
    /// `enum netdev_xsk_flags`; `None` before Linux 6.8.
    pub(crate) xsk: Option<u64>,
}

impl XdpFeatures {
    /// Native XDP: drop, pass, send back.
    pub(crate) const BASIC: u64 = 1;
    /// `XDP_REDIRECT`, without which there is no native AF_XDP.
    pub(crate) const REDIRECT: u64 = 2;
    /// Takes packets that others redirect to it.
    pub(crate) const NDO_XMIT: u64 = 4;
    /// AF_XDP shares memory with the NIC.
    pub(crate) const ZERO_COPY: u64 = 8;
    /// Native XDP of packets in several buffers.
    pub(crate) const RX_SG: u64 = 32;

    /// Whether all of `bits` are there.
    pub(crate) fn has(&self, bits: u64) -> bool {
        self.xdp & bits == bits
    }
}

/// The family, asked for the features of one interface.
pub(super) fn features(family: &Family, ifindex: u32) -> io::Result<XdpFeatures> {
    let index = attribute(NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes());
    let answers = family.request(NETDEV_CMD_DEV_GET, &index)?;
    features_from(answers.first().map_or(&[][..], Vec::as_slice))
}

fn features_from(answer: &[u8]) -> io::Result<XdpFeatures> {
    let get = |kind| {
        attributes(answer).find(|(known, _)| *known == kind).and_then(|(_, value)| number(value))
    };
    let not_understood =
        || io::Error::new(io::ErrorKind::InvalidData, "netlink message not understood");
    Ok(XdpFeatures {
        xdp: get(NETDEV_A_DEV_XDP_FEATURES).ok_or_else(not_understood)?,
        zero_copy_segments: get(NETDEV_A_DEV_XDP_ZC_MAX_SEGS).and_then(|n| u32::try_from(n).ok()),
        rx_metadata: get(NETDEV_A_DEV_XDP_RX_METADATA_FEATURES),
        xsk: get(NETDEV_A_DEV_XSK_FEATURES),
    })
}

/// A number of 32 or 64 bits.
fn number(bytes: &[u8]) -> Option<u64> {
    let short = bytes.try_into().ok().map(u32::from_ne_bytes).map(u64::from);
    short.or_else(|| bytes.try_into().ok().map(u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crafted() -> Vec<u8> {
        [
            attribute(NETDEV_A_DEV_IFINDEX, &3u32.to_ne_bytes()),
            attribute(2, &[0; 4]),
            attribute(NETDEV_A_DEV_XDP_FEATURES, &0x2bu64.to_ne_bytes()),
            attribute(NETDEV_A_DEV_XDP_ZC_MAX_SEGS, &8u32.to_ne_bytes()),
            attribute(NETDEV_A_DEV_XDP_RX_METADATA_FEATURES, &1u64.to_ne_bytes()),
        ]
        .concat()
    }

    #[test]
    fn features_are_read_and_what_an_older_kernel_lacks_is_none() {
        let features = features_from(&crafted()).unwrap();
        assert!(features.has(XdpFeatures::ZERO_COPY | XdpFeatures::REDIRECT));
        assert!(!features.has(XdpFeatures::NDO_XMIT));
        assert_eq!(features.zero_copy_segments, Some(8));
        assert_eq!((features.rx_metadata, features.xsk), (Some(1), None));
    }

    #[test]
    fn torn_attributes_are_an_error_and_no_panic() {
        let whole = crafted();
        for length in 0..whole.len() {
            let result = features_from(&whole[..length]);
            assert_eq!(result.is_ok(), length >= 28, "{length}");
        }
        let odd = attribute(NETDEV_A_DEV_XDP_FEATURES, &[0; 9]);
        assert!(features_from(&odd).is_err());
    }

    #[test]
    fn the_kernel_knows_no_interface_of_a_number_that_is_not_given() {
        let Ok(family) = Family::open("netdev") else {
            return crate::lab::skip("this kernel has no netlink family netdev (Linux 6.3)");
        };
        let error = features(&family, u32::MAX >> 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert!(features(&family, 1).is_ok());
    }
}
