//! What a node wants to send, and the packet buffers that everybody reuses.

/// Most idle buffers kept; a burst beyond that is given back to the allocator.
const POOL: usize = 4096;

/// Room for what an answer has besides a copy of its request, at most: headers and options.
const EXTRA: usize = 128;

/// A node's answers, to be put on its links when it is done, and the buffer pool.
#[derive(Default)]
pub(super) struct Outbox {
    /// Interface of the sending node, how many ns it is held back, packet.
    pub(super) sends: Vec<(usize, u64, Vec<u8>)>,
    pool: Vec<Vec<u8>>,
    /// Virtual time of what is being handled.
    pub(super) now: u64,
}

impl Outbox {
    /// An empty buffer.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_else(|| Vec::with_capacity(2048))
    }

    /// A buffer with these bytes.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.buffer();
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// What `write` writes about `packet`, if it writes anything.
    pub(super) fn answer_to(
        &mut self,
        packet: &[u8],
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<Vec<u8>> {
        let mut buffer = self.buffer();
        buffer.resize(packet.len() + EXTRA, 0);
        match write(&mut buffer) {
            Some(len) => {
                buffer.truncate(len);
                Some(buffer)
            }
            None => {
                self.recycle(buffer);
                None
            }
        }
    }

    /// Takes a buffer back whose packet has come to its end.
    pub(super) fn recycle(&mut self, mut packet: Vec<u8>) {
        // One whose bytes went on as the answer has nothing to reuse.
        if self.pool.len() < POOL && packet.capacity() > 0 {
            packet.clear();
            self.pool.push(packet);
        }
    }

    pub(super) fn send(&mut self, interface: usize, packet: Vec<u8>) {
        self.send_later(interface, 0, packet);
    }

    /// Sends a packet when it was held back for so many ns.
    pub(super) fn send_later(&mut self, interface: usize, hold: u64, packet: Vec<u8>) {
        self.sends.push((interface, hold, packet));
    }
}
