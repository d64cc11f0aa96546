//! The largest packet that gets to the target, as far as the probes of sizes say.

use super::{Answer, Fate, MtuHop, PathMtu, TargetTrace};

impl TargetTrace {
    /// The path MTU, or what it is at least where our frames hold no more.
    pub(crate) fn path_mtu(&self) -> (Option<u16>, Option<u16>) {
        let found = self.mtu.as_ref().and_then(PathMtu::mtu);
        let cut = self.goal.cut_by_frames && found.is_some_and(|mtu| mtu >= self.goal.sizes.0);
        if cut { (None, found) } else { (found, None) }
    }

    /// The hop whose next link takes no more than the path MTU, as far as it says so.
    pub(crate) fn mtu_hop(&self) -> Option<MtuHop> {
        self.mtu_hop
    }

    /// After which TTL packets over the path MTU vanish.
    pub(crate) fn mtu_black_hole(&self) -> Option<u8> {
        self.mtu.as_ref().and_then(PathMtu::black_hole)
    }

    pub(super) fn sized(&mut self, ttl: u8, size: u16, fate: Fate) {
        let (first, distance) = (self.first, self.distance());
        if let Some(mtu) = &mut self.mtu {
            mtu.settle(ttl, size, fate, first, distance);
        }
    }

    /// A router told the MTU of the link behind it. How far it is, the TTL that it quotes says.
    pub(super) fn narrow(&mut self, ttl: u8, answer: &Answer, mtu: u32) {
        let by_ttl = answer.quoted_ttl.and_then(|left| (ttl + 1).checked_sub(left));
        let at = by_ttl.filter(|&at| at >= self.first && at <= self.max_hops);
        let mtu_told = (mtu > 0).then_some(mtu);
        let told = MtuHop { ttl: at, address: answer.from.into(), mtu: mtu_told };
        self.mtu_hop = Some(told);
        let (Some(at), Some(mtu)) = (at, told.mtu) else { return };
        let hop = self.tally.hop(at);
        match hop.routers.iter_mut().find(|router| router.address == answer.from) {
            Some(router) => router.last.mtu = Some(mtu),
            None => hop.told_mtu = Some((answer.from, mtu)),
        }
    }
}
