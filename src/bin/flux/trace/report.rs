//! A trace as a table: a row per router, as mtr's report.

use super::hop::systems;
use crate::output::{Column, Report, Screen, Show, Table, When, clean, column, table};
use fluxnet::tools::trace::{Balancing, Hop, Router, Rtt, Summary};
use serde::Serialize;

/// Longest name where lines have any length.
const LONG_NAME: usize = 64;

/// One router, or a silent hop.
#[derive(Debug, Serialize)]
pub struct Row {
    host: String,
    asn: Option<String>,
    /// None where the router limits its answers: how much gets that far, those behind it show.
    loss_pct: Option<f64>,
    sent: u64,
    rtt_us: Option<Rtt>,
    notes: Option<String>,
}

/// The rows of one target.
pub struct Rows(Vec<Row>);

impl Report for Rows {
    type Row = Row;

    const COLUMNS: &'static [Column] = &[
        column("/host", "Host", Show::Name, When::Always, 0),
        column("/asn", "AS", Show::Name, When::Any, 7),
        column("/loss_pct", "Loss%", Show::Fixed(1, "%"), When::Always, 1),
        column("/sent", "Snt", Show::Short, When::Always, 3),
        column("/rtt_us/last", "Last", Show::ShortMillis, When::Always, 6),
        column("/rtt_us/mean", "Avg", Show::ShortMillis, When::Always, 2),
        column("/rtt_us/min", "Best", Show::ShortMillis, When::Always, 5),
        column("/rtt_us/max", "Wrst", Show::ShortMillis, When::Always, 4),
        column("/rtt_us/p90", "p90", Show::ShortMillis, When::Always, 7),
        column("/rtt_us/stddev", "StDev", Show::ShortMillis, When::Always, 8),
        column("/rtt_us/jitter", "Jttr", Show::ShortMillis, When::Always, 9),
        column("/notes", "", Show::Name, When::Any, 10),
    ];

    fn rows(&self) -> &[Row] {
        &self.0
    }
}

impl Rows {
    /// Whether probes were lost, row by row.
    pub fn lossy(&self) -> impl Iterator<Item = bool> {
        self.0.iter().map(|row| row.loss_pct > Some(0.0))
    }
}

/// The table of `summary`; with `names` it shows names instead of addresses.
pub fn report(summary: &Summary, names: bool, screen: &Screen) -> Table {
    table(&rows(summary, names, screen), screen)
}

/// Its rows.
pub fn rows(summary: &Summary, names: bool, screen: &Screen) -> Rows {
    let longest = screen.width.map_or(LONG_NAME, |width| width * 3 / 8);
    let systems = with_systems(summary);
    let mut rows = Vec::new();
    for hop in &summary.hops {
        let place = format!("{:>2}. ", hop.ttl);
        if hop.routers.is_empty() {
            rows.push(Row {
                host: format!("{place}???"),
                asn: None,
                loss_pct: Some(hop.loss_pct),
                sent: hop.sent,
                rtt_us: None,
                notes: None,
            });
        }
        for (at, router) in hop.routers.iter().enumerate() {
            let place = if at == 0 { &place } else { "    " };
            rows.push(Row {
                host: format!("{place}{}", host(router, names, longest)),
                asn: asn(router, systems),
                loss_pct: (!router.limited).then_some(router.loss_pct),
                sent: router.sent,
                rtt_us: router.rtt_us,
                notes: notes(summary, hop, at).map(|notes| screen.fit(&notes)),
            });
        }
    }
    fill(&mut rows, |row| &mut row.notes);
    fill(&mut rows, |row| &mut row.asn);
    Rows(rows)
}

/// Rows without a note have an empty one where others have some, and none where none has.
pub fn fill<R>(rows: &mut [R], notes: impl Fn(&mut R) -> &mut Option<String>) {
    if rows.iter_mut().any(|row| notes(row).is_some()) {
        for row in rows {
            notes(row).get_or_insert_default();
        }
    }
}

/// Whether autonomous systems of any routers are known.
pub fn with_systems(summary: &Summary) -> bool {
    summary.hops.iter().flat_map(|hop| &hop.routers).any(|router| router.asn.is_some())
}

/// The autonomous systems of a router; `*` where only those of others are known.
pub fn asn(router: &Router, of_others: bool) -> Option<String> {
    let numbers: Vec<u32> = router.asn.iter().chain(&router.other_asns).copied().collect();
    systems(&numbers).or_else(|| of_others.then(|| "*".to_owned()))
}

/// The router's name if it is wanted and known, else its address.
fn host(router: &Router, names: bool, longest: usize) -> String {
    let Some(name) = router.name.as_deref().filter(|_| names) else {
        return router.address.to_string();
    };
    let name = clean(name);
    if name.chars().count() <= longest {
        return name;
    }
    name.chars().take(longest.saturating_sub(2)).chain("..".chars()).collect()
}

/// What is out of the ordinary about the router at place `at` of a hop.
pub fn notes(summary: &Summary, hop: &Hop, at: usize) -> Option<String> {
    let router = hop.routers.get(at)?;
    let mut notes = Vec::new();
    if at == 0
        && let Some(balancing) = hop.balancing
    {
        notes.push(match balancing {
            Balancing::PerFlow => format!("per-flow ×{}", hop.routers.len()),
            Balancing::PerPacket => format!("per-packet ×{}", hop.routers.len()),
            Balancing::Unknown => format!("balanced ×{}", hop.routers.len()),
        });
    }
    if router.limited {
        notes.push("limits its answers".into());
    }
    if let Some(mark) = &router.mark {
        notes.push(clean(mark));
    }
    if let Some(state) = router.port_state {
        notes.push(state.to_string());
    }
    if summary.nat.iter().any(|nat| nat.ttl == hop.ttl && nat.address == router.address) {
        notes.push("NAT".into());
    }
    if let Some(mtu) = router.mtu.filter(|_| router.mark.is_none()) {
        notes.push(format!("F={mtu}"));
    }
    if let Some(back) = router.back_hops.filter(|&back| back != hop.ttl && router.mark.is_none()) {
        notes.push(format!("asymm {back}"));
    }
    if !router.mpls.is_empty() {
        let labels: Vec<String> = router.mpls.iter().map(|l| l.label.to_string()).collect();
        notes.push(format!("MPLS {}", labels.join("/")));
    }
    (!notes.is_empty()).then(|| notes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{diamond, plain, troubled};
    use super::*;

    fn screen(width: Option<usize>) -> Screen {
        Screen { width, ..Screen::default() }
    }

    #[test]
    fn every_column_is_a_key_of_its_row() {
        let (asn, notes, loss_pct) = (None, None, Some(0.0));
        let row = Row { host: "x".into(), asn, loss_pct, sent: 1, rtt_us: None, notes };
        let rtt = Some(super::super::fixture::rtt(1.0));
        let row = serde_json::to_value(Row { rtt_us: rtt, ..row }).unwrap();
        for column in Rows::COLUMNS {
            assert!(row.pointer(column.key).is_some(), "{}", column.key);
        }
    }

    #[test]
    fn the_table_reads_as_mtr_and_fits_eighty_columns() {
        let table = report(&plain(), true, &screen(Some(80)));
        let lines: Vec<&str> = table.text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "Host             Loss%  Snt   Last    Avg   Best   Wrst    p90  StDev   Jttr",
                " 1. 10.0.0.254    0.0%    3  0.200  0.200  0.200  0.300  0.200  0.001  0.000",
                " 2. 172.16.12.2   0.0%    3   2.00   2.00   2.00   2.10   2.00  0.001  0.000",
            ]
        );
        assert_eq!(lines.len(), 7);
        assert!(lines.iter().all(|line| line.len() <= 80), "{}", table.text);
    }

    #[test]
    fn silent_hops_several_routers_and_what_is_odd_have_their_place() {
        let text = report(&troubled(), true, &screen(None)).text;
        assert!(text.contains(" 2. ???               100.0%    3      -      -"), "{text}");
        assert!(text.contains(" 3. core.example.net   33.3%    3   4.00"), "{text}");
        assert!(text.contains("  NAT, MPLS 24001\n"), "{text}");
        assert!(text.contains("  !X\n"), "{text}");
        let numeric = report(&troubled(), false, &screen(None)).text;
        assert!(numeric.contains(" 3. 172.16.23.2 ") && !numeric.contains("core"), "{numeric}");
        let two = report(&diamond(), true, &screen(None)).text;
        assert!(two.contains("\n 3. 172.16.23.2") && two.contains("\n    172.16.23.3"), "{two}");
        assert!(two.contains("  per-flow x2\n"), "{two}");
    }

    #[test]
    fn autonomous_systems_have_a_column_where_they_are_known() {
        let mut summary = troubled();
        let router = &mut summary.hops[2].routers[0];
        (router.asn, router.other_asns) = (Some(64500), vec![64501]);
        let text = report(&summary, true, &screen(Some(100))).text;
        assert!(text.starts_with("Host                  AS                Loss%"), "{text}");
        assert!(text.contains(" 3. core.example.net  AS64500/AS64501   33.3%"), "{text}");
        let first = text.lines().nth(1).unwrap();
        assert_eq!(first.split_whitespace().nth(2), Some("*"), "of this one none is known: {text}");
        assert!(!report(&troubled(), true, &screen(Some(100))).text.contains("AS"));
    }

    #[test]
    fn narrow_screens_lose_columns_and_never_wrap() {
        for summary in [plain(), diamond(), troubled()] {
            for width in [40, 60, 80, 100, 132] {
                let table = report(&summary, true, &screen(Some(width)));
                let widest = table.text.lines().map(|line| line.chars().count()).max();
                assert!(widest <= Some(width), "{width}:\n{}", table.text);
                assert!(table.text.contains("Loss%") && table.text.contains("Avg"));
                assert!(table.text.is_ascii(), "{}", table.text);
            }
        }
    }

    #[test]
    fn a_long_name_is_cut_before_columns_are_lost_to_it() {
        let mut summary = troubled();
        summary.hops[2].routers[0].name = Some("a".repeat(200));
        let text = report(&summary, true, &screen(Some(80))).text;
        assert!(text.contains(" 3. aaaaaaaaaaaaaaaaaaaaaaaaaaaa.. "), "{text}");
        assert!(text.contains("Best") && text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
