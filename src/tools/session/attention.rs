//! [`Attention`]: when a run looks up from its packets.

use super::Env;
use crate::simulator::Simulator;
use crate::tools::Control;

/// A stop or a question for interim numbers is noticed after this long.
const ATTENTION_NS: u64 = 100_000_000;

/// What may end a run or ask it something, and how long it may sleep because of that.
pub(crate) struct Attention<'a> {
    control: &'a Control,
    /// When the run ends, whatever comes.
    deadline_ns: Option<u64>,
    interim_seen: u64,
    /// Whose virtual time the run is in.
    simulator: Option<Simulator>,
}

impl<'a> Attention<'a> {
    /// To `control`, and to the time.
    pub(crate) fn new(control: &'a Control, deadline_ns: Option<u64>) -> Self {
        Self { control, deadline_ns, interim_seen: control.interim(), simulator: None }
    }

    /// The same in this world. Virtual time has no need of pauses to look up: it is left to pass until
    /// something happens in it, however long that takes, and each time costs nothing.
    #[must_use]
    pub(crate) fn in_world(self, env: &Env) -> Self {
        Self { simulator: env.simulator.clone(), ..self }
    }

    /// Whether the run is to end now.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.control.is_stopped() || self.deadline_ns.is_some_and(|at| at <= now)
    }

    /// Whether the numbers so far were asked for since the last call.
    pub(crate) fn wants_interim(&mut self) -> bool {
        let asked = self.control.interim();
        std::mem::replace(&mut self.interim_seen, asked) != asked
    }

    /// How long to sleep at `now`: until the first of `due`, or until it is time to look up.
    pub(crate) fn wake_up_ns(&self, now: u64, due: impl IntoIterator<Item = Option<u64>>) -> u64 {
        let first = due.into_iter().flatten().min().unwrap_or(u64::MAX);
        let look = now.saturating_add(ATTENTION_NS);
        let look = match &self.simulator {
            // Nothing comes: what is due is next, if anything is.
            Some(net) => net.next_change_ns().map_or(first, |next| next.max(look)),
            None => look,
        };
        let look = if look == u64::MAX { now.saturating_add(ATTENTION_NS) } else { look };
        first.min(look).min(self.deadline_ns.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_ends_the_sleep() {
        let control = Control::default();
        let mut attention = Attention::new(&control, Some(ATTENTION_NS / 2));
        assert_eq!(attention.wake_up_ns(0, [Some(7), None, Some(5)]), 5);
        assert_eq!(attention.wake_up_ns(0, []), ATTENTION_NS / 2);
        assert!(!attention.is_over(ATTENTION_NS / 2 - 1) && attention.is_over(ATTENTION_NS / 2));
        attention.deadline_ns = None;
        assert_eq!(attention.wake_up_ns(3, [None]), 3 + ATTENTION_NS);
        let simulator = Simulator::crossed_pair(1);
        let start = simulator.now();
        let mut attention =
            Attention::new(&control, None).in_world(&Env::simulated(simulator.clone()));
        let year = 365 * 24 * 3_600_000_000_000;
        assert_eq!(attention.wake_up_ns(start, [Some(start + year)]), start + year);
        simulator.schedule(std::time::Duration::from_secs(3600), || ());
        let hour = start + 3_600_000_000_000;
        assert_eq!(attention.wake_up_ns(start, [Some(start + year)]), hour);
        assert_eq!(attention.wake_up_ns(hour - 1, [None]), hour - 1 + ATTENTION_NS);
        control.ask_interim();
        assert!(attention.wants_interim() && !attention.wants_interim());
        control.stop();
        assert!(attention.is_over(0));
    }
}
