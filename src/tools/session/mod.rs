//! From a plan to open sockets, and what happens to them while a command runs.
//!
//! ```text
//!   Env ─▶ builder ─▶ sockets ─▶ Session: carrier ─▶ Opened, for the start event
//!   real or simulated                 │
//!                                     ├─ look(): link, MTU and queues, told as they change
//!   Control ─▶ Attention              └─ tell_losses(): why packets were lost, at the end
//!   stop, interim, deadline
//! ```
//!
//! Invariant: nothing in here knows what a command sends. Called by every command that opens
//! sockets.

mod attention;
pub(crate) mod carrier;
mod env;
mod event;
mod link_watch;
mod losses;
mod open;
pub mod opened;
mod trouble;

pub(crate) use attention::Attention;
pub use env::Env;
pub use event::{Note, RouteMoved, SessionEvent, WrongQueue};
pub use link_watch::InterfaceChange;
pub(crate) use losses::Losses;
pub(crate) use open::Session;
pub use opened::Opened;
pub use trouble::Trouble;
