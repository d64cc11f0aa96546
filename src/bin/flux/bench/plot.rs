//! The chart: one panel per workload, bars by batch size and poll mode.

use super::text;
use fluxnet::tools::bench::{Names, Poll, Report, SettingKey, SettingReport, Workload};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What all panels show.
const TITLE: &str = "flux bench: each workload by batch size and poll mode";
/// Size of a panel in pixels.
const PANEL: (u32, u32) = (400, 290);
/// Narrowest chart: room for title and legend.
const NARROWEST: u32 = 820;
/// Height of title and legend.
const HEAD: u32 = 84;
/// Height of one line below the title.
const LINE: u32 = 17;
/// Letters of a line that the narrowest chart has room for.
const LETTERS: usize = 110;
/// Share of a group of bars that stays empty.
const GAP: f64 = 0.24;
/// Room above the longest whisker.
const HEADROOM: f64 = 1.12;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const PALE_INK: RGBColor = RGBColor(0x5f, 0x5f, 0x5f);
const AXIS: RGBColor = RGBColor(0x9a, 0x9a, 0x9a);
const GRID: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane<'a> = Cartesian2d<RangedCoordf64, RangedCoordf64>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Colours that stay apart for colour-blind readers and in grey (Okabe and Ito).
fn colour(poll: Poll) -> RGBColor {
    match poll {
        Poll::Busy => RGBColor(0x00, 0x72, 0xb2),
        Poll::Adaptive => RGBColor(0xe6, 0x9f, 0x00),
        Poll::Syscall => RGBColor(0x00, 0x9e, 0x73),
    }
}

/// The chart of `report` as SVG.
pub fn svg(report: &Report) -> Result<String, String> {
    let mut svg = String::new();
    draw(report, &mut svg).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn draw<'a>(report: &Report, svg: &'a mut String) -> Drawn<'a> {
    let panels = panels(&report.results);
    let columns = match panels.len() {
        0 | 1 => 1,
        2..=4 => 2,
        _ => 3,
    };
    let rows = panels.len().div_ceil(columns);
    let lines = lines(report);
    let head = HEAD + LINE * u32::try_from(lines.len()).unwrap_or(0);
    let across = u32::try_from(columns).unwrap_or(1) * PANEL.0;
    let down = u32::try_from(rows).unwrap_or(1) * PANEL.1;
    let width = across.max(NARROWEST);
    let root = SVGBackend::with_string(svg, (width, head + down + 10)).into_drawing_area();
    root.fill(&WHITE)?;
    title(&root, &lines, &polls(report.results.iter()))?;
    let (_, grid) = root.margin(0, 10, 8, 8).split_vertically(head);
    for (panel, area) in panels.iter().zip(grid.split_evenly((rows, columns))) {
        panel.draw(&root, &area)?;
    }
    root.present()
}

/// What stands below the title.
fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![text::machine(report), text::place(report)];
    let early = (!report.complete).then(|| "ended early: some settings have fewer samples".into());
    for line in report.remark.iter().cloned().chain(early) {
        lines.extend(crate::output::wrap(&line, Some(LETTERS), 0).lines().map(str::to_owned));
    }
    lines
}

fn font(size: u32, ink: RGBColor, anchor: HPos) -> TextStyle<'static> {
    let style = ("Helvetica, Arial, sans-serif", size).into_font().color(&ink);
    style.pos(Pos::new(anchor, VPos::Center))
}

fn bold(size: u32) -> TextStyle<'static> {
    let font = FontDesc::new(
        FontFamily::Name("Helvetica, Arial, sans-serif"),
        f64::from(size),
        FontStyle::Bold,
    );
    font.color(&INK).pos(Pos::new(HPos::Left, VPos::Center))
}

fn title<'a>(root: &Area<'a>, lines: &[String], polls: &[Poll]) -> Drawn<'a> {
    let left = 20;
    root.draw(&Text::new(TITLE, (left, 26), bold(26)))?;
    let mut y = 50;
    for line in lines {
        root.draw(&Text::new(line.as_str(), (left, y), font(15, PALE_INK, HPos::Left)))?;
        y += LINE as i32;
    }
    y += 8;
    let mut x = left;
    for &poll in polls {
        let swatch = Rectangle::new([(x, y - 6), (x + 12, y + 6)], colour(poll).filled());
        root.draw(&swatch)?;
        root.draw(&Text::new(poll.to_string(), (x + 18, y), font(15, INK, HPos::Left)))?;
        x += 40 + 8 * poll.to_string().len() as i32;
    }
    let key = "bar: median, whisker: least to most of the samples, ~: noisy (IQR over 5 %)";
    root.draw(&Text::new(key, (x, y), font(15, PALE_INK, HPos::Left)))
}

fn polls<'a>(settings: impl Iterator<Item = &'a SettingReport>) -> Vec<Poll> {
    let mut polls: Vec<Poll> = settings.map(|setting| setting.poll).collect();
    polls.sort_unstable();
    polls.dedup();
    polls
}

/// The settings of one workload that differ in batch and poll mode alone.
struct Panel<'a> {
    name: String,
    workload: Workload,
    settings: Vec<&'a SettingReport>,
}

/// One bar.
struct Bar {
    value: f64,
    whisker: (f64, f64),
}

impl Bar {
    fn of(setting: &SettingReport) -> Option<Self> {
        if setting.workload != Workload::Latency {
            let mpps = &setting.mpps;
            return Some(Self { value: mpps.median, whisker: (mpps.min, mpps.max) });
        }
        let p50 = setting.latency_us?.p50;
        let spread = setting.latency_p50_us.as_ref();
        let whisker = spread.map_or((p50, p50), |spread| (spread.min, spread.max));
        Some(Self { value: p50, whisker })
    }
}

fn panels(results: &[SettingReport]) -> Vec<Panel<'_>> {
    let names = Names::of(results);
    let same = |a: &SettingReport, b: &SettingReport| {
        let rest =
            |setting: &SettingReport| SettingKey { batch: 0, poll: Poll::Busy, ..setting.key() };
        rest(a) == rest(b)
    };
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for setting in results {
        match panels
            .iter_mut()
            .find(|panel| panel.settings.iter().any(|first| same(first, setting)))
        {
            Some(panel) => panel.settings.push(setting),
            None => panels.push(Panel {
                name: names.besides(&setting.key()),
                workload: setting.workload,
                settings: vec![setting],
            }),
        }
    }
    panels
}

impl Panel<'_> {
    fn unit(&self) -> &'static str {
        match self.workload {
            Workload::Latency => "median latency in µs, less is better",
            _ => "Mpps, more is better",
        }
    }

    /// Draws itself into `area`; `root` takes what the axes of plotters have no words for.
    fn draw<'a>(&self, root: &Area<'a>, area: &Area<'a>) -> Drawn<'a> {
        let mut batches: Vec<u32> = self.settings.iter().map(|setting| setting.batch).collect();
        batches.sort_unstable();
        batches.dedup();
        let bars = self.settings.iter().filter_map(|setting| Bar::of(setting));
        let top = bars.map(|bar| bar.whisker.1.max(bar.value)).fold(0.0, f64::max);
        let top = if top > 0.0 { top * HEADROOM } else { 1.0 };
        let mut chart = ChartBuilder::on(area)
            .margin_top(48)
            .margin_right(14)
            .x_label_area_size(46)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..batches.len() as f64, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(AXIS)
            .x_labels(0)
            .y_labels(6)
            .y_label_style(font(14, INK, HPos::Right))
            .y_label_formatter(&|value| tick(*value, top))
            .draw()?;
        self.words(root, area, chart.as_coord_spec(), &batches)?;
        let polls = polls(self.settings.iter().copied());
        let step = (1.0 - GAP) / polls.len().max(1) as f64;
        for setting in &self.settings {
            let group =
                batches.iter().position(|batch| *batch == setting.batch).unwrap_or(0) as f64;
            let place = polls.iter().position(|poll| *poll == setting.poll).unwrap_or(0) as f64;
            let left = group + GAP / 2.0 + place * step;
            let Some(bar) = Bar::of(setting) else { continue };
            let inner = (left + step * 0.04, left + step * 0.96);
            let shape = [(inner.0, 0.0), (inner.1, bar.value)];
            let plane = chart.plotting_area();
            plane.draw(&Rectangle::new(shape, colour(setting.poll).filled()))?;
            let centre = left + step / 2.0;
            for line in whisker(centre, step * 0.16, bar.whisker) {
                plane.draw(&PathElement::new(line, INK.stroke_width(1)))?;
            }
            if setting.noisy {
                let (x, y) = plane.map_coordinate(&(centre, bar.whisker.1.max(bar.value)));
                root.draw(&Text::new("~", (x, y - 7), font(17, INK, HPos::Center)))?;
            }
        }
        Ok(())
    }

    /// Panel title, unit, and the names of the groups.
    fn words<'a>(
        &self,
        root: &Area<'a>,
        area: &Area<'a>,
        plane: &Plane<'_>,
        batches: &[u32],
    ) -> Drawn<'a> {
        let (left, top) = area.get_base_pixel();
        let name = self.workload.to_string();
        root.draw(&Text::new(name, (left + 12, top + 14), bold(18)))?;
        let unit = match self.name.as_str() {
            "" => self.unit().to_owned(),
            name => format!("{}; {name}", self.unit()),
        };
        root.draw(&Text::new(unit, (left + 12, top + 33), font(14, PALE_INK, HPos::Left)))?;
        let label = |at: f64| plane.translate(&(at, 0.0));
        for (at, batch) in batches.iter().enumerate() {
            let (x, y) = label(at as f64 + 0.5);
            root.draw(&Text::new(batch.to_string(), (x, y + 13), font(14, INK, HPos::Center)))?;
        }
        let (x, y) = label(batches.len() as f64 / 2.0);
        let axis = Text::new("packets per batch", (x, y + 31), font(14, PALE_INK, HPos::Center));
        root.draw(&axis)
    }
}

/// A line from least to most with a cap at each end; nothing where they are the same.
fn whisker(x: f64, half: f64, (least, most): (f64, f64)) -> Vec<Vec<(f64, f64)>> {
    if least >= most {
        return Vec::new();
    }
    vec![
        vec![(x, least), (x, most)],
        vec![(x - half, least), (x + half, least)],
        vec![(x - half, most), (x + half, most)],
    ]
}

/// A tick's label with the decimals that an axis up to `top` needs.
fn tick(value: f64, top: f64) -> String {
    let decimals = if top >= 10.0 {
        0
    } else if top >= 1.0 {
        1
    } else if top >= 0.1 {
        2
    } else {
        3
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// The chart, checked to be one piece.
    fn chart(report: &Report) -> String {
        let text = svg(report).unwrap();
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        text
    }

    #[test]
    fn every_setting_is_a_bar_in_the_panel_of_its_workload() {
        let text = chart(&fixture::report());
        for word in
            ["rxdrop", "txonly", "l2fwd", "forward", "latency", "parse", "packets per batch"]
        {
            assert!(text.contains(word), "no {word}");
        }
        assert!(text.contains("Example CPU @ 2.60GHz, 2 online, kernel 6.18.0"), "{text}");
        assert!(text.contains("Mpps, more is better") && text.contains("median latency in µs"));
        // Three batches in six panels, and the legend.
        for poll in ["#0072B2", "#E69F00", "#009E73"] {
            assert_eq!(text.matches(&format!("fill=\"{poll}\"")).count(), 19, "{poll}");
        }
        // One noisy setting a panel.
        assert_eq!(text.lines().filter(|line| *line == "~").count(), 6);
        assert_eq!(text, chart(&fixture::report()));
    }

    #[test]
    fn what_else_was_varied_gets_panels_of_its_own() {
        let mut report = fixture::report();
        report.results.retain(|setting| setting.workload == Workload::Rxdrop);
        let mut long = report.results.clone();
        long.iter_mut().for_each(|setting| setting.packet_size = 1514);
        report.results.extend(long);
        let text = chart(&report);
        assert!(text.contains("; 60 bytes") && text.contains("; 1514 bytes"), "{text}");
        assert_eq!(panels(&report.results).len(), 2);
    }

    #[test]
    fn odd_reports_are_drawn_too() {
        let mut report = fixture::report();
        report.machine.cpu = Some("A & B <c>".into());
        report.remark = Some("simulated rings: ".repeat(20));
        report.complete = false;
        report.results.truncate(1);
        report.results[0].mpps.median = 0.0;
        report.results[0].mpps.max = 0.0;
        let text = chart(&report);
        assert!(text.contains("A &amp; B &lt;c&gt;") && text.contains("ended early"), "{text}");
        report.results.clear();
        chart(&report);
    }

    #[test]
    fn ticks_have_the_decimals_they_need() {
        assert_eq!(tick(15.0, 18.0), "15");
        assert_eq!(tick(1.5, 2.5), "1.5");
        assert_eq!(tick(0.25, 0.9), "0.25");
        assert_eq!(tick(0.005, 0.02), "0.005");
    }
}
