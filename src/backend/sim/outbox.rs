//! What a node wants to send, and the packet buffers that everybody reuses.

/// Most idle buffers kept; a burst beyond that is given back to the allocator.
const POOL: usize = 4096;

/// Room for any answer that is not its own request: an ICMPv6 error is at most 1294 bytes long.
const ANSWER: usize = 1536;

/// A node's answers, to be put on its links when it is done, and the buffer pool.
#[derive(Default)]
pub(super) struct Outbox {
    /// Interface of the sending node, packet.
    pub(super) sends: Vec<(usize, Vec<u8>)>,
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

    /// What `write` writes, if it writes anything. It gets [`ANSWER`] bytes.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<Vec<u8>> {
        let mut buffer = self.buffer();
        buffer.resize(ANSWER, 0);
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
        self.sends.push((interface, packet));
    }
}
