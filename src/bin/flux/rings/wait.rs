//! An observer whose pauses are ours: they end when a key or a signal says so.

pub use crate::output::SLICE;
use fluxnet::error::Result;
use fluxnet::snapshot::Source;
use fluxnet::tools::Control;
use fluxnet::tools::rings::{InterfaceKey, InterfaceSnapshot, Observer, Scan};
use std::time::{Duration, Instant};

/// How a pause is spent.
pub type Wait<'a> = dyn FnMut(&mut dyn Observer, Duration) -> Result<()> + 'a;

/// An observer with other pauses.
pub struct Waiting<'a> {
    /// Who looks.
    pub observer: &'a mut dyn Observer,
    /// How it pauses.
    pub wait: &'a mut Wait<'a>,
}

impl Observer for Waiting<'_> {
    fn source(&self) -> Source {
        self.observer.source()
    }

    fn notes(&self) -> Vec<String> {
        self.observer.notes()
    }

    fn find(&mut self, name: &str) -> Result<InterfaceKey> {
        self.observer.find(name)
    }

    fn sockets(&mut self) -> Result<Scan> {
        self.observer.sockets()
    }

    fn interface(&mut self, key: InterfaceKey) -> Option<InterfaceSnapshot> {
        self.observer.interface(key)
    }

    fn pause(&mut self, time: Duration) -> Result<()> {
        (self.wait)(self.observer, time)
    }
}

/// Pauses as the observer does, in slices; of a simulated one, in one, as its time is its own.
pub fn plain(
    simulated: bool,
    control: &Control,
) -> impl FnMut(&mut dyn Observer, Duration) -> Result<()> + '_ {
    move |observer, time| {
        if simulated {
            return observer.pause(time);
        }
        let start = Instant::now();
        while !control.is_stopped() {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                break;
            }
            observer.pause(left.min(SLICE))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fake;
    use super::*;
    use fluxnet::tools::rings::{Event, Plan, Selection, run};

    #[test]
    fn simulated_time_passes_in_whole_pauses() {
        let (control, mut fake) = (Control::default(), Fake::new());
        let mut wait = plain(true, &control);
        let mut waiting = Waiting { observer: &mut fake, wait: &mut wait };
        let plan = Plan {
            select: Selection::default(),
            over: Duration::from_millis(50),
            every: Some(Duration::from_secs(3600)),
            count: Some(3),
        };
        let mut rates = Vec::new();
        let outcome = run(&plan, &mut waiting, &control, &mut |event| {
            if let Event::Sample(sample) = event {
                rates.push(sample.sockets[0].rings.rx.as_ref().unwrap().per_s);
            }
        });
        assert_eq!(outcome.unwrap().samples, 3);
        assert_eq!(rates, [Some(100_000.0), Some(1000.0 / 3600.0), Some(1000.0 / 3600.0)]);
    }

    #[test]
    fn a_stop_ends_a_pause_that_has_an_hour_to_go() {
        let (control, mut fake) = (Control::default(), Fake::new());
        let mut slices = 0;
        let mut slice = |_: &mut dyn Observer, time: Duration| {
            assert!(time <= SLICE);
            slices += 1;
            if slices == 3 {
                control.stop();
            }
            Ok(())
        };
        let mut inner = Waiting { observer: &mut fake, wait: &mut slice };
        plain(false, &control)(&mut inner, Duration::from_secs(3600)).unwrap();
        assert_eq!(slices, 3);
    }
}
