//! What `flux trace` does: probes for every hop at once, each answer matched by what it quotes.
//!
//! ```text
//!   Plan ─▶ ProbeTargets ─▶ NextHops ─▶ Run ── Turns: whose turn it is, whose time has passed
//!                                        ├─ Outgoing ─▶ Wire ─▶ …       Reports: Event … Event,
//!                                        ├─ Reader ◀─── Wire ◀─ …       Summary per target
//!                                        └─ TargetTrace per target: what is known
//!                                            ├─ Sweep:    every TTL, round by round, or
//!                                            ├─ Explorer: flows, until all paths are known
//!                                            └─ PathMtu:  sizes, until the largest is known
//! ```
//!
//! Invariant: send times are kept here, never in a packet; a packet off the wire can at worst be
//! counted as foreign. No terminal and no argument parsing in here.

mod again;
mod answer;
mod asn;
mod diff;
mod event;
mod explore;
mod exploring;
mod filter;
mod flight;
mod gate;
mod icmp_names;
mod identity;
mod limits;
mod members;
mod open;
mod outgoing;
mod path_end;
mod path_mtu;
mod plan;
mod probe;
mod receive;
mod reply_timeout;
mod reports;
mod reverse_dns;
mod run;
mod sizes;
mod summary;
mod sweep;
mod tally;
mod target;
mod turns;

pub use asn::{AsTable, Origin};
pub use diff::{Change, Diff, Saved, TargetDiff, diff, read};
pub use event::*;
pub use icmp_names::icmp_text;
pub use open::run;
pub use plan::*;
pub use tally::back_hops;

/// Reads `frame` as every kind of run would: the fuzzer's door to what comes off the wire.
#[cfg(fuzzing)]
pub fn read_answer(frame: &[u8]) {
    for (protocol, strategy) in [
        (Protocol::Udp, Strategy::Paris),
        (Protocol::Udp, Strategy::Dublin),
        (Protocol::Udp, Strategy::Classic),
        (Protocol::Tcp, Strategy::Paris),
        (Protocol::Tcp, Strategy::Classic),
        (Protocol::Icmp, Strategy::Paris),
    ] {
        let port = protocol.default_port();
        let identity = identity::Identity::new(protocol, strategy, port, 4096, true);
        if let answer::Seen::Answer(seen) = answer::read(frame, &identity) {
            assert!(seen.number != Some(0) && seen.flow.is_some_and(|flow| flow < 4096));
            assert!(!icmp_names::word(seen.kind).is_empty());
            assert!(icmp_names::mark(seen.kind).is_none_or(|mark| mark.starts_with('!')));
        }
    }
}
