//! The real kernel over a veth pair, in namespaces of the test's own.

use super::*;
use crate::backend::filter::Match;
use crate::config::AttachMode;
use crate::socket::Socket;
use crate::umem::Buffer;
use lab::{ETH_LAB, Lab, OUR_MAC, OURS, PEER_MAC, Wire, lab_frame};

#[path = "../../tests/lab/mod.rs"]
pub(crate) mod lab;

const SECOND: Duration = Duration::from_secs(1);

/// What the tests send to themselves, and nothing else.
fn lab_frames() -> Filter {
    Filter::Any(vec![Match { ether_type: Some(ETH_LAB), ..Match::default() }])
}

fn config() -> Config {
    Config { huge_pages: HugePages::Off, ..Config::new(OURS) }
}

/// Opened sockets with their fill rings filled, as the modes have them.
struct Rig {
    sockets: Vec<Socket>,
    umem: Arc<Umem>,
    backend: Arc<dyn Backend>,
}

const RING: u32 = 64;

impl Rig {
    fn open(config: &Config, queues: &[u32], filter: &Filter) -> Result<Self> {
        let frames = 4 * RING * queues.len() as u32;
        let bytes = (frames * config.frame_size) as usize;
        let (region, _) = region(bytes, config.huge_pages)?;
        let umem = Arc::new(Umem::new(region, config.frame_size));
        let Opened { backend, rings } = open(config, queues, &umem, RING, filter)?;
        let socket = |(at, set)| Socket::new(set, at, &backend, &umem, RING, config.rx_timestamps);
        let mut sockets: Vec<_> = rings.into_iter().enumerate().map(socket).collect();
        for socket in &mut sockets {
            socket.rx.refill()?;
        }
        Ok(Self { sockets, umem, backend })
    }

    fn start(config: &Config, queues: &[u32], filter: &Filter) -> Result<(Self, Granted)> {
        let rig = Self::open(config, queues, filter)?;
        let granted = rig.backend.start()?;
        Ok((rig, granted))
    }

    fn send(&mut self, at: usize, frame: &[u8]) {
        let tx = &mut self.sockets[at].tx;
        let mut buffer = self.umem.alloc_buffer(256, frame.len() as u32).unwrap().unwrap();
        self.umem.packet_mut(&mut buffer).copy_from_slice(frame);
        tx.tx.reserve(1).push(buffer).unwrap();
        tx.unkicked = true;
        tx.kick().unwrap();
    }

    /// The next packet on queue position `at` and its receive stamp.
    fn recv(&mut self, at: usize, patience: Duration) -> Option<(Vec<u8>, Option<u64>)> {
        let until = clock::monotonic_ns() + nanos(patience);
        let mut got: Option<Buffer> = None;
        loop {
            self.sockets[at].rx.rx.receive(1, |buffer| got = Some(buffer));
            if let Some(buffer) = got.take() {
                let packet = self.umem.packet(&buffer).to_vec();
                let stamp = self.umem.rx_stamp(&buffer);
                self.umem.free(buffer.frame);
                self.sockets[at].rx.refill().unwrap();
                return Some((packet, stamp));
            }
            let now = clock::monotonic_ns();
            if now >= until {
                return None;
            }
            let left = Duration::from_nanos(until - now);
            self.backend.wait(&[at], Interest::Rx, Some(left)).unwrap();
        }
    }

    /// Every frame is somewhere: free, or posted for reception.
    fn assert_frames_conserved(&mut self) {
        let until = clock::monotonic_ns() + nanos(SECOND);
        loop {
            let posted: u64 = self
                .sockets
                .iter_mut()
                .map(|s| {
                    s.tx.reap();
                    let sent = s.tx.tx.posted() - s.tx.comp.completed();
                    s.rx.fill.posted() - s.rx.rx.received() + sent
                })
                .sum();
            let sent: u64 =
                self.sockets.iter().map(|s| s.tx.tx.posted() - s.tx.comp.completed()).sum();
            if sent == 0 {
                assert_eq!(u64::from(self.umem.free_hint()) + posted, self.umem.frames().into());
                assert_eq!(self.umem.held_by_user().unwrap_or(0), 0);
                return;
            }
            assert!(clock::monotonic_ns() < until, "{sent} frames were not completed");
        }
    }
}

fn to_us(payload: &[u8]) -> Vec<u8> {
    lab_frame(PEER_MAC, OUR_MAC, payload)
}

fn to_peer(payload: &[u8]) -> Vec<u8> {
    lab_frame(OUR_MAC, PEER_MAC, payload)
}

fn sends_and_receives(attach: AttachMode, word: &str) {
    let Some(lab) = Lab::veth(1) else { return };
    let config = Config { attach, ..config() };
    let (mut rig, granted) = Rig::start(&config, &[0], &lab_frames()).unwrap();
    assert_eq!(granted.attach, word);
    assert_eq!((granted.zero_copy, granted.queues.as_slice()), (false, &[0][..]));
    assert_eq!(granted.driver.as_deref(), Some("veth"));
    let wire = lab.wire();
    for n in 0..200u8 {
        rig.send(0, &to_peer(&[n; 80]));
        rig.sockets[0].tx.reap();
        assert_eq!(wire.recv_type(ETH_LAB, SECOND).unwrap(), to_peer(&[n; 80]));
        wire.send(&to_us(&[n; 100]));
        assert_eq!(rig.recv(0, SECOND).unwrap(), (to_us(&[n; 100]), None));
    }
    rig.assert_frames_conserved();
    assert_eq!(rig.backend.stats(0).unwrap().rx_dropped, 0);
    let counters = rig.backend.queue_counters().unwrap();
    assert_eq!((counters[0].redirected, counters[0].no_socket), (200, 0));
}

#[test]
fn frames_cross_a_veth_pair_in_native_mode() {
    sends_and_receives(AttachMode::Native, "native");
}

#[test]
fn frames_cross_a_veth_pair_in_skb_mode() {
    sends_and_receives(AttachMode::Skb, "skb");
}

#[test]
fn auto_is_native_where_the_driver_has_it() {
    sends_and_receives(AttachMode::Auto, "native");
}
