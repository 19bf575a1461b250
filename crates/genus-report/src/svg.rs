//! Charts as inline SVG that take their colours from the page, so that they follow its theme.
//!
//! A shape of class `cN` has the `N`-th colour of the palette as its `currentColor`; everything else uses the
//! classes `grid`, `axis`, `tick` and `tag` of the style sheet. No chart names a colour itself.

use crate::scale::{tick_labels, ticks};
use minijinja::HtmlEscape;

/// Number of colours in the palette of the style sheet.
pub(crate) const COLOURS: usize = 8;
/// Width of a character of a label, in units of the drawing.
const CHAR: f64 = 6.9;

/// One axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis<'a> {
    /// What it shows, with its unit.
    pub label: &'a str,
    /// Values at both ends.
    pub range: (f64, f64),
    /// Whether only whole numbers have a meaning.
    pub integer: bool,
}

/// A named set of points; a line of points, or a cloud.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// Name, for the legend.
    pub name: String,
    /// Number of the style: colour, and dash or marker.
    pub style: usize,
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// A drawing under way: the plot area, its scales and what was drawn so far.
pub(crate) struct Frame {
    out: String,
    /// Left edge of the plot area, in units of the drawing.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    x: (f64, f64),
    y: (f64, f64),
}

/// Text as it may stand in markup.
pub(crate) fn escaped(text: &str) -> String {
    HtmlEscape(text).to_string()
}

impl Frame {
    /// Draws grid, ticks and labels of a chart of `size`; labels never overlap, because there are fewer of
    /// them where they are long.
    pub(crate) fn open(alt: &str, size: (f64, f64), x: Axis<'_>, y: Axis<'_>) -> Self {
        Self::open_at(alt, size, x, y, None)
    }

    /// As [`open`](Self::open), with ticks of the horizontal axis at these places with these words, as far as there is room.
    pub(crate) fn open_at(
        alt: &str,
        size: (f64, f64),
        x: Axis<'_>,
        y: Axis<'_>,
        x_ticks: Option<(Vec<f64>, Vec<String>)>,
    ) -> Self {
        let y_ticks = ticks(y.range, 5, y.integer);
        let y_labels = tick_labels(&y_ticks);
        let longest = |labels: &[String]| labels.iter().map(|l| l.chars().count()).max().unwrap_or(1) as f64;
        let left = (longest(&y_labels) * CHAR + 10.0).max(22.0);
        let top = if y.label.is_empty() { 8.0 } else { 22.0 };
        let bottom = if x.label.is_empty() { 20.0 } else { 36.0 };
        let room = size.0 - left;
        let nice = |target: usize| {
            let at = ticks(x.range, target, x.integer);
            let labels = tick_labels(&at);
            (at, labels)
        };
        // Fewer of those that are given are every second, third …
        let given = |of: &(Vec<f64>, Vec<String>), target: usize| {
            let every = 7 - target;
            let at = of.0.iter().copied().step_by(every).collect::<Vec<_>>();
            (at, of.1.iter().cloned().step_by(every).collect())
        };
        let (x_ticks, x_labels) = (1..=6)
            .rev()
            .map(|target| x_ticks.as_ref().map_or_else(|| nice(target), |of| given(of, target)))
            .find(|(at, labels)| at.len() as f64 * (longest(labels) * CHAR + 10.0) <= room)
            .unwrap_or_default();
        let right = longest(&x_labels) * CHAR / 2.0 + 4.0;
        let (width, height) = (size.0 - left - right, size.1 - top - bottom);
        let out = format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            size.0,
            size.1,
            escaped(alt)
        );
        let mut frame = Self { out, left, top, width, height, x: x.range, y: y.range };
        let (end, base) = (left + width, top + height);
        for (v, label) in y_ticks.iter().zip(&y_labels) {
            let at = frame.sy(*v);
            frame.push(&format!("<path class=\"grid\" d=\"M{left:.1} {at:.1}H{end:.1}\"/>"));
            let (tx, ty) = (left - 6.0, at + 3.8);
            frame.push(&format!("<text class=\"tick end\" x=\"{tx:.1}\" y=\"{ty:.1}\">{label}</text>"));
        }
        for (v, label) in x_ticks.iter().zip(&x_labels) {
            let (at, ty) = (frame.sx(*v), base + 15.0);
            frame.push(&format!("<path class=\"axis\" d=\"M{at:.1} {base:.1}v4\"/>"));
            frame.push(&format!("<text class=\"tick mid\" x=\"{at:.1}\" y=\"{ty:.1}\">{label}</text>"));
        }
        frame.push(&format!("<path class=\"axis\" d=\"M{left:.1} {top:.1}V{base:.1}H{end:.1}\"/>"));
        if !x.label.is_empty() {
            let (tx, ty, text) = (left + width / 2.0, size.1 - 5.0, escaped(x.label));
            frame.push(&format!("<text class=\"tick mid\" x=\"{tx:.1}\" y=\"{ty:.1}\">{text}</text>"));
        }
        if !y.label.is_empty() {
            frame.push(&format!("<text class=\"tick\" x=\"0\" y=\"11\">{}</text>", escaped(y.label)));
        }
        // What follows is cut to the plot area.
        frame.push(&format!(
            "<svg x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             viewBox=\"{left:.1} {top:.1} {width:.1} {height:.1}\">"
        ));
        frame
    }

    /// Adds markup.
    pub(crate) fn push(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// Where a value of the horizontal axis lies.
    pub(crate) fn sx(&self, v: f64) -> f64 {
        self.left + (v - self.x.0) / (self.x.1 - self.x.0) * self.width
    }

    /// Where a value of the vertical axis lies.
    pub(crate) fn sy(&self, v: f64) -> f64 {
        self.top + (self.y.1 - v) / (self.y.1 - self.y.0) * self.height
    }

    /// The finished chart.
    pub(crate) fn close(mut self) -> String {
        self.push("</svg></svg>");
        self.out
    }
}

/// Attributes of a line of this style: unlike dashes, so that colour is not the only difference.
pub(crate) fn stroke(style: usize) -> String {
    let dash = ["", "5 3", "1.5 3", "8 3 2 3"][style % 4];
    let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
    format!("class=\"c{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"{dash}", style % COLOURS)
}

/// Markers of this style at these places of the drawing: circle, square or cross, by round of the palette.
pub(crate) fn markers(style: usize, size: f64, at: impl Iterator<Item = (f64, f64)>) -> String {
    let (mut d, half) = (String::new(), size / 2.0);
    for (x, y) in at {
        match style / COLOURS % 3 {
            2 => {
                d += &format!(
                    "M{:.1} {:.1}l{size:.1} {size:.1}m0 -{size:.1}l-{size:.1} {size:.1}",
                    x - half,
                    y - half
                )
            }
            _ => d += &format!("M{x:.1} {y:.1}h0"),
        }
    }
    let (cap, width) = match style / COLOURS % 3 {
        0 => ("round", size),
        1 => ("square", size * 0.85),
        _ => ("butt", 1.4),
    };
    let colour = style % COLOURS;
    format!(
        "<path class=\"c{colour}\" d=\"{d}\" fill=\"none\" stroke=\"currentColor\" stroke-opacity=\".75\" \
         stroke-width=\"{width:.1}\" stroke-linecap=\"{cap}\"/>"
    )
}

fn swatch(width: u32, shape: &str) -> String {
    format!(
        "<svg class=\"swatch\" viewBox=\"0 0 {width} 12\" width=\"{width}\" height=\"12\" \
         aria-hidden=\"true\">{shape}</svg>"
    )
}

/// The small picture beside a name in a legend: a piece of line.
pub(crate) fn line_swatch(style: usize) -> String {
    swatch(24, &format!("<path d=\"M0 6h24\" {}/>", stroke(style)))
}

/// The small picture beside a name in a legend: a marker.
pub(crate) fn marker_swatch(style: usize) -> String {
    swatch(12, &markers(style, 8.0, std::iter::once((6.0, 6.0))))
}

/// The small picture beside a name in a legend: a filled or an outlined bar.
pub(crate) fn bar_swatch(style: usize) -> String {
    swatch(24, &format!("<path d=\"M2 12V2h20v10\" {}/>", bar_look(style)))
}

/// The first histogram is filled, the others are outlines over it.
pub(crate) fn bar_look(style: usize) -> String {
    if style == 0 {
        "class=\"c0\" fill=\"currentColor\" fill-opacity=\".35\"".to_owned()
    } else {
        format!("class=\"c{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.6\"", style % COLOURS)
    }
}
