//! Which socket gets the packets of which queue: an XSKMAP, of our program or of another.

use crate::error::{Advice, ErrorKind, FluxError, Op, Result};
use crate::sys::bpf::{WordMap, XSKMAP};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An XSKMAP, by NIC queue. What was inserted is removed by the drop, and by the kernel when the
/// socket closes; what somebody else inserted stays. Drop it before its sockets close: a place that
/// the kernel emptied may be somebody else's a moment later.
pub(crate) struct XskMap {
    map: WordMap,
    interface: String,
    foreign: bool,
    /// Keys that we inserted.
    ours: Mutex<Vec<u32>>,
}

impl XskMap {
    /// That of our own program.
    pub(super) fn ours(map: OwnedFd, interface: &str) -> Result<Self> {
        let map = WordMap::new(map).map_err(|e| FluxError::os(Op::Load, interface, e))?;
        Ok(Self { map, interface: interface.to_owned(), foreign: false, ours: Mutex::default() })
    }

    /// That of a program which somebody else attached to the interface.
    ///
    /// # Errors
    /// When `fd` is no XSKMAP.
    pub(crate) fn from_fd(fd: OwnedFd, interface: &str) -> Result<Self> {
        let map = WordMap::new(fd).ok().filter(|map| map.kind() == XSKMAP).ok_or_else(|| {
            FluxError::config(
                format!("the XSKMAP given for {interface}"),
                "the descriptor is not of an XSKMAP",
            )
            .with_hint(
                "give the map of type xskmap that the attached program redirects to: `bpftool map \
                 show` lists the maps and their types",
            )
        })?;
        Ok(Self { map, interface: interface.to_owned(), foreign: true, ours: Mutex::default() })
    }

    /// Makes `socket` the receiver of what the program takes on `queue`.
    ///
    /// # Errors
    /// When the map has no such queue, or a foreign one another socket there.
    pub(crate) fn insert(&self, queue: u32, socket: RawFd) -> Result<()> {
        let entries = self.map.max_entries();
        if queue >= entries {
            return Err(self.beyond(queue, entries));
        }
        // In our own map nobody else's socket can be; in another it is not ours to push out.
        let set = self.map.set(queue, socket.cast_unsigned(), self.foreign);
        set.map_err(|error| self.refused(queue, error))?;
        let mut ours = self.keys();
        if !ours.contains(&queue) {
            ours.push(queue);
        }
        Ok(())
    }

    /// Leaves what comes on `queue` to the kernel. Nothing happens if there is no socket of ours.
    pub(crate) fn remove(&self, queue: u32) -> Result<()> {
        let mut ours = self.keys();
        let Some(at) = ours.iter().position(|&key| key == queue) else { return Ok(()) };
        self.map.remove(queue).map_err(|error| self.refused(queue, error))?;
        ours.swap_remove(at);
        Ok(())
    }

    fn keys(&self) -> MutexGuard<'_, Vec<u32>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beyond(&self, queue: u32, entries: u32) -> FluxError {
        let (interface, foreign) = (&self.interface, self.foreign);
        let error = FluxError::config(
            format!("{interface} queue {queue}"),
            format!("the XSKMAP has {entries} entries, from queue 0 on"),
        );
        if foreign {
            error.with_hint(format!(
                "choose a queue below {entries}, or load the program with a larger map"
            ))
        } else {
            error.with_hint(format!("`ethtool -l {interface}` lists how many queues there are"))
        }
    }

    fn refused(&self, queue: u32, error: io::Error) -> FluxError {
        let what = format!("{} queue {queue}", self.interface);
        if error.raw_os_error() != Some(libc::EEXIST) {
            return FluxError::os(Op::MapUpdate, what, error);
        }
        FluxError::new(
            ErrorKind::Busy,
            format!("cannot put a socket into the XSKMAP for {what}"),
            "another socket is there",
        )
        .with_advice("", Advice::FreeQueue)
    }
}

impl Drop for XskMap {
    fn drop(&mut self) {
        for queue in std::mem::take(&mut *self.keys()) {
            // The map may outlive us. If the kernel refuses, the socket's end removes it as well.
            let _ = self.map.remove(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::xdp;
    use crate::lab;
    use crate::sys::if_xdp::Ring;
    use crate::sys::xsk::Xsk;
    use libbpf_rs::{MapHandle, MapType};
    use std::os::fd::AsFd;

    /// A map as another program has it.
    fn map(kind: MapType, entries: u32) -> MapHandle {
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            ..Default::default()
        };
        MapHandle::create(kind, Some("foreign"), 4, 4, entries, &options).unwrap()
    }

    fn socket() -> Xsk {
        let socket = Xsk::open().unwrap();
        socket.size_ring(Ring::Rx, 8).unwrap();
        socket
    }

    /// Whether `queue` is free: a map whose sockets we cannot read refuses a second one.
    fn is_free(map: &MapHandle, queue: u32) -> bool {
        let other = socket();
        let probe = XskMap::from_fd(map.as_fd().try_clone_to_owned().unwrap(), "eth0").unwrap();
        match probe.insert(queue, other.raw_fd()) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                false
            }
        }
    }

    #[test]
    fn a_foreign_map_gets_our_sockets_and_loses_them_with_the_drop_and_no_others() {
        if !lab::rooted() {
            return;
        }
        let map = map(MapType::Xskmap, 4);
        let fd = || map.as_fd().try_clone_to_owned().unwrap();
        let (theirs, first, second) = (socket(), socket(), socket());
        let owner = XskMap::from_fd(fd(), "eth0").unwrap();
        owner.insert(0, theirs.raw_fd()).unwrap();
        let ours = XskMap::from_fd(fd(), "eth0").unwrap();
        ours.insert(1, first.raw_fd()).unwrap();
        ours.insert(1, first.raw_fd()).unwrap();
        ours.insert(3, second.raw_fd()).unwrap();
        let error = ours.insert(0, second.raw_fd()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(error.advice(), Some(Advice::FreeQueue), "{error:?}");
        ours.remove(0).unwrap();
        assert!(!is_free(&map, 0), "not ours to remove");
        ours.remove(2).unwrap();
        ours.remove(9).unwrap();
        assert!(!is_free(&map, 1));
        ours.remove(1).unwrap();
        assert!(is_free(&map, 1) && !is_free(&map, 3));
        drop(ours);
        assert!(is_free(&map, 3), "removed by the drop, while the socket is open");
        assert!(!is_free(&map, 0));
        drop(theirs);
        // The kernel removes it some time after the socket was closed.
        lab::wait_until("a place for another", || is_free(&map, 0));
    }

    #[test]
    fn a_queue_beyond_the_map_is_named_with_the_next_step() {
        if !lab::rooted() {
            return;
        }
        let map = map(MapType::Xskmap, 2);
        let foreign = XskMap::from_fd(map.as_fd().try_clone_to_owned().unwrap(), "eth0").unwrap();
        let error = foreign.insert(2, socket().raw_fd()).unwrap_err();
        assert_eq!(error.to_string(), "eth0 queue 2: the XSKMAP has 2 entries, from queue 0 on");
        assert!(error.hint().unwrap().contains("below 2"), "{error:?}");
        let ours = xdp::load("lo", 3, false).unwrap().xsks;
        let error = ours.insert(3, socket().raw_fd()).unwrap_err();
        assert_eq!((error.kind(), ours.map.max_entries()), (ErrorKind::Config, 3));
    }

    #[test]
    fn a_descriptor_of_something_else_is_refused_with_the_next_step() {
        if !lab::rooted() {
            return;
        }
        let loaded = xdp::load("lo", 1, false).unwrap();
        let array = map(MapType::Array, 4);
        for other in [
            array.as_fd().try_clone_to_owned().unwrap(),
            loaded.program,
            std::fs::File::open("/dev/null").unwrap().into(),
        ] {
            let error = XskMap::from_fd(other, "eth0").err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("not of an XSKMAP"), "{error}");
            assert!(error.hint().unwrap().contains("bpftool map show"), "{error:?}");
        }
    }

    #[test]
    fn a_socket_in_our_own_map_gives_way_to_the_next() {
        if !lab::rooted() {
            return;
        }
        let xsks = xdp::load("lo", 1, false).unwrap().xsks;
        let (first, second) = (socket(), socket());
        xsks.insert(0, first.raw_fd()).unwrap();
        xsks.insert(0, second.raw_fd()).unwrap();
        xsks.remove(0).unwrap();
        xsks.remove(0).unwrap();
    }
}
