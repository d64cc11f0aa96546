//! A report and a diff as text.

use super::table::{Changes, Latencies, Rates, Row, blocks};
use crate::output::{Lines, Screen, Table, clean, hidden, percent, table, wrap};
use fluxnet::tools::bench::{
    Best, Diff, Names, Report, SettingKey, SettingReport, Start, Workload,
};
use std::fmt::Write;

/// Text, and the headings of columns that it has no room for.
#[derive(Debug, Default)]
pub struct Text {
    /// The lines.
    pub text: String,
    /// What is missing.
    pub hidden: Vec<&'static str>,
}

impl Text {
    /// By stream: what is missing is told beside it.
    pub fn lines(self) -> Lines {
        Lines { out: self.text, err: hidden(&self.hidden) }
    }
}

/// The one line on what was really granted to the first setting.
pub fn granted(Start { opened, out }: &Start) -> String {
    let mut text = format!(
        "{}: driver {}, {} attach, {}, rings of {}, {} frames of {} bytes in {} pages{}\n",
        opened.interface,
        opened.driver.as_deref().unwrap_or("unknown"),
        opened.attach,
        if opened.zero_copy { "zero-copy" } else { "copy" },
        opened.ring_size,
        opened.frames,
        opened.frame_size,
        pages(&opened.pages),
        if opened.kernel_busy_poll { ", kernel busy polling" } else { "" },
    );
    if let Some(out) = out {
        // A String takes every write.
        let _ = writeln!(text, "{out}: workload forward sends by it, on the same UMEM");
    }
    for note in &opened.notes {
        // A String takes every write.
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// What the UMEM lies in, in words.
fn pages(word: &str) -> &str {
    match word {
        "4k" => "ordinary",
        "thp" => "transparent huge",
        "2m" => "2 MiB",
        "1g" => "1 GiB",
        other => other,
    }
}

/// The whole report.
pub fn report(report: &Report, screen: &Screen) -> Text {
    let mut all = Text { text: header(report, screen), hidden: Vec::new() };
    let names = Names::of(&report.results);
    for (workload, settings) in blocks(&report.results) {
        // What had no packet has no figures.
        let rows: Vec<_> =
            settings.iter().filter(|it| it.packets > 0).copied().map(Row::of).collect();
        let silent = settings.len() - rows.len();
        let name = screen.style.strong(&workload.to_string());
        let block = match workload {
            _ if rows.is_empty() => Table::default(),
            Workload::Latency => table(&Latencies(rows), screen),
            _ => table(&Rates(rows), screen),
        };
        for heading in block.hidden {
            if !all.hidden.contains(&heading) {
                all.hidden.push(heading);
            }
        }
        // A String takes every write.
        let _ = write!(all.text, "\n{name}\n{}", block.text);
        for best in report.best.iter().filter(|best| best.workload == workload) {
            let line = format!("best: {}: {}", names.setting(&key(best)), best.why);
            all.text.push_str(&wrap(&screen.fit(&line), screen.width, 2));
        }
        for one in report.undecided.iter().filter(|one| one.workload == workload) {
            let line = format!("no best: {}", one.why);
            all.text.push_str(&wrap(&screen.fit(&line), screen.width, 2));
        }
        if silent > 0 {
            let s = if silent == 1 { "" } else { "s" };
            let line = format!("{silent} setting{s} without a packet: left out");
            all.text.push_str(&wrap(&screen.style.odd(&line), screen.width, 2));
        }
    }
    all.text.push_str(&footer(report, &all.hidden, screen));
    all
}

/// Two runs compared.
pub fn diff(diff: &Diff, a: &str, b: &str, screen: &Screen) -> Text {
    let Diff { backend, place, tolerance_pct, notes, regressions, improvements, changes } = diff;
    let changed = table(&Changes(changes), screen);
    let mut text =
        format!("A: {a}, B: {b}; {backend}, {place}, tolerance {}%\n", percent(*tolerance_pct));
    text = text.lines().map(|line| clean(line) + "\n").collect();
    for note in notes {
        text.push_str(&wrap(&clean(&format!("note: {note}")), screen.width, 2));
    }
    let counts = format!(
        "{regressions} of {} settings slower, {improvements} faster, beyond tolerance and noise",
        changes.len()
    );
    let counts = if *regressions > 0 { screen.style.bad(&counts) } else { counts };
    // A String takes every write.
    let _ = write!(text, "\n{}\n{counts}\n", changed.text);
    Text { text, hidden: changed.hidden }
}

/// Machine and place in a line, for header and chart.
pub fn machine(report: &Report) -> String {
    let Report { machine, .. } = report;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let kernel = machine.kernel.as_deref().unwrap_or("unknown kernel");
    format!("{cpu}, {} online, kernel {kernel}, flux {}", machine.cpus, report.version)
}

/// Where it was measured, and how often.
pub fn place(report: &Report) -> String {
    let on = match &report.opened {
        Some(Start { opened, out }) if report.place != "sim" => {
            let copy = if opened.zero_copy { "zero-copy" } else { "copy" };
            let out = out.as_ref().map(|out| format!(", forward by {out}"));
            let out = out.unwrap_or_default();
            format!(" on {} ({}, {copy}{out})", opened.interface, opened.attach)
        }
        _ => String::new(),
    };
    let samples = if report.repeat == 1 { "sample" } else { "samples" };
    format!(
        "{}{on}, {} {samples} of {} ms a setting",
        report.place,
        report.repeat,
        report.sample_s * 1e3
    )
}

fn header(report: &Report, screen: &Screen) -> String {
    let settings = report.results.len();
    let s = if settings == 1 { "" } else { "s" };
    let line = format!("{}: {settings} setting{s}, medians; IQR in % of the median", place(report));
    let mut text = wrap(&line, screen.width, 2);
    text.push_str(&wrap(&machine(report), screen.width, 2));
    if let Some(note) = &report.remark {
        text.push_str(&wrap(&screen.fit(&format!("note: {note}")), screen.width, 2));
    }
    text
}

fn footer(report: &Report, hidden: &[&str], screen: &Screen) -> String {
    let mut lines = Vec::new();
    if report.results.iter().any(|setting| setting.noisy) {
        lines.push(
            "~ noisy: the middle half of the samples spreads over more than 5 % of the median",
        );
    }
    let few = |setting: &SettingReport| Row::of(setting).few;
    if report.results.iter().any(few) {
        lines.push("? fewer than 3 samples: too few to know how much they vary (--repeat 3)");
    }
    let tsc = report.results.iter().any(|setting| setting.cycle_source.as_deref() == Some("tsc"));
    if tsc && !hidden.contains(&"cyc/pkt") {
        lines.push(
            "cyc/pkt: cycles of the time stamp counter, because CPU cycles cannot be counted here",
        );
    }
    let early = screen.style.odd("ended early: settings may have fewer samples, or none");
    if !report.complete {
        lines.push(&early);
    }
    let mut text = String::new();
    if !lines.is_empty() {
        text.push('\n');
    }
    for line in lines {
        text.push_str(&wrap(line, screen.width, 2));
    }
    text
}

fn key(best: &Best) -> SettingKey {
    let &Best { workload, mode, batch, poll, packet_size, queues, pages, prefetch, .. } = best;
    SettingKey { workload, mode, batch, poll, packet_size, queues, pages, prefetch }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use fluxnet::tools::session::Opened;

    fn screen(width: usize) -> Screen {
        Screen { width: Some(width), ..Screen::default() }
    }

    #[test]
    fn a_report_tells_place_blocks_best_and_noise_within_80_columns() {
        let made = fixture::report();
        let Text { text, .. } = report(&made, &screen(80));
        assert!(text.is_ascii(), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        for want in [
            "lab on veth0 (native, copy), 5 samples of 400 ms a setting",
            "\nrxdrop\nbatch  poll",
            "\nlatency\nbatch  poll",
            "p99.9 us",
            "\nbest: busy, batch 64: ",
            "\n~ noisy",
            "####",
        ] {
            assert!(text.contains(want), "no {want:?}:\n{text}");
        }
        assert!(!text.contains("ended early"), "{text}");
        let early = fluxnet::tools::bench::Report { complete: false, ..made };
        assert!(report(&early, &screen(80)).text.contains("\nended early"), "{text}");
    }

    #[test]
    fn a_pipe_gets_every_column() {
        let made = fixture::report();
        let unlimited = Screen { unicode: true, ..Screen::default() };
        let Text { text, hidden } = report(&made, &unlimited);
        assert!(hidden.is_empty(), "{hidden:?}");
        assert!(text.contains("pkt/batch") && text.contains("dropped") && text.contains("█"));
        assert!(text.contains("p50 µs"), "{text}");
    }

    #[test]
    fn a_diff_tells_the_counts_and_the_notes() {
        let (a, mut b) = (fixture::report(), fixture::report());
        b.machine.kernel = Some("6.19.0".into());
        let compared = fluxnet::tools::bench::diff(&a, &b, 5.0).unwrap();
        let Text { text, .. } = diff(&compared, "before", "after", &screen(80));
        assert!(
            text.starts_with("A: before, B: after; xdp, lab, tolerance 5%\nnote: another kernel")
        );
        assert!(text.ends_with("0 of 54 settings slower, 0 faster, beyond tolerance and noise\n"));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn what_was_granted_is_one_line_and_its_notes() {
        let Start { opened, out } = fixture::report().opened.unwrap();
        let opened = Opened { notes: vec!["no zero-copy".into()], ..opened };
        assert_eq!(
            granted(&Start { opened, out }),
            "veth0: driver veth, native attach, copy, rings of 2048, 4096 frames of 2048 bytes in \
             ordinary pages\nnote: no zero-copy\n"
        );
        let two = Start { out: Some("veth1".into()), ..fixture::report().opened.unwrap() };
        assert!(
            granted(&two).ends_with("\nveth1: workload forward sends by it, on the same UMEM\n")
        );
        let two = Report { opened: Some(two), ..fixture::report() };
        assert!(place(&two).starts_with("lab on veth0 (native, copy, forward by veth1), "));
    }
}
