//! What was found: links and ways.

use super::steps::{SILENT, Steps, vertex};
use super::{Cell, Explorer};
use crate::tools::probe::Zoned;
use crate::tools::trace::event::Link;
use std::collections::HashMap;
use std::net::IpAddr;

/// A way that flows took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// One router per hop from the first TTL on; `None` where nobody answered. Without an end it
    /// goes to the last that answered.
    pub(crate) hops: Vec<Option<IpAddr>>,
    /// The flows that took it, in order.
    pub(crate) flows: Vec<u16>,
    /// Whether the last is the end.
    pub(crate) ended: bool,
}

pub(super) fn links(explorer: &Explorer) -> Vec<Link> {
    let Explorer { hops, flows, survey, first, .. } = explorer;
    let steps = Steps::of(flows, hops);
    let mut links = Vec::new();
    for at in 1..hops.len() {
        let mut last = None;
        for step in steps.to(at) {
            let lost = |vertex, at| vertex == SILENT && survey.is_lost(at);
            let edge = (step.from, step.to);
            if last == Some(edge) || lost(step.from, at - 1) || lost(step.to, at) {
                continue;
            }
            last = Some(edge);
            let addr = |vertex, at: usize| {
                hops[at].routers.get(usize::from(vertex)).map(|&address| Zoned::from(address))
            };
            // Behind the last that answers is nothing that is known.
            if edge == (SILENT, SILENT) && steps.to(at + 1).is_empty() {
                continue;
            }
            let (from, to) = (addr(step.from, at - 1), addr(step.to, at));
            links.push(Link { ttl: first + (at - 1) as u8, from, to });
        }
    }
    links.sort_unstable();
    links
}

/// A way in numbers, and whether it ends.
type Numbers = (Vec<u16>, bool);

pub(super) fn ways(explorer: &Explorer) -> Vec<Way> {
    let Explorer { hops, flows, .. } = explorer;
    let mut taken: HashMap<Numbers, Vec<u16>> = HashMap::new();
    for (flow, number) in flows.iter().zip(0..) {
        let mut way: Vec<u16> = flow.way(hops).iter().map(|&cell: &Cell| vertex(cell)).collect();
        let ended = flow.end.is_some_and(|end| way.len() == end + 1);
        while !ended && way.last() == Some(&SILENT) {
            way.pop();
        }
        if !way.is_empty() {
            taken.entry((way, ended)).or_default().push(number);
        }
    }
    let (whole, partial): (Vec<_>, Vec<_>) =
        taken.into_iter().partition(|(way, _)| is_whole(explorer, way));
    let mut ways = sorted(whole);
    let mut partial = sorted(partial);
    // Those that know most first: the others may be the same.
    partial.sort_by_key(|((way, ended), _)| {
        let known = way.iter().filter(|&&vertex| vertex != SILENT).count();
        (std::cmp::Reverse(*ended), std::cmp::Reverse(known))
    });
    for (part, flows) in partial {
        match ways.iter_mut().find(|(way, _)| fits(explorer, &part, way)) {
            Some((_, taken)) => taken.extend(flows),
            None => ways.push((part, flows)),
        }
    }
    let addr = |(at, &vertex): (usize, &u16)| hops[at].routers.get(usize::from(vertex)).copied();
    sorted(ways)
        .into_iter()
        .map(|((way, ended), mut flows)| {
            flows.sort_unstable();
            Way { hops: way.iter().enumerate().map(addr).collect(), flows, ended }
        })
        .collect()
}

/// The most frequent first, then by the first flow.
fn sorted(mut ways: Vec<(Numbers, Vec<u16>)>) -> Vec<(Numbers, Vec<u16>)> {
    ways.sort_by_key(|(_, flows)| (std::cmp::Reverse(flows.len()), flows.iter().min().copied()));
    ways
}

/// Whether no answer of it got lost.
fn is_whole(explorer: &Explorer, (way, ended): &Numbers) -> bool {
    let lost = |(at, &vertex): (usize, &u16)| vertex == SILENT && explorer.survey.is_lost(at);
    let end_lost = !ended && explorer.survey.is_lost(way.len());
    !end_lost && !way.iter().enumerate().any(lost)
}

/// Whether `part` is `way` but for lost answers, that of the end included.
fn fits(explorer: &Explorer, (part, ended): &Numbers, (way, way_ended): &Numbers) -> bool {
    let same = |at: usize| part[at] == way[at] || part[at] == SILENT && explorer.survey.is_lost(at);
    let common = part.len().min(way.len());
    let addr = |at: usize, vertex: u16| explorer.hops[at].routers.get(usize::from(vertex));
    let lengths = match (ended, way_ended) {
        (true, true) if part.len() > way.len() => {
            // The end answered only at a TTL beyond its distance.
            let silent = part[common..part.len() - 1].iter().all(|&vertex| vertex == SILENT);
            silent
                && addr(part.len() - 1, part[part.len() - 1]) == addr(common - 1, way[common - 1])
        }
        // What is behind its last answer got lost, too.
        (false, _) if part.len() < way.len() => {
            *way_ended && part.len() + 1 == way.len() || explorer.survey.is_lost(part.len())
        }
        _ => part.len() == way.len() && ended == way_ended,
    };
    lengths && (0..common).all(same)
}
