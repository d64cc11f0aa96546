//! `flux trace diff`.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::opened::millis;
use crate::output::{Lines, Screen, Stdout, clean, percent, print, wrap};
use fluxnet::text::numbers as units;
use fluxnet::tools::probe::Zoned;
use fluxnet::tools::trace::{Balancing, Change, Diff, Label, Nat, TargetDiff, diff, read};
use std::path::PathBuf;

/// Compare two saved traces; exit 1 where they differ
///
/// Targets are paired by name, or else by address. Shown are targets that only one run has, and
/// changes of: whether a target was reached, distance, routers hop by hop, MPLS labels, balancing,
/// path MTU, NATs, paths; and routers that lose more or answer later. Names and other times are
/// not compared.
#[derive(clap::Args, Debug)]
pub struct DiffArgs {
    /// The earlier run: a file of flux trace --json
    #[arg(value_name = "A.json")]
    pub a: PathBuf,
    /// The later run
    #[arg(value_name = "B.json")]
    pub b: PathBuf,
    /// Ignore growth up to this: of loss in percentage points, of a median RTT in percent
    ///
    /// Growth of a median RTT by less than 1 ms is always ignored.
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = units::percent, allow_hyphen_values = true)]
    pub tolerance: f64,
    /// One JSON object on standard output, also for errors
    #[arg(short, long, help_heading = "Output")]
    pub json: bool,
}

/// Runs the command.
pub fn main(args: &DiffArgs, out: &mut Stdout) -> Result<Answer, Failure> {
    let diff = diff(&read(&args.a)?, &read(&args.b)?, args.tolerance)?;
    let names = (args.a.display().to_string(), args.b.display().to_string());
    let text = || Lines::out(text(&diff, &names.0, &names.1, &Screen::of_stdout()));
    print(&diff, args.json, text, out)?;
    Ok(if diff.is_same() { Answer::Yes } else { Answer::No })
}

/// The differences as text.
fn text(diff: &Diff, a: &str, b: &str, screen: &Screen) -> String {
    let Diff { tolerance_pct, compared, only_a, only_b, notes, targets, .. } = diff;
    let line = |text: String, indent| wrap(&screen.fit(&text), screen.width, indent);
    let s = if *compared == 1 { "" } else { "s" };
    let differ = match targets.len() {
        0 => "nothing differs".into(),
        1 => "1 differs".into(),
        many => format!("{many} differ"),
    };
    let head = format!(
        "A: {}, B: {}; {compared} target{s} compared, {differ}, tolerance {}%",
        clean(a),
        clean(b),
        percent(*tolerance_pct)
    );
    let mut text = line(head, 2);
    for note in notes {
        text += &line(format!("note: {}", clean(note)), 2);
    }
    for (which, only) in [("A", only_a), ("B", only_b)] {
        for target in only {
            let told = format!("{}: only in {which}", clean(target));
            text += &format!("\n{}", screen.style.bad(line(told, 2).trim_end()));
            text.push('\n');
        }
    }
    for TargetDiff { target, changes } in targets {
        text += &format!("\n{}\n", screen.style.strong(&clean(target)));
        for change in changes {
            for (ttl, told) in rows(change, screen) {
                let ttl = ttl.map(|ttl| ttl.to_string()).unwrap_or_default();
                // The wrapped text begins where the TTL ends.
                let width = screen.width.map(|width| width.saturating_sub(5));
                let told = wrap(&screen.fit(&told), width, 2).replace('\n', "\n     ");
                text += &format!("{ttl:>3}  {}\n", told.trim_end());
            }
        }
    }
    text
}

/// What a difference is, at which TTL: a line each.
fn rows(change: &Change, screen: &Screen) -> Vec<(Option<u8>, String)> {
    let arrow = if screen.unicode { "→" } else { "->" };
    let to = |what: &str, a: String, b: String| format!("{what}{a} {arrow} {b}");
    let whole = |what: &str, a: String, b: String| vec![(None, to(what, a, b))];
    let at = |ttl: u8, text: String| vec![(Some(ttl), text)];
    match change {
        Change::Address { a, b } => whole("address: ", a.to_string(), b.to_string()),
        Change::Reached { a, b } => whole("reached: ", yes(*a), yes(*b)),
        Change::Distance { a, b } => whole("distance: ", or_none(*a), or_none(*b)),
        Change::Mtu { a, b } => whole("path MTU: ", or_none(*a), or_none(*b)),
        Change::MtuBlackHole { a, b } => {
            let behind = "larger packets vanish behind TTL: ";
            whole(behind, or_none(*a), or_none(*b))
        }
        Change::Nat { a, b } => whole("NAT: ", nats(a), nats(b)),
        Change::Routers { ttl, a, b } => at(*ttl, routers(a, b, arrow)),
        Change::Balancing { ttl, a, b } => {
            at(*ttl, to("balancing: ", balancing(*a), balancing(*b)))
        }
        Change::Mpls { ttl, address, a, b } => {
            at(*ttl, to(&format!("{address}: MPLS "), labels(a), labels(b)))
        }
        Change::Loss { ttl, address, a, b } => {
            let loss = |pct: f64| format!("{}%", percent((pct * 10.0).round() / 10.0));
            at(*ttl, to(&format!("{address}: loss "), loss(*a), loss(*b)))
        }
        Change::Rtt { ttl, address, a, b } => {
            let time = |us: f64| format!("{} ms", millis(us));
            at(*ttl, to(&format!("{address}: RTT "), time(*a), time(*b)))
        }
        Change::Paths { a, b } => {
            let path = |which: &str, path: &Vec<Option<Zoned>>| {
                let hops: Vec<String> = path.iter().map(|hop| or_star(*hop)).collect();
                (None, format!("path only in {which}: {}", hops.join(" ")))
            };
            let only_a = a.iter().map(|hops| path("A", hops));
            only_a.chain(b.iter().map(|hops| path("B", hops))).collect()
        }
    }
}

/// Both lists, or what is gone and new where they share some.
fn routers(a: &[Zoned], b: &[Zoned], arrow: &str) -> String {
    let list = |addrs: Vec<&Zoned>| {
        let addrs: Vec<String> = addrs.into_iter().map(Zoned::to_string).collect();
        addrs.join(", ")
    };
    let all =
        |addrs: &[Zoned]| if addrs.is_empty() { "*".into() } else { list(addrs.iter().collect()) };
    if !a.iter().any(|addr| b.contains(addr)) {
        return format!("{} {arrow} {}", all(a), all(b));
    }
    let gone = list(a.iter().filter(|addr| !b.contains(addr)).collect());
    let new = list(b.iter().filter(|addr| !a.contains(addr)).collect());
    let told = [("gone ", gone), ("new ", new)].into_iter().filter(|(_, list)| !list.is_empty());
    told.map(|(what, list)| format!("{what}{list}")).collect::<Vec<_>>().join("; ")
}

/// Labels alone: nothing else of a stack is compared.
fn labels(stack: &[Label]) -> String {
    let labels: Vec<String> = stack.iter().map(|entry| entry.label.to_string()).collect();
    if labels.is_empty() { "none".into() } else { labels.join(", ") }
}

fn yes(yes: bool) -> String {
    if yes { "yes".into() } else { "no".into() }
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or("none".into(), |value| value.to_string())
}

fn or_star(address: Option<Zoned>) -> String {
    address.map_or("*".into(), |address| address.to_string())
}

fn balancing(balancing: Option<Balancing>) -> String {
    balancing.map_or("none".into(), |how| how.to_string())
}

fn nats(nats: &[Nat]) -> String {
    let nat = |nat: &Nat| format!("{} at TTL {}", nat.address, nat.ttl);
    let all: Vec<String> = nats.iter().map(nat).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxnet::tools::trace::Rewritten;

    fn addr(last: u8) -> Zoned {
        std::net::IpAddr::from([172, 16, 23, last]).into()
    }

    /// Every kind of difference.
    fn all() -> Diff {
        let label = Label { label: 16_001, tc: 0, bottom: true, ttl: 1 };
        let nat = Nat { ttl: 2, address: addr(2), rewritten: Rewritten::SourcePort };
        let changes = vec![
            Change::Address { a: addr(7).address, b: addr(8).address },
            Change::Reached { a: true, b: false },
            Change::Distance { a: Some(5), b: Some(6) },
            Change::Mtu { a: Some(1400), b: None },
            Change::MtuBlackHole { a: None, b: Some(3) },
            Change::Nat { a: vec![], b: vec![nat] },
            Change::Routers { ttl: 3, a: vec![addr(2)], b: vec![addr(3)] },
            Change::Routers { ttl: 4, a: vec![addr(2), addr(4)], b: vec![addr(4), addr(5)] },
            Change::Routers { ttl: 12, a: vec![addr(2)], b: vec![] },
            Change::Balancing {
                ttl: 4,
                a: Some(Balancing::PerFlow),
                b: Some(Balancing::PerPacket),
            },
            Change::Mpls { ttl: 4, address: addr(4), a: vec![label], b: vec![] },
            Change::Loss { ttl: 5, address: addr(9), a: 0.0, b: 33.333_333 },
            Change::Rtt { ttl: 5, address: addr(9), a: 1200.0, b: 30_500.0 },
            Change::Paths { a: vec![vec![Some(addr(1)), None, Some(addr(3))]], b: vec![] },
        ];
        Diff {
            same: false,
            tolerance_pct: 20.0,
            compared: 2,
            only_a: vec!["old.example".into()],
            only_b: vec!["new.example\x1b[2J".into()],
            notes: vec!["one run looked for all paths".into()],
            targets: vec![TargetDiff { target: "203.0.113.7".into(), changes }],
        }
    }

    #[test]
    fn every_difference_is_a_line_with_its_ttl_before_it() {
        let screen = Screen { unicode: true, ..Screen::default() };
        let want = "\
A: a.json, B: b.json; 2 targets compared, 1 differs, tolerance 20%
note: one run looked for all paths

old.example: only in A

new.example?[2J: only in B

203.0.113.7
     address: 172.16.23.7 → 172.16.23.8
     reached: yes → no
     distance: 5 → 6
     path MTU: 1400 → none
     larger packets vanish behind TTL: none → 3
     NAT: none → 172.16.23.2 at TTL 2
  3  172.16.23.2 → 172.16.23.3
  4  gone 172.16.23.2; new 172.16.23.5
 12  172.16.23.2 → *
  4  balancing: per-flow → per-packet
  4  172.16.23.4: MPLS 16001 → none
  5  172.16.23.9: loss 0% → 33.3%
  5  172.16.23.9: RTT 1.200 ms → 30.500 ms
     path only in A: 172.16.23.1 * 172.16.23.3
";
        let got = text(&all(), "a.json", "b.json", &screen);
        assert_eq!(got, want, "\n{got}");
    }

    #[test]
    fn a_narrow_ascii_terminal_gets_ascii_in_its_width() {
        let screen = Screen { width: Some(40), ..Screen::default() };
        let got = text(&all(), "a.json", "b.json", &screen);
        assert!(got.is_ascii() && got.contains("172.16.23.2 -> 172.16.23.3"), "{got}");
        assert!(got.lines().all(|line| line.len() <= 40), "{got}");
        assert!(got.contains("\n       172.16.23.3\n"), "a long path goes on below itself: {got}");
    }

    #[test]
    fn nothing_different_is_one_line() {
        let none = Diff {
            same: true,
            compared: 1,
            only_a: vec![],
            only_b: vec![],
            notes: vec![],
            targets: vec![],
            ..all()
        };
        let got = text(&none, "a", "b", &Screen::default());
        assert_eq!(got, "A: a, B: b; 1 target compared, nothing differs, tolerance 20%\n");
    }
}
