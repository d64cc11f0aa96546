//! Frames that hold what the link of a run carries.

use super::Link;
use crate::config::Config;
use crate::proto::ETHERNET_LEN;
use crate::proto::vlan::TAG_LEN;
use crate::umem::RX_HEADROOM;

/// The largest frame that a UMEM can have, in bytes.
const LARGEST: u32 = 4096;

/// `config` with the frames that the MTU of `link` asks for, if it is `wanted` to choose them: no
/// answer is then dropped on arrival because of its length, up to what frames can hold at all.
pub(crate) fn fitted(config: &Config, link: &Link, wanted: bool) -> Config {
    // The kernel may put back a tag that the NIC took off.
    let l2 = (ETHERNET_LEN + TAG_LEN * link.tags.len().max(1)) as u32;
    let needed = link.interface.mtu.saturating_add(l2 + RX_HEADROOM);
    let larger = wanted && needed > config.frame_size;
    Config { frame_size: if larger { LARGEST } else { config.frame_size }, ..config.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{EtherType, MacAddr, Tag};
    use crate::tools::host::Interface;

    fn frame_size(mtu: u32, tags: usize, asked: u32, wanted: bool) -> u32 {
        let interface = Interface { mtu, ..Interface::default() };
        let tag = Tag { tpid: EtherType::VLAN, tci: 7 };
        let device = "eth0".to_owned();
        let mac = MacAddr::ZERO;
        let link = Link { interface, device, device_index: 1, mac, tags: vec![tag; tags] };
        let config = Config { frame_size: asked, ..Config::new("eth0") };
        fitted(&config, &link, wanted).frame_size
    }

    #[test]
    fn frames_are_as_large_as_the_mtu_asks_unless_somebody_said_how_large() {
        for (mtu, frame) in [(1280, 2048), (1500, 2048), (1774, 2048), (1775, 4096), (9000, 4096)] {
            assert_eq!(frame_size(mtu, 0, 2048, true), frame, "{mtu}");
            assert_eq!(frame_size(mtu, 0, 2048, false), 2048, "{mtu}");
            assert_eq!(frame_size(mtu, 0, 4096, true), 4096, "{mtu}");
        }
        assert_eq!(
            (frame_size(1770, 2, 2048, true), frame_size(1771, 2, 2048, true)),
            (2048, 4096)
        );
    }
}
