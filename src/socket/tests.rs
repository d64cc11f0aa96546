//! Counts of a queue whose other side is not to be trusted.

use super::*;
use crate::backend::{Filter, PortPlan};
use crate::ring::{Desc, heap_ring};
use crate::simulator::Simulator;
use crate::umem::Region;
use crate::umem::ledger::Holder;

const SHARE: u32 = 4;

#[test]
fn entries_that_nobody_posted_make_no_count_wrap_and_do_not_end_the_refill() {
    let umem = Arc::new(Umem::new(Region::allocate(16 * 2048).unwrap(), 2048));
    let config = Config::new("lo0");
    let plan = PortPlan::of(&config, &[0], 8, Filter::Everything);
    let backend = Simulator::loopback(1).open(&[plan], &umem).unwrap().backend;
    let (fill, mut kernel_fill) = heap_ring(8, 0);
    let (mut kernel_rx, rx) = heap_ring::<Desc>(8, 0);
    let (tx, _kernel_tx) = heap_ring(8, 0);
    let (mut kernel_comp, comp) = heap_ring(8, 0);
    let number = Number { port: PortIndex::new(0), queue: QueueIndex::new(0), sends: true };
    let rings = RingSet { fill, comp, rx, tx, tx_shows_parts: true };
    let Queue { mut rx, mut tx } = Queue::new(rings, number, &backend, &umem, SHARE, &config);
    let mut cache = FrameCache::new(&umem, 1);
    for _ in 0..3 {
        let mut slots = kernel_rx.reserve(5);
        let stray = Desc { addr: u64::MAX, len: 60, options: 0 };
        assert!((0..5).all(|_| slots.write(stray).is_ok()));
        slots.commit();
        let mut slots = kernel_comp.reserve(5);
        assert!((0..5).all(|_| slots.write(u64::MAX).is_ok()));
        slots.commit();
        assert_eq!(rx.rx.receive(8, |_| panic!("no frame of ours")), 0);
        assert_eq!(tx.reap(&mut cache), 0);
        assert_eq!((rx.held(), tx.held()), (0, 0));
        assert_eq!((rx.rx.received(), tx.comp.completed()), (0, 0));
        assert!(rx.is_short());
        rx.refill(&mut cache, false).unwrap();
        assert!(kernel_fill.waiting() >= SHARE, "it is refilled");
        let port = Port::all(&backend, backend.start().unwrap());
        let halves = Halves { rx: Some((&rx.fill, &rx.rx)), tx: Some((&tx.tx, &tx.comp)) };
        let seen = snapshot(&*backend, &port[0], number, halves, &umem, cache.len());
        let account = seen.account.unwrap();
        assert!(account.in_reception <= 16 && account.in_transmission == 0, "{account:?}");
        // The kernel takes the frames, and gives them back as it should.
        let mut frames = Vec::new();
        let mut drain = kernel_fill.peek(u32::MAX);
        while let Some(addr) = drain.take() {
            frames.push(umem.gate().claim_frame(addr, Holder::Reception, Holder::User).unwrap());
        }
        drain.release();
        umem.free_all(frames);
        cache.give_back();
        assert_eq!(umem.free_hint(), 16);
    }
}
