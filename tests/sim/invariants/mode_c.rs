//! Mode C: the rings of all queues, used across queues and ports, and dropped one by one.

use super::*;
use fluxnet::umem::{Buffer, Frame, Span};
use fluxnet::{Desc, FluxRaw, Route};

pub struct Raw {
    /// With their numbers, and the descriptors posted that name no frame.
    raws: Vec<(usize, FluxRaw, u64)>,
    packets: Vec<Buffer>,
    frames: Vec<Frame>,
    umem: std::sync::Arc<Umem>,
}

pub const RAW: &[&str] = &[
    "receive", "panic", "drop", "send", "spoil", "post", "reap", "route", "refill", "resend",
    "flush", "wait", "release",
];

impl Raw {
    /// Routes from one queue to others.
    fn route(&mut self, dice: &mut Dice) -> &'static str {
        let n = self.raws.len();
        let (from, to, other) = (dice.below(n), dice.below(n), dice.below(n));
        let (mut rx, mut tx, mut fill) = (vec![], vec![], vec![]);
        for (_, raw, _) in &mut self.raws {
            rx.push(&mut raw.rx);
            tx.push(&mut raw.tx);
            fill.push(&mut raw.fill);
        }
        let (panics, max) = (dice.once_in(10), dice.below(40) as u32);
        let before = self.packets.len();
        let packets = &mut self.packets;
        let mut seen = 0;
        let mut judge = |packet: &mut fluxnet::PacketView<'_>| {
            seen += 1;
            let _ = packet.adjust_head(dice.below(8) as i32 - 4);
            let taken = dice.once_in(6);
            if taken {
                packets.extend(packet.take());
            }
            if panics && dice.once_in(3) {
                panic();
            }
            match dice.below(5) {
                0 | 1 => Route::Send(0),
                2 => Route::Send(1),
                3 => Route::Send(2),
                _ => Route::Recycle,
            }
        };
        let routed = match tx.get_disjoint_mut([to, other]) {
            Ok([one, two]) => caught(|| rx[from].route(fill[to], [one, two], max, &mut judge)),
            Err(_) => caught(|| rx[from].route(fill[to], [&mut *tx[to]], max, &mut judge)),
        };
        let Some(routed) = routed else { return "panic" };
        assert_eq!(routed.packets, seen);
        assert_eq!(routed.taken as usize, self.packets.len() - before);
        "route"
    }

    /// Completions of one queue to another.
    #[allow(unsafe_code)]
    fn rehome(&mut self, dice: &mut Dice) -> &'static str {
        let n = self.raws.len();
        let (from, to, max) = (dice.below(n), dice.below(n), dice.below(40) as u32);
        let (mut comp, mut tx, mut fill) = (vec![], vec![], vec![]);
        for (_, raw, _) in &mut self.raws {
            comp.push(&mut raw.comp);
            tx.push(&mut raw.tx);
            fill.push(&mut raw.fill);
        }
        if dice.once_in(2) {
            comp[from].refill(fill[to], max);
            return "refill";
        }
        comp[from].resend(tx[to], Span::new(0, dice.below(2300) as u32, 4096).unwrap(), max);
        "resend"
    }
}

impl Mode for Raw {
    fn open(world: &mut World, builder: FluxBuilder) -> Self {
        let raws = builder.build_raw_queues().unwrap();
        let umem = raws[0].umem().clone();
        world.umem = Some(umem.clone());
        world.ports = [0, QUEUES as usize].map(|first| raws[first].port().clone()).into();
        let raws = raws.into_iter().enumerate().map(|(at, raw)| (at, raw, 0)).collect();
        Self { raws, packets: Vec::new(), frames: Vec::new(), umem }
    }

    #[allow(unsafe_code)]
    fn step(&mut self, world: &mut World) {
        let time = world.some_time();
        let dice = &mut world.dice;
        let at = dice.below(self.raws.len());
        let Self { raws, packets, frames, umem } = self;
        let several = raws.len() > 1;
        let (_, raw, spoilt) = &mut raws[at];
        let what = match dice.below(800) {
            0 if several => {
                let (_, raw, spoilt) = raws.remove(at);
                world.gone += out_of_reach(&raw.debug_rings().sockets);
                world.gone -= spoilt - raw.comp.invalid();
                drop(raw);
                "drop"
            }
            1..40 => {
                let desc = Desc { addr: 1 << 40, len: 60, options: 0 };
                // SAFETY: the address lies outside the UMEM, so it names no frame.
                *spoilt += u64::from(unsafe { raw.tx.reserve(1).push_desc(desc) });
                "spoil"
            }
            40..140 => {
                let mut room = raw.tx.reserve(dice.below(20) as u32);
                let ours = std::mem::take(packets);
                packets.extend(ours.into_iter().filter_map(|buffer| room.push(buffer).err()));
                "send"
            }
            140..240 => {
                umem.alloc_many(dice.below(40) as u32, frames);
                raw.fill.post(frames, u32::MAX);
                "post"
            }
            240..340 => {
                let panics = dice.once_in(4);
                let reaped = caught(|| {
                    raw.comp.reap(dice.below(40) as u32, |frame| {
                        frames.push(frame);
                        if panics && dice.once_in(3) {
                            panic();
                        }
                    })
                });
                if reaped.is_none() { "panic" } else { "reap" }
            }
            340..440 => {
                let panics = dice.once_in(4);
                let received = caught(|| {
                    raw.rx.receive(dice.below(40) as u32, |buffer| {
                        packets.push(buffer);
                        if panics && dice.once_in(3) {
                            panic();
                        }
                    })
                });
                if received.is_none() { "panic" } else { "receive" }
            }
            440..500 => {
                let _ = raw.flush();
                "flush"
            }
            500..540 => {
                let _ = raw.wait(Some(time.unwrap_or_default()));
                let _ = raw.kick_rx();
                "wait"
            }
            540..580 => {
                umem.free_all(frames.drain(..).chain(packets.drain(..).map(|buffer| buffer.frame)));
                "release"
            }
            580..700 => self.route(dice),
            _ => self.rehome(dice),
        };
        world.did(what);
    }

    fn rings(&self) -> RingsSnapshot {
        let looks = self.raws.iter().map(|(_, raw, _)| raw.debug_rings());
        looks.reduce(RingsSnapshot::join).unwrap_or_else(none)
    }

    fn counters(&self, seen: &mut dyn FnMut(&'static str, usize, u64)) {
        for (at, raw, spoilt) in &self.raws {
            seen("received", *at, raw.rx.received());
            seen("completed", *at, raw.comp.completed());
            seen("invalid completions", *at, raw.comp.invalid());
            seen("posted", *at, raw.fill.posted());
            seen("queued", *at, raw.tx.posted());
            assert_eq!(raw.rx.invalid(), 0);
            assert!(raw.comp.invalid() <= *spoilt);
        }
    }

    fn held(&self) -> usize {
        self.packets.len() + self.frames.len()
    }

    fn spoilt(&self) -> u64 {
        self.raws.iter().map(|(_, raw, spoilt)| spoilt - raw.comp.invalid()).sum()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let packets = self.packets.drain(..).map(|buffer| buffer.frame);
        self.umem.free_all(self.frames.drain(..).chain(packets));
    }
}
