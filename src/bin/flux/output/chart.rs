//! A histogram as horizontal bars.

use super::Screen;
use fluxnet::tools::measure::HistogramRow;
use std::fmt::Write;

/// Width where nothing tells it.
const DEFAULT_WIDTH: usize = 80;
/// Narrowest bar worth drawing.
const SHORTEST: usize = 8;

/// One line per row: range, count, bar. The longest bar fills the width.
pub fn chart(rows: &[HistogramRow], screen: &Screen) -> String {
    let most = rows.iter().map(|row| row.count).max().unwrap_or(0);
    let scale = Scale::of(rows, screen);
    let ranges: Vec<String> = rows.iter().map(|row| scale.range(row)).collect();
    let range_width = ranges.iter().map(|r| r.chars().count()).max().unwrap_or(0);
    let count_width = most.to_string().len();
    let room = screen.width.unwrap_or(DEFAULT_WIDTH);
    let room = room.saturating_sub(range_width + count_width + 4).max(SHORTEST);
    let mut text = String::new();
    for (row, range) in rows.iter().zip(&ranges) {
        let bar = bar(row.count as f64, most as f64, room, screen.unicode);
        let pad = range_width - range.chars().count();
        let line = format!(
            "{:pad$}{range}  {:>count_width$}  {}",
            "",
            row.count,
            screen.style.strong(&bar)
        );
        // A String takes every write.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A bar for `value`, where `most` fills the room. A value above zero always shows, however small
/// beside the largest.
pub fn bar(value: f64, most: f64, room: usize, unicode: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let (full, steps) = if unicode { ("█", 8) } else { ("#", 1) };
    let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    let share = ((share * (room * steps) as f64) as usize).max(usize::from(value > 0.0));
    let (whole, rest) = (share / steps, share % steps);
    full.repeat(whole) + EIGHTHS.get(rest).copied().unwrap_or("")
}

/// One unit for all bounds, with as many decimals as it takes to tell them apart.
struct Scale {
    unit: &'static str,
    per_unit: f64,
    decimals: usize,
    dash: &'static str,
}

impl Scale {
    fn of(rows: &[HistogramRow], screen: &Screen) -> Self {
        let largest = rows.iter().map(|row| row.to_us).fold(0.0, f64::max);
        let (unit, per_unit) = match (largest >= 1000.0, screen.unicode) {
            (true, _) => ("ms", 1000.0),
            (false, true) => ("µs", 1.0),
            (false, false) => ("us", 1.0),
        };
        let tells_apart = |&decimals: &usize| {
            rows.iter().filter(|row| row.from_us != row.to_us).all(|row| {
                format!("{:.decimals$}", row.from_us / per_unit)
                    != format!("{:.decimals$}", row.to_us / per_unit)
            })
        };
        let decimals = (0..6).find(tells_apart).unwrap_or(6);
        Self { unit, per_unit, decimals, dash: if screen.unicode { "–" } else { "-" } }
    }

    fn range(&self, row: &HistogramRow) -> String {
        let Self { unit, per_unit, decimals, dash } = self;
        let (from, to) = (row.from_us / per_unit, row.to_us / per_unit);
        if from == to {
            // All round trips took the same time.
            return format!("{from:.decimals$} {unit}");
        }
        format!("{from:.decimals$} {dash} {to:.decimals$} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(from_us: f64, to_us: f64, count: u64) -> HistogramRow {
        HistogramRow { from_us, to_us, count }
    }

    #[test]
    fn bars_fill_the_width_and_small_counts_still_show() {
        let rows = [row(90.0, 100.0, 1), row(100.0, 110.0, 1000), row(110.0, 120.0, 0)];
        let screen = Screen { width: Some(40), ..Screen::default() };
        assert_eq!(
            chart(&rows, &screen),
            " 90 - 100 us     1  #\n\
             100 - 110 us  1000  ####################\n\
             110 - 120 us     0\n"
        );
        let wide = Screen { width: Some(40), unicode: true, ..Screen::default() };
        assert_eq!(chart(&rows, &wide).lines().next(), Some(" 90 – 100 µs     1  ▏"));
        assert!(chart(&rows, &wide).lines().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn bounds_close_together_get_the_decimals_they_need() {
        let rows = [row(20_000.0, 20_010.0, 3), row(20_010.0, 20_020.0, 4)];
        let text = chart(&rows, &Screen::default());
        assert!(text.starts_with("20.00 - 20.01 ms  3  "), "{text}");
    }

    #[test]
    fn a_single_value_is_no_range() {
        let screen = Screen { width: Some(24), ..Screen::default() };
        assert_eq!(chart(&[row(200.0, 200.0, 5)], &screen), "200 us  5  #############\n");
    }

    #[test]
    fn odd_rows_do_no_harm() {
        assert_eq!(chart(&[], &Screen::default()), "");
        let same = [row(5.0, 5.0, u64::MAX), row(f64::NAN, f64::INFINITY, 0)];
        let narrow = Screen { width: Some(1), ..Screen::default() };
        assert_eq!(chart(&same, &narrow).lines().count(), 2);
    }
}
