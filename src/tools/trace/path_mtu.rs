//! The largest packet that gets through to a target, and where larger ones vanish.
//!
//! ```text
//! Ask ── the link's MTU, then what routers say is too big ──▶ passed: Done
//!   └─ nobody says anything (a black hole) ─▶ Search ─▶ Confirm ─▶ Locate ─▶ Done
//! ```
//! Every search batch carries a small packet, too: when that is not answered either, the target is
//! tired of answering, and the batch says nothing.

use std::collections::VecDeque;

/// TTL of probes that are to get to the target.
const FAR: u8 = 64;
/// A size is asked for so often before its silence is believed.
const TRIES: u8 = 3;
/// Sizes of a search batch.
const WIDTH: u16 = 4;
/// Batches that said nothing before the search is given up.
const MOST_VOID: u8 = 6;
/// MTUs that links have, for routers that say "too big" and not how big is not (RFC 1191 §7).
const PLATEAUS: [u16; 12] =
    [32_000, 17_914, 9_000, 8_166, 4_352, 2_002, 1_492, 1_480, 1_280, 1_006, 508, 296];

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The target answered it.
    Passed,
    /// Too big for a link with this MTU (0: not told).
    TooBig(u32),
    /// A router on the way answered: its TTL was used up.
    Expired,
    /// Another error: it did not get there, for a reason that is not its size.
    Refused,
    /// Nobody answered.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ask,
    Search,
    Confirm,
    Locate,
    Done,
}

/// The search for the path MTU of one target.
#[derive(Debug)]
pub(super) struct PathMtu {
    state: State,
    /// Passed, or so small that it must.
    low: u16,
    /// The largest that may pass.
    high: u16,
    limit: u16,
    small: u16,
    least: u16,
    queue: VecDeque<(u8, u16)>,
    /// Probes out and not settled.
    open: u32,
    tries: u8,
    void: u8,
    width: u16,
    /// Of the batch: whether the small packet passed, and the sizes that were lost.
    alive: bool,
    lost: Vec<u16>,
    found: Option<u16>,
    black_hole: Option<u8>,
    /// Last TTL at which a router saw the packet that is too big.
    seen: Option<u8>,
}

impl PathMtu {
    /// Packets of `limit` bytes fit our link; `small` ones fit every link; no link of the family
    /// has an MTU below `least`.
    pub(super) fn new(limit: u16, small: u16, least: u16) -> Self {
        let high = limit.max(small);
        Self {
            state: State::Ask,
            low: small,
            high,
            limit: high,
            small,
            least: least.min(high),
            queue: VecDeque::from([(FAR, high)]),
            open: 0,
            tries: 1,
            void: 0,
            width: WIDTH,
            alive: false,
            lost: Vec::new(),
            found: None,
            black_hole: None,
            seen: None,
        }
    }

    /// TTL and packet length of the next probe, if one is to be sent now.
    pub(super) fn next(&mut self) -> Option<(u8, u16)> {
        let probe = self.queue.pop_front()?;
        self.open += 1;
        Some(probe)
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether silence is to be expected, and need not be waited for in full. Where the black hole
    /// is, nobody asks twice: what came late would move it nearer to us.
    pub(super) fn expects_silence(&self) -> bool {
        self.state == State::Search
    }

    /// The path MTU, when it is known.
    pub(super) fn mtu(&self) -> Option<u16> {
        self.found
    }

    /// The last TTL at which packets over the path MTU were seen, where they vanish behind it
    /// without a word.
    pub(super) fn black_hole(&self) -> Option<u8> {
        self.black_hole
    }

    /// A probe of `size` with `ttl` is finished. `distance` is the target's, where it is known.
    pub(super) fn settle(
        &mut self,
        ttl: u8,
        size: u16,
        fate: Fate,
        first: u8,
        distance: Option<u8>,
    ) {
        self.open = self.open.saturating_sub(1);
        match self.state {
            State::Ask => self.asked(size, fate, distance),
            State::Search => self.searched(size, fate),
            State::Confirm => self.confirmed(size, fate),
            State::Locate => {
                if fate == Fate::Expired {
                    self.seen = self.seen.max(Some(ttl));
                }
            }
            State::Done => {}
        }
        if self.open == 0 && self.queue.is_empty() {
            self.end_of_batch(first, distance);
        }
    }

    fn asked(&mut self, size: u16, fate: Fate, distance: Option<u8>) {
        match fate {
            Fate::Passed => self.finish(Some(size)),
            Fate::TooBig(mtu) => {
                let told = u16::try_from(mtu).ok().filter(|&mtu| mtu < size && mtu >= self.least);
                let plateau = || PLATEAUS.into_iter().find(|&mtu| mtu < size);
                match told.or_else(plateau).filter(|&mtu| mtu >= self.small) {
                    Some(mtu) => {
                        (self.high, self.tries) = (mtu, 1);
                        self.queue.push_back((FAR, mtu));
                    }
                    None => self.finish(None),
                }
            }
            Fate::Lost if self.tries < TRIES => {
                self.tries += 1;
                self.queue.push_back((FAR, size));
            }
            // Where small packets get no answer either, silence says nothing about sizes.
            Fate::Lost if distance.is_some() && self.high > self.low => self.search(),
            Fate::Lost | Fate::Expired | Fate::Refused => self.finish(None),
        }
    }

    fn finish(&mut self, mtu: Option<u16>) {
        (self.state, self.found) = (State::Done, mtu);
        self.queue.clear();
    }

    /// Spreads a batch over the sizes between those that pass and the least that does not.
    fn search(&mut self) {
        self.state = State::Search;
        let room = self.high.saturating_sub(self.low);
        if room == 0 {
            return self.finish(Some(self.low));
        }
        let parts = self.width.min(room.saturating_sub(1));
        if parts == 0 {
            // Between `low`, which passes, and `high`, which did not, there is nothing left.
            self.state = State::Confirm;
            self.tries = 1;
            self.queue.push_back((FAR, self.high));
            return;
        }
        let step = |part: u16| (u32::from(room) * u32::from(part) / u32::from(parts + 1)) as u16;
        self.queue.extend((1..=parts).map(|part| (FAR, self.low + step(part).max(1))));
        self.queue.push_back((FAR, self.small));
        (self.alive, self.lost) = (false, Vec::new());
    }

    fn searched(&mut self, size: u16, fate: Fate) {
        match fate {
            Fate::Passed => {
                self.low = self.low.max(size);
                self.alive = true;
            }
            Fate::TooBig(mtu) => {
                let told = u16::try_from(mtu).unwrap_or(u16::MAX).saturating_add(1);
                self.lost.push(size.min(told));
                self.alive = true;
            }
            Fate::Lost | Fate::Expired | Fate::Refused => self.lost.push(size),
        }
    }

    fn confirmed(&mut self, size: u16, fate: Fate) {
        match fate {
            // It was lost by chance before: on to what is above it.
            Fate::Passed => {
                self.low = size;
                self.high = size.saturating_add(256).min(self.limit);
            }
            Fate::Lost if self.tries < TRIES => {
                self.tries += 1;
                self.queue.push_back((FAR, size));
            }
            _ => {
                self.found = Some(self.low);
                self.state = State::Locate;
            }
        }
    }

    fn end_of_batch(&mut self, first: u8, distance: Option<u8>) {
        match self.state {
            State::Search => {
                if self.alive {
                    self.void = 0;
                    let above = self.lost.iter().filter(|&&size| size > self.low);
                    self.high = above.min().copied().unwrap_or(self.high);
                } else {
                    // One size at a time asks less of a target that counts its answers.
                    self.width = 1;
                    self.void += 1;
                }
                if self.void >= MOST_VOID {
                    return self.finish(None);
                }
                self.search();
            }
            State::Confirm => self.search(),
            State::Locate if self.seen.is_none() && self.tries != 0 => {
                self.tries = 0;
                let last = distance.unwrap_or(first).saturating_sub(1);
                let size = self.low + 1;
                self.queue.extend((first..=last).map(|ttl| (ttl, size)));
                if self.queue.is_empty() {
                    self.locate(first);
                }
            }
            State::Locate => self.locate(first),
            State::Ask | State::Done => {}
        }
    }

    fn locate(&mut self, first: u8) {
        self.black_hole = Some(self.seen.unwrap_or(first - 1));
        let found = self.found;
        self.finish(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A path of five hops whose link behind hop 3 takes packets up to `mtu`.
    fn explore(mtu: u16, speaks: bool, mut dice: impl FnMut() -> bool) -> (PathMtu, u32) {
        let mut search = PathMtu::new(1500, 28, 68);
        let mut probes = 0;
        while let Some((ttl, size)) = search.next() {
            probes += 1;
            assert!(ttl == FAR || !search.expects_silence(), "a router is waited for in full");
            let fate = if dice() {
                Fate::Lost
            } else if ttl <= 3 {
                Fate::Expired
            } else if size > mtu {
                if speaks { Fate::TooBig(mtu.into()) } else { Fate::Lost }
            } else if ttl < 5 {
                Fate::Expired
            } else {
                Fate::Passed
            };
            search.settle(ttl, size, fate, 1, Some(5));
            assert!(probes < 1000);
        }
        (search, probes)
    }

    #[test]
    fn the_whole_link_fits_or_a_router_says_what_does() {
        let (search, probes) = explore(1500, true, || false);
        assert_eq!((search.mtu(), search.black_hole(), probes), (Some(1500), None, 1));
        let (search, probes) = explore(1400, true, || false);
        assert_eq!((search.mtu(), search.black_hole(), probes), (Some(1400), None, 2));
    }

    #[test]
    fn a_black_hole_is_measured_and_found() {
        for mtu in [1499, 1492, 1400, 1280, 576, 100, 29] {
            let (search, probes) = explore(mtu, false, || false);
            assert!(search.is_done());
            assert_eq!((search.mtu(), search.black_hole()), (Some(mtu), Some(3)), "{mtu}");
            assert!(probes < 60, "{mtu}: {probes}");
        }
    }

    #[test]
    fn a_router_that_does_not_say_how_big_is_not_believed_blindly() {
        let mut search = PathMtu::new(1500, 28, 68);
        let mut sizes = Vec::new();
        while let Some((ttl, size)) = search.next() {
            sizes.push(size);
            let fate = if size > 1300 { Fate::TooBig(0) } else { Fate::Passed };
            search.settle(ttl, size, fate, 1, Some(5));
        }
        assert_eq!((sizes, search.mtu()), (vec![1500, 1492, 1480, 1280], Some(1280)));
        // One that says nonsense does not send us up, or below what links can be.
        for lie in [1500, 9000, 3, u32::MAX] {
            let mut search = PathMtu::new(1500, 28, 68);
            let _ = search.next();
            search.settle(64, 1500, Fate::TooBig(lie), 1, Some(5));
            assert_eq!(search.next(), Some((64, 1492)));
        }
    }

    #[test]
    fn a_target_that_is_silent_anyway_has_no_path_mtu() {
        let mut search = PathMtu::new(1500, 28, 68);
        let mut probes = 0;
        while let Some((ttl, size)) = search.next() {
            probes += 1;
            search.settle(ttl, size, Fate::Lost, 1, None);
        }
        assert_eq!((search.mtu(), search.is_done(), probes), (None, true, 3));
        // One that stops answering while sizes are searched ends the search as well.
        let mut search = PathMtu::new(1500, 28, 68);
        while let Some((ttl, size)) = search.next() {
            search.settle(ttl, size, Fate::Lost, 1, Some(5));
        }
        assert_eq!((search.mtu(), search.is_done()), (None, true));
    }

    proptest! {
        #[test]
        fn loss_delays_the_answer_and_hardly_changes_it(mtu in 200u16..1500, seed in any::<u64>()) {
            let mut state = seed | 1;
            let dice = move || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % 100 < 2
            };
            let (search, _) = explore(mtu, false, dice);
            prop_assert!(search.is_done());
            if let Some(found) = search.mtu() {
                prop_assert!(found <= mtu);
            }
        }
    }
}
