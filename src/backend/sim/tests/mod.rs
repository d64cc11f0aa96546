//! The simulated machine driven through the halves that real sockets have.

mod answers;
mod between;
mod conservation;
mod device;
mod happenings;
mod network;
mod packets;
mod paths;
mod routers;
mod stack;
mod troubles;

use super::Simulator;
use crate::backend::{Backend, Filter, Interest, PortPlan};
use crate::config::Config;
use crate::error::Result;
use crate::ids::{PortIndex, QueueIndex};
use crate::socket::{Number, Queue};
use crate::stats::XdpStatistics;
use crate::umem::{FrameCache, RX_HEADROOM, Region, Umem};
use std::sync::Arc;
use std::time::Duration;

/// A packet as it was received, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Received {
    bytes: Vec<u8>,
    stamp: Option<u64>,
}

/// Sockets on one port.
struct Rig {
    sim: Simulator,
    umem: Arc<Umem>,
    backend: Arc<dyn Backend>,
    cache: FrameCache,
    sockets: Vec<Queue>,
}

/// Position of the first queue.
const FIRST: QueueIndex = QueueIndex::new(0);

/// A queue of the first port.
fn number(at: usize) -> Number {
    Number { port: PortIndex::new(0), queue: QueueIndex::at(at), sends: true }
}

impl Rig {
    const FRAMES: u32 = 64;

    /// All queues of `port`, bound, with half of the frames in the fill rings.
    fn open(sim: &Simulator, port: &str, filter: Filter) -> Self {
        let queues: Vec<u32> = (0..sim.queue_counts(port).unwrap().rx).collect();
        let share = Self::FRAMES / 2 / queues.len() as u32;
        let config = Config { rx_timestamps: true, ..Config::new(port) };
        let mut rig = Self::with(sim, &config, &queues, 32, filter, share).unwrap();
        rig.refill();
        rig
    }

    /// With this configuration; the fill rings are empty.
    fn with(
        sim: &Simulator,
        config: &Config,
        queues: &[u32],
        ring: u32,
        filter: Filter,
        share: u32,
    ) -> Result<Self> {
        let region = Region::allocate((Self::FRAMES * config.frame_size) as usize).unwrap();
        let umem = Arc::new(Umem::new(region, config.frame_size).with_stamps(config.rx_timestamps));
        let opened = sim.open(&[PortPlan::of(config, queues, ring, filter)], &umem)?;
        let backend = opened.backend;
        let socket = |(at, rings)| Queue::new(rings, number(at), &backend, &umem, share, config);
        let sockets = opened.rings.into_iter().enumerate().map(socket).collect();
        backend.start()?;
        let cache = FrameCache::new(&umem, 1);
        Ok(Self { sim: sim.clone(), umem, backend, cache, sockets })
    }

    fn refill(&mut self) {
        let Self { sockets, cache, .. } = self;
        sockets.iter_mut().for_each(|socket| socket.rx.refill(cache, false).unwrap());
    }

    /// Queues a packet on a TX ring without a kick.
    fn post(&mut self, queue: usize, packet: &[u8]) {
        let mut buffer = self.umem.alloc_buffer(0, packet.len() as u32).unwrap().unwrap();
        self.umem.packet_mut(&mut buffer).copy_from_slice(packet);
        self.sockets[queue].tx.tx.reserve(1).push(buffer).unwrap();
    }

    fn send(&mut self, packet: &[u8]) {
        self.post(0, packet);
        assert!(self.sockets[0].tx.flush().unwrap());
        assert_eq!(self.reap(), 1);
    }

    /// Takes the frames of sent packets of the first queue back; returns how many.
    fn reap(&mut self) -> u32 {
        let reaped = self.sockets[0].tx.reap(&mut self.cache);
        self.cache.give_back();
        reaped
    }

    /// What has arrived, without waiting.
    fn take(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        let Self { sockets, cache, umem, .. } = self;
        for socket in sockets {
            socket.rx.rx.receive(u32::MAX, |buffer| {
                assert_eq!(buffer.span.start(), RX_HEADROOM as usize);
                let (bytes, stamp) = (umem.packet(&buffer).to_vec(), umem.rx_timestamp(&buffer));
                all.push(Received { bytes, stamp });
                umem.free(buffer.frame);
            });
            socket.rx.refill(cache, false).unwrap();
        }
        all
    }

    /// The next packets, waiting for them.
    fn receive(&mut self, timeout: Duration) -> Vec<Received> {
        let queues: Vec<_> = (0..self.sockets.len()).map(QueueIndex::at).collect();
        self.backend.wait(&queues, Interest::Rx, Some(timeout)).unwrap();
        self.take()
    }

    /// Sends one packet; the answer and its round trip in ns.
    fn ask(&mut self, packet: &[u8]) -> Option<(Vec<u8>, u64)> {
        let start = self.backend.now();
        self.send(packet);
        let mut answers = self.receive(Duration::from_secs(2));
        assert!(answers.len() <= 1, "{answers:?}");
        let answer = answers.pop()?;
        let stamp = answer.stamp.unwrap();
        assert_eq!(stamp, self.backend.now(), "the clock stands where the packet came");
        Some((answer.bytes, stamp - start))
    }

    fn stats(&self) -> XdpStatistics {
        self.backend.stats(FIRST).unwrap()
    }

    /// Every frame is free, in reception, or in transmission.
    fn assert_balance(mut self) {
        for socket in &mut self.sockets {
            socket.tx.flush().unwrap();
            socket.tx.reap(&mut self.cache);
        }
        self.take();
        if let Some(held) = self.umem.held_by_user() {
            assert_eq!(held, 0, "frames lost");
        }
        let weak = Arc::downgrade(&self.umem);
        let sim = self.sim.clone();
        drop(self);
        sim.step(Duration::from_secs(10));
        assert_eq!(weak.strong_count(), 0, "the simulated kernel keeps the UMEM alive");
    }
}
