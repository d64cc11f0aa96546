//! Mode A: two workers, turned one by one or run together.

use super::*;
use fluxnet::engine::{Worker, Workers};
use fluxnet::{FluxEngine, PacketBatch};

/// What becomes of a batch; a panic in one of some.
fn judge(batch: &mut PacketBatch<'_>, dice: &mut Dice, held: &mut Vec<Packet>) {
    for packet in batch.iter_mut() {
        match dice.below(8) {
            0 | 1 => packet.send(),
            2 => packet.forward(PortIndex::new(0)),
            3 => packet.forward(PortIndex::new(1)),
            4 => packet.forward(PortIndex::new(7)),
            5 => packet.recycle(),
            6 => held.push(packet.extract()),
            _ => {}
        }
    }
    let own = dice.below(3);
    let ours: Vec<_> = held.pop().into_iter().chain(batch.alloc(60)).take(own).collect();
    for mut packet in ours {
        choose_way(&mut packet, dice);
        held.extend(batch.send(packet).err().map(back));
    }
}

fn release(held: &mut Vec<Packet>, dice: &mut Dice) {
    let n = dice.below(40).min(held.len());
    held.drain(..n);
}

/// Each worker by itself, until it is dropped.
pub struct Turns {
    workers: Vec<(usize, FluxEngine)>,
    held: Vec<Packet>,
}

pub const TURNS: &[&str] =
    &["turn", "panic", "drop", "remove", "send", "alloc", "flush", "release"];

fn open(world: &mut World, builder: FluxBuilder) -> Workers<()> {
    let engine = builder.build_engine().unwrap();
    world.umem = Some(engine.umem().clone());
    world.ports = engine.ports().to_vec();
    engine.into_workers(QUEUES as usize, |_| ()).unwrap()
}

impl Mode for Turns {
    fn open(world: &mut World, builder: FluxBuilder) -> Self {
        let workers = open(world, builder).into_vec().into_iter().enumerate();
        let workers = workers.map(|(at, Worker { engine, .. })| (at, engine)).collect();
        Self { workers, held: Vec::new() }
    }

    fn step(&mut self, world: &mut World) {
        let Self { workers, held } = self;
        let time = world.some_time();
        let at = world.dice.below(workers.len());
        let dice = &mut world.dice;
        let several = workers.len() > 1;
        let engine = &mut workers[at].1;
        // A link that is down is an error, and costs no frame either.
        let what = match dice.below(400) {
            0 if several => {
                let (_, engine) = workers.remove(at);
                let rings = engine.debug_rings();
                world.gone += out_of_reach(&rings.sockets);
                // In a thread that panics, as often as not.
                let panics = dice.once_in(2);
                let _ = caught(move || {
                    let _engine = engine;
                    if panics {
                        panic();
                    }
                });
                "drop"
            }
            1 => {
                let port = dice.below(PORTS.len());
                let rings = engine.debug_rings();
                let reaped = |s: &SocketSnapshot| u64::from(s.comp.unwrap().used().unwrap());
                let ours = || rings.sockets.iter().filter(is_of(port));
                world.gone += out_of_reach(ours()) - ours().map(reaped).sum::<u64>();
                engine.remove_port(PortIndex::new(port as u16));
                "remove"
            }
            2..20 => {
                let turn = caught(|| {
                    engine.turn(
                        |batch| {
                            judge(batch, dice, held);
                            panic();
                        },
                        time,
                    )
                });
                if turn.is_none() { "panic" } else { "turn" }
            }
            20..60 => {
                for mut packet in std::mem::take(held) {
                    choose_way(&mut packet, dice);
                    held.extend(engine.send(packet).err().map(back));
                }
                "send"
            }
            60..80 => {
                let (n, len) = (dice.below(8), dice.below(2300));
                held.extend((0..n).map_while(|_| engine.alloc(len)));
                "alloc"
            }
            80..110 => {
                let _ = engine.flush();
                "flush"
            }
            110..140 => {
                release(held, dice);
                "release"
            }
            _ => {
                let _ = engine.turn(|batch| judge(batch, dice, held), time);
                "turn"
            }
        };
        world.did(what);
    }

    fn rings(&self) -> RingsSnapshot {
        let looks = self.workers.iter().map(|(_, engine)| engine.debug_rings());
        looks.reduce(RingsSnapshot::join).unwrap_or_else(none)
    }

    fn counters(&self, seen: &mut dyn FnMut(&'static str, usize, u64)) {
        self.workers.iter().for_each(|(at, engine)| engine_stats(engine.stats(), *at, seen));
    }

    fn held(&self) -> usize {
        self.held.len()
    }
}

/// Both together, by [`Workers::run`].
pub struct Run {
    workers: Workers<()>,
    held: Vec<Packet>,
}

pub const RUN: &[&str] = &["run", "panic", "failed", "remove", "release"];

impl Mode for Run {
    fn open(world: &mut World, builder: FluxBuilder) -> Self {
        Self { workers: open(world, builder), held: Vec::new() }
    }

    fn step(&mut self, world: &mut World) {
        let Self { workers, held } = self;
        let what = match world.dice.below(200) {
            0 => {
                let port = world.dice.below(PORTS.len());
                let index = PortIndex::new(port as u16);
                for worker in workers.workers() {
                    let rings = worker.engine.debug_rings();
                    let reaped = |s: &SocketSnapshot| u64::from(s.comp.unwrap().used().unwrap());
                    let ours = || rings.sockets.iter().filter(is_of(port));
                    world.gone += out_of_reach(ours()) - ours().map(reaped).sum::<u64>();
                }
                workers.remove_port(index);
                "remove"
            }
            1..30 => {
                release(held, &mut world.dice);
                "release"
            }
            _ => {
                // Without a packet the closure would not be called, and nobody end the run.
                let waits = |socket: &SocketSnapshot| socket.rx.unwrap().used() > Some(0);
                if !self.rings().sockets.iter().any(waits) {
                    return world.around();
                }
                let stop = self.workers.stop_handle();
                let panics = world.dice.once_in(4);
                let dice = std::sync::Mutex::new((&mut world.dice, &mut self.held));
                let run = caught(|| {
                    self.workers.run(|(), batch| {
                        let mut both = dice.lock().unwrap_or_else(|error| error.into_inner());
                        let (dice, held) = &mut *both;
                        judge(batch, dice, held);
                        if panics && dice.once_in(2) {
                            panic();
                        }
                        stop.stop();
                    })
                });
                stop.reset();
                match run {
                    None => "panic",
                    Some(Ok(_)) => "run",
                    Some(Err(_)) => "failed",
                }
            }
        };
        world.did(what);
    }

    fn rings(&self) -> RingsSnapshot {
        let looks = self.workers.workers().iter().map(|worker| worker.engine.debug_rings());
        looks.reduce(RingsSnapshot::join).unwrap_or_else(none)
    }

    fn counters(&self, seen: &mut dyn FnMut(&'static str, usize, u64)) {
        let workers = self.workers.workers().iter().enumerate();
        workers.for_each(|(at, worker)| engine_stats(worker.engine.stats(), at, seen));
    }

    fn held(&self) -> usize {
        self.held.len()
    }
}
