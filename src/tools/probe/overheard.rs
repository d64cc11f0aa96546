//! [`Overheard`]: answers that come to the host's stack and not to our sockets: by another interface, in
//! fragments, too short to say whose they are, on a queue without a socket.

use super::arrival::UNKNOWN;
use super::link::Link;
use crate::backend::VlanMatch;
use crate::tools::host::{Heard, Host, Interface, Listener};
use crate::tools::session::{Note, Trouble};
use std::collections::HashMap;

/// How often is listened while a run waits.
const PAUSE_NS: u64 = 100_000_000;
/// How often is listened before probes are given up, however many these are.
const LAST_PAUSE_NS: u64 = 10_000_000;

/// What is heard beside the sockets of a run.
#[derive(Default)]
pub(crate) struct Overheard {
    listener: Option<Box<dyn Listener>>,
    /// When it was listened last.
    last_ns: u64,
    waiting: Vec<Waiting>,
    /// By index.
    interfaces: HashMap<u32, Place>,
    /// The interfaces of the run, as they are called.
    own: String,
    told: Told,
    notes: Vec<Note>,
    drops_before: u64,
}

/// What was said already.
#[derive(Default)]
struct Told {
    interfaces: Vec<u32>,
    /// Own interfaces that answers come by to what left by another one.
    own: Vec<String>,
    fragments: bool,
}

/// What is on an interface.
enum Place {
    /// Frames as our probes leave.
    Ours,
    /// Frames of another VLAN than the probes leave in, on the same wire.
    OtherVlan,
    /// Another wire, by its name.
    Elsewhere(String),
}

struct Waiting {
    frame: Vec<u8>,
    at_ns: Option<u64>,
    ifindex: u32,
    fragments: Option<u32>,
}

impl Overheard {
    /// Hears by `listener` from now on. Where the host lets nobody listen, nothing is heard.
    pub(super) fn open(
        host: &dyn Host,
        listener: Option<Box<dyn Listener>>,
        links: &[&Link],
    ) -> Self {
        let interfaces = host.interfaces().unwrap_or_default();
        let place = |interface: &Interface| (interface.index, place(interface, &interfaces, links));
        let names: Vec<_> = links.iter().map(|link| link.interface.name.as_str()).collect();
        Self {
            listener,
            own: names.join(" or "),
            drops_before: host.reverse_path_drops().unwrap_or(0),
            interfaces: interfaces.iter().map(place).collect(),
            ..Self::default()
        }
    }

    /// Probes leave by these links now.
    pub(super) fn follow(&mut self, host: &dyn Host, links: &[&Link]) {
        let interfaces = host.interfaces().unwrap_or_default();
        let place = |interface: &Interface| (interface.index, place(interface, &interfaces, links));
        self.interfaces = interfaces.iter().map(place).collect();
        let names: Vec<_> = links.iter().map(|link| link.interface.name.as_str()).collect();
        self.own = names.join(" or ");
    }

    /// Listens, if that was not done for a while.
    pub(super) fn look(&mut self, now: u64) {
        self.look_after(PAUSE_NS, now);
    }

    /// Listens before probes are given up.
    pub(super) fn look_before_giving_up(&mut self, now: u64) {
        self.look_after(LAST_PAUSE_NS, now);
    }

    /// Listens once more, at the end.
    pub(super) fn look_at_last(&mut self, now: u64) {
        self.look_after(0, now);
    }

    fn look_after(&mut self, pause: u64, now: u64) {
        let Some(listener) = &mut self.listener else { return };
        if now < self.last_ns.saturating_add(pause) {
            return;
        }
        self.last_ns = now;
        let (waiting, interfaces) = (&mut self.waiting, &self.interfaces);
        let heard = listener.hear(&mut |heard: Heard<'_>| {
            if matches!(interfaces.get(&heard.ifindex), Some(Place::OtherVlan)) {
                return;
            }
            let Heard { frame, ifindex, at_ns, fragments } = heard;
            waiting.push(Waiting { frame: frame.to_vec(), at_ns, ifindex, fragments });
        });
        if heard.is_err() {
            self.listener = None; // it would say the same each time
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Shows each packet that was heard with the time of its arrival, or [`UNKNOWN`]. What is not ours is not counted:
    /// its owner has it as well.
    pub(super) fn read(&mut self, now: u64, mut take: impl FnMut(&[u8], u64) -> bool) {
        for packet in std::mem::take(&mut self.waiting) {
            // A stamp of the future is none. It was read long after it came: now is no time of it.
            let at = packet.at_ns.filter(|&at| at <= now).unwrap_or(UNKNOWN);
            if take(&packet.frame, at) {
                self.note(packet.ifindex, packet.fragments);
            }
        }
    }

    /// Says once where from and how answers come.
    fn note(&mut self, ifindex: u32, fragments: Option<u32>) {
        let unknown = format!("interface {ifindex}");
        let elsewhere = match self.interfaces.get(&ifindex) {
            Some(Place::Elsewhere(name)) => Some(name),
            None if ifindex != 0 => Some(&unknown),
            _ => None,
        };
        if let Some(name) = elsewhere
            && !self.told.interfaces.contains(&ifindex)
        {
            self.told.interfaces.push(ifindex);
            let text = format!(
                "answers come in by {name}, not by {}: the way back to us leads there. They count; their \
                 times are the kernel's receive stamps",
                self.own
            );
            self.notes.push(Note { kind: Trouble::OtherInterface, count: 1, text });
        }
        if let Some(longest) = fragments
            && !std::mem::replace(&mut self.told.fragments, true)
        {
            let of = match longest {
                0 => String::new(),
                longest => format!(" of at most {longest} bytes"),
            };
            let text = format!(
                "answers come in fragments{of}, which the kernel puts together. They count; their times are \
                 the kernel's receive stamps"
            );
            self.notes.push(Note { kind: Trouble::Fragmented, count: 1, text });
        }
    }

    /// An answer came by another interface of ours than its probe left by: said once for each.
    pub(super) fn note_own(&mut self, came_by: &str, left_by: &str) {
        if self.told.own.iter().any(|told| told == came_by) {
            return;
        }
        self.told.own.push(came_by.to_owned());
        let text = format!(
            "answers come in by {came_by} to what left by {left_by}: the way back to us leads there. They \
             count"
        );
        self.notes.push(Note { kind: Trouble::OtherInterface, count: 1, text });
    }

    /// What is to be said since the last call.
    pub(super) fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Why answers were lost, where the host's stack knows.
    pub(super) fn tell_losses(&mut self, host: &dyn Host) {
        let drops = host.reverse_path_drops().unwrap_or(0).saturating_sub(self.drops_before);
        if drops > 0 {
            let packets = if drops == 1 { "packet" } else { "packets" };
            let text = format!(
                "the kernel dropped {drops} {packets} that came in by another interface than the way to \
                 their source leads by (rp_filter): `sysctl net.ipv4.conf.all.rp_filter=2` lets them in, and \
                 `net.ipv4.conf.NAME.rp_filter=2` where the interface NAME has 1"
            );
            self.notes.push(Note { kind: Trouble::ReversePath, count: drops, text });
        }
    }
}

/// What is on an interface, compared with the links of a run.
fn place(interface: &Interface, all: &[Interface], links: &[&Link]) -> Place {
    let (mut device, mut tags) = (interface, Vec::new());
    while let Some(vlan) = device.vlan {
        tags.insert(0, Link::tag(vlan));
        match all.iter().find(|other| other.index == vlan.parent) {
            Some(parent) if tags.len() <= 2 => device = parent,
            _ => break,
        }
    }
    let vlan = VlanMatch::of(&tags);
    let mut same = links.iter().filter(|link| link.device == device.name).peekable();
    if same.peek().is_none() {
        return Place::Elsewhere(interface.name.clone());
    }
    match same.any(|link| VlanMatch::of(&link.tags) == vlan) {
        true => Place::Ours,
        false => Place::OtherVlan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::MacAddr;
    use crate::tools::host::{
        Change, Family, HostError, Listen, Neighbour, Queues, Route, Target, Vlan, Watch,
    };
    use std::cell::RefCell;
    use std::net::IpAddr;
    use std::rc::Rc;
    use std::time::Duration;

    type Packets = Rc<RefCell<Vec<(u32, Option<u32>)>>>;

    /// The time by its stamp of what comes on the interface of this number.
    fn stamp(ifindex: u32) -> Option<u64> {
        match ifindex {
            8 => None,
            9 => Some(10),
            _ => Some(7),
        }
    }

    /// A host of these interfaces, on which packets come.
    struct Machine {
        interfaces: Vec<Interface>,
        packets: Packets,
    }

    struct Ear(Packets);

    impl Listener for Ear {
        fn hear(&mut self, take: &mut dyn FnMut(Heard<'_>)) -> Result<(), HostError> {
            for (ifindex, fragments) in self.0.take() {
                take(Heard { frame: &[ifindex as u8], ifindex, at_ns: stamp(ifindex), fragments });
            }
            Ok(())
        }
    }

    impl Host for Machine {
        fn resolve(&self, _: &str, _: Family) -> Result<Target, HostError> {
            unreachable!()
        }

        fn interface(&self, _: &str) -> Result<Interface, HostError> {
            unreachable!()
        }

        fn interfaces(&self) -> Result<Vec<Interface>, HostError> {
            Ok(self.interfaces.clone())
        }

        fn route(&self, _: IpAddr, _: Option<u32>, _: Option<IpAddr>) -> Result<Route, HostError> {
            unreachable!()
        }

        fn neighbours(
            &mut self,
            _: &[(u32, IpAddr)],
            _: Duration,
        ) -> Vec<Result<Neighbour, HostError>> {
            Vec::new()
        }

        fn driver(&self, _: &str) -> Option<String> {
            None
        }

        fn queues(&self, _: &str) -> Result<Queues, HostError> {
            unreachable!()
        }

        fn listen(&self, _: &Listen) -> Result<Box<dyn Listener>, HostError> {
            Ok(Box::new(Ear(Rc::clone(&self.packets))))
        }

        fn watch(&self) -> Result<Box<dyn Watch>, HostError> {
            struct Nothing;
            impl Watch for Nothing {
                fn interfaces(&self) -> Vec<&Interface> {
                    Vec::new()
                }
                fn changes(&mut self) -> Result<Vec<Change>, HostError> {
                    Ok(Vec::new())
                }
                fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
                    None
                }
            }
            Ok(Box::new(Nothing))
        }
    }

    fn interface(index: u32, name: &str, vlan: Option<(u16, u32)>) -> Interface {
        let vlan = vlan.map(|(id, parent)| Vlan { id, protocol: 0x8100, parent });
        Interface {
            index,
            name: name.into(),
            vlan,
            up: true,
            carrier: true,
            ..Interface::default()
        }
    }

    fn machine() -> Machine {
        let interfaces = vec![
            interface(2, "a0", None),
            interface(3, "a1", None),
            interface(4, "a0.7", Some((7, 2))),
            interface(5, "a0.99", Some((99, 2))),
        ];
        Machine { interfaces, packets: Packets::default() }
    }

    fn link(machine: &Machine, index: u32) -> Link {
        let mut all = machine.interfaces.clone();
        all.iter_mut().for_each(|interface| interface.mac = Some(MacAddr::ZERO.octets()));
        let own = all.iter().find(|interface| interface.index == index).cloned().unwrap();
        Link::find(own, None, &all).unwrap()
    }

    fn heard(index: u32, came: &[(u32, Option<u32>)]) -> (Vec<u8>, Vec<Note>) {
        let machine = machine();
        let link = link(&machine, index);
        let what = Listen { probes: crate::tools::host::Probes::Echo(1..=4), v4: true, v6: false };
        let mut ears = Overheard::open(&machine, machine.listen(&what).ok(), &[&link]);
        let mut seen = Vec::new();
        for &packet in came {
            machine.packets.borrow_mut().push(packet);
            ears.look_at_last(0);
            ears.read(9, |frame, at| {
                assert_eq!(at, 7);
                seen.extend(frame);
                true
            });
        }
        (seen, ears.notes())
    }

    #[test]
    fn another_interface_and_fragments_are_said_once_each() {
        let (seen, notes) =
            heard(2, &[(2, None), (3, None), (3, Some(0)), (2, Some(1300)), (3, None)]);
        assert_eq!(seen, [2, 3, 3, 2, 3]);
        let kinds: Vec<_> = notes.iter().map(|note| note.kind).collect();
        assert_eq!(kinds, [Trouble::OtherInterface, Trouble::Fragmented]);
        assert!(notes[0].text.starts_with("answers come in by a1, not by a0: "), "{notes:?}");
    }

    #[test]
    fn another_vlan_of_our_own_wire_is_not_heard_and_ours_is() {
        assert_eq!(heard(2, &[(4, None), (5, None), (2, None)]).0, [2]);
        let (seen, notes) = heard(4, &[(2, None), (5, None), (4, None), (3, None)]);
        assert_eq!(seen, [4, 3]);
        assert!(notes[0].text.contains("not by a0.7: "), "{notes:?}");
    }

    #[test]
    fn what_has_no_stamp_did_not_come_when_it_was_read() {
        let machine = machine();
        let link = link(&machine, 2);
        let mut ears =
            Overheard::open(&machine, Some(Box::new(Ear(machine.packets.clone()))), &[&link]);
        machine.packets.borrow_mut().extend([(2, None), (8, None), (9, None)]);
        ears.look_at_last(9);
        let mut times = Vec::new();
        ears.read(9, |_, at| {
            times.push(at);
            true
        });
        assert_eq!(times, [7, UNKNOWN, UNKNOWN], "none, and one of the future");
        assert_eq!(UNKNOWN.checked_sub(1), None, "no round-trip time");
    }

    #[test]
    fn the_host_is_asked_ten_times_a_second_at_most() {
        let machine = machine();
        let link = link(&machine, 2);
        let what = Listen { probes: crate::tools::host::Probes::Echo(1..=4), v4: true, v6: false };
        let mut ears = Overheard::open(&machine, machine.listen(&what).ok(), &[&link]);
        let come = || machine.packets.borrow_mut().push((2, None));
        let at = |ears: &mut Overheard, now| {
            come();
            ears.look(now);
            let heard = !ears.is_empty();
            ears.read(now, |_, _| false);
            heard
        };
        assert!(at(&mut ears, PAUSE_NS) && !at(&mut ears, PAUSE_NS + 1));
        assert!(!at(&mut ears, 2 * PAUSE_NS - 1) && at(&mut ears, 2 * PAUSE_NS));
        come();
        ears.look_before_giving_up(2 * PAUSE_NS + LAST_PAUSE_NS - 1);
        assert!(ears.is_empty());
        ears.look_before_giving_up(2 * PAUSE_NS + LAST_PAUSE_NS);
        assert!(!ears.is_empty() && ears.notes().is_empty());
    }
}
