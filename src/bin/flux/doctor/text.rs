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
        let mut last = None;
        for check in checks {
            add(&mut text, check, last, screen);
            last = check.fix.as_deref();
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
    let summary = wrap(&report.conclusion, screen.width, 2);
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

/// `above` is what mends the check above.
fn add(text: &mut String, check: &Check, above: Option<&str>, screen: &Screen) {
    let word = format!("{:STATUS$}", check.status.name());
    let word = match check.status {
        Status::Ok => word,
        Status::Warning => screen.style.odd(&word),
        Status::Blocker => screen.style.bad(&word),
    };
    line(text, &word, &check.title, &check.finding, screen);
    if let Some(fix) = check.fix.as_deref() {
        let fix = if above == Some(fix) { "as above" } else { fix };
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

#[cfg(test)]
mod tests {
    use super::*;
    use fluxnet::tools::doctor::Unchecked;

    fn check(status: Status, title: &str, finding: &str, fix: Option<&str>) -> Check {
        let (title, finding) = (title.to_owned(), finding.to_owned());
        Check { id: "id", status, title, finding, fix: fix.map(str::to_owned) }
    }

    fn example() -> Report {
        let setcap = Some("run as root, or give it the capabilities that it is short of");
        Report {
            interface: Some("eth0".into()),
            checks: vec![
                check(Status::Ok, "kernel version", "Linux 6.18.0 has all that flux uses", None),
                check(Status::Blocker, "CAP_NET_RAW", "missing", setcap),
                check(Status::Blocker, "CAP_BPF", "missing", setcap),
                check(Status::Warning, "MTU", "3000", Some("use --frame-size 4096")),
            ],
            unchecked: vec![Unchecked {
                id: "attach_native",
                title: "attach native".into(),
                reason: "not tried: a capability is missing".into(),
            }],
            warnings: 1,
            blockers: 2,
            conclusion: "1 warning, 2 blockers: AF_XDP does not work here".into(),
            machine_checks: 3,
        }
    }

    #[test]
    fn a_report_is_a_line_a_check_in_two_groups() {
        let text = report(&example(), &Screen { width: Some(64), ..Screen::default() });
        let expected = "\
machine
  ok       kernel version    Linux 6.18.0 has all that flux uses
  blocker  CAP_NET_RAW       missing
                             fix: run as root, or give it the
                             capabilities that it is short of
  blocker  CAP_BPF           missing
                             fix: as above

interface eth0
  warning  MTU               3000
                             fix: use --frame-size 4096

not checked
           attach native     not tried: a capability is missing

1 warning, 2 blockers: AF_XDP does not work here
";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_a_width_each_finding_is_one_line() {
        let text = report(&example(), &Screen::default());
        assert!(
            text.contains("fix: run as root, or give it the capabilities that it is short of\n")
        );
        assert!(!text.contains('\x1b'));
    }
}
