//! [`Attention`]: when a run looks up from its packets.

use crate::tools::Control;

/// A stop or a question for interim numbers is noticed after this long.
const ATTENTION_NS: u64 = 100_000_000;

/// What may end a run or ask it something, and how long it may sleep because of that.
pub(crate) struct Attention<'a> {
    control: &'a Control,
    /// When the run ends, whatever comes.
    deadline_ns: Option<u64>,
    interim_seen: u64,
}

impl<'a> Attention<'a> {
    /// To `control`, and to the time.
    pub(crate) fn new(control: &'a Control, deadline_ns: Option<u64>) -> Self {
        Self { control, deadline_ns, interim_seen: control.interim() }
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
        control.ask_interim();
        assert!(attention.wants_interim() && !attention.wants_interim());
        control.stop();
        assert!(attention.is_over(0));
    }
}
