//! Who works what: the shares of several workers, and the ways out of one.
//!
//! ```text
//!   ports   eth0: q0 q1 q2 q3    eth1: q0 q1
//!   worker 0      q0    q2             q0          each TX ring has one owner, so each worker
//!   worker 1         q1    q3             q1       has a queue of every port, one that sends
//! ```
//!
//! A worker is what one thread owns: some queues, a cache of free frames, a poll state. Callers: the
//! modes.

use crate::backend::Backend;
use crate::config::Poller;
use crate::error::{FluxError, Result};
use crate::ids::{PortIndex, QueueIndex};
use crate::port::Port;
use crate::socket::{Number, Queue};
use crate::umem::Umem;
use std::sync::Arc;

/// What was opened, before a mode takes it apart.
pub(crate) struct Parts {
    /// Of all ports, in order.
    pub(crate) queues: Vec<Queue>,
    pub(crate) ports: Arc<[Port]>,
    pub(crate) umem: Arc<Umem>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) batch: u32,
    pub(crate) poller: Poller,
}

/// Queues of a port that are to be dealt out.
#[derive(Clone, Copy, Default)]
struct Count {
    all: usize,
    sending: usize,
}

impl Count {
    /// Workers that there may be: each with a queue that sends, or with one at least where none
    /// does.
    fn workers(self) -> usize {
        if self.sending > 0 { self.sending } else { self.all }
    }
}

/// The worker of each of `queues`: those of every port are dealt out in turn, first those that send,
/// then those that only receive. Ports without a queue there are left out.
///
/// # Errors
/// When there is no worker, or a port has fewer queues that send than there are workers: a TX ring
/// has one owner, so one of them could not send there.
pub(crate) fn shares(
    ports: &[Port],
    queues: impl Iterator<Item = Number> + Clone,
    workers: usize,
) -> Result<Vec<usize>> {
    let mut counts = vec![Count::default(); ports.len()];
    for Number { port, sends, .. } in queues.clone() {
        let count = &mut counts[port.get()];
        count.all += 1;
        count.sending += usize::from(sends);
    }
    let there = ports.iter().zip(&counts).filter(|(_, count)| count.all > 0);
    let what = || format!("{workers} workers");
    let Some((fewest, &count)) = there.min_by_key(|(_, count)| count.workers()) else {
        return Err(FluxError::config(what(), "no port is left"));
    };
    if workers == 0 {
        return Err(FluxError::config("0 workers", "no queue would be served")
            .with_hint("use one at least"));
    }
    let most = count.workers();
    if workers > most {
        let name = &fewest.granted().interface;
        let (queues, fit) = match most {
            1 => ("one queue".to_owned(), "one worker".to_owned()),
            _ => (format!("{most} queues"), format!("{most} workers")),
        };
        let all_send = count.sending == count.all || count.sending == 0;
        let (which, more) = match (all_send, most) {
            (true, _) => ("", "open more queues of"),
            (false, 1) => (" that sends", "give more TX queues to"),
            (false, _) => (" that send", "give more TX queues to"),
        };
        return Err(FluxError::config(
            what(),
            format!("{name} has {queues} open{which}, and each worker needs one of every port"),
        )
        .with_hint(format!("use {fit}, or {more} {name}")));
    }
    // Those that only receive come after all that send.
    let mut dealt: Vec<_> = counts.iter().map(|count| (0, count.sending)).collect();
    let share = |Number { port, sends, .. }: Number| {
        let (sending, others) = &mut dealt[port.get()];
        let next = if sends { sending } else { others };
        let at = *next;
        *next += 1;
        at % workers
    };
    Ok(queues.map(share).collect())
}

/// Deals `items` (one a queue) out to the workers.
pub(crate) fn deal<T>(items: Vec<T>, shares: &[usize], workers: usize) -> Vec<Vec<T>> {
    let mut dealt: Vec<Vec<T>> = (0..workers).map(|_| Vec::new()).collect();
    for (item, &worker) in items.into_iter().zip(shares) {
        dealt[worker].push(item);
    }
    dealt
}

/// Which of a worker's TX rings a packet leaves by. Queues that only receive are none of them.
pub(crate) struct Routes {
    /// By queue position: its place among the worker's, or why there is none.
    own: Vec<Result<u16, NoWay>>,
    /// By port: the places of its queues that send.
    ports: Vec<Result<Vec<u16>, NoWay>>,
}

/// Why a packet has no way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// The worker has no such queue, or none of that port.
    NotHere,
    /// The queue, or every one of that port that the worker has, only receives.
    ReceiveOnly,
}

impl Routes {
    /// The ways out over the queues with these numbers.
    pub(crate) fn new(numbers: impl Iterator<Item = Number>) -> Self {
        let (mut own, mut ports) = (Vec::new(), Vec::<Result<Vec<u16>, NoWay>>::new());
        for (place, Number { port, queue, sends }) in (0u16..).zip(numbers) {
            if own.len() <= queue.get() {
                own.resize(queue.get() + 1, Err(NoWay::NotHere));
            }
            own[queue.get()] = if sends { Ok(place) } else { Err(NoWay::ReceiveOnly) };
            if ports.len() <= port.get() {
                ports.resize(port.get() + 1, Err(NoWay::NotHere));
            }
            match &mut ports[port.get()] {
                Ok(places) if sends => places.push(place),
                Ok(_) => {}
                none => *none = if sends { Ok(vec![place]) } else { Err(NoWay::ReceiveOnly) },
            }
        }
        Self { own, ports }
    }

    /// The ring of that very queue.
    #[inline(always)]
    pub(crate) fn to_queue(&self, queue: QueueIndex) -> Result<usize, NoWay> {
        let place = self.own.get(queue.get()).copied().unwrap_or(Err(NoWay::NotHere));
        place.map(usize::from)
    }

    /// The ring of `port` for what came from `queue`: always the same one, so that packets keep
    /// their order.
    #[inline(always)]
    pub(crate) fn to_port(&self, queue: QueueIndex, port: PortIndex) -> Result<usize, NoWay> {
        match self.ports.get(port.get()) {
            Some(Ok(places)) => match places.as_slice() {
                [place] => Ok(usize::from(*place)),
                places => Ok(usize::from(places[queue.get() % places.len()])), // never empty
            },
            Some(Err(why)) => Err(*why),
            None => Err(NoWay::NotHere),
        }
    }

    /// The ring for what came from a queue and goes back by its port: the queue's own where it
    /// sends, else always the same one.
    #[inline]
    pub(crate) fn back(&self, Number { port, queue, sends }: Number) -> Result<usize, NoWay> {
        if sends { self.to_queue(queue) } else { self.to_port(queue, port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(list: &[(u16, u16)]) -> impl Iterator<Item = Number> {
        list.iter().map(|&(port, queue)| number(port, queue, true))
    }

    fn number(port: u16, queue: u16, sends: bool) -> Number {
        Number { port: PortIndex::new(port), queue: QueueIndex::new(queue), sends }
    }

    #[test]
    fn a_queue_is_found_where_the_worker_has_it() {
        let routes = Routes::new(numbers(&[(0, 1), (0, 3), (1, 4)]));
        let queues = (0..6).map(|queue| routes.to_queue(QueueIndex::new(queue)));
        let none = Err(NoWay::NotHere);
        assert!(queues.eq([none, Ok(0), none, Ok(1), Ok(2), none]));
    }

    #[test]
    fn what_came_from_one_queue_leaves_a_port_by_one_queue() {
        let routes = Routes::new(numbers(&[(0, 0), (1, 1), (1, 2)]));
        let way = |queue, port| routes.to_port(QueueIndex::new(queue), PortIndex::new(port));
        assert_eq!((way(0, 0), way(1, 0), way(2, 0)), (Ok(0), Ok(0), Ok(0)));
        assert_eq!((way(4, 1), way(5, 1)), (Ok(1), Ok(2)), "spread over its queues");
        assert_eq!(way(0, 2), Err(NoWay::NotHere));
    }

    #[test]
    fn no_way_leads_out_by_a_queue_that_only_receives() {
        let (first, second) = (number(0, 0, true), number(0, 1, false));
        let other = number(1, 2, false);
        for order in [[first, second, other], [second, other, first]] {
            let routes = Routes::new(order.into_iter());
            let place = order.iter().position(|number| number.sends).unwrap();
            let only = Err(NoWay::ReceiveOnly);
            assert_eq!(routes.to_queue(first.queue), Ok(place));
            assert_eq!((routes.to_queue(second.queue), routes.to_queue(other.queue)), (only, only));
            assert_eq!(routes.to_port(other.queue, first.port), Ok(place));
            assert_eq!(routes.to_port(first.queue, other.port), only);
            assert_eq!((routes.back(first), routes.back(second)), (Ok(place), Ok(place)));
            assert_eq!(routes.back(other), only);
        }
    }
}
