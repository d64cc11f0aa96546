//! Which hops limit their answers: loss there that no hop behind them shares is none of the path.

use super::event::{Hop, Router};

/// Up to this number of probes of a hop say little about its loss.
const FEW: u64 = 10;
/// Standard deviations beyond which loss is not by chance.
const SURELY: f64 = 5.0;

/// Marks the hops that limit their answers, and takes what that explains out of their loss.
/// `target`: whether the target of the path was seen to do so; nobody is behind it.
/// `counted`: probes were sent at an even pace, so that their loss can be compared.
pub(super) fn mark(hops: &mut [Hop], target: bool, counted: bool) {
    let (mut sent, mut lost) = (0, 0);
    let last = hops.len().saturating_sub(1);
    for (at, hop) in hops.iter_mut().enumerate().rev() {
        let missing = hop.sent.saturating_sub(hop.received);
        let limited = if at == last {
            target && (!counted || hop.sent <= FEW || 2 * missing > hop.sent)
        } else {
            sent > 0 && is_more(hop, (sent, lost), counted)
        };
        if hop.received > 0 && missing > 0 && limited {
            hop.limited = true;
            hop.loss_pct = 0.0;
            hop.routers.iter_mut().for_each(excuse);
        } else if hop.received > 0 {
            (sent, lost) = (sent + hop.sent, lost + missing);
        }
        // Behind a silence it is not known how much got that far. What answered got farther.
        if at == last && hop.limited {
            (sent, lost) = (sent + hop.received, lost);
        }
    }
}

/// Whether a hop lost clearly more than those behind it, which lost `lost` of `sent`.
fn is_more(hop: &Hop, (sent, lost): (u64, u64), counted: bool) -> bool {
    let missing = hop.sent.saturating_sub(hop.received) as f64;
    let expected = hop.sent as f64 * lost as f64 / sent as f64;
    if counted && hop.sent > FEW {
        // As if all lost alike: how far from that may chance lead?
        let (here, behind) = (hop.sent as f64, sent as f64);
        let share = (missing + lost as f64) / (here + behind);
        let variance = here * share * (1.0 - share) * (1.0 + here / behind);
        return missing > expected + SURELY * variance.sqrt();
    }
    missing > expected + if lost == 0 { 0.0 } else { 1.0 + 2.0 * expected.sqrt() }
}

fn excuse(router: &mut Router) {
    router.limited = router.sent > router.received;
    router.loss_pct = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(hops: &[(u64, u64)], target: bool) -> Vec<bool> {
        let hop = |(&(sent, received), ttl)| Hop {
            ttl,
            routers: Vec::new(),
            sent,
            received,
            loss_pct: 50.0,
            limited: false,
            balancing: None,
        };
        let mut hops: Vec<Hop> = hops.iter().zip(1..).map(hop).collect();
        mark(&mut hops, target, true);
        assert!(hops.iter().all(|hop| hop.limited == (hop.loss_pct == 0.0)));
        hops.iter().map(|hop| hop.limited).collect()
    }

    #[test]
    fn loss_that_those_behind_do_not_share_is_a_limit() {
        assert_eq!(marked(&[(3, 1), (3, 3), (3, 3)], false), [true, false, false]);
        assert_eq!(marked(&[(3, 3), (3, 1), (3, 3)], false), [false, true, false]);
        // The target alone knows, and a hop that never answers may be anything.
        assert_eq!(marked(&[(3, 3), (3, 1)], false), [false, false]);
        assert_eq!(marked(&[(3, 0), (3, 3), (4, 1)], true), [false, false, true]);
        assert_eq!(marked(&[(3, 1), (4, 1)], true), [true, true]);
        assert_eq!(marked(&[(3, 0), (3, 0)], true), [false, false]);
    }

    #[test]
    fn loss_that_begins_at_a_hop_and_goes_on_is_loss() {
        assert_eq!(marked(&[(100, 100), (100, 80), (100, 83), (100, 79)], false), [false; 4]);
        assert_eq!(marked(&[(100, 99), (100, 98), (100, 97)], false), [false; 3], "chance");
        assert_eq!(marked(&[(100, 40), (100, 98), (100, 97)], false), [true, false, false]);
        assert_eq!(marked(&[(0, 0), (3, 2)], false), [false; 2]);
        // A fifth is lost on the way to us, of whatever.
        let lossy = [(20, 16), (20, 15), (20, 17), (20, 16), (20, 13), (20, 18)];
        assert_eq!(marked(&lossy, true), [false; 6]);
        assert_eq!(
            marked(&[(20, 6), (20, 20), (20, 20), (20, 7)], true),
            [true, false, false, true]
        );
    }
}
