//! The guest: its NICs, and QEMU around it.

use crate::forward_two_ports as cable;
use crate::lab::{self, ETH_LAB, ip_batch};
use fluxnet::{
    AttachMode, Attached, BindMode, EngineStats, Filter, FluxBuilder, Granted, Match, StopHandle,
    Workers,
};
use std::thread;
use std::time::{Duration, Instant};

/// On one wire.
pub const PAIR: [&str; 2] = ["eth0", "eth1"];
/// The ports of a forwarder: what comes on either leaves by the other.
pub const MIDDLE: [&str; 2] = ["eth1", "eth2"];
/// The far ends of their wires.
pub const FAR: [&str; 2] = ["eth0", "eth3"];

/// How long a carrier must have been there to be believed: an igb that resets, as it does when a program
/// is attached, keeps the old one for a while.
const STEADY: Duration = Duration::from_millis(600);

/// What the guest was booted for. Outside of guests there is no such thing.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("no {name}: these tests run in guests (make test-zerocopy, make test-kernels)")
    })
}

/// The driver of the NICs.
pub fn driver() -> String {
    setting("FLUX_GUEST_NIC")
}

/// Whether the kernel is at least that.
pub fn kernel_has(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (major, minor)
}

/// The address that run.sh gave to a NIC.
pub fn mac(interface: &str) -> [u8; 6] {
    let number = interface.trim_start_matches("eth").parse().unwrap();
    [0x52, 0x54, 0, 0, 0, number]
}

/// An interface as the tests of NICs open it: frames of 4096 bytes, since an igb cuts longer packets to
/// 1024 bytes in smaller ones.
pub fn open(interface: &str, mode: BindMode) -> FluxBuilder {
    let ours = Match { ether_type: Some(ETH_LAB), ..Match::default() };
    FluxBuilder::new(interface)
        .filter(Filter::Any(vec![ours]))
        .attach(AttachMode::Native)
        .bind(mode)
        .frame_size(4096)
        .frames(1024)
}

#[track_caller]
pub fn assert_zero_copy(granted: &Granted) {
    assert!(granted.zero_copy, "{granted:#?}");
    assert_eq!(granted.attach, Attached::Native, "{granted:#?}");
    assert_eq!(granted.driver, Some(driver()), "{granted:#?}");
}

fn carrier(interface: &str) -> bool {
    let file = format!("/sys/class/net/{interface}/carrier");
    std::fs::read_to_string(file).is_ok_and(|carrier| carrier.trim() == "1")
}

/// Waits until interfaces have had a carrier for a while.
#[track_caller]
pub fn settle(interfaces: &[&str]) {
    let mut since = Instant::now();
    lab::wait_until(&format!("a steady carrier of {interfaces:?}"), || {
        if !interfaces.iter().all(|interface| carrier(interface)) {
            since = Instant::now();
        }
        since.elapsed() > STEADY
    });
}

/// Sets an interface up or down.
pub fn set_up(interface: &str, up: bool) {
    let state = if up { "up" } else { "down" };
    ip_batch(&format!("link set {interface} {state}\n"));
}

/// Plugs the cable of a NIC in or out, and waits until its driver knows.
#[track_caller]
pub fn plug(interface: &str, plugged: bool) {
    let number = interface.trim_start_matches("eth");
    let state = if plugged { "on" } else { "off" };
    let monitor = setting("FLUX_GUEST_MONITOR");
    std::fs::write(monitor, format!("set_link nic{number} {state}\n")).unwrap();
    lab::wait_until(&format!("{interface} sees its carrier {state}"), || {
        carrier(interface) == plugged
    });
}

/// Ends the workers also when the test fails, so that the failure is seen.
struct StopAtLast(StopHandle);

impl Drop for StopAtLast {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Forwards between two ports while `f` runs.
pub fn beside(workers: &mut Workers<u64>, f: impl FnOnce()) -> EngineStats {
    let stop = StopAtLast(workers.stop_handle());
    thread::scope(|scope| {
        let running = scope.spawn(|| cable::forward(workers));
        let stop = stop;
        f();
        drop(stop);
        running.join().unwrap().unwrap()
    })
}
