//! [`Env`]: the world a command runs in, real or simulated.

use crate::builder::FluxBuilder;
use crate::config::Config;
use crate::error::Result;
use crate::simulator::Simulator;
use crate::tools::host::{Host, SimHost};
use std::time::Duration;

/// The world a command runs in: who answers for the machine, and which kernel opens sockets.
pub struct Env {
    /// Routes, neighbours, interfaces.
    pub host: Box<dyn Host>,
    /// The simulated kernel; `None` is the real one.
    pub simulator: Option<Simulator>,
}

impl Env {
    /// Frames of a UMEM where nobody asked for a number: `usual`, or as many as leave room for a second
    /// run where memory may not be locked without limit.
    pub(crate) fn affordable(&self, usual: u32, frame_size: u32) -> u32 {
        #[cfg(all(target_os = "linux", feature = "bpf"))]
        if self.simulator.is_none() {
            return crate::backend::kernel::affordable(usual, frame_size);
        }
        let _ = frame_size;
        usual
    }

    /// The real machine, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel has no netlink for us, and on every system but Linux.
    pub fn kernel() -> Result<Self> {
        #[cfg(target_os = "linux")]
        return Ok(Self {
            host: Box::new(crate::tools::host::KernelHost::open()?),
            simulator: None,
        });
        #[cfg(not(target_os = "linux"))]
        Err(crate::error::FluxError::new(
            crate::error::ErrorKind::Unsupported,
            "cannot use AF_XDP",
            "this system is not Linux",
        )
        .with_hint("use --sim: the simulated network runs everywhere"))
    }

    /// A simulated machine and its network.
    #[must_use]
    pub fn simulated(simulator: Simulator) -> Self {
        Self { host: Box::new(SimHost::new(simulator.clone())), simulator: Some(simulator) }
    }

    /// Lets time pass before anything is open; false where that cannot be done.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        if let Some(simulator) = &self.simulator {
            simulator.step(time);
            return true;
        }
        #[cfg(all(target_os = "linux", feature = "bpf"))]
        crate::sys::poll::pause(time);
        cfg!(all(target_os = "linux", feature = "bpf"))
    }

    /// A builder of sockets in this world.
    #[must_use]
    pub fn builder(&self, config: Config) -> FluxBuilder {
        let builder = FluxBuilder::from_config(config);
        match &self.simulator {
            Some(simulator) => builder.simulator(simulator),
            None => builder,
        }
    }
}
