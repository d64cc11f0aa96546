//! Mode B: receivers and senders of two workers, each dropped by itself.

use super::*;
use fluxnet::{FluxRx, FluxTx, Packets};

pub struct Halves {
    rx: Vec<FluxRx>,
    tx: Vec<FluxTx>,
    held: Vec<Packet>,
}

pub const HALVES: &[&str] = &[
    "recv",
    "panic",
    "drop receiver",
    "drop sender",
    "remove",
    "send",
    "alloc",
    "flush",
    "release",
];

impl Mode for Halves {
    fn open(world: &mut World, builder: FluxBuilder) -> Self {
        let workers = builder.build_system_workers(QUEUES as usize).unwrap();
        world.umem = Some(workers[0].0.umem().clone());
        world.ports = workers[0].0.ports().to_vec();
        let (rx, tx) = workers.into_iter().unzip();
        Self { rx, tx, held: Vec::new() }
    }

    fn step(&mut self, world: &mut World) {
        let Self { rx, tx, held } = self;
        let time = world.some_time();
        let dice = &mut world.dice;
        let (one, two) = (dice.below(rx.len().max(1)), dice.below(tx.len().max(1)));
        let what = match dice.below(400) {
            0 if rx.len() > 1 => {
                let rx = rx.remove(one);
                world.gone += out_of_reach(&rx.debug_rings().sockets);
                drop(rx);
                "drop receiver"
            }
            1 if tx.len() > 1 => {
                let tx = tx.remove(two);
                // A receiver that is short may take them out of the completion ring.
                world.adrift += out_of_reach(&tx.debug_rings().sockets);
                drop(tx);
                "drop sender"
            }
            2 => {
                let port = dice.below(PORTS.len());
                let index = PortIndex::new(port as u16);
                if dice.once_in(2) {
                    let rings = rx[one].debug_rings();
                    world.gone += out_of_reach(rings.sockets.iter().filter(is_of(port)));
                    rx[one].remove_port(index);
                } else {
                    let rings = tx[two].debug_rings();
                    let ours = || rings.sockets.iter().filter(is_of(port));
                    let reaped = |s: &SocketSnapshot| u64::from(s.comp.unwrap().used().unwrap());
                    world.adrift += out_of_reach(ours()) - ours().map(reaped).sum::<u64>();
                    tx[two].remove_port(index);
                }
                "remove"
            }
            3..60 => {
                let mut batch = Packets::new();
                let singly = dice.once_in(2);
                for mut packet in std::mem::take(held) {
                    choose_way(&mut packet, dice);
                    if singly {
                        held.extend(tx[two].send(packet).err().map(back));
                    } else {
                        batch.push(packet).unwrap();
                    }
                }
                let n = batch.len();
                if let Ok(sent) = tx[two].send_batch(&mut batch) {
                    assert_eq!(
                        (sent.sent + sent.full + sent.refused, batch.len()),
                        (n, n - sent.sent)
                    );
                }
                held.extend(std::iter::from_fn(|| batch.pop()));
                "send"
            }
            60..80 => {
                let (n, len) = (dice.below(8), dice.below(2300));
                held.extend((0..n).map_while(|_| tx[two].alloc(len)));
                "alloc"
            }
            80..140 => {
                let _ = tx[two].flush();
                "flush"
            }
            140..170 => {
                let n = dice.below(40).min(held.len());
                held.drain(..n);
                "release"
            }
            170..180 => {
                held.extend(rx[one].recv(Some(Duration::ZERO)).unwrap_or(None));
                "recv"
            }
            at => {
                let mut packets = Packets::new();
                let deadline = time.map(|time| rx[one].now() + time.as_nanos() as u64);
                let _ = match deadline {
                    None => rx[one].try_recv(&mut packets),
                    deadline => rx[one].recv_batch(&mut packets, deadline),
                };
                let panics = at < 200;
                let retained = caught(|| {
                    packets.retain(|_| {
                        if panics && dice.once_in(3) {
                            panic();
                        }
                        !dice.once_in(4)
                    });
                });
                held.extend(std::iter::from_fn(|| packets.pop()));
                if retained.is_none() { "panic" } else { "recv" }
            }
        };
        world.did(what);
    }

    fn rings(&self) -> RingsSnapshot {
        let rx = self.rx.iter().map(FluxRx::debug_rings);
        let looks = rx.chain(self.tx.iter().map(FluxTx::debug_rings));
        looks.reduce(RingsSnapshot::join).unwrap_or_else(none)
    }

    fn counters(&self, _: &mut dyn FnMut(&'static str, usize, u64)) {}

    fn held(&self) -> usize {
        // Received with a batch and not asked for yet.
        let ready = |rx: &FluxRx| {
            let accounts = rx.debug_rings().sockets.into_iter().map(|s| s.account.unwrap());
            rx.frames() - accounts.map(|a| a.in_reception + a.cached).sum::<u64>()
        };
        self.held.len() + self.rx.iter().map(ready).sum::<u64>() as usize
    }
}
