//! What the user gives for two interfaces on one UMEM: packet memory, somebody else's XDP program,
//! and what cannot be.

use crate::foreign::Foreign;
use crate::forward_two_ports as cable;
use crate::lab::bump::{Bump, FAR, LEFT, LEFT_MAC, RIGHT, RIGHT_MAC};
use crate::lab::{self, ETH_LAB, PATIENCE, Wire, lab_frame};
use crate::ports::{Host, assert_accounted, assert_clean, beside, exchange, lab_frames};
use fluxnet::umem::Region;
use fluxnet::{
    Attached, BindMode, Config, ErrorKind, Filter, FluxBuilder, FluxError, FluxRx, FluxTx,
    PortIndex,
};
use libbpf_rs::{MapHandle, MapType};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Memory that the test mapped; unmapped, and counted, on drop.
struct Mapped {
    base: usize,
    len: usize,
    dropped: Arc<AtomicU32>,
}

impl Mapped {
    fn new(len: usize, dropped: &Arc<AtomicU32>) -> Self {
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, of nobody's memory.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
        assert_ne!(base, libc::MAP_FAILED);
        Self { base: base as usize, len, dropped: Arc::clone(dropped) }
    }

    /// `len` of its bytes, from `skip` on.
    fn region(self, skip: usize, len: usize) -> Region {
        assert!(skip + len <= self.len);
        let base = NonNull::new((self.base + skip) as *mut u8).unwrap();
        // SAFETY: mapped until the owner is dropped, zeroed, and nobody else knows the place.
        unsafe { Region::from_raw(base, len, self) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by new(), and nobody uses it any more.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.len) };
        self.dropped.fetch_add(1, Relaxed);
    }
}

#[test]
fn memory_of_ones_own_is_the_umem_until_everything_is_closed() {
    let Some(bump) = Bump::new(2) else { return };
    let dropped = Arc::default();
    let memory = Mapped::new(4 << 20, &dropped);
    let place = memory.base..memory.base + memory.len;
    let builder = FluxBuilder::new(LEFT).memory(memory.region(0, 4 << 20));
    let mut workers = cable::open(builder, RIGHT).unwrap();
    assert_eq!(workers.ports()[1].granted().frames, 2048);
    let mut hosts = Host::both(&bump);
    beside(&mut workers, || exchange(&mut hosts, 20_000));
    assert_accounted(&workers);
    let mut all = workers.into_vec();
    let packet = all[1].engine.alloc(60).unwrap();
    assert!(place.contains(&(packet.data().as_ptr() as usize)), "a packet lies elsewhere");
    let port = all[0].engine.ports()[0].clone();
    drop(all);
    assert_eq!(dropped.load(Relaxed), 0, "a port is open, and a packet lies there");
    drop(port);
    assert_eq!(dropped.load(Relaxed), 0, "a packet lies there");
    drop(packet);
    assert_eq!(dropped.load(Relaxed), 1);
}

#[test]
fn memory_that_cannot_be_a_umem_is_refused_and_given_up() {
    let Some(_bump) = Bump::new(2) else { return };
    let dropped = Arc::default();
    let refused = |skip, len| {
        let memory = Mapped::new(1 << 20, &dropped).region(skip, len);
        cable::open(FluxBuilder::new(LEFT).memory(memory), RIGHT).err().unwrap()
    };
    for (skip, len, why) in [
        (2048, 1 << 19, "must begin at a page of 4096 bytes and be a multiple of it long"),
        (0, (1 << 19) + 2048, "must begin at a page of 4096 bytes and be a multiple of it long"),
        (0, 4096, "must have room for 16 to 1048576 frames of 2048 bytes"),
    ] {
        let error = refused(skip, len);
        assert_eq!(error.to_string(), format!("{len} bytes of packet memory: {why}"));
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.hint().is_some(), "{error:?}");
    }
    // Too small for what is asked of it, which the memory alone does not tell.
    let memory = Mapped::new(1 << 20, &dropped).region(0, 1 << 20);
    let builder = FluxBuilder::new(LEFT).memory(memory).rx_frames(200);
    let error = cable::open(builder, RIGHT).err().unwrap();
    assert_eq!(error.to_string(), "512 frames: are too few for 4 queues of left0 and right0");
    assert!(error.hint().is_some(), "{error:?}");
    assert_eq!(dropped.load(Relaxed), 4, "each once");
    [LEFT, RIGHT].into_iter().for_each(assert_clean);
}

/// The XSKMAP of a foreign program, by its number, as `bpftool` finds it.
fn xskmap(of: &Foreign) -> OwnedFd {
    let descriptors = format!("/proc/{}/fdinfo", of.pid());
    let id = std::fs::read_dir(descriptors).unwrap().find_map(|entry| {
        let told = std::fs::read_to_string(entry.unwrap().path()).ok()?;
        let field = |name: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u32>().ok()
        };
        (field("map_type:")? == MapType::Xskmap as u32).then(|| field("map_id:"))?
    });
    let map = MapHandle::from_map_id(id.expect("its XSKMAP")).unwrap();
    map.as_fd().try_clone_to_owned().unwrap()
}

fn beside_foreign(map: OwnedFd) -> Result<(FluxRx, FluxTx), FluxError> {
    let builder = FluxBuilder::new(LEFT).queue_id(0).xskmap(map);
    builder.port(RIGHT).filter(Filter::Any(vec![lab_frames()])).build_system()
}

#[test]
fn a_foreign_program_brings_packets_and_keeps_its_place_its_sockets_and_its_say() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(bump) = Bump::new(2) else { return };
    let mut owner = Foreign::start(LEFT, &["queue=1", "mode=drop"]);
    let (mut rx, mut tx) = beside_foreign(xskmap(&owner)).unwrap();
    let attached = |rx: &FluxRx| rx.ports().iter().map(|p| p.granted().attach).collect::<Vec<_>>();
    assert_eq!(attached(&rx), [Attached::Foreign, Attached::Native]);
    let [here, there] = [bump.in_left(|| Wire::open(FAR)), bump.in_right(|| Wire::open(FAR))];
    let [here, there] = [here.unwrap(), there.unwrap()];
    let frame = lab_frame(LEFT_MAC, RIGHT_MAC, b"through somebody else's program");

    // What it redirects comes to us, and leaves by the port with a program of ours.
    here.send_on(0, &frame);
    let mut packet = rx.recv(Some(PATIENCE)).unwrap().expect("a packet");
    assert_eq!(packet.data(), frame);
    packet.set_port(PortIndex::new(1));
    tx.send(packet).unwrap();
    tx.flush().unwrap();
    assert_eq!(there.recv_type(ETH_LAB, PATIENCE).expect("forwarded"), frame);
    // Its own socket has what comes on its own queue.
    let before = owner.stats();
    here.send_on(1, &frame);
    owner.wait_for_more(&before, "received", 1);

    // It decides, and says what comes.
    let error = rx.ports()[0].set_filter(&Filter::Everything).unwrap_err();
    assert_eq!(
        error.to_string(),
        "filter of left0: a foreign XDP program decides what the sockets receive"
    );
    let hint = "tell that program, or open the interface without its XSKMAP";
    assert_eq!(error.hint(), Some(hint));
    rx.ports()[1].set_filter(&Filter::Everything).unwrap();

    // The place of its own socket is not to be had: the queue is taken.
    let taken = FluxBuilder::new(LEFT).queue_id(1).xskmap(xskmap(&owner));
    let error = taken.build_system().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("left0 queue 1") && error.hint().is_some(), "{error}");

    // When we want no more our key is empty, though the socket is still there to send.
    rx.remove_port(PortIndex::new(0));
    let stack = Wire::open(LEFT).unwrap();
    here.send_on(0, &frame);
    assert_eq!(stack.recv_type(ETH_LAB, PATIENCE).expect("passed on to the kernel"), frame);
    drop((rx, tx));
    assert!(lab::xdp_attached(LEFT), "its program is not ours to take off");
    assert_clean(RIGHT);
    let before = owner.stats();
    here.send_on(1, &frame);
    owner.wait_for_more(&before, "received", 1);
    // And the next one finds it as we did.
    let (mut rx, _tx) = beside_foreign(xskmap(&owner)).unwrap();
    here.send_on(0, &frame);
    assert_eq!(rx.recv(Some(PATIENCE)).unwrap().expect("a packet").data(), frame);
}

/// Opening fails with an error of these words and a next step, and leaves nothing behind.
#[track_caller]
fn assert_refused(builder: FluxBuilder, kind: ErrorKind, words: &[&str]) {
    let error = builder.filter(Filter::Everything).build_engine().err().expect("refused");
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(words.iter().all(|words| text.contains(words)), "{text}");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "no next step: {text}");
    for interface in [LEFT, RIGHT] {
        assert!(!lab::xdp_attached(interface), "a program is left on {interface}");
    }
}

#[test]
fn what_cannot_be_names_the_port_and_the_next_step() {
    let Some(bump) = Bump::new(2) else { return };
    let two = || FluxBuilder::new(LEFT).filter(Filter::Everything).port(RIGHT);
    let again = FluxBuilder::new(LEFT).port(LEFT).queue_id(1);
    assert_refused(again, ErrorKind::Config, &["left0", "another port is on this interface"]);
    let again = FluxBuilder::new(LEFT).netns(bump.ours()).filter(Filter::Everything);
    let again = again.port(LEFT).netns(bump.ours());
    assert_refused(again, ErrorKind::Busy, &["left0", "flux_redirect"]);
    assert_refused(two().queue_id(2), ErrorKind::Config, &["no queue 2 on right0", "0 to 1"]);
    assert_refused(two().port("none0"), ErrorKind::Device, &["none0", "no such interface"]);
    let few = two().frames(16).rx_frames(8);
    assert_refused(few, ErrorKind::Config, &["16 frames", "4 queues of left0 and right0"]);
    let wide = Config { frame_size: 4096, ..Config::new(RIGHT) };
    let wide = FluxBuilder::new(LEFT).port_config(wide);
    assert_refused(wide, ErrorKind::Config, &["frame size 4096 of right0", "left0 has 2048"]);

    let both = FluxBuilder::new(LEFT).bind(BindMode::ZeroCopy).port(RIGHT);
    assert_refused(both, ErrorKind::Unsupported, &["left0 queue 0"]);
    let second = two().bind(BindMode::ZeroCopy);
    assert_refused(second, ErrorKind::Unsupported, &["left0 queue 0", "right0 asks for zero-copy"]);
    let mixed = FluxBuilder::new(LEFT).bind(BindMode::Copy).port(RIGHT).bind(BindMode::ZeroCopy);
    assert_refused(mixed, ErrorKind::Config, &["bind mode zerocopy of right0", "left0 has copy"]);

    lab::run(&format!("ip link set {RIGHT} down"));
    assert_refused(two(), ErrorKind::Device, &["right0", "is down"]);
}

#[test]
fn a_second_port_that_somebody_else_has_is_named_and_the_first_is_left_alone() {
    let Some(_bump) = Bump::new(1) else { return };
    let mut owner = Foreign::start(RIGHT, &["mode=drop"]);
    let open = || FluxBuilder::new(LEFT).filter(Filter::Everything).port(RIGHT).build_engine();
    let error = open().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("right0") && error.to_string().contains("foreign_xsk"));
    let stop = format!("`kill {}`", owner.pid());
    assert!(error.hint().is_some_and(|hint| hint.contains(&stop)), "{error:?}");
    assert_clean(LEFT);
    owner.stats();
    owner.kill();
    let engine = open().unwrap();
    assert_eq!(engine.ports().len(), 2);
}
