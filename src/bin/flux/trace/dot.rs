//! The paths as a graph for Graphviz.

use super::hop::labels;
use super::text::named;
use crate::output::{clean, percent, short_millis};
use fluxnet::tools::probe::Zoned;
use fluxnet::tools::trace::{Balancing, Hop, Link, Router, Summary};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

/// What the graph begins with.
pub const BEGIN: &str = "\
digraph trace {
  rankdir=LR;
  node [shape=box, style=rounded, fontname=\"sans-serif\"];
";

/// What it ends with.
pub const END: &str = "}\n";

/// The nodes and edges of target number `at`, in a frame of its own where there are `several`.
/// `source` is our address, where it is known.
pub fn part(at: usize, summary: &Summary, source: Option<IpAddr>, several: bool) -> String {
    let mut text = String::new();
    // A String takes every write, here and below.
    if several {
        let label = quoted(&named(summary));
        let _ = writeln!(text, "  subgraph cluster_{at} {{\n    label={label};");
    }
    let indent = if several { "    " } else { "  " };
    let links = links(summary);
    let mut lines: Vec<String> = Vec::new();
    if let Some(source) = source {
        lines.push(format!("{} [label={}, style=bold];", us(at), quoted(&source.to_string())));
    }
    for (ttl, who) in nodes(summary, &links) {
        let label = quoted(&label(summary, ttl, who));
        let style = if who.is_some_and(|who| Some(who.address) == summary.address) {
            ", style=bold"
        } else {
            ""
        };
        lines.push(format!("{} [label={label}{style}];", node(at, ttl, who)));
    }
    let first = summary.hops.first().map_or(1, |hop| hop.ttl);
    if source.is_some() {
        let to: BTreeSet<_> = nodes(summary, &links).into_iter().filter(|n| n.0 == first).collect();
        for (ttl, who) in to {
            lines.push(format!("{} -> {}{};", us(at), node(at, ttl, who), dashed(summary, ttl)));
        }
    }
    for Link { ttl, from, to } in links {
        let next = ttl.saturating_add(1);
        let (from, to) = (node(at, ttl, from), node(at, next, to));
        lines.push(format!("{from} -> {to}{};", dashed(summary, next)));
    }
    for line in lines {
        let _ = writeln!(text, "{indent}{line}");
    }
    if several {
        text.push_str("  }\n");
    }
    text
}

/// Which router follows which: as `--paths` found it, else as the paths show it.
fn links(summary: &Summary) -> BTreeSet<Link> {
    let first = summary.hops.first().map_or(1, |hop| hop.ttl);
    let pairs = |path: &Vec<Option<Zoned>>| -> Vec<Link> {
        let pairs = (first..).zip(path.windows(2));
        pairs.map(|(ttl, pair)| Link { ttl, from: pair[0], to: pair[1] }).collect()
    };
    if summary.links.is_empty() {
        summary.paths.iter().flat_map(pairs).collect()
    } else {
        summary.links.iter().copied().collect()
    }
}

/// Everybody at every hop.
fn nodes(summary: &Summary, links: &BTreeSet<Link>) -> BTreeSet<(u8, Option<Zoned>)> {
    let routers = |hop: &Hop| -> Vec<(u8, Option<Zoned>)> {
        hop.routers.iter().map(|router| (hop.ttl, Some(router.address))).collect()
    };
    let ends = |link: &Link| [(link.ttl, link.from), (link.ttl.saturating_add(1), link.to)];
    let known = summary.hops.iter().flat_map(routers);
    let silent = summary.hops.iter().filter(|hop| hop.routers.is_empty());
    known.chain(silent.map(|hop| (hop.ttl, None))).chain(links.iter().flat_map(ends)).collect()
}

fn us(at: usize) -> String {
    quoted(&format!("{at}/0"))
}

fn node(at: usize, ttl: u8, who: Option<Zoned>) -> String {
    let who = who.map_or("*".into(), |who| who.to_string());
    quoted(&format!("{at}/{ttl} {who}"))
}

/// A hop to which packets of one flow go by different ways.
fn dashed(summary: &Summary, ttl: u8) -> &'static str {
    let hop = summary.hops.iter().find(|hop| hop.ttl == ttl);
    let spread = hop.is_some_and(|hop| hop.balancing == Some(Balancing::PerPacket));
    if spread { " [style=dashed]" } else { "" }
}

fn label(summary: &Summary, ttl: u8, who: Option<Zoned>) -> String {
    let routers = summary.hops.iter().filter(|hop| hop.ttl == ttl).flat_map(|hop| &hop.routers);
    let router = who.and_then(|who| routers.into_iter().find(|router| router.address == who));
    let Some(Router { address, name, rtt_us, loss_pct, limited, mark, mpls, .. }) = router else {
        return format!("{ttl}: {}", who.map_or("*".into(), |who| who.to_string()));
    };
    let mut lines = vec![format!("{ttl}: {address}")];
    lines.extend(name.as_deref().map(clean));
    let time = rtt_us.map(|rtt| format!("{} ms, ", short_millis(rtt.times.p50)));
    let mark = mark.as_deref().map(|mark| format!(" {}", clean(mark))).unwrap_or_default();
    let loss = match limited {
        true => "limits its answers".into(),
        false => format!("{}% loss", percent((loss_pct * 10.0).round() / 10.0)),
    };
    lines.push(format!("{}{loss}{mark}", time.unwrap_or_default()));
    if !mpls.is_empty() {
        lines.push(format!("MPLS: {}", labels(mpls)));
    }
    if summary.nat.iter().any(|nat| nat.ttl == ttl && nat.address == *address) {
        lines.push("NAT".into());
    }
    lines.join("\n")
}

/// A string as Graphviz reads it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{address, diamond, plain, troubled};
    use super::*;

    fn whole(parts: &[String]) -> String {
        format!("{BEGIN}{}{END}", parts.concat())
    }

    #[test]
    fn a_path_is_a_chain_from_us_to_the_target() {
        let text = part(0, &plain(), Some(address("10.0.0.1")), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"  "0/0" [label="10.0.0.1", style=bold];"#);
        assert_eq!(lines[1], r#"  "0/1 10.0.0.254" [label="1: 10.0.0.254\n0.200 ms, 0% loss"];"#);
        assert_eq!(
            lines[6],
            r#"  "0/6 203.0.113.7" [label="6: 203.0.113.7\n20.0 ms, 0% loss", style=bold];"#
        );
        assert_eq!(lines[7], r#"  "0/0" -> "0/1 10.0.0.254";"#);
        assert_eq!(lines[8], r#"  "0/1 10.0.0.254" -> "0/2 172.16.12.2";"#);
        assert_eq!(lines.len(), 7 + 6);
    }

    #[test]
    fn a_diamond_parts_and_meets_and_a_silent_branch_is_a_star() {
        let text = part(0, &diamond(), None, false);
        for edge in [
            r#""0/2 172.16.12.2" -> "0/3 172.16.23.2";"#,
            r#""0/2 172.16.12.2" -> "0/3 172.16.23.3";"#,
            r#""0/3 172.16.23.3" -> "0/4 *";"#,
            r#""0/4 *" -> "0/5 172.16.45.5";"#,
            r#""0/4 *" [label="4: *"];"#,
        ] {
            assert!(text.contains(edge), "{edge}\n{text}");
        }
        assert!(!text.contains("dashed") && text.contains("10% loss"), "{text}");
        let mut spread = diamond();
        spread.hops[2].balancing = Some(Balancing::PerPacket);
        let text = part(0, &spread, None, false);
        assert_eq!(text.matches("[style=dashed]").count(), 2, "{text}");
    }

    #[test]
    fn several_targets_have_a_frame_each() {
        let parts = [part(0, &plain(), None, true), part(1, &troubled(), None, true)];
        let text = whole(&parts);
        assert!(text.contains("  subgraph cluster_0 {\n    label=\"203.0.113.7\";\n"), "{text}");
        assert!(text.contains("  subgraph cluster_1 {"), "{text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert!(text.contains("MPLS: Lbl 24001 TC 0 S 1 TTL 1\\nNAT"), "{text}");
    }

    #[test]
    fn a_name_cannot_end_its_string() {
        let mut summary = troubled();
        summary.hops[2].routers[0].name = Some("a\"]; evil \\ [\x1b".into());
        let text = part(0, &summary, None, false);
        assert!(text.contains(r#"\na\"]; evil \\ [?\n"#), "{text}");
    }

    #[test]
    fn graphviz_reads_it_where_it_is_installed() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let (piped, null) = (Stdio::piped, Stdio::null);
        let dot =
            Command::new("dot").arg("-Tplain").stdin(piped()).stdout(null()).stderr(null()).spawn();
        let Ok(mut dot) = dot else { return };
        let mut odd = troubled();
        odd.hops[2].routers[0].name = Some("a\"]; evil \\ [".into());
        let parts = [part(0, &diamond(), None, true), part(1, &odd, None, true)];
        dot.stdin.take().unwrap().write_all(whole(&parts).as_bytes()).unwrap();
        assert!(dot.wait().unwrap().success());
    }
}
