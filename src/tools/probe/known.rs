//! [`Known`]: what is known of a link without asking for it again.

use super::link::Link;
use crate::backend::VlanMatch;
use crate::tools::host::Host;

/// What is known of a link.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) device: String,
    pub(super) ifindex: u32,
    /// The VLAN that answers are in; `None` where that cannot be told.
    pub(super) vlan: Option<VlanMatch>,
    /// Whether anything is sent by it.
    pub(super) is_used: bool,
}

impl Known {
    pub(super) fn new(link: &Link, host: &dyn Host) -> Self {
        let (device, ifindex) = (link.device.clone(), link.device_index);
        Self { device, ifindex, vlan: link.vlan(host), is_used: false }
    }
}

/// Whether a frame that came by the device with this index is in the VLAN of one of our links there.
pub(super) fn is_in_vlan(links: &[Known], ifindex: u32, frame: &[u8]) -> bool {
    let mut here = links.iter().filter(|link| link.ifindex == ifindex);
    here.any(|link| link.vlan.is_none_or(|vlan| vlan == VlanMatch::of_frame(frame)))
}

/// The devices of these links, each once: by index and name.
pub(super) fn devices(links: &[Link]) -> Vec<(u32, String)> {
    let mut devices: Vec<(u32, String)> = Vec::new();
    for link in links {
        if !devices.iter().any(|(known, _)| *known == link.device_index) {
            devices.push((link.device_index, link.device.clone()));
        }
    }
    devices
}
