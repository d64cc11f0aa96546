//! The simulated machine driven through the halves that real sockets have.

mod between;
mod conservation;
mod device;
mod network;
mod packets;
mod paths;
mod routers;
mod troubles;

use super::Simulator;
use crate::backend::{Backend, Filter, Interest};
use crate::config::Config;
use crate::error::Result;
use crate::socket::Socket;
use crate::stats::XdpStatistics;
use crate::umem::region::Region;
use crate::umem::{RX_HEADROOM, Umem};
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
    sockets: Vec<Socket>,
}

impl Rig {
    const FRAMES: u32 = 64;

    /// All queues of `port`, bound, with half of the frames in the fill rings.
    fn open(sim: &Simulator, port: &str, filter: Filter) -> Self {
        let queues: Vec<u32> = (0..sim.queues(port).unwrap()).collect();
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
        let umem = Arc::new(Umem::new(region, config.frame_size));
        let opened = sim.open(config, queues, &umem, ring, &filter)?;
        let backend = opened.backend;
        let socket = |(at, rings)| Socket::new(rings, at, &backend, &umem, share, config);
        let sockets = opened.rings.into_iter().enumerate().map(socket).collect();
        backend.start()?;
        Ok(Self { sim: sim.clone(), umem, backend, sockets })
    }

    fn refill(&mut self) {
        self.sockets.iter_mut().for_each(|socket| socket.rx.refill().unwrap());
    }

    /// Queues a packet on a TX ring without a kick.
    fn post(&mut self, queue: usize, packet: &[u8]) {
        let mut buffer = self.umem.alloc_buffer(0, packet.len() as u32).unwrap().unwrap();
        self.umem.packet_mut(&mut buffer).copy_from_slice(packet);
        let tx = &mut self.sockets[queue].tx;
        tx.tx.reserve(1).push(buffer).unwrap();
        tx.unkicked = true;
    }

    fn send(&mut self, packet: &[u8]) {
        self.post(0, packet);
        assert!(self.sockets[0].tx.kick().unwrap());
        assert_eq!(self.sockets[0].tx.reap(), 1);
    }

    /// What has arrived, without waiting.
    fn take(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        for socket in &mut self.sockets {
            let umem = &self.umem;
            socket.rx.rx.receive(u32::MAX, |buffer| {
                assert_eq!(buffer.span.start(), RX_HEADROOM as usize);
                let (bytes, stamp) = (umem.packet(&buffer).to_vec(), umem.rx_stamp(&buffer));
                all.push(Received { bytes, stamp });
                umem.free(buffer.frame);
            });
            socket.rx.refill().unwrap();
        }
        all
    }

    /// The next packets, waiting for them.
    fn receive(&mut self, timeout: Duration) -> Vec<Received> {
        let queues: Vec<usize> = (0..self.sockets.len()).collect();
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
        self.backend.stats(0).unwrap()
    }

    /// Every frame is free, in reception, or in transmission.
    fn assert_balance(mut self) {
        for socket in &mut self.sockets {
            socket.tx.kick().unwrap();
            socket.tx.reap();
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
