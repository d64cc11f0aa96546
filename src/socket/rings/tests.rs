use super::*;
use crate::FluxBuilder;
use crate::ring::heap_ring;
use crate::simulator::Simulator;

const PACKETS: u32 = 100;

/// A ring with packets for a kernel that wants to be kicked, and the kernel's end of it.
fn loaded(shows_parts: bool) -> (TxRing, Consumer<Desc>) {
    let network = Simulator::loopback(1);
    let raw = FluxBuilder::new("lo0").simulator(&network).frames(256).build_raw().unwrap();
    let (ours, kernel) = heap_ring(128, 0);
    kernel.set_need_wakeup(true);
    let limits = TxLimits { sends: true, longest: Arc::new(AtomicU32::new(1518)) };
    let mut tx = TxRing::new(ours, Arc::clone(raw.umem()), limits).showing_parts(shows_parts);
    let mut room = tx.reserve(PACKETS);
    for _ in 0..PACKETS {
        room.push(raw.umem().alloc_buffer(0, 60).unwrap().unwrap()).unwrap();
    }
    drop(room);
    (tx, kernel)
}

/// What a flush says, and how often it kicked a kernel which answers so and takes 16 a call, but moves
/// its index only when it took all.
fn flush(shows_parts: bool, answer: Kick) -> (bool, u32) {
    let (mut tx, mut kernel) = loaded(shows_parts);
    let mut kicks = 0;
    let done = tx.flush(|| {
        kicks += 1;
        if answer == Kick::Again && kicks * 16 >= PACKETS {
            let mut all = kernel.peek(PACKETS);
            all.take_all(|_| {});
            all.release();
        }
        Ok(answer)
    });
    (done.unwrap(), kicks)
}

#[test]
fn a_kernel_that_does_not_show_how_far_it_got_is_kicked_until_all_is_gone() {
    assert_eq!(flush(false, Kick::Again), (true, 7));
}

#[test]
fn a_kernel_that_gets_nowhere_is_asked_again_later() {
    assert_eq!(flush(false, Kick::Done), (false, 1));
    assert_eq!(flush(true, Kick::Again), (false, 1));
    let (mut tx, _kernel) = loaded(false);
    let mut kicks = 0;
    let stuck = tx.flush(|| {
        kicks += 1;
        Ok(Kick::Again)
    });
    assert_eq!((stuck.unwrap(), kicks), (false, 1 + PACKETS / 16));
}
