//! Samples and an observer for the tests of this command.

use fluxnet::RingSnapshot;
use fluxnet::error::{ErrorKind, FluxError, Result};
use fluxnet::snapshot::{Owner, SocketSnapshot, SocketState, Source, UmemSnapshot};
use fluxnet::tools::rings::{
    Clock, Diagnosis, InterfaceKey, InterfaceSample, InterfaceSnapshot, Missing, Observer,
    OwnerSample, RingSample, RingsSample, Sample, Scan, SocketSample, StatsRates, StatsSample,
    UmemSample, Unseen, XskMapSample,
};
use fluxnet::tools::session::Trouble;
use std::time::Duration;

/// The network namespace of all these.
pub const NETNS: u32 = 4_026_531_840;

/// A ring of 2048 with this many entries in it, its indices about to wrap.
pub fn ring(used: u32, per_s: f64) -> Option<RingSample> {
    let consumer = u32::MAX - 99;
    Some(RingSample {
        size: Some(2048),
        producer: Some(consumer.wrapping_add(used)),
        consumer: Some(consumer),
        cached_producer: Some(consumer.wrapping_add(used)),
        cached_consumer: Some(consumer.wrapping_sub(64)),
        used: Some(used),
        need_wakeup: Some(false),
        per_s: Some(per_s),
    })
}

pub fn stats(rx_dropped: u64) -> StatsSample {
    StatsSample {
        rx_dropped,
        rx_invalid_descs: 0,
        tx_invalid_descs: 0,
        rx_ring_full: 0,
        rx_fill_ring_empty_descs: rx_dropped,
        tx_ring_empty_descs: 0,
    }
}

/// A healthy socket of xdpsock.
pub fn socket(queue: u32) -> SocketSample {
    SocketSample {
        pid: Some(1234),
        comm: Some("xdpsock".into()),
        fd: Some(5 + queue as i32),
        owners: Vec::new(),
        inode: Some(9000 + u64::from(queue)),
        netns: Some(NETNS),
        netns_name: None,
        interface: Some("eth0".into()),
        ifindex: Some(3),
        queue: Some(queue),
        state: "bound",
        umem_id: Some(queue),
        zero_copy: Some(false),
        uses_need_wakeup: Some(true),
        multi_buffer: Some(false),
        prefer_busy_poll: Some(true),
        busy_poll_us: Some(20),
        busy_poll_budget: Some(64),
        tx_budget: Some(32),
        tx_metadata_len: Some(0),
        xskmaps: Some(vec![XskMapSample { map_id: 12, key: queue }]),
        rings: RingsSample {
            rx: ring(12, 198_000.0),
            tx: ring(0, 0.0),
            fill: ring(1900, 198_064.0),
            comp: ring(0, 0.0),
        },
        stats: Some(stats(0)),
        stats_per_s: Some(StatsRates {
            rx_dropped_per_s: 0.0,
            rx_invalid_descs_per_s: 0.0,
            tx_invalid_descs_per_s: 0.0,
            rx_ring_full_per_s: 0.0,
            rx_fill_ring_empty_descs_per_s: 0.0,
            tx_ring_empty_descs_per_s: 0.0,
        }),
        umem: Some(UmemSample {
            size_bytes: Some(8 << 20),
            frames: Some(4096),
            frame_size: Some(2048),
            headroom: Some(0),
            users: Some(1),
            unaligned: Some(false),
            in_rings: Some(3968),
            unaccounted: Some(128),
        }),
        diagnosis: Vec::new(),
    }
}

/// Its fill ring is empty.
pub fn starved(queue: u32) -> SocketSample {
    let mut socket = socket(queue);
    socket.rings.fill = ring(0, 0.0);
    if let Some(fill) = &mut socket.rings.fill {
        fill.need_wakeup = Some(true);
    }
    socket.stats = Some(stats(123_456));
    if let Some(rates) = &mut socket.stats_per_s {
        rates.rx_dropped_per_s = 20_400.0;
        rates.rx_fill_ring_empty_descs_per_s = 20_400.0;
    }
    let text = "the fill ring is empty and the kernel found no free frame 20.4k times a second; \
                the application holds 4084 of 4096 frames: give frames back to the fill ring, or \
                use more frames";
    socket.diagnosis = vec![Diagnosis { kind: Trouble::Starved, text: text.into() }];
    socket
}

/// Its interface is gone.
pub fn unbound() -> SocketSample {
    SocketSample {
        interface: None,
        ifindex: None,
        queue: None,
        state: "unbound",
        zero_copy: None,
        xskmaps: Some(Vec::new()),
        inode: Some(9999),
        ..socket(0)
    }
}

/// What `sock_diag` shows: sizes and counters.
pub fn barely_known() -> SocketSample {
    let size = |size| {
        Some(RingSample {
            size: Some(size),
            producer: None,
            consumer: None,
            cached_producer: None,
            cached_consumer: None,
            used: None,
            need_wakeup: None,
            per_s: None,
        })
    };
    SocketSample {
        pid: None,
        comm: None,
        fd: None,
        zero_copy: None,
        uses_need_wakeup: None,
        multi_buffer: None,
        prefer_busy_poll: None,
        busy_poll_us: None,
        busy_poll_budget: None,
        tx_budget: None,
        tx_metadata_len: None,
        xskmaps: None,
        rings: RingsSample { rx: size(2048), tx: None, fill: size(4096), comp: size(1024) },
        stats: Some(stats(7)),
        stats_per_s: None,
        umem: Some(UmemSample {
            size_bytes: Some(8 << 20),
            frames: None,
            frame_size: Some(2048),
            headroom: None,
            users: None,
            unaligned: None,
            in_rings: None,
            unaccounted: None,
        }),
        ..socket(0)
    }
}

pub fn interface() -> InterfaceSample {
    InterfaceSample {
        interface: "eth0".into(),
        ifindex: 3,
        netns: Some(NETNS),
        netns_name: None,
        driver: Some("veth".into()),
        up: true,
        carrier: true,
        rx_queues: Some(4),
        xdp_id: Some(42),
        xdp_name: Some("xsk_def_prog".into()),
        rx_pps: Some(198_300.0),
        tx_pps: Some(0.0),
        queue_rx_pps: Some(vec![198_300.0, 0.0, 0.0, 0.0]),
    }
}

pub fn sample(sockets: Vec<SocketSample>) -> Sample {
    Sample {
        scanned_by: "iter",
        time_s: 1234.5,
        elapsed_s: Some(0.5),
        took_us: 412.0,
        missing: Vec::new(),
        interfaces: if sockets.is_empty() { Vec::new() } else { vec![interface()] },
        sockets,
    }
}

/// Two sockets on one UMEM.
pub fn sharing() -> Sample {
    let mut sockets = vec![socket(0), socket(1)];
    for socket in &mut sockets {
        socket.umem_id = Some(7);
        if let Some(umem) = &mut socket.umem {
            umem.users = Some(2);
        }
    }
    sample(sockets)
}

/// A NIC full of queues, two of them in trouble.
pub fn sixteen() -> Sample {
    let mut sockets: Vec<_> = (0..16).map(socket).collect();
    sockets[3] = starved(3);
    sockets[11] = starved(11);
    sample(sockets)
}

/// Two owners of one descriptor.
pub fn inherited() -> SocketSample {
    let owner = |pid, comm: &str, fd| OwnerSample { pid, comm: comm.into(), fd };
    SocketSample {
        owners: vec![owner(1234, "xdpsock", 5), owner(1240, "a\x1b[31mchild", 9)],
        ..socket(0)
    }
}

/// A machine with one socket that receives 1000 packets between two looks, from just below the
/// wrap of its indices on.
pub struct Fake {
    pub time_ns: u64,
    pub received: u32,
    /// The look that fails, counted from 1.
    pub fails_at: Option<u32>,
    pub looks: u32,
    pub none: bool,
    pub clock: Clock,
}

impl Fake {
    pub fn new() -> Self {
        let received = u32::MAX - 1500;
        Self { time_ns: 1, received, fails_at: None, looks: 0, none: false, clock: Clock::Virtual }
    }
}

impl Observer for Fake {
    fn source(&self) -> Source {
        Source::Sim
    }

    fn notes(&self) -> Vec<String> {
        vec!["a better source is not used: this one is made up".into()]
    }

    fn find(&mut self, name: &str) -> Result<InterfaceKey> {
        match name {
            "fake0" => Ok(InterfaceKey { netns: Some(NETNS), ifindex: 3 }),
            _ => Err(FluxError::new(ErrorKind::Device, format!("no interface {name}"), "not here")),
        }
    }

    fn sockets(&mut self) -> Result<Scan> {
        self.looks += 1;
        if self.fails_at == Some(self.looks) {
            return Err(FluxError::new(ErrorKind::System, "cannot look", "this look was to fail"));
        }
        if self.none {
            return Ok(Scan::default());
        }
        let ring = |producer: u32, used: u32| {
            Some(RingSnapshot {
                size: Some(2048),
                producer: Some(producer),
                consumer: Some(producer.wrapping_sub(used)),
                cached_producer: None,
                cached_consumer: None,
                flags: Some(0),
            })
        };
        let mut socket = SocketSnapshot::unknown(self.time_ns);
        socket.inode = Some(77);
        socket.owners = vec![Owner { pid: 4321, fd: 3, comm: "made \"up\"".into() }];
        socket.netns = Some(NETNS);
        socket.interface = Some("fake0".into());
        (socket.ifindex, socket.queue) = (Some(3), Some(0));
        socket.state = SocketState::Bound;
        socket.zero_copy = Some(true);
        (socket.rx, socket.fill) = (ring(self.received, 12), ring(self.received, 900));
        (socket.tx, socket.comp) = (ring(0, 0), ring(0, 0));
        socket.umem = Some(UmemSnapshot {
            id: Some(1),
            frames: Some(4096),
            frame_size: Some(2048),
            ..UmemSnapshot::default()
        });
        self.received = self.received.wrapping_add(1000);
        let text = "pid 1: made up as well".into();
        let missing = vec![Missing { text, unseen: Unseen::Anywhere }];
        Ok(Scan { time_ns: socket.time_ns, sockets: vec![socket], missing })
    }

    fn interface(&mut self, key: InterfaceKey) -> Option<InterfaceSnapshot> {
        Some(InterfaceSnapshot {
            time_ns: self.time_ns,
            key,
            name: "fake0".into(),
            driver: None,
            up: true,
            carrier: true,
            carrier_changes: None,
            mtu: 1500,
            queues: None,
            tx_queues: None,
            rx_packets: None,
            tx_packets: None,
            queue_rx_packets: None,
            xdp: None,
            zero_copy: None,
            nic_ring: None,
        })
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn advance(&mut self, time: Duration) -> Result<()> {
        self.time_ns += time.as_nanos() as u64;
        Ok(())
    }
}
