//! [`HeldPorts`]: source ports that nobody else sends by while a run has them.

use std::any::Any;

/// Whose ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// Those of UDP.
    Udp,
    /// Those of TCP.
    Tcp,
}

/// Ports that are held until the drop.
#[derive(Default)]
pub struct HeldPorts {
    sockets: Vec<Box<dyn Any + Send>>,
}

impl HeldPorts {
    /// Holds what this socket holds as well.
    pub fn add(&mut self, socket: impl Any + Send) {
        self.sockets.push(Box::new(socket));
    }

    /// How many are held.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sockets.len()
    }
}
