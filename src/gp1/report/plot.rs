//! Plots as SVG inside a page: axes with round ticks, marks whose shape says what their colour says.
//!
//! Colours come from the page's style sheet: class `series-N` for the N-th series.

use super::words::{escaped, number};
use std::fmt::Write;

/// Series that are told apart; others take these again.
pub const SERIES: usize = 6;
/// About as many labelled ticks are aimed at.
const WANTED_TICKS: f64 = 6.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    Linear,
    /// Of positive values.
    Logarithmic,
}

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    label: String,
    low: f64,
    high: f64,
    spacing: Spacing,
    /// Large values at the bottom: magnitudes.
    is_inverted: bool,
}

impl Axis {
    /// An axis that holds all finite values with some room. `None` for no value.
    pub fn holding(
        label: &str,
        spacing: Spacing,
        values: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        let usable = values
            .into_iter()
            .filter(|value| value.is_finite() && (spacing == Spacing::Linear || *value > 0.0));
        let (low, high) = usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return None;
        }
        let (low, high) = match spacing {
            Spacing::Linear => {
                let room = (0.06 * (high - low)).max(1e-3 * high.abs()).max(0.05);
                (low - room, high + room)
            }
            Spacing::Logarithmic => (low / 1.25, high * 1.25),
        };
        Some(Self { label: label.to_owned(), low, high, spacing, is_inverted: false })
    }

    /// The same with large values at the bottom, or at the left.
    pub fn inverted(self) -> Self {
        Self { is_inverted: true, ..self }
    }

    /// 0 at one end, 1 at the other; `None` outside, or for what is no number.
    fn share(&self, value: f64) -> Option<f64> {
        let share = match self.spacing {
            Spacing::Linear => (value - self.low) / (self.high - self.low),
            Spacing::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        let share = if self.is_inverted { 1.0 - share } else { share };
        (-1e-9..=1.0 + 1e-9).contains(&share).then_some(share)
    }

    /// The nearest value that is on the axis.
    pub fn clamped(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }

    /// Values with their labels.
    fn ticks(&self) -> Vec<(f64, String)> {
        match self.spacing {
            Spacing::Linear => linear_ticks(self.low, self.high),
            Spacing::Logarithmic => {
                let ticks = logarithmic_ticks(self.low, self.high);
                // Less than two of 1, 2, 5 are no axis.
                if ticks.len() < 2 { linear_ticks(self.low, self.high) } else { ticks }
            }
        }
    }
}

fn linear_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let raw = (high - low) / WANTED_TICKS;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= raw)
        .unwrap_or(raw);
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    let first = (low / step).ceil() as i64;
    (0..20)
        .map(|index| (first + index) as f64 * step)
        .take_while(|value| *value <= high)
        .map(|value| (value, number(value, decimals)))
        .collect()
}

fn logarithmic_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let decades = high.log10() - low.log10();
    let factors: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    (first..=last)
        .flat_map(|power| factors.iter().map(move |factor| (factor * 10f64.powi(power), power)))
        .filter(|(value, _)| (low..=high).contains(value))
        .map(|(value, power)| (value, number(value, (-power).max(0) as usize)))
        .collect()
}

/// A plot in the making.
#[derive(Debug, Clone)]
pub struct Plot {
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
    body: String,
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The shape of the series.
    Point,
    /// The same, not filled: a combined image.
    Hollow,
    /// Not brighter than this: a triangle that points to fainter magnitudes.
    Limit,
}

impl Plot {
    pub fn new((width, height): (f64, f64), x: Axis, y: Axis) -> Self {
        Self { width, height, x, y, body: String::new() }
    }

    /// Where a value is drawn; `None` outside of the axes.
    pub fn place(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((self.across(x)?, self.down(y)?))
    }

    fn across(&self, x: f64) -> Option<f64> {
        Some(LEFT + self.x.share(x)? * (self.width - LEFT - RIGHT))
    }

    fn down(&self, y: f64) -> Option<f64> {
        Some(self.height - BOTTOM - self.y.share(y)? * (self.height - TOP - BOTTOM))
    }

    /// A mark with a title that shows under the pointer. Outside of the axes nothing is drawn.
    pub fn mark(&mut self, (x, y): (f64, f64), series: usize, mark: Mark, title: &str) {
        let Some((x, y)) = self.place(x, y) else { return };
        let series = series % SERIES;
        let fill = if mark == Mark::Point { "" } else { " hollow" };
        let shape = match mark {
            Mark::Limit => polygon(x, y, &[(-4.5, -3.5), (4.5, -3.5), (0.0, 5.0)]),
            Mark::Point | Mark::Hollow => shape_of(series, x, y),
        };
        let title = match title {
            "" => String::new(),
            title => format!("<title>{}</title>", escaped(title)),
        };
        let _ = write!(self.body, "<g class=\"series-{series}{fill}\">{title}{shape}</g>");
    }

    /// Lines from `low` to `high` through a place: of an error in y, or of an exposure in x. What leaves the axes is cut there.
    pub fn bars(
        &mut self,
        (x, y): (f64, f64),
        (left, right): (f64, f64),
        (low, high): (f64, f64),
        series: usize,
    ) {
        let (Some(x), Some(y)) = (self.across(x), self.down(y)) else { return };
        let ends = [left, right].map(|value| self.across(self.x.clamped(value)).unwrap_or(x));
        let tips = [low, high].map(|value| self.down(self.y.clamped(value)).unwrap_or(y));
        let _ = write!(
            self.body,
            "<path class=\"bar series-{}\" d=\"M{:.1} {y:.1}H{:.1}M{x:.1} {:.1}V{:.1}\"/>",
            series % SERIES,
            ends[0],
            ends[1],
            tips[0],
            tips[1]
        );
    }

    /// A line through places; those outside of the axes break it.
    pub fn line(&mut self, places: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let mut path = String::new();
        let mut is_broken = true;
        for (x, y) in places {
            match self.place(x, y) {
                Some((x, y)) => {
                    let _ = write!(path, "{}{x:.1} {y:.1}", if is_broken { 'M' } else { 'L' });
                    is_broken = false;
                }
                None => is_broken = true,
            }
        }
        let _ = write!(self.body, "<path class=\"{}\" d=\"{path}\"/>", escaped(class));
    }

    /// Many dots without titles, one path for all of them.
    pub fn dots(&mut self, places: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let mut path = String::new();
        for (x, y) in places {
            if let Some((x, y)) = self.place(x, y) {
                let _ = write!(path, "M{x:.1} {y:.1}h0");
            }
        }
        let _ = write!(self.body, "<path class=\"{}\" d=\"{path}\"/>", escaped(class));
    }

    /// A word beside a place.
    pub fn label(&mut self, (x, y): (f64, f64), text: &str) {
        if let Some((x, y)) = self.place(x, y) {
            let (anchor, x) =
                if x > self.width - 120.0 { ("end", x - 8.0) } else { ("start", x + 8.0) };
            let text = escaped(text);
            let y = y - 6.0;
            let _ = write!(
                self.body,
                "<text class=\"tag\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
            );
        }
    }

    /// The whole drawing; `description` is what a person hears who does not see it.
    pub fn finish(self, description: &str) -> String {
        let (width, height) = (self.width, self.height);
        let (right, floor) = (width - RIGHT, height - BOTTOM);
        let mut svg = format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\"><g class=\"grid\">",
            escaped(description)
        );
        let mut labels = String::new();
        for (value, label) in self.x.ticks() {
            if let Some(x) = self.across(value) {
                let _ = write!(svg, "<path d=\"M{x:.1} {TOP}V{floor}\"/>");
                let _ = write!(
                    labels,
                    "<text text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                    floor + 15.0
                );
            }
        }
        for (value, label) in self.y.ticks() {
            if let Some(y) = self.down(value) {
                let _ = write!(svg, "<path d=\"M{LEFT} {y:.1}H{right}\"/>");
                let _ = write!(
                    labels,
                    "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                    LEFT - 6.0,
                    y + 4.0
                );
            }
        }
        let (middle_x, middle_y) = ((LEFT + right) / 2.0, (TOP + floor) / 2.0);
        let _ = write!(
            svg,
            "</g><path class=\"frame\" d=\"M{LEFT} {TOP}V{floor}H{right}V{TOP}z\"/>{labels}\
             <text class=\"axis\" text-anchor=\"middle\" x=\"{middle_x:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"axis\" text-anchor=\"middle\" transform=\"translate(14 {middle_y:.1}) rotate(-90)\">{}</text>{}</svg>",
            height - 8.0,
            escaped(&self.x.label),
            escaped(&self.y.label),
            self.body
        );
        svg
    }
}

fn polygon(x: f64, y: f64, corners: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (right, down)) in corners.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{:.1} {:.1}", x + right, y + down);
    }
    format!("<path d=\"{path}z\"/>")
}

/// Circle, square, diamond, triangle, upright cross, pentagon.
fn shape_of(series: usize, x: f64, y: f64) -> String {
    match series % SERIES {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\"/>"),
        1 => polygon(x, y, &[(-3.4, -3.4), (3.4, -3.4), (3.4, 3.4), (-3.4, 3.4)]),
        2 => polygon(x, y, &[(0.0, -4.8), (4.8, 0.0), (0.0, 4.8), (-4.8, 0.0)]),
        3 => polygon(x, y, &[(0.0, -4.6), (4.4, 3.4), (-4.4, 3.4)]),
        4 => polygon(
            x,
            y,
            &[
                (-1.6, -4.6),
                (1.6, -4.6),
                (1.6, -1.6),
                (4.6, -1.6),
                (4.6, 1.6),
                (1.6, 1.6),
                (1.6, 4.6),
                (-1.6, 4.6),
                (-1.6, 1.6),
                (-4.6, 1.6),
                (-4.6, -1.6),
                (-1.6, -1.6),
            ],
        ),
        _ => polygon(x, y, &[(0.0, -4.6), (4.4, -1.4), (2.7, 3.7), (-2.7, 3.7), (-4.4, -1.4)]),
    }
}

/// A mark by itself, for legends.
pub fn legend_mark(series: usize, mark: Mark) -> String {
    let series = series % SERIES;
    let fill = if mark == Mark::Point { "" } else { " hollow" };
    let shape = match mark {
        Mark::Limit => polygon(8.0, 7.0, &[(-4.5, -3.5), (4.5, -3.5), (0.0, 5.0)]),
        Mark::Point | Mark::Hollow => shape_of(series, 8.0, 7.0),
    };
    format!(
        "<svg class=\"sign\" viewBox=\"0 0 16 14\" aria-hidden=\"true\"><g class=\"series-{series}{fill}\">{shape}</g></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(spacing: Spacing, values: &[f64]) -> Axis {
        Axis::holding("a & b", spacing, values.iter().copied()).unwrap()
    }

    #[test]
    fn ticks_are_round_and_on_the_axis() {
        for values in [[17.2, 19.6], [-0.03, 0.04], [0.0, 3600.0], [5.0, 5.0]] {
            let axis = axis(Spacing::Linear, &values);
            let ticks = axis.ticks();
            assert!((2..=13).contains(&ticks.len()), "{ticks:?}");
            assert!(ticks.iter().all(|(value, _)| axis.share(*value).is_some()));
        }
        let labels = |values: &[f64]| -> Vec<String> {
            axis(Spacing::Logarithmic, values).ticks().into_iter().map(|tick| tick.1).collect()
        };
        assert_eq!(labels(&[30.0, 900.0]), ["50", "100", "200", "500", "1000"]);
        assert_eq!(labels(&[0.004, 0.3]), ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]);
        assert!(labels(&[60.0, 65.0]).len() >= 2);
    }

    #[test]
    fn no_value_gives_no_axis() {
        assert_eq!(Axis::holding("a", Spacing::Linear, []), None);
        assert_eq!(Axis::holding("a", Spacing::Linear, [f64::NAN]), None);
        assert_eq!(Axis::holding("a", Spacing::Logarithmic, [-1.0, 0.0]), None);
    }

    #[test]
    fn faint_is_below_when_the_axis_is_inverted() {
        let plot = |y: Axis| Plot::new((400.0, 300.0), axis(Spacing::Linear, &[0.0, 1.0]), y);
        let upright = plot(axis(Spacing::Linear, &[17.0, 19.0]));
        let inverted = plot(axis(Spacing::Linear, &[17.0, 19.0]).inverted());
        let height = |plot: &Plot, value| plot.place(0.5, value).unwrap().1;
        assert!(height(&upright, 18.5) < height(&upright, 17.5));
        assert!(height(&inverted, 18.5) > height(&inverted, 17.5));
        assert_eq!(inverted.place(0.5, 25.0), None);
        assert_eq!(inverted.place(f64::NAN, 18.0), None);
    }

    #[test]
    fn a_drawing_is_well_formed_whatever_it_is_given() {
        let mut plot = Plot::new(
            (400.0, 300.0),
            axis(Spacing::Logarithmic, &[1.0, 100.0]),
            axis(Spacing::Linear, &[17.0, 19.0]),
        );
        for series in 0..8 {
            for mark in [Mark::Point, Mark::Hollow, Mark::Limit] {
                plot.mark((10.0, 18.0), series, mark, "<b> & \"c\"");
            }
        }
        plot.mark((f64::NAN, 18.0), 0, Mark::Point, "");
        plot.bars((10.0, 18.0), (0.0, f64::INFINITY), (f64::NAN, 30.0), 1);
        plot.line([(1.0, 17.0), (-1.0, 17.0), (50.0, 18.0)], "law");
        plot.dots([(1.0, 17.0), (2.0, 99.0)], "field");
        plot.label((99.0, 18.0), "<x>");
        let svg = plot.finish("what <it> shows");
        let mut reader = quick_xml::Reader::from_str(&svg);
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
        assert!(svg.contains("what &lt;it&gt; shows") && !svg.contains("<b>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
