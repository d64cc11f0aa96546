//! The report as text: a line a check, what mends it below.
//!
//! ```text
//! status  title          finding
//!                        fix: what mends it
//! ```

use crate::output::{Screen, wrap};
use fluxnet::tools::doctor::{Check, Report, Status};

/// Width of the status, of the title, and of what is before the finding.
const STATUS: usize = 7;
const TITLE: usize = 16;
const BEFORE: usize = 2 + STATUS + 2 + TITLE + 2;

/// The whole report.
pub fn report(report: &Report, screen: &Screen) -> String {
    let mut text = String::new();
    let (machine, interface) =
        report.checks.split_at(report.machine_checks.min(report.checks.len()));
    let heading = match &report.interface {
        Some(name) => format!("interface {name}"),
        None => "interfaces".to_owned(),
    };
    for (heading, checks) in [("machine", machine), (heading.as_str(), interface)] {
        if checks.is_empty() {
            continue;
        }
        text.push_str(&format!("{}\n", screen.style.strong(heading)));
        for check in checks {
            add(&mut text, check, screen);
        }
        text.push('\n');
    }
    if !report.unchecked.is_empty() {
        text.push_str(&format!("{}\n", screen.style.strong("not checked")));
        for unchecked in &report.unchecked {
            let words = (" ".repeat(STATUS), unchecked.title.as_str());
            line(&mut text, &words.0, words.1, &unchecked.reason, screen);
        }
        text.push('\n');
    }
    let summary = wrap(&report.summary, screen.width, 2);
    text.push_str(&match (report.blockers, report.warnings) {
        (0, 0) => summary,
        (0, _) => painted(&summary, |line| screen.style.odd(line)),
        _ => painted(&summary, |line| screen.style.bad(line)),
    });
    text
}

/// Each line by itself, so that no colour runs over a line's end.
fn painted(text: &str, paint: impl Fn(&str) -> String) -> String {
    text.lines().map(|line| paint(line) + "\n").collect()
}

fn add(text: &mut String, check: &Check, screen: &Screen) {
    let word = format!("{:STATUS$}", check.status.name());
    let word = match check.status {
        Status::Ok => word,
        Status::Warning => screen.style.odd(&word),
        Status::Blocker => screen.style.bad(&word),
    };
    line(text, &word, &check.title, &check.finding, screen);
    if let Some(fix) = &check.fix {
        block(text, &format!("fix: {fix}"), screen, true);
    }
}

/// `status` has its width already, colours not counted.
fn line(text: &mut String, status: &str, title: &str, finding: &str, screen: &Screen) {
    text.push_str(&format!("  {status}  {title:TITLE$}  "));
    block(text, finding, screen, false);
}

/// `words` in the last column; the first line stands after what is there, unless `indented`.
fn block(text: &mut String, words: &str, screen: &Screen, indented: bool) {
    // A screen too narrow for a column has lines that are too long.
    let width = screen.width.map(|width| width.saturating_sub(BEFORE).max(20));
    let pad = " ".repeat(BEFORE);
    for (at, part) in wrap(&screen.fit(words), width, 0).lines().enumerate() {
        if at > 0 || indented {
            text.push_str(&pad);
        }
        text.push_str(part);
        text.push('\n');
    }
}
