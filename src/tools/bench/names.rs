//! How a setting is named: by what was varied, as the rest goes without saying.

use super::report::{SettingKey, SettingReport};

/// Which axes were varied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    mode: bool,
    packet_size: bool,
    queues: bool,
    pages: bool,
    /// Whether there were huge pages of several kinds.
    kinds: bool,
    prefetch: bool,
}

impl Names {
    /// For these settings.
    #[must_use]
    pub fn of(results: &[SettingReport]) -> Self {
        let varies = |differs: fn(&SettingReport, &SettingReport) -> bool| {
            results
                .first()
                .is_some_and(|first| results.iter().any(|setting| differs(first, setting)))
        };
        let mut huge = results.iter().map(|setting| setting.pages).filter(|pages| pages.are_huge());
        let first = huge.next();
        Self {
            mode: varies(|a, b| a.mode != b.mode),
            packet_size: varies(|a, b| a.packet_size != b.packet_size),
            queues: varies(|a, b| a.queues != b.queues),
            pages: varies(|a, b| a.pages != b.pages),
            kinds: huge.any(|pages| Some(pages) != first),
            prefetch: varies(|a, b| a.prefetch != b.prefetch),
        }
    }

    /// A setting in words: `busy, batch 64, mode raw`. Workload and packet length are left out, as
    /// they are no choice.
    #[must_use]
    pub fn setting(&self, key: &SettingKey) -> String {
        let mut parts = vec![format!("{}, batch {}", key.poll, key.batch)];
        parts.extend(self.parts(key));
        parts.join(", ")
    }

    /// What was varied besides poll mode and batch, in words; empty when nothing was.
    #[must_use]
    pub fn besides(&self, key: &SettingKey) -> String {
        let mut parts = Vec::new();
        if self.packet_size {
            parts.push(format!("{} bytes", key.packet_size));
        }
        parts.extend(self.parts(key));
        parts.join(", ")
    }

    fn parts(&self, key: &SettingKey) -> impl Iterator<Item = String> {
        let &SettingKey { mode, queues, pages, prefetch, .. } = key;
        let with = |on| if on { "with" } else { "without" };
        let plural = if queues == 1 { "" } else { "s" };
        let parts = [
            self.mode.then(|| format!("mode {mode}")),
            self.queues.then(|| format!("{queues} queue{plural}")),
            self.pages.then(|| match self.kinds {
                true => format!("{pages} pages"),
                false => format!("{} huge pages", with(pages.are_huge())),
            }),
            self.prefetch.then(|| format!("{} prefetch", with(prefetch))),
        ];
        parts.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::setting;
    use super::super::plan::{Poll, Workload};
    use super::*;
    use crate::config::Pages;

    #[test]
    fn only_what_was_varied_is_named() {
        let one = setting(Workload::Rxdrop, Poll::Busy, 64, &[1.0]);
        let key = one.key();
        let names = Names::of(std::slice::from_ref(&one));
        assert_eq!(names.setting(&key), "busy, batch 64");
        assert_eq!(names.besides(&key), "");
        let other = SettingReport { packet_size: 508, queues: 2, prefetch: false, ..one.clone() };
        let names = Names::of(&[one, other.clone()]);
        assert_eq!(names.setting(&key), "busy, batch 64, 1 queue, with prefetch");
        assert_eq!(names.besides(&other.key()), "508 bytes, 2 queues, without prefetch");
    }

    #[test]
    fn huge_pages_of_several_kinds_are_told_apart() {
        let one = setting(Workload::Rxdrop, Poll::Busy, 64, &[1.0]);
        let with = |pages| SettingReport { pages, ..one.clone() };
        let two = [with(Pages::Ordinary), with(Pages::Huge)];
        let said = |results: &[SettingReport]| {
            let names = Names::of(results);
            results.iter().map(|setting| names.besides(&setting.key())).collect::<Vec<_>>()
        };
        assert_eq!(said(&two), ["without huge pages", "with huge pages"]);
        let three = [two, [with(Pages::Transparent), with(Pages::Giant)]].concat();
        assert_eq!(said(&three), ["4k pages", "2m pages", "thp pages", "1g pages"]);
        assert_eq!(said(&three[1..3]), ["2m pages", "thp pages"]);
    }
}
