//! A chart as SVG: axes, their written values, and lines.

use std::fmt::Write;
use std::time::Duration;

use super::axis::{Axis, moment, number, time_step};
use super::chart::Line;
use super::html::escaped;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;
/// How many colours there are; the stylesheet has one for each.
pub(super) const COLOURS: usize = 8;

/// A chart over time.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// What it shows, with the unit.
    pub(super) title: &'static str,
    pub(super) length: Duration,
    pub(super) axis: Axis,
    /// A value that is drawn across, with its name.
    pub(super) mark: Option<(f64, &'static str)>,
    pub(super) lines: Vec<Line>,
}

impl Chart {
    /// The element; colours come from the page's stylesheet.
    pub(super) fn svg(&self) -> String {
        let title = escaped(self.title);
        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n");
        self.write_values(&mut svg);
        self.write_moments(&mut svg);
        if let Some((value, name)) = self.mark {
            let y = self.y(value);
            let (end, above) = (WIDTH - RIGHT, y - 4.0);
            let name = escaped(name);
            svg += &format!("<path class=\"mark\" d=\"M{LEFT} {y:.1}H{end}\"/>\n");
            svg += &format!("<text class=\"end\" x=\"{end}\" y=\"{above:.1}\">{name}</text>\n");
        }
        for line in &self.lines {
            let dashed = if line.dashed { " dashed" } else { "" };
            let series = line.series % COLOURS;
            let path = self.path(line);
            svg += &format!("<path class=\"line s{series}{dashed}\" d=\"{path}\"/>\n");
        }
        svg + "</svg>\n"
    }

    fn x(&self, at: Duration) -> f64 {
        let length = self.length.as_secs_f64().max(f64::MIN_POSITIVE);
        LEFT + (WIDTH - LEFT - RIGHT) * (at.as_secs_f64() / length).min(1.0)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self.axis.place(value)
    }

    fn write_values(&self, svg: &mut String) {
        let (end, beside) = (WIDTH - RIGHT, LEFT - 8.0);
        for value in self.axis.ticks() {
            let (y, below) = (self.y(value), self.y(value) + 4.0);
            let value = number(value);
            *svg += &format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{end}\"/>\n");
            *svg +=
                &format!("<text class=\"end\" x=\"{beside}\" y=\"{below:.1}\">{value}</text>\n");
        }
    }

    fn write_moments(&self, svg: &mut String) {
        let step = time_step(self.length);
        let (top, bottom, below) = (TOP, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 18.0);
        for seconds in (0..=self.length.as_secs()).step_by(step.try_into().unwrap_or(usize::MAX)) {
            let x = self.x(Duration::from_secs(seconds));
            let moment = moment(seconds, step);
            *svg += &format!("<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>\n");
            *svg += &format!("<text class=\"mid\" x=\"{x:.1}\" y=\"{below}\">{moment}</text>\n");
        }
    }

    /// The commands of a line; after a gap it begins anew.
    fn path(&self, line: &Line) -> String {
        let mut path = String::new();
        let mut begins = true;
        for (at, value) in &line.points {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                begins = true;
                continue;
            };
            let (x, y) = (self.x(*at), self.y(value));
            // Writing to a string can't fail.
            let _ = match (begins, line.steps) {
                (true, _) => write!(path, "M{x:.1} {y:.1}"),
                (false, true) => write!(path, "H{x:.1}V{y:.1}"),
                (false, false) => write!(path, "L{x:.1} {y:.1}"),
            };
            begins = false;
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(steps: bool, values: &[Option<f64>]) -> Line {
        let points = (0..).map(|index| Duration::from_secs(10 * index));
        Line {
            series: 9,
            steps,
            dashed: steps,
            points: points.zip(values.iter().copied()).collect(),
        }
    }

    fn chart(lines: Vec<Line>) -> Chart {
        Chart {
            title: "Replicas <all>",
            length: Duration::from_secs(40),
            axis: Axis::linear(2.0),
            mark: None,
            lines,
        }
    }

    #[test]
    fn lines_are_drawn_with_steps_and_gaps() {
        let steps = line(true, &[Some(1.0), Some(2.0), Some(2.0)]);
        assert_eq!(
            chart(vec![]).path(&steps),
            "M60.0 112.0H265.0V12.0H470.0V12.0"
        );
        let values = [Some(0.0), Some(9.0), None, Some(f64::NAN), Some(1.0)];
        let gaps = line(false, &values);
        assert_eq!(
            chart(vec![]).path(&gaps),
            "M60.0 212.0L265.0 12.0M880.0 112.0"
        );
    }

    #[test]
    fn a_chart_has_axes_a_mark_and_lines() {
        let mut chart = chart(vec![line(true, &[Some(1.0)])]);
        chart.axis = Axis::Log {
            begin: 1.0,
            end: 10.0,
        };
        chart.mark = Some((10.0, "SLO"));
        let wanted = "\
<svg viewBox=\"0 0 900 240\" role=\"img\" aria-label=\"Replicas &lt;all&gt;\">
<path class=\"grid\" d=\"M60 212.0H880\"/>
<text class=\"end\" x=\"52\" y=\"216.0\">1</text>
<path class=\"grid\" d=\"M60 12.0H880\"/>
<text class=\"end\" x=\"52\" y=\"16.0\">10</text>
<path class=\"grid\" d=\"M60.0 12V212\"/>
<text class=\"mid\" x=\"60.0\" y=\"230\">0 s</text>
<path class=\"grid\" d=\"M162.5 12V212\"/>
<text class=\"mid\" x=\"162.5\" y=\"230\">5 s</text>
<path class=\"grid\" d=\"M265.0 12V212\"/>
<text class=\"mid\" x=\"265.0\" y=\"230\">10 s</text>
<path class=\"grid\" d=\"M367.5 12V212\"/>
<text class=\"mid\" x=\"367.5\" y=\"230\">15 s</text>
<path class=\"grid\" d=\"M470.0 12V212\"/>
<text class=\"mid\" x=\"470.0\" y=\"230\">20 s</text>
<path class=\"grid\" d=\"M572.5 12V212\"/>
<text class=\"mid\" x=\"572.5\" y=\"230\">25 s</text>
<path class=\"grid\" d=\"M675.0 12V212\"/>
<text class=\"mid\" x=\"675.0\" y=\"230\">30 s</text>
<path class=\"grid\" d=\"M777.5 12V212\"/>
<text class=\"mid\" x=\"777.5\" y=\"230\">35 s</text>
<path class=\"grid\" d=\"M880.0 12V212\"/>
<text class=\"mid\" x=\"880.0\" y=\"230\">40 s</text>
<path class=\"mark\" d=\"M60 12.0H880\"/>
<text class=\"end\" x=\"880\" y=\"8.0\">SLO</text>
<path class=\"line s1 dashed\" d=\"M60.0 212.0\"/>
</svg>
";
        assert_eq!(chart.svg(), wanted);
    }
}
