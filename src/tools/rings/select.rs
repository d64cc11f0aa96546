//! Which sockets are shown.

use super::observe::{InterfaceKey, Missing, Unseen};
use crate::snapshot::{SocketSnapshot, SocketState};

/// Which sockets are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Bound to the interface of this name in our namespace; `None`: all, in all namespaces.
    pub interface: Option<String>,
    /// Open in this process.
    pub pid: Option<u32>,
    /// On one of these queues; empty: all.
    pub queues: Vec<u32>,
}

/// Whether a socket is one of those asked for.
pub(super) struct Chosen {
    pub(super) key: Option<InterfaceKey>,
    pub(super) pid: Option<u32>,
    pub(super) queues: Vec<u32>,
}

impl Chosen {
    pub(super) fn has(&self, socket: &SocketSnapshot) -> bool {
        let here = self.key.is_none_or(|key| InterfaceKey::of(socket) == Some(key));
        let owned = self.pid.is_none_or(|pid| socket.owners.iter().any(|owner| owner.pid == pid));
        let queue = self.queues.is_empty()
            || socket.queue.is_some_and(|queue| self.queues.contains(&queue));
        here && owned && queue
    }

    /// Whether one of those asked for can be there.
    pub(super) fn may_be(&self, unseen: &Unseen) -> bool {
        match unseen {
            Unseen::Processes(pids) => self.pid.is_none_or(|pid| pids.contains(&pid)),
            // An interface that was asked for is in ours.
            Unseen::Namespace => self.key.is_none(),
            Unseen::Anywhere => true,
            Unseen::Outside => false,
        }
    }

    /// What is said of sockets that may be meant, were it known where they are bound.
    pub(super) fn left_out(&self, sockets: &[SocketSnapshot]) -> Option<Missing> {
        let unknown = |socket: &&SocketSnapshot| {
            let here = |key: InterfaceKey| match (socket.netns, socket.ifindex) {
                (Some(netns), _) if key.netns.is_some_and(|ours| ours != netns) => false,
                (_, Some(ifindex)) => ifindex == key.ifindex,
                (_, None) => true,
            };
            let place = self.key.is_some() && socket.ifindex.is_none()
                || !self.queues.is_empty() && socket.queue.is_none();
            socket.state == SocketState::Bound && place && self.key.is_none_or(here)
        };
        let text = match sockets.iter().filter(unknown).count() {
            0 => return None,
            1 => "this source does not know where one socket is bound: leave out the interface and --queue to see it".into(),
            n => format!("this source does not know where {n} sockets are bound: leave out the interface and --queue to see them"),
        };
        Some(Missing { text, unseen: Unseen::Anywhere })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: InterfaceKey = InterfaceKey { netns: Some(1), ifindex: 2 };

    #[test]
    fn an_answer_is_in_doubt_where_what_was_asked_for_can_be() {
        let chosen = |key, pid| Chosen { key, pid, queues: Vec::new() };
        let (all, here) = (chosen(None, None), chosen(Some(HERE), None));
        let (seen, refused) = (chosen(None, Some(7)), chosen(None, Some(8)));
        let table = [
            (Unseen::Processes(vec![8, 9]), [true, true, false, true]),
            (Unseen::Namespace, [true, false, true, true]),
            (Unseen::Anywhere, [true; 4]),
            (Unseen::Outside, [false; 4]),
        ];
        for (unseen, want) in table {
            let may_be = [&all, &here, &seen, &refused].map(|chosen| chosen.may_be(&unseen));
            assert_eq!(may_be, want, "{unseen:?}");
        }
    }

    #[test]
    fn sockets_that_may_be_meant_are_not_left_out_in_silence() {
        let bound = SocketSnapshot {
            netns: Some(1),
            state: SocketState::Bound,
            ..SocketSnapshot::unknown(0)
        };
        let elsewhere = SocketSnapshot { netns: Some(2), ..bound.clone() };
        let placed = SocketSnapshot { ifindex: Some(2), ..bound.clone() };
        let ready = SocketSnapshot { state: SocketState::Ready, ..bound.clone() };
        let sockets = [bound.clone(), elsewhere, placed, ready, bound];
        let left_out = |key, queues: &[u32]| {
            let text = Chosen { key, pid: None, queues: queues.to_vec() }.left_out(&sockets)?;
            text.text.split(' ').find_map(|word| word.parse::<u32>().ok())
        };
        assert_eq!(left_out(Some(HERE), &[]), Some(2));
        assert_eq!(left_out(Some(HERE), &[0]), Some(3));
        assert_eq!(left_out(None, &[0]), Some(4));
        assert_eq!(left_out(None, &[]), None);
    }
}
