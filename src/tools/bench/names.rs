//! How a setting is named: by what was varied, as the rest goes without saying.

use super::report::{SettingReport, Settings};

/// Which axes were varied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    mode: bool,
    frame: bool,
    queues: bool,
    hugepages: bool,
    prefetch: bool,
}

impl Names {
    /// For these cells.
    #[must_use]
    pub fn of(results: &[SettingReport]) -> Self {
        let varies = |differs: fn(&SettingReport, &SettingReport) -> bool| {
            results.first().is_some_and(|first| results.iter().any(|cell| differs(first, cell)))
        };
        Self {
            mode: varies(|a, b| a.mode != b.mode),
            frame: varies(|a, b| a.frame != b.frame),
            queues: varies(|a, b| a.queues != b.queues),
            hugepages: varies(|a, b| a.hugepages != b.hugepages),
            prefetch: varies(|a, b| a.prefetch != b.prefetch),
        }
    }

    /// A setting in words: `busy, batch 64, mode raw`. Workload and packet length are left out, as
    /// they are no choice.
    #[must_use]
    pub fn setting(&self, settings: &Settings) -> String {
        let mut parts = vec![format!("{}, batch {}", settings.poll, settings.batch)];
        parts.extend(self.parts(settings));
        parts.join(", ")
    }

    /// What was varied besides poll mode and batch, in words; empty when nothing was.
    #[must_use]
    pub fn besides(&self, settings: &Settings) -> String {
        let mut parts = Vec::new();
        if self.frame {
            parts.push(format!("{} bytes", settings.frame));
        }
        parts.extend(self.parts(settings));
        parts.join(", ")
    }

    fn parts(&self, settings: &Settings) -> impl Iterator<Item = String> {
        let &Settings { mode, queues, hugepages, prefetch, .. } = settings;
        let with = |on| if on { "with" } else { "without" };
        let plural = if queues == 1 { "" } else { "s" };
        let parts = [
            self.mode.then(|| format!("mode {mode}")),
            self.queues.then(|| format!("{queues} queue{plural}")),
            self.hugepages.then(|| format!("{} huge pages", with(hugepages))),
            self.prefetch.then(|| format!("{} prefetch", with(prefetch))),
        ];
        parts.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::cell;
    use super::super::plan::{Poll, Workload};
    use super::*;

    #[test]
    fn only_what_was_varied_is_named() {
        let one = cell(Workload::Rxdrop, Poll::Busy, 64, &[1.0]);
        let settings = one.settings();
        let names = Names::of(std::slice::from_ref(&one));
        assert_eq!(names.setting(&settings), "busy, batch 64");
        assert_eq!(names.besides(&settings), "");
        let other = SettingReport { frame: 512, queues: 2, prefetch: false, ..one.clone() };
        let names = Names::of(&[one, other.clone()]);
        assert_eq!(names.setting(&settings), "busy, batch 64, 1 queue, with prefetch");
        assert_eq!(names.besides(&other.settings()), "512 bytes, 2 queues, without prefetch");
    }
}
