//! A forwarder in each mode and a generator that feeds it, on either kernel.
//!
//! Both are driven by the test's own thread in turn, so that a run is the same each time on the
//! simulator, and close to that on the real kernel.
#![allow(dead_code)] // each test takes what it needs
#![allow(clippy::unwrap_used)] // test code, though clippy sees no #[test] here

use fluxnet::umem::{Buffer, Frame, Umem};
use fluxnet::{FluxBuilder, FluxEngine, FluxRaw, FluxRx, FluxTx, Packets, Route};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sends copies of one packet through mode C and takes back what returns.
pub struct Generator {
    pub raw: FluxRaw,
    pub sent: u64,
    pub returned: u64,
    umem: Arc<Umem>,
    frames: Vec<Frame>,
    packet: Vec<u8>,
}

impl Generator {
    pub fn new(builder: FluxBuilder, packet: &[u8]) -> Self {
        let raw = builder.build_raw().unwrap();
        let umem = Arc::clone(raw.umem());
        Self { raw, umem, sent: 0, returned: 0, frames: Vec::new(), packet: packet.to_vec() }
    }

    /// Sends up to `n` packets; fewer when rings or frames are used up.
    pub fn burst(&mut self, n: u32) {
        let Self { raw, umem, frames, packet, sent, .. } = self;
        raw.comp.reap(u32::MAX, |frame| frames.push(frame));
        umem.free_all(frames.drain(..));
        let mut room = raw.tx.reserve(n);
        while room.room() > 0
            && let Ok(Some(mut buffer)) = umem.alloc_buffer(256, packet.len() as u32)
        {
            umem.packet_mut(&mut buffer).copy_from_slice(packet);
            room.push(buffer).unwrap();
            *sent += 1;
        }
        drop(room);
        kick(raw);
    }

    /// Takes back what returned, and refills.
    pub fn collect(&mut self) {
        let Self { raw, umem, frames, returned, packet, .. } = self;
        *returned += u64::from(raw.rx.receive(u32::MAX, |buffer| {
            assert_eq!(umem.packet(&buffer).len(), packet.len());
            frames.push(buffer.frame);
        }));
        refill(raw, frames);
    }

    pub fn assert_balanced(&self) {
        balanced_raw(&self.raw, 0);
    }
}

fn kick(raw: &FluxRaw) {
    // Older kernels take 32 a kick; a refused kick is repeated at the next burst.
    for _ in 0..1 + raw.tx.pending() / 32 {
        if raw.tx.pending() > 0 && raw.tx.needs_wakeup() {
            raw.kick_tx().unwrap();
        }
    }
}

/// Half the frames may lie in reception, as in the other modes.
fn refill(raw: &mut FluxRaw, frames: &mut Vec<Frame>) {
    let share = u64::from((raw.umem().frames() / 2).min(raw.fill.snapshot().size.unwrap()));
    let want = share.saturating_sub(raw.fill.posted() - raw.rx.received()) as u32;
    while (frames.len() as u32) < want
        && let Some(frame) = raw.umem().alloc()
    {
        frames.push(frame);
    }
    raw.fill.post(frames, want);
    raw.umem().free_all(frames.drain(..));
    if raw.fill.needs_wakeup() {
        raw.kick_rx().unwrap();
    }
}

fn balanced_raw(raw: &FluxRaw, holding: i64) {
    let rings = raw.debug_rings();
    assert_eq!(rings.held(), Some(holding), "{rings:#?}");
    assert_eq!(rings.sockets[0].account.unwrap().invalid, 0, "{rings:#?}");
    if let Some(held) = raw.umem().held_by_user() {
        assert_eq!(i64::from(held), holding, "the ledger");
    }
}

/// Sends everything back where it came from.
pub trait Forwarder {
    /// One look at the rings; returns how many packets were queued for sending.
    fn turn(&mut self) -> u64;
    /// No frame is anywhere but in a ring or the free list.
    fn assert_balanced(&self);
}

/// Mode A.
pub struct ModeA(pub FluxEngine);

impl Forwarder for ModeA {
    fn turn(&mut self) -> u64 {
        let before = self.0.stats().sent;
        let all = |batch: &mut fluxnet::PacketBatch<'_>| {
            for packet in batch {
                packet.send();
            }
        };
        self.0.turn(all, Some(Duration::from_micros(1))).unwrap();
        self.0.stats().sent - before
    }

    fn assert_balanced(&self) {
        let rings = self.0.debug_rings();
        assert_eq!(rings.held(), Some(0), "{rings:#?}");
        assert!(rings.sockets.iter().all(|s| s.account.unwrap().invalid == 0), "{rings:#?}");
        let stats = self.0.stats();
        assert_eq!(
            stats.received,
            stats.sent + stats.recycled + stats.extracted + stats.tx_full,
            "{stats:?}"
        );
    }
}

/// Mode B.
pub struct ModeB {
    pub rx: FluxRx,
    pub tx: FluxTx,
    packets: Packets,
    /// Whether packets are sent by `send` and not by `send_batch`.
    singly: bool,
}

impl ModeB {
    pub fn new((rx, tx): (FluxRx, FluxTx)) -> Self {
        Self { rx, tx, packets: Packets::new(), singly: false }
    }

    pub fn singly(halves: (FluxRx, FluxTx)) -> Self {
        Self { singly: true, ..Self::new(halves) }
    }
}

impl Forwarder for ModeB {
    fn turn(&mut self) -> u64 {
        let deadline = Some(self.rx.now() + 1000);
        self.rx.recv_batch(&mut self.packets, deadline).unwrap();
        let mut sent = 0;
        if self.singly {
            while let Some(packet) = self.packets.pop() {
                // A full ring gives the packet back, and dropping it frees its frame.
                sent += u64::from(self.tx.send(packet).is_ok());
            }
        } else {
            sent += self.tx.send_batch(&mut self.packets).unwrap().sent as u64;
            self.packets.clear();
        }
        self.tx.flush().unwrap();
        sent
    }

    fn assert_balanced(&self) {
        let umem = self.rx.umem();
        let out = self.rx.frames() + self.tx.frames() + self.packets.len() as u64;
        assert_eq!(u64::from(umem.free_hint()) + out, u64::from(umem.frames()));
        let rings = self.rx.debug_rings().join(self.tx.debug_rings());
        assert_eq!(rings.held(), Some(self.packets.len() as i64), "{rings:#?}");
        if let Some(held) = umem.held_by_user() {
            assert_eq!(held as usize, self.packets.len(), "the ledger");
        }
    }
}

/// Mode C.
pub struct ModeC {
    pub raw: FluxRaw,
    packets: Vec<Buffer>,
    frames: Vec<Frame>,
}

impl ModeC {
    pub fn new(raw: FluxRaw) -> Self {
        Self { raw, packets: Vec::new(), frames: Vec::new() }
    }
}

impl Forwarder for ModeC {
    fn turn(&mut self) -> u64 {
        let Self { raw, packets, frames } = self;
        raw.comp.reap(u32::MAX, |frame| frames.push(frame));
        let n = raw.rx.receive(64, |buffer| packets.push(buffer));
        let mut sent = 0;
        let mut room = raw.tx.reserve(n);
        for buffer in packets.drain(..) {
            match room.push(buffer) {
                Ok(()) => sent += 1,
                Err(buffer) => frames.push(buffer.frame),
            }
        }
        drop(room);
        kick(raw);
        refill(raw, frames);
        if n == 0 {
            raw.wait(Some(Duration::from_micros(1))).unwrap();
        }
        sent
    }

    fn assert_balanced(&self) {
        balanced_raw(&self.raw, 0);
    }
}

/// Mode C without tokens: from ring to ring.
pub struct Moves(pub FluxRaw);

impl Forwarder for Moves {
    fn turn(&mut self) -> u64 {
        let raw = &mut self.0;
        raw.comp.refill(&mut raw.fill, u32::MAX);
        let routed = raw.rx.route(&mut raw.fill, [&mut raw.tx], 64, |packet| {
            assert!(!packet.data().is_empty());
            Route::Send(0)
        });
        kick(raw);
        if raw.fill.needs_wakeup() {
            raw.kick_rx().unwrap();
        }
        if routed.sent == 0 {
            raw.wait(Some(Duration::from_micros(1))).unwrap();
        }
        u64::from(routed.sent)
    }

    fn assert_balanced(&self) {
        balanced_raw(&self.0, 0);
    }
}

/// Packets between two looks at the balance.
const BETWEEN_CHECKS: u64 = 1 << 16;

/// How long nothing may move on the real kernel.
const PATIENCE: Duration = Duration::from_secs(60);

/// Forwards `want` packets and checks the balance on the way and at the end.
pub fn forward(generator: &mut Generator, forwarder: &mut dyn Forwarder, want: u64) {
    let mut forwarded = 0;
    let mut idle = 0;
    let mut moved = Instant::now();
    let mut checked = 0;
    while forwarded < want {
        generator.burst(64);
        let n = forwarder.turn();
        forwarded += n;
        generator.collect();
        if n > 0 {
            (idle, moved) = (0, Instant::now());
        }
        idle += 1;
        // Both: on the simulator many turns pass in no time, and a busy machine may give this
        // thread few turns in a long one.
        let stuck = idle > 100_000 && moved.elapsed() > PATIENCE;
        assert!(!stuck, "nothing moves after {forwarded} of {want} packets");
        // By packets, not by turns: of those there are more when a packet takes longer.
        if forwarded / BETWEEN_CHECKS > checked {
            checked = forwarded / BETWEEN_CHECKS;
            forwarder.assert_balanced();
            generator.assert_balanced();
        }
    }
    forwarder.assert_balanced();
    generator.assert_balanced();
    assert!(generator.sent >= forwarded);
    assert!(generator.returned > 0);
}
