//! [`Known`]: what is known of a link without asking for it again.

use super::link::Link;
use crate::backend::VlanMatch;
use crate::tools::host::Host;

/// What is known of a link.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) device: String,
    /// The VLAN that answers are in; `None` where that cannot be told.
    pub(super) vlan: Option<VlanMatch>,
    /// Whether anything is sent by it.
    pub(super) is_used: bool,
}

impl Known {
    pub(super) fn new(link: &Link, host: &dyn Host) -> Self {
        Self { device: link.device.clone(), vlan: link.vlan(host), is_used: false }
    }
}

/// Whether a frame that came by `device` is in the VLAN of one of our links there.
pub(super) fn is_in_vlan(links: &[Known], device: &str, frame: &[u8]) -> bool {
    let mut here = links.iter().filter(|link| link.device == device);
    here.any(|link| link.vlan.is_none_or(|vlan| vlan == VlanMatch::of_frame(frame)))
}

/// The devices of these links, each once.
pub(super) fn devices(links: &[Link]) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for link in links {
        if !devices.contains(&link.device) {
            devices.push(link.device.clone());
        }
    }
    devices
}
