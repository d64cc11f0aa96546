//! A report is a list of rows; JSON and the table are two renderers of that one list.
//!
//! The table takes its cells out of the row's JSON by key, so a column cannot say something else
//! than the key does.

use super::Stdout;
use crate::failure::Failure;
use comfy_table::{Cell, CellAlignment, ContentArrangement};
use serde::Serialize;
use serde_json::Value;

/// How a column shows its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// As it is, to the left; shortened when nothing else helps.
    Name,
    /// A whole number.
    Count,
    /// A whole number whose column is left out while all are 0.
    CountIfAny,
    /// A percentage.
    Percent,
    /// µs, shown as ms.
    Millis,
}

/// One column. Renaming a key is a breaking change.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Where the value is in the row's JSON (RFC 6901 pointer).
    pub key: &'static str,
    /// Heading in the table.
    pub heading: &'static str,
    /// How to show it.
    pub show: Show,
    /// Narrow tables lose the columns with the highest numbers first; 0 always stays.
    pub rank: u8,
}

/// Rows of one kind.
pub trait Report {
    /// One row.
    type Row: Serialize;
    /// The table's columns, in print order.
    const COLUMNS: &'static [Column];
    /// The rows, in print order.
    fn rows(&self) -> &[Self::Row];
}

/// Writes one JSON object per row.
pub fn json<R: Report>(report: &R, out: &mut Stdout) -> Result<(), Failure> {
    report.rows().iter().try_for_each(|row| out.json(row))
}

/// A table and what it had no room for.
#[derive(Debug)]
pub struct Table {
    /// Its lines, each ended by a newline.
    pub text: String,
    /// Headings of the columns left out for want of room.
    pub hidden: Vec<&'static str>,
}

/// The table, at most `width` columns wide.
pub fn table<R: Report>(report: &R, width: Option<usize>) -> Table {
    let rows: Vec<Value> =
        report.rows().iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect();
    let useful = |column: &&Column| {
        column.show != Show::CountIfAny
            || rows.iter().any(|row| row.pointer(column.key).and_then(Value::as_u64) > Some(0))
    };
    let mut columns: Vec<&Column> = R::COLUMNS.iter().filter(useful).collect();
    let mut hidden = Vec::new();
    let limit = width.unwrap_or(usize::MAX);
    loop {
        let text = draw(&columns, &rows, usize::MAX);
        let excess = widest(&text).saturating_sub(limit);
        let last = columns.iter().map(|c| c.rank).max().unwrap_or(0);
        if excess == 0 {
            return Table { text, hidden };
        }
        if last == 0 {
            let name = columns.iter().find(|c| c.show == Show::Name);
            let longest = name.map_or(0, |name| {
                rows.iter().map(|row| cell(row, name).chars().count()).max().unwrap_or(0)
            });
            let text = draw(&columns, &rows, longest.saturating_sub(excess).max(4));
            return Table { text, hidden };
        }
        hidden.extend(columns.extract_if(.., |c| c.rank == last).map(|c| c.heading));
    }
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

fn draw(columns: &[&Column], rows: &[Value], longest_name: usize) -> String {
    let mut table = comfy_table::Table::new();
    table.force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(columns.iter().map(|c| Cell::new(c.heading)));
    for row in rows {
        table.add_row(columns.iter().map(|column| {
            let text = cell(row, column);
            Cell::new(match column.show {
                Show::Name => shorten(&text, longest_name),
                _ => text,
            })
        }));
    }
    for (drawn, column) in table.column_iter_mut().zip(columns) {
        drawn.set_padding((0, 2));
        if column.show != Show::Name {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cell(row: &Value, column: &Column) -> String {
    match (row.pointer(column.key), column.show) {
        (None | Some(Value::Null), _) => "-".into(),
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), Show::Millis) => {
            value.as_f64().map_or("-".into(), |us| format!("{:.3}", us / 1000.0))
        }
        (Some(value), Show::Percent) => {
            value.as_f64().map_or("-".into(), |part| format!("{}%", percent(part)))
        }
        (Some(value), _) => value.to_string(),
    }
}

/// At most four decimals, none of them for nothing: `0`, `33.3333`.
pub fn percent(part: f64) -> String {
    let text = format!("{part:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn shorten(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let kept: String = text.chars().take(longest.saturating_sub(2)).collect();
    kept + ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        target: &'static str,
        sent: u64,
        odd: u64,
        loss_pct: f64,
        rtt_us: Option<f64>,
    }

    struct Rows(Vec<Row>);

    impl Report for Rows {
        type Row = Row;
        const COLUMNS: &'static [Column] = &[
            Column { key: "/target", heading: "target", show: Show::Name, rank: 0 },
            Column { key: "/sent", heading: "sent", show: Show::Count, rank: 2 },
            Column { key: "/odd", heading: "odd", show: Show::CountIfAny, rank: 1 },
            Column { key: "/loss_pct", heading: "loss", show: Show::Percent, rank: 0 },
            Column { key: "/rtt_us", heading: "p50 ms", show: Show::Millis, rank: 3 },
        ];
        fn rows(&self) -> &[Row] {
            &self.0
        }
    }

    fn rows(odd: u64) -> Rows {
        Rows(vec![
            Row { target: "10.0.0.2", sent: 5, odd, loss_pct: 0.0, rtt_us: Some(200.0) },
            Row { target: "2001:db8:7::7", sent: 3, odd: 0, loss_pct: 100.0 / 3.0, rtt_us: None },
        ])
    }

    #[test]
    fn a_table_aligns_numbers_and_leaves_out_what_is_all_zero() {
        let table = table(&rows(0), None);
        assert_eq!(
            table.text,
            "target         sent  loss      p50 ms\n\
             10.0.0.2          5        0%   0.200\n\
             2001:db8:7::7     3  33.3333%       -\n"
                .replace("loss      p50 ms", "    loss  p50 ms")
        );
        assert!(table.hidden.is_empty());
    }

    #[test]
    fn a_narrow_table_loses_columns_then_letters_and_never_wraps() {
        let hidden = |width| table(&rows(1), Some(width)).hidden;
        assert_eq!(hidden(80), Vec::<&str>::new());
        assert_eq!(hidden(38), ["p50 ms"]);
        assert_eq!(hidden(24), ["p50 ms", "sent", "odd"]);
        for width in 16..90 {
            let text = table(&rows(1), Some(width)).text;
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(widest(&text) <= width, "{width}:\n{text}");
        }
    }

    #[test]
    fn percentages_have_no_idle_digits() {
        assert_eq!(percent(0.0), "0");
        assert_eq!(percent(100.0), "100");
        assert_eq!(percent(30.25), "30.25");
        assert_eq!(percent(100.0 / 3.0), "33.3333");
    }
}
