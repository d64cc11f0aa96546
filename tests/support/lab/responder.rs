//! Who answers as a script says: in the place of the peer's kernel, frame by frame.

use super::Wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Answers until drop.
pub struct Responder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Sends on `wire` what `answer` makes of each frame that comes there.
    pub fn on(wire: Wire, mut answer: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Relaxed) {
                let Some(frame) = wire.recv(Duration::from_millis(20)) else { continue };
                answer(&frame).iter().for_each(|frame| wire.send(frame));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The frame without its VLAN tags.
pub fn untagged(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    while matches!(frame.get(12..14), Some([0x81, 0x00] | [0x88, 0xa8])) {
        frame.drain(12..16);
    }
    frame
}

/// The frame in the VLAN of these tags, outermost first.
pub fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], &tags.concat(), &frame[12..]].concat()
}

/// Identifier and sequence number of an echo request without tags and extension headers.
pub fn echo_request(frame: &[u8]) -> Option<(u16, u16)> {
    let at = match (frame.get(12..14)?, frame.get(14..)?) {
        ([0x08, 0x00], ip) if ip.get(9) == Some(&1) && ip.get(20) == Some(&8) => 14 + 20,
        ([0x86, 0xdd], ip) if ip.get(6) == Some(&58) && ip.get(40) == Some(&128) => 14 + 40,
        _ => return None,
    };
    let word = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    Some((word(at + 4)?, word(at + 6)?))
}
