//! Where a socket is bound, worked out from the queues that have sockets.
//!
//! The kernel says which queues of a namespace have a socket (netlink family `netdev`), but not
//! which socket that is. A socket is given a place only when it can be at no other:
//!
//! ```text
//!   it is bound, and all queues with sockets are on one interface    it is on that interface
//!   … and there is one such queue alone                              it is on that queue
//!   as many sockets as queues, and no socket is out of sight         all of them are bound
//! ```

use crate::snapshot::{SocketSnapshot, SocketState};
use crate::sys::netns::NetNs;
use crate::tools::host::genl;
use crate::tools::rings::{Missing, Unseen};
use std::collections::BTreeMap;
use std::io;

/// What is known of a namespace.
pub(super) struct Queues<'a> {
    /// Interface index and number of each queue with a socket.
    pub(super) queues: &'a [(u32, u32)],
    /// Whether there can be no sockets in it but those that were found.
    pub(super) complete: bool,
}

/// A socket that is to be placed.
pub(super) struct Placed<'a> {
    pub(super) socket: &'a mut SocketSnapshot,
    /// Whether it may be bound although it does not say so.
    pub(super) unsure: bool,
}

impl Queues<'_> {
    /// Says of the namespace's `sockets` where they are, as far as it is certain.
    pub(super) fn assign(&self, sockets: &mut [Placed<'_>]) {
        let Some(&(ifindex, queue)) = self.queues.first() else { return };
        let one_interface = self.queues.iter().all(|&(other, _)| other == ifindex);
        let bound = |placed: &Placed<'_>| placed.socket.state == SocketState::Bound;
        // Each queue needs a socket of its own, and each socket has one queue at most.
        let able = sockets.iter().filter(|placed| placed.unsure || bound(placed)).count();
        let all_bound = self.complete && able == self.queues.len();
        for placed in sockets {
            if placed.unsure && all_bound {
                placed.socket.state = SocketState::Bound;
            }
            if bound(placed) && one_interface {
                placed.socket.ifindex = Some(ifindex);
                placed.socket.queue = (self.queues.len() == 1).then_some(queue);
            }
        }
    }
}

/// A network namespace that is looked at, not longer than one look.
pub(super) struct Namespace {
    netns: NetNs,
    /// Its number.
    pub(super) inode: u32,
    /// Whether the calling thread is in it.
    ours: bool,
}

impl Namespace {
    /// `ours` is the number of the calling thread's.
    pub(super) fn new(netns: NetNs, ours: u32) -> io::Result<Self> {
        let inode = netns.inode()?;
        Ok(Self { netns, inode, ours: inode == ours })
    }

    /// Calls `f` in it. EPERM without CAP_SYS_ADMIN, unless we are there.
    pub(super) fn inside<R: Send>(
        &self,
        f: impl FnOnce() -> io::Result<R> + Send,
    ) -> io::Result<R> {
        if self.ours { f() } else { self.netns.inside(f) }
    }
}

/// Names of interfaces of the calling thread's namespace; those that are gone are left out.
pub(super) fn names(indices: impl Iterator<Item = u32>) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for index in indices {
        if !names.contains_key(&index)
            && let Ok(name) = genl::interface_name(index)
        {
            names.insert(index, name);
        }
    }
    names
}

/// That a namespace could not be entered, and what it takes.
pub(super) fn not_entered(inode: u32, error: &io::Error) -> Missing {
    let why = match super::walk::is_refusal(error) {
        true => "CAP_SYS_ADMIN is missing".into(),
        false => error.to_string(),
    };
    let text = format!("network namespace {inode} could not be entered: {why}");
    Missing { text, unseen: Unseen::Namespace }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SocketState::{Bound, Ready, Unbound};

    type Place = (SocketState, Option<u32>, Option<u32>);

    /// `sockets`: how they look, and whether they may be bound all the same.
    fn assigned(
        queues: &[(u32, u32)],
        complete: bool,
        sockets: &[(SocketState, bool)],
    ) -> Vec<Place> {
        let snapshot = |state| SocketSnapshot { state, ..SocketSnapshot::unknown(0) };
        let mut sockets: Vec<_> =
            sockets.iter().map(|&(state, unsure)| (snapshot(state), unsure)).collect();
        let mut placed: Vec<_> =
            sockets.iter_mut().map(|(socket, unsure)| Placed { socket, unsure: *unsure }).collect();
        Queues { queues, complete }.assign(&mut placed);
        sockets.iter().map(|(socket, _)| (socket.state, socket.ifindex, socket.queue)).collect()
    }

    const BOUND: (SocketState, bool) = (Bound, false);
    const READY: (SocketState, bool) = (Ready, false);
    const UNSURE: (SocketState, bool) = (Ready, true);
    const GONE: (SocketState, bool) = (Unbound, false);

    #[test]
    fn one_socket_and_one_queue_belong_together() {
        assert_eq!(assigned(&[(7, 1)], true, &[UNSURE]), [(Bound, Some(7), Some(1))]);
        assert_eq!(assigned(&[(7, 1)], false, &[BOUND]), [(Bound, Some(7), Some(1))]);
        let two = assigned(&[(7, 1)], true, &[READY, UNSURE]);
        assert_eq!(two, [(Ready, None, None), (Bound, Some(7), Some(1))]);
    }

    #[test]
    fn a_socket_that_may_be_unbound_is_given_no_place_while_others_are_out_of_sight() {
        assert_eq!(assigned(&[(7, 1)], false, &[UNSURE]), [(Ready, None, None)]);
        assert_eq!(assigned(&[(7, 1)], true, &[UNSURE, UNSURE]), [(Ready, None, None); 2]);
        let two = assigned(&[(7, 1)], true, &[UNSURE, BOUND]);
        assert_eq!(two, [(Ready, None, None), (Bound, Some(7), Some(1))]);
    }

    #[test]
    fn several_queues_of_one_interface_tell_the_interface_alone() {
        let queues = [(7, 0), (7, 1)];
        assert_eq!(assigned(&queues, true, &[UNSURE, BOUND]), [(Bound, Some(7), None); 2]);
        assert_eq!(assigned(&queues, false, &[BOUND]), [(Bound, Some(7), None)]);
    }

    #[test]
    fn queues_of_several_interfaces_tell_nothing_but_that_all_are_bound() {
        let queues = [(7, 0), (8, 0)];
        assert_eq!(assigned(&queues, true, &[UNSURE, BOUND]), [(Bound, None, None); 2]);
    }

    #[test]
    fn a_socket_that_is_not_bound_or_whose_interface_is_gone_gets_no_place() {
        let sockets = [GONE, READY, UNSURE];
        let places = [(Unbound, None, None), (Ready, None, None), (Bound, Some(7), Some(0))];
        assert_eq!(assigned(&[(7, 0)], true, &sockets), places);
        assert_eq!(assigned(&[], true, &[UNSURE]), [(Ready, None, None)]);
    }
}
