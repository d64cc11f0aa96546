//! ICMP errors made by hand: a router that tells the MPLS labels of what expires in it (RFC 4884,
//! RFC 4950; few kernels route MPLS), and the frames of whoever forges one.

use super::routers::Routers;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of the probe that are quoted: what RFC 4884 wants in front of extensions at least.
const QUOTE: usize = 128;

/// Answers in the place of one router until drop.
pub struct LabelRouter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LabelRouter {
    /// Silences the router and answers in its place with these words of a label stack.
    pub fn at(lab: &Routers, position: u8, stack: &[u32]) -> Self {
        // The quote's length in 32-bit words, and in 64-bit words.
        Self::odd(lab, position, stack, [(QUOTE / 4) as u8, (QUOTE / 8) as u8], true)
    }

    /// The same with these lengths of the quote (IPv4, IPv6), and perhaps no checksum.
    pub fn odd(lab: &Routers, position: u8, stack: &[u32], lengths: [u8; 2], sum: bool) -> Self {
        lab.silence(position);
        let wire = lab.wire(position);
        let (hop4, hop6) = (lab.hop4(position), lab.hop6(position));
        let stack: Vec<u8> = stack.iter().flat_map(|word| word.to_be_bytes()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Relaxed) {
                let Some(frame) = wire.recv(Duration::from_millis(20)) else { continue };
                if let Some(answer) = answer(&frame, (hop4, hop6), &stack, lengths, sum) {
                    wire.send(&answer);
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for LabelRouter {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to a frame whose TTL is used up, from the router's address of its family.
fn answer(
    frame: &[u8],
    (hop4, hop6): (IpAddr, IpAddr),
    stack: &[u8],
    lengths: [u8; 2],
    sum: bool,
) -> Option<Vec<u8>> {
    let packet = frame.get(14..)?;
    let extension = [&[0x20, 0, 0, 0][..], &object(stack)].concat();
    let extension = if sum { with_sum(extension, 2, 0) } else { extension };
    let mut quote = packet.to_vec();
    quote.resize(QUOTE, 0);
    match frame.get(12..14)? {
        [0x08, 0x00] if packet.get(8) == Some(&1) => {
            // Time exceeded in transit.
            let head = [11, 0, 0, 0, 0, lengths[0], 0, 0];
            Some(icmp4(frame, hop4, &[&head[..], &quote, &extension].concat()))
        }
        [0x86, 0xdd] if packet.get(7) == Some(&1) && packet.get(24) != Some(&0xff) => {
            let head = [3, 0, 0, 0, lengths[1], 0, 0, 0];
            Some(icmp6(frame, hop6, &[&head[..], &quote, &extension].concat()))
        }
        _ => None,
    }
}

/// An extension object of class 1 (MPLS label stack), C-type 1 (incoming).
fn object(stack: &[u8]) -> Vec<u8> {
    [&((4 + stack.len()) as u16).to_be_bytes()[..], &[1, 1], stack].concat()
}

/// A frame back to where `to` came from with an ICMP message, whose checksum is filled in.
pub fn icmp4(to: &[u8], from: IpAddr, message: &[u8]) -> Vec<u8> {
    let IpAddr::V4(from) = from else { panic!("{from} is not IPv4") };
    let len = (20 + message.len()) as u16;
    let fixed = [0x45, 0, (len >> 8) as u8, len as u8, 0, 0, 0, 0, 64, 1, 0, 0];
    let header = [&fixed[..], &from.octets(), &to[26..30]].concat();
    let message = with_sum(message.to_vec(), 2, 0);
    [&to[6..12], &to[..6], &[0x08, 0x00], &with_sum(header, 10, 0), &message].concat()
}

/// The same for ICMPv6.
pub fn icmp6(to: &[u8], from: IpAddr, message: &[u8]) -> Vec<u8> {
    let IpAddr::V6(from) = from else { panic!("{from} is not IPv6") };
    let len = message.len() as u16;
    let addresses = [&from.octets()[..], &to[22..38]].concat();
    let fixed = [0x60, 0, 0, 0, (len >> 8) as u8, len as u8, 58, 64];
    let message = with_sum(message.to_vec(), 2, sum(&addresses) + u32::from(len) + 58);
    [&to[6..12], &to[..6], &[0x86, 0xdd], &fixed, &addresses, &message].concat()
}

fn sum(bytes: &[u8]) -> u32 {
    let words =
        bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    words.map(u32::from).sum()
}

/// Puts the Internet checksum at `place`, where there are zeroes.
fn with_sum(mut bytes: Vec<u8>, place: usize, also: u32) -> Vec<u8> {
    let mut total = sum(&bytes) + also;
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    bytes[place..place + 2].copy_from_slice(&(!(total as u16)).to_be_bytes());
    bytes
}
