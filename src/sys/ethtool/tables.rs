//! Requests with an answer of any length: names, counters, features, the RSS table.

use super::room::Room;
use super::{Ethtool, text};
use std::io;

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GRXFHINDIR: u32 = 0x38;
const ETHTOOL_GFEATURES: u32 = 0x3a;

const ETH_SS_STATS: u32 = 1;
const ETH_SS_FEATURES: u32 = 4;
const ETH_GSTRING_LEN: usize = 32;

/// More than any driver has; a larger number is not believed.
const MOST: u32 = 1 << 17;

/// All features (offloads) of an interface, as `ethtool -k` tells them, by the kernel's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Features(Vec<(String, bool)>);

impl Features {
    /// Whether it is on; `None` where the kernel has no such feature.
    pub(crate) fn get(&self, name: &str) -> Option<bool> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, on)| *on)
    }
}

impl Ethtool {
    /// `set` is asked for by number; it must be below 32.
    fn count(&self, ifname: &str, set: u32) -> io::Result<u32> {
        // struct ethtool_sset_info: cmd, reserved, a mask of 64 bits; then a count for each bit.
        let mut room = Room::new(20)?;
        let mask = (1u64 << set).to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = mask;
        let halves = [[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes);
        room.put(&[ETHTOOL_GSSET_INFO, 0, halves[0], halves[1]]);
        self.ask(ifname, &mut room)?;
        // The kernel clears the bits of the sets that there are not.
        if room.word(8) == 0 && room.word(12) == 0 {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        Ok(room.word(16).min(MOST))
    }

    fn ask(&self, ifname: &str, room: &mut Room) -> io::Result<()> {
        // SAFETY: the room starts with a request, and behind it nothing is writable.
        unsafe { self.ioctl(ifname, room.as_ptr()) }
    }

    fn strings(&self, ifname: &str, set: u32) -> io::Result<Vec<String>> {
        // struct ethtool_gstrings: cmd, string_set, len; then the strings.
        const HEAD: usize = 12;
        let count = self.count(ifname, set)?;
        let mut room = Room::new(HEAD + count as usize * ETH_GSTRING_LEN)?;
        room.put(&[ETHTOOL_GSTRINGS, set, count]);
        self.ask(ifname, &mut room)?;
        let told = room.word(8) as usize;
        let strings = room.bytes().get(HEAD..).unwrap_or_default().chunks_exact(ETH_GSTRING_LEN);
        Ok(strings.take(told).map(text).collect())
    }

    /// Names of the driver's counters. EOPNOTSUPP where it has none.
    pub(crate) fn stat_names(&self, ifname: &str) -> io::Result<Vec<String>> {
        self.strings(ifname, ETH_SS_STATS)
    }

    /// The driver's counters, of which there were `count` when their names were asked for. There
    /// may be another number of them now; EFAULT where they are more than fit.
    pub(crate) fn stats(&self, ifname: &str, count: usize) -> io::Result<Vec<u64>> {
        // struct ethtool_stats: cmd, n_stats; then the numbers.
        const HEAD: usize = 8;
        let mut room = Room::new(HEAD + count.min(MOST as usize) * 8)?;
        room.put(&[ETHTOOL_GSTATS, u32::try_from(count).unwrap_or(MOST)]);
        self.ask(ifname, &mut room)?;
        let told = room.word(4) as usize;
        let (numbers, _) = room.bytes().get(HEAD..).unwrap_or_default().as_chunks::<8>();
        Ok(numbers.iter().take(told).map(|bytes| u64::from_ne_bytes(*bytes)).collect())
    }

    /// `ethtool -k`.
    pub(crate) fn features(&self, ifname: &str) -> io::Result<Features> {
        // struct ethtool_gfeatures: cmd, size; then blocks of 32 features, each four words:
        // available, requested, active, never changed.
        const HEAD: usize = 8;
        const BLOCK: usize = 16;
        let names = self.strings(ifname, ETH_SS_FEATURES)?;
        let blocks = names.len().div_ceil(32);
        let mut room = Room::new(HEAD + blocks * BLOCK)?;
        room.put(&[ETHTOOL_GFEATURES, u32::try_from(blocks).unwrap_or(0)]);
        self.ask(ifname, &mut room)?;
        let feature = |(at, name): (usize, String)| {
            let active = room.word(HEAD + at / 32 * BLOCK + 8);
            (!name.is_empty()).then_some((name, active >> (at % 32) & 1 != 0))
        };
        Ok(Features(names.into_iter().enumerate().filter_map(feature).collect()))
    }

    /// The queue of each entry of the RSS table (`ethtool -x`). EOPNOTSUPP where there is none.
    pub(crate) fn rss_table(&self, ifname: &str) -> io::Result<Vec<u32>> {
        // struct ethtool_rxfh_indir: cmd, size; then the queues.
        const HEAD: usize = 8;
        let mut room = Room::new(HEAD)?;
        room.put(&[ETHTOOL_GRXFHINDIR, 0]);
        self.ask(ifname, &mut room)?;
        let size = room.word(4).min(MOST);
        let mut room = Room::new(HEAD + size as usize * 4)?;
        room.put(&[ETHTOOL_GRXFHINDIR, size]);
        self.ask(ifname, &mut room)?;
        let told = room.word(4).min(size) as usize;
        Ok((0..told).map(|at| room.word(HEAD + at * 4)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_features_by_name_and_no_counters() {
        let ethtool = Ethtool::open().unwrap();
        let features = ethtool.features("lo").unwrap();
        assert_eq!(features.get("tx-generic-segmentation"), Some(true));
        assert_eq!(features.get("loopback"), Some(true));
        assert_eq!(features.get("rx-lro"), Some(false));
        assert_eq!(features.get("no-such-feature"), None);
        let code = |result: io::Result<Vec<u32>>| result.unwrap_err().raw_os_error();
        assert_eq!(code(ethtool.rss_table("lo")), Some(libc::EOPNOTSUPP));
        assert_eq!(ethtool.stat_names("lo").unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
    }
}
