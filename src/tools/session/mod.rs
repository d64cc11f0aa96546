//! From a plan to open sockets, and what happens to them while a command runs.

pub(crate) mod carrier;
mod env;
pub mod link_watch;
pub(crate) mod losses;
pub mod opened;
mod trouble;

pub use env::Env;
pub use trouble::Trouble;
