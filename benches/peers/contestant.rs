//! Our own contestant: this binary, started again, runs one loop until its input ends.
//!
//! The loops are those of `flux bench`, written with the public interface alone.

use fluxnet::config::{AttachMode, BindMode, Poller};
use fluxnet::engine::FluxEngine;
use fluxnet::error::Result;
use fluxnet::packet::Packets;
use fluxnet::poll::{Idle, PollState};
use fluxnet::proto::EthernetMut;
use fluxnet::raw::FluxRaw;
use fluxnet::system::{FluxRx, FluxTx};
use fluxnet::tools::bench::{Library, Poll, Workload};
use fluxnet::umem::Span;
use fluxnet::{Filter, FluxBuilder, PortIndex, Route};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest time that a turn may block.
const LONGEST_WAIT: Duration = Duration::from_millis(10);
/// The port that forward sends by.
const OUT: PortIndex = PortIndex::new(1);
/// Where a packet that is sent starts in its frame, with room for a header before it.
const START: u32 = 256;

/// What to do.
#[derive(Clone, Debug)]
pub struct Task {
    pub interface: String,
    /// What forward sends by.
    pub out: String,
    pub workload: Workload,
    pub mode: Library,
    pub poll: Poll,
    pub batch: u32,
    pub prefetch: bool,
    pub frames: Option<u32>,
    /// What txonly sends.
    pub packet: Vec<u8>,
}

/// What was done.
#[derive(Default)]
struct Count {
    packets: u64,
    turns: u64,
    empty: u64,
}

/// Runs the loop, then prints what it counted.
pub fn run(task: &Task) -> Result<()> {
    let filter = match task.workload {
        Workload::Txonly => Filter::Nothing,
        _ => Filter::Everything,
    };
    let builder = FluxBuilder::new(task.interface.as_str())
        .queue_id(0)
        .filter(filter)
        .attach(AttachMode::Native)
        .bind(BindMode::Copy)
        .poller(task.poll.poller())
        .batch(task.batch)
        .prefetch(task.prefetch);
    let builder = match task.frames {
        Some(frames) => builder.frames(frames),
        None => builder,
    };
    let builder = match task.workload {
        Workload::Forward => builder.port(task.out.as_str()).filter(Filter::Nothing),
        _ => builder,
    };
    let count = match task.mode {
        Library::Raw if task.workload == Workload::Forward => {
            let mut queues = builder.build_raw_queues()?;
            let mut out = queues.pop();
            let mut work = queues.pop().map(|raw| Raw::new(raw, task));
            match (&mut work, &mut out) {
                (Some(work), Some(out)) => until_told(|| work.pass_on(out)),
                _ => Ok(Count::default()), // cannot be: two ports have two queues
            }
        }
        Library::Raw => {
            let raw = builder.build_raw()?;
            let mut work = Raw::new(raw, task);
            match task.workload {
                Workload::Txonly => until_told(|| work.send_turn()),
                Workload::L2fwd => until_told(|| work.forward_turn()),
                _ => until_told(|| work.drop_turn()),
            }
        }
        Library::Engine => {
            let mut engine = builder.build_engine()?;
            match task.workload {
                Workload::L2fwd => until_told(|| engine_forward(&mut engine)),
                Workload::Forward => until_told(|| engine_pass_on(&mut engine)),
                _ => until_told(|| engine_drop(&mut engine)),
            }
        }
        Library::System => {
            let (rx, tx) = builder.build_system()?;
            let mut work = System { rx, tx, packets: Packets::with_capacity(task.batch as usize) };
            match task.workload {
                Workload::L2fwd => until_told(|| work.forward_turn()),
                Workload::Forward => until_told(|| work.pass_on()),
                _ => until_told(|| work.drop_turn()),
            }
        }
    }?;
    let Count { packets, turns, empty } = count;
    println!("{{\"packets\":{packets},\"turns\":{turns},\"empty\":{empty}}}");
    Ok(())
}

/// Takes turns until standard input ends.
fn until_told(mut turn: impl FnMut() -> Result<u32>) -> Result<Count> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        told.store(true, Ordering::Relaxed);
    });
    let mut count = Count::default();
    while !stop.load(Ordering::Relaxed) {
        let n = turn()?;
        count.packets += u64::from(n);
        count.turns += 1;
        count.empty += u64::from(n == 0);
    }
    Ok(count)
}

/// Mode C.
struct Raw {
    raw: FluxRaw,
    batch: u32,
    packet: Vec<u8>,
    poll: PollState,
}

impl Raw {
    fn new(raw: FluxRaw, task: &Task) -> Self {
        let poller: Poller = task.poll.poller();
        Self { raw, batch: task.batch, packet: task.packet.clone(), poll: PollState::new(poller) }
    }

    fn drop_turn(&mut self) -> Result<u32> {
        let FluxRaw { rx, fill, .. } = &mut self.raw;
        let n = rx.route(fill, [], self.batch, |_| Route::Recycle).packets;
        self.after(n, false)
    }

    fn forward_turn(&mut self) -> Result<u32> {
        let Self { raw, batch, .. } = self;
        raw.comp.refill(&mut raw.fill, u32::MAX);
        let FluxRaw { rx, tx, fill, .. } = &mut *raw;
        let routed = rx.route(fill, [tx], *batch, |packet| {
            swap_addresses(packet.data_mut());
            Route::Send(0)
        });
        raw.flush()?;
        self.after(routed.packets, false)
    }

    fn pass_on(&mut self, out: &mut FluxRaw) -> Result<u32> {
        let FluxRaw { rx, fill, .. } = &mut self.raw;
        out.comp.refill(fill, u32::MAX);
        let n = rx.route(fill, [&mut out.tx], self.batch, |_| Route::Send(0)).packets;
        out.flush()?;
        self.after(n, false)
    }

    fn send_turn(&mut self) -> Result<u32> {
        let Self { raw, batch, packet, .. } = self;
        let span = Span::new(START, packet.len() as u32, raw.umem().frame_size());
        let mut n = span.map_or(0, |span| raw.comp.resend(&mut raw.tx, span, *batch));
        if n < *batch {
            n += self.send_new(self.batch - n);
        }
        self.raw.flush()?;
        self.after(n, true)
    }

    /// Sends frames that were never sent before, in place of those that the kernel still has.
    fn send_new(&mut self, want: u32) -> u32 {
        let Self { raw, packet, .. } = self;
        let umem = Arc::clone(raw.umem());
        let mut slots = raw.tx.reserve(want);
        let mut sent = 0;
        while slots.room() > 0
            && let Ok(Some(mut buffer)) = umem.alloc_buffer(START, packet.len() as u32)
        {
            umem.packet_mut(&mut buffer).copy_from_slice(packet);
            if let Err(buffer) = slots.push(buffer) {
                umem.free(buffer.frame); // cannot be: there is room, and the frame is ours
                break;
            }
            sent += 1;
        }
        sent
    }

    fn after(&mut self, n: u32, sends: bool) -> Result<u32> {
        let raw = &self.raw;
        if n > 0 {
            self.poll.on_packets(n as usize, || raw.now());
            return Ok(n);
        }
        match self.poll.on_empty(|| raw.now()) {
            Idle::Spin => raw.spin().map(drop)?,
            Idle::Block if sends => raw.wait_tx(Some(LONGEST_WAIT)).map(drop)?,
            Idle::Block => raw.wait(Some(LONGEST_WAIT)).map(drop)?,
        }
        Ok(0)
    }
}

#[inline(always)]
fn swap_addresses(packet: &mut [u8]) {
    if let Ok(mut ethernet) = EthernetMut::parse(packet) {
        ethernet.swap();
    }
}

/// Mode A.
fn engine_drop(engine: &mut FluxEngine) -> Result<u32> {
    engine.turn(|_| {}, Some(LONGEST_WAIT)).map(|n| n as u32)
}

fn engine_forward(engine: &mut FluxEngine) -> Result<u32> {
    let handle = |batch: &mut fluxnet::engine::PacketBatch<'_>| {
        for mut packet in batch {
            swap_addresses(packet.data_mut());
            packet.send();
        }
    };
    engine.turn(handle, Some(LONGEST_WAIT)).map(|n| n as u32)
}

fn engine_pass_on(engine: &mut FluxEngine) -> Result<u32> {
    let handle = |batch: &mut fluxnet::engine::PacketBatch<'_>| {
        batch.iter_mut().for_each(|packet| packet.forward(OUT));
    };
    engine.turn(handle, Some(LONGEST_WAIT)).map(|n| n as u32)
}

/// Mode B.
struct System {
    rx: FluxRx,
    tx: FluxTx,
    packets: Packets,
}

impl System {
    fn receive(&mut self) -> Result<u32> {
        let deadline = self.rx.now().saturating_add(LONGEST_WAIT.as_nanos() as u64);
        self.rx.recv_batch(&mut self.packets, Some(deadline)).map(|n| n as u32)
    }

    fn drop_turn(&mut self) -> Result<u32> {
        let n = self.receive()?;
        self.packets.clear();
        Ok(n)
    }

    fn pass_on(&mut self) -> Result<u32> {
        let n = self.receive()?;
        if n > 0 {
            self.packets.iter_mut().for_each(|mut packet| packet.set_port(OUT));
            self.tx.send_batch(&mut self.packets)?; // a full ring drops them, as a bridge would
            self.packets.clear();
            self.tx.flush()?;
        }
        Ok(n)
    }

    fn forward_turn(&mut self) -> Result<u32> {
        let n = self.receive()?;
        if n > 0 {
            self.packets.iter_mut().for_each(|mut packet| swap_addresses(packet.data_mut()));
            self.tx.send_batch(&mut self.packets)?;
            self.packets.clear(); // a full ring drops them, as a bridge would
            self.tx.flush()?;
        }
        Ok(n)
    }
}
