//! A table out of a list of rows, which takes its cells out of the row's JSON by key: a column
//! cannot say something else than the key does.

use super::{Screen, bar};
use comfy_table::{Cell, CellAlignment, ContentArrangement};
use serde::Serialize;
use serde_json::Value;

/// Shortest bar in a table.
const SHORT_BAR: usize = 10;
/// Longest bar in a table, also where lines may have any length.
const LONG_BAR: usize = 20;

/// How a column shows its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// As it is, to the left; shortened when nothing else helps.
    Name,
    /// A whole number.
    Count,
    /// A whole number in at most five letters: `320`, `12.5k`, `1.25M`.
    Short,
    /// A percentage.
    Percent,
    /// µs, shown as ms.
    Millis,
    /// µs, shown as ms with three digits that count: `0.200`, `4.01`, `20.0`, `1235`.
    ShortMillis,
    /// With so many decimals, and this behind it.
    Fixed(usize, &'static str),
    /// The same with its sign.
    Signed(usize, &'static str),
    /// Yes and no as on and off.
    OnOff,
    /// Yes as this mark, no as nothing.
    Mark(&'static str),
    /// A bar, as long as the room when it is the largest of its column.
    Bar,
}

/// Whether a column is worth its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Unless all its values are 0, no, or none.
    Any,
    /// Unless all its values are the same.
    Varied,
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
    /// When to show it.
    pub when: When,
    /// Narrow tables lose the columns with the highest numbers first; 0 always stays.
    pub rank: u8,
}

/// A column, with its fields in this order.
pub const fn column(
    key: &'static str,
    heading: &'static str,
    show: Show,
    when: When,
    rank: u8,
) -> Column {
    Column { key, heading, show, when, rank }
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

/// A table and what it had no room for.
#[derive(Debug, Default)]
pub struct Table {
    /// Its lines, each ended by a newline.
    pub text: String,
    /// Headings of the columns left out for want of room.
    pub hidden: Vec<&'static str>,
}

impl When {
    fn holds(self, column: &Column, rows: &[Value]) -> bool {
        let mut values = rows.iter().map(|row| row.pointer(column.key));
        match self {
            When::Always => true,
            When::Any => values.flatten().any(|value| match value {
                Value::Null => false,
                Value::Bool(yes) => *yes,
                Value::Number(number) => number.as_f64() != Some(0.0),
                _ => true,
            }),
            When::Varied => {
                let first = values.next();
                values.any(|value| Some(value) != first)
            }
        }
    }
}

/// The table, at most as wide as the screen.
pub fn table<R: Report>(report: &R, screen: &Screen) -> Table {
    let rows: Vec<Value> =
        report.rows().iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect();
    let mut columns: Vec<&Column> =
        R::COLUMNS.iter().filter(|column| column.when.holds(column, &rows)).collect();
    let mut hidden = Vec::new();
    let limit = screen.width.unwrap_or(usize::MAX);
    let draw = |columns: &[&Column], longest_name, bar| {
        draw(columns, &rows, &Room { longest_name, bar, unicode: screen.unicode })
    };
    loop {
        let text = draw(&columns, usize::MAX, SHORT_BAR);
        let excess = widest(&text).saturating_sub(limit);
        let last = columns.iter().map(|c| c.rank).max().unwrap_or(0);
        if excess == 0 {
            let spare = limit.saturating_sub(widest(&text)).min(LONG_BAR - SHORT_BAR);
            let bars = columns.iter().any(|c| c.show == Show::Bar);
            let text = if bars { draw(&columns, usize::MAX, SHORT_BAR + spare) } else { text };
            return Table { text, hidden };
        }
        if last == 0 {
            let name = columns.iter().find(|c| c.show == Show::Name);
            let longest = name.map_or(0, |name| {
                rows.iter().map(|row| cell(row, name).chars().count()).max().unwrap_or(0)
            });
            let text = draw(&columns, longest.saturating_sub(excess).max(4), SHORT_BAR);
            return Table { text, hidden };
        }
        let gone = columns.extract_if(.., |c| c.rank == last).map(|c| c.heading);
        hidden.extend(gone.filter(|heading| !heading.is_empty())); // a bar has none
    }
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// What cells have to keep to.
struct Room {
    longest_name: usize,
    bar: usize,
    unicode: bool,
}

fn draw(columns: &[&Column], rows: &[Value], room: &Room) -> String {
    let screen = Screen { unicode: room.unicode, ..Screen::default() };
    let mut table = comfy_table::Table::new();
    table.force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(columns.iter().map(|c| Cell::new(screen.fit(c.heading))));
    let number = |row: &Value, column: &Column| row.pointer(column.key).and_then(Value::as_f64);
    let most =
        |column: &Column| rows.iter().filter_map(|row| number(row, column)).fold(0.0, f64::max);
    let most: Vec<f64> = columns.iter().map(|column| most(column)).collect();
    for row in rows {
        table.add_row(columns.iter().zip(&most).map(|(column, &most)| {
            Cell::new(match column.show {
                Show::Name => shorten(&cell(row, column), room.longest_name),
                Show::Bar => bar(number(row, column).unwrap_or(0.0), most, room.bar, room.unicode),
                _ => cell(row, column),
            })
        }));
    }
    for (drawn, column) in table.column_iter_mut().zip(columns) {
        drawn.set_padding((0, 2));
        if !matches!(column.show, Show::Name | Show::Bar | Show::Mark(_)) {
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
        (Some(Value::Bool(yes)), Show::Mark(mark)) => if *yes { mark } else { "" }.into(),
        (Some(Value::Bool(yes)), Show::OnOff) => if *yes { "on" } else { "off" }.into(),
        (Some(value), show) => match (value.as_f64(), show) {
            (Some(us), Show::Millis) => format!("{:.3}", us / 1000.0),
            (Some(us), Show::ShortMillis) => short_millis(us),
            (Some(count), Show::Short) => short(count),
            (Some(part), Show::Percent) => format!("{}%", percent(part)),
            (Some(number), Show::Fixed(decimals, unit)) => format!("{number:.decimals$}{unit}"),
            (Some(number), Show::Signed(decimals, unit)) => format!("{number:+.decimals$}{unit}"),
            _ => value.to_string(),
        },
    }
}

/// At most four decimals, none of them for nothing: `0`, `33.3333`.
pub fn percent(part: f64) -> String {
    let text = format!("{part:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Three digits that count, with their power of a thousand.
pub fn short(count: f64) -> String {
    const POWERS: [&str; 5] = ["", "k", "M", "G", "T"];
    // 999.5 and more would be rounded to four digits.
    let mut power = 0;
    let mut value = count;
    while value >= 999.5 && power + 1 < POWERS.len() {
        value /= 1000.0;
        power += 1;
    }
    let decimals = match value {
        _ if power == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{}", POWERS[power])
}

/// µs as ms with three digits that count, but never more than three decimals.
pub fn short_millis(us: f64) -> String {
    let ms = us / 1000.0;
    let decimals = match ms {
        ms if ms >= 99.95 => 0,
        ms if ms >= 9.995 => 1,
        ms if ms >= 0.9995 => 2,
        _ => 3,
    };
    format!("{ms:.decimals$}")
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
            column("/target", "target", Show::Name, When::Always, 0),
            column("/sent", "sent", Show::Count, When::Always, 2),
            column("/odd", "odd", Show::Count, When::Any, 1),
            column("/loss_pct", "loss", Show::Percent, When::Always, 0),
            column("/rtt_us", "p50 ms", Show::Millis, When::Always, 3),
        ];
        fn rows(&self) -> &[Row] {
            &self.0
        }
    }

    fn screen(width: Option<usize>) -> Screen {
        Screen { width, ..Screen::default() }
    }

    fn rows(odd: u64) -> Rows {
        Rows(vec![
            Row { target: "10.0.0.2", sent: 5, odd, loss_pct: 0.0, rtt_us: Some(200.0) },
            Row { target: "2001:db8:7::7", sent: 3, odd: 0, loss_pct: 100.0 / 3.0, rtt_us: None },
        ])
    }

    #[test]
    fn a_table_aligns_numbers_and_leaves_out_what_is_all_zero() {
        let table = table(&rows(0), &screen(None));
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
        let hidden = |width| table(&rows(1), &screen(Some(width))).hidden;
        assert_eq!(hidden(80), Vec::<&str>::new());
        assert_eq!(hidden(38), ["p50 ms"]);
        assert_eq!(hidden(24), ["p50 ms", "sent", "odd"]);
        for width in 16..90 {
            let text = table(&rows(1), &screen(Some(width))).text;
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(widest(&text) <= width, "{width}:\n{text}");
        }
    }

    #[test]
    fn large_counts_are_short() {
        let table = [
            (0.0, "0"),
            (320.0, "320"),
            (999.0, "999"),
            (1000.0, "1.00k"),
            (12_500.0, "12.5k"),
            (999_600.0, "1.00M"),
            (123_456_789.0, "123M"),
        ];
        for (count, want) in table {
            assert_eq!(short(count), want);
        }
    }

    #[test]
    fn short_times_have_three_digits_that_count() {
        let table = [
            (0.0, "0.000"),
            (12.0, "0.012"),
            (999.4, "0.999"),
            (999.6, "1.00"),
            (4012.0, "4.01"),
            (20_000.0, "20.0"),
            (99_960.0, "100"),
            (1_234_567.0, "1235"),
        ];
        for (us, want) in table {
            assert_eq!(short_millis(us), want);
        }
    }

    #[test]
    fn percentages_have_no_idle_digits() {
        assert_eq!(percent(0.0), "0");
        assert_eq!(percent(100.0), "100");
        assert_eq!(percent(30.25), "30.25");
        assert_eq!(percent(100.0 / 3.0), "33.3333");
    }

    #[derive(Serialize)]
    struct Measured {
        mpps: f64,
        change_pct: f64,
        noisy: bool,
        prefetch: bool,
        frame: u32,
    }

    struct Bars(Vec<Measured>);

    impl Report for Bars {
        type Row = Measured;
        const COLUMNS: &'static [Column] = &[
            column("/frame", "frame", Show::Count, When::Varied, 0),
            column("/prefetch", "prefetch", Show::OnOff, When::Varied, 0),
            column("/mpps", "Mpps", Show::Fixed(3, ""), When::Always, 0),
            column("/mpps", "", Show::Bar, When::Always, 1),
            column("/change_pct", "µs", Show::Signed(1, "%"), When::Always, 0),
            column("/noisy", "", Show::Mark("~"), When::Any, 0),
        ];
        fn rows(&self) -> &[Measured] {
            &self.0
        }
    }

    fn bars(frame: u32, noisy: bool) -> Bars {
        Bars(vec![
            Measured { mpps: 5.0, change_pct: 0.0, noisy: false, prefetch: true, frame: 64 },
            Measured { mpps: 2.5, change_pct: -3.26, noisy, prefetch: true, frame },
        ])
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        assert_eq!(
            table(&bars(64, false), &screen(Some(30))).text,
            "\u{20}Mpps                       us\n\
             5.000  ################  +0.0%\n\
             2.500  ########          -3.3%\n"
        );
        let all = table(&bars(512, true), &screen(None)).text;
        assert!(all.starts_with("frame   Mpps") && all.ends_with("-3.3%  ~\n"), "{all}");
    }

    #[test]
    fn bars_take_the_room_that_is_left() {
        let longest = |width| {
            let text = table(&bars(64, false), &screen(width)).text;
            text.lines().nth(1).map(|line| line.matches('#').count())
        };
        assert_eq!(longest(None), Some(LONG_BAR));
        assert_eq!(longest(Some(200)), Some(LONG_BAR));
        assert_eq!(longest(Some(27)), Some(13));
        assert_eq!(longest(Some(20)), Some(0));
        let hidden = table(&bars(64, false), &screen(Some(20))).hidden;
        assert!(hidden.is_empty(), "a bar without a heading is not told of: {hidden:?}");
    }
}
