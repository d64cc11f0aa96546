//! The simulated kernel and the simulated network.
