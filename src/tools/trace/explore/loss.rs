//! Whether a silence is a router that never answers, or an answer that got lost.
//!
//! A router that loses one answer in a hundred would else be two vertices, itself and a silent
//! one, and the silent one would need a hundred times the flows until enough went through it.

use super::steps::{SILENT, Steps, vertex};
use super::{Cell, Flow, Hop};

/// For each hop, whether its silence is nothing but lost answers: it is rare compared with the
/// hop's routers, and every flow that met it could have come the same way through one of them. Where
/// probes were not asked often enough to know, or routers limit their answers, it is nothing else.
pub(super) fn lost(flows: &[Flow], hops: &[Hop], steps: &Steps) -> Vec<bool> {
    let mut lost: Vec<bool> =
        hops.iter().map(|hop| hop.is_rarely_silent() || hop.is_doubtful()).collect();
    if !lost.contains(&true) {
        return lost;
    }
    let rare = lost.clone();
    for flow in flows {
        let way = flow.way(hops);
        let mut at = 0;
        while at < way.len() {
            let run = way[at..].iter().take_while(|&&cell| vertex(cell) == SILENT).count();
            if rare[at..at + run].contains(&true) && !is_explained(way, at, run, hops, steps, &rare)
            {
                lost[at..at + run].fill(false);
            }
            at += run + 1;
        }
    }
    lost.iter_mut().zip(hops).for_each(|(lost, hop)| *lost |= hop.is_doubtful());
    lost
}

/// Whether a way is known from the router before the silent cells `at..at + run` to the one
/// behind them that needs no rare silence.
fn is_explained(
    way: &[Cell],
    at: usize,
    run: usize,
    hops: &[Hop],
    steps: &Steps,
    rare: &[bool],
) -> bool {
    let before = at.checked_sub(1).map_or(0, |before| vertex(way[before]));
    let behind = way.get(at + run).map(|&cell| vertex(cell));
    let address = behind.and_then(|to| hops[at + run].routers.get(usize::from(to)));
    let mut reached = vec![before];
    for hop in at..at + run {
        reached = followers(&reached, hop, steps, rare[hop]);
        // The end answers at every TTL from its distance on.
        let is_end = |&vertex: &u16| {
            address.is_some() && hops[hop].routers.get(usize::from(vertex)) == address
        };
        if reached.iter().any(is_end) {
            return true;
        }
    }
    match behind {
        Some(to) => {
            reached.iter().any(|&from| steps.from(at + run, from).iter().any(|step| step.to == to))
        }
        // Nobody answered up to the last TTL: where others were answered, this answer got lost.
        None => !reached.is_empty(),
    }
}

/// The vertices of a hop that follow any of these.
fn followers(before: &[u16], hop: usize, steps: &Steps, skip_silent: bool) -> Vec<u16> {
    let all = before.iter().flat_map(|&from| steps.from(hop, from)).map(|step| step.to);
    let mut followers: Vec<u16> = all.filter(|&to| !(skip_silent && to == SILENT)).collect();
    followers.sort_unstable();
    followers.dedup();
    followers
}
