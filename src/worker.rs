//! Who works what: the shares of several workers, and the ways out of one.
//!
//! ```text
//!   ports   eth0: q0 q1 q2 q3    eth1: q0 q1
//!   worker 0      q0    q2             q0          each TX ring has one owner, so each worker
//!   worker 1         q1    q3             q1       has a queue of every port
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

/// The worker of each of `queues`, which are told by their ports: those of every port are dealt out
/// in turn. Ports without a queue there are left out.
///
/// # Errors
/// When there is no worker, or a port has fewer queues than there are workers: a TX ring has one
/// owner, so one of them could not send there.
pub(crate) fn shares(
    ports: &[Port],
    queues: impl Iterator<Item = PortIndex> + Clone,
    workers: usize,
) -> Result<Vec<usize>> {
    let mut counts = vec![0; ports.len()];
    queues.clone().for_each(|port| counts[port.get()] += 1);
    let there = ports.iter().zip(&counts).filter(|(_, count)| **count > 0);
    let what = || format!("{workers} workers");
    let Some((fewest, &most)) = there.min_by_key(|(_, count)| **count) else {
        return Err(FluxError::config(what(), "no port is left"));
    };
    if workers == 0 {
        return Err(FluxError::config("0 workers", "no queue would be served")
            .with_hint("use one at least"));
    }
    if workers > most {
        let name = &fewest.granted().interface;
        let (queues, fit) = match most {
            1 => ("one queue".to_owned(), "one worker".to_owned()),
            _ => (format!("{most} queues"), format!("{most} workers")),
        };
        return Err(FluxError::config(
            what(),
            format!("{name} has {queues} open, and each worker needs one of every port"),
        )
        .with_hint(format!("use {fit}, or open more queues of {name}")));
    }
    let mut dealt = vec![0; ports.len()];
    let share = |port: PortIndex| {
        let at = dealt[port.get()];
        dealt[port.get()] += 1;
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

/// Which of a worker's TX rings a packet leaves by.
pub(crate) struct Routes {
    /// By queue position: its place among the worker's, or [`Routes::NONE`].
    own: Vec<u16>,
    /// By port: the places of its queues.
    ports: Vec<Vec<u16>>,
}

impl Routes {
    const NONE: u16 = u16::MAX;

    /// The ways out over the queues with these numbers.
    pub(crate) fn new(numbers: impl Iterator<Item = Number>) -> Self {
        let (mut own, mut ports) = (Vec::new(), Vec::new());
        for (place, Number { port, queue }) in (0u16..).zip(numbers) {
            if own.len() <= queue.get() {
                own.resize(queue.get() + 1, Self::NONE);
            }
            own[queue.get()] = place;
            if ports.len() <= port.get() {
                ports.resize_with(port.get() + 1, Vec::new);
            }
            ports[port.get()].push(place);
        }
        Self { own, ports }
    }

    /// The ring of that very queue.
    #[inline(always)]
    pub(crate) fn to_queue(&self, queue: QueueIndex) -> Option<usize> {
        let place = *self.own.get(queue.get())?;
        (place != Self::NONE).then_some(usize::from(place))
    }

    /// The ring of `port` for what came from `queue`: always the same one, so that packets keep
    /// their order.
    #[inline(always)]
    pub(crate) fn to_port(&self, queue: QueueIndex, port: PortIndex) -> Option<usize> {
        match self.ports.get(port.get())?.as_slice() {
            [] => None,
            [place] => Some(usize::from(*place)),
            places => Some(usize::from(places[queue.get() % places.len()])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(list: &[(u16, u16)]) -> impl Iterator<Item = Number> {
        list.iter().map(|&(port, queue)| Number {
            port: PortIndex::new(port),
            queue: QueueIndex::new(queue),
        })
    }

    #[test]
    fn a_queue_is_found_where_the_worker_has_it() {
        let routes = Routes::new(numbers(&[(0, 1), (0, 3), (1, 4)]));
        let queues = (0..6).map(|queue| routes.to_queue(QueueIndex::new(queue)));
        assert!(queues.eq([None, Some(0), None, Some(1), Some(2), None]));
    }

    #[test]
    fn what_came_from_one_queue_leaves_a_port_by_one_queue() {
        let routes = Routes::new(numbers(&[(0, 0), (1, 1), (1, 2)]));
        let way = |queue, port| routes.to_port(QueueIndex::new(queue), PortIndex::new(port));
        assert_eq!((way(0, 0), way(1, 0), way(2, 0)), (Some(0), Some(0), Some(0)));
        assert_eq!((way(4, 1), way(5, 1)), (Some(1), Some(2)), "spread over its queues");
        assert_eq!(way(0, 2), None);
    }
}
