//! The kinds of chart that a report shows.

use crate::scale::{Bins, short};
use crate::svg::{Axis, COLOURS, Frame, Series, bar_look, escaped, markers, stroke};

/// Size of a plot of the plane, in units of the drawing.
const CLOUD: (f64, f64) = (330.0, 310.0);

/// Lines; short ones with a dot at each point. `mark` is a point that stands out, with its tooltip.
pub(crate) fn lines(
    alt: &str,
    x: Axis<'_>,
    y: Axis<'_>,
    series: &[Series],
    mark: Option<(f64, f64, String)>,
    size: (f64, f64),
) -> String {
    let mut f = Frame::open(alt, size, x, y);
    if let Some((at, _, _)) = &mark {
        let (at, top, base) = (f.sx(*at), f.top, f.top + f.height);
        f.push(&format!("<path class=\"axis\" stroke-dasharray=\"2 3\" d=\"M{at:.1} {top:.1}V{base:.1}\"/>"));
    }
    for s in series {
        let (mut d, mut pen) = (String::new(), 'M');
        for &(px, py) in &s.points {
            if py.is_finite() {
                d += &format!("{pen}{:.1} {:.1}", f.sx(px), f.sy(py));
                pen = 'L';
            } else {
                pen = 'M';
            }
        }
        f.push(&format!("<path d=\"{d}\" stroke-linejoin=\"round\" {}/>", stroke(s.style)));
        if s.points.len() <= 25 {
            let at = s.points.iter().filter(|p| p.1.is_finite()).map(|p| (f.sx(p.0), f.sy(p.1)));
            let dots = markers(s.style % COLOURS, 4.5, at);
            f.push(&dots);
        }
    }
    if let Some((mx, my, text)) = mark {
        let (cx, cy, text) = (f.sx(mx), f.sy(my), escaped(&text));
        f.push(&format!(
            "<circle class=\"mark\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\"><title>{text}</title></circle>"
        ));
    }
    f.close()
}

/// A mean with an interval of this half-width at each place, `(x, y, half-width)`, over an axis of logarithms; series lie a little beside one
/// another, so that intervals are told apart.
pub(crate) fn trends(
    alt: &str,
    x: Axis<'_>,
    y: Axis<'_>,
    series: &[(usize, Vec<[f64; 3]>)],
    size: (f64, f64),
) -> String {
    let mut places: Vec<f64> = series.iter().flat_map(|(_, p)| p.iter().map(|p| p[0])).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let words = places.iter().map(|v| short(*v)).collect();
    let range = (x.range.0.log10() - 0.06, x.range.1.log10() + 0.06);
    let at = places.iter().map(|v| v.log10()).collect();
    let mut f = Frame::open_at(alt, size, Axis { range, ..x }, y, Some((at, words)));
    for (i, (style, points)) in series.iter().enumerate() {
        let beside = 3.0 * (i as f64 - 0.5 * (series.len() - 1) as f64);
        let place = |p: &[f64; 3]| (f.sx(p[0].log10()) + beside, f.sy(p[1]));
        let finite: Vec<&[f64; 3]> = points.iter().filter(|p| p.iter().all(|v| v.is_finite())).collect();
        let at: Vec<(f64, f64)> = finite.iter().map(|p| place(p)).collect();
        let path: Vec<String> = at.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let whiskers: String = finite
            .iter()
            .zip(&at)
            .map(|(p, (x, _))| format!("M{x:.1} {:.1}V{:.1}", f.sy(p[1] - p[2]), f.sy(p[1] + p[2])))
            .collect();
        if path.is_empty() {
            continue;
        }
        f.push(&format!("<path d=\"M{}\" stroke-linejoin=\"round\" {}/>", path.join("L"), stroke(*style)));
        let colour = style % COLOURS;
        f.push(&format!(
            "<path class=\"c{colour}\" d=\"{whiskers}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.4\"/>"
        ));
        f.push(&markers(colour, 5.0, at.into_iter()));
    }
    f.close()
}

/// Clouds of points. With `names`, each cloud also has its name at its centre: colour alone is not enough for
/// many.
pub(crate) fn scatter(alt: &str, x: Axis<'_>, y: Axis<'_>, groups: &[Series], names: bool) -> String {
    let mut f = Frame::open(alt, if names { (430.0, 400.0) } else { CLOUD }, x, y);
    let total: usize = groups.iter().map(|g| g.points.len()).sum();
    let size = match total {
        0..300 => 5.0,
        300..1000 => 4.0,
        _ => 3.0,
    };
    for group in groups {
        let finite = group.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite());
        let path = markers(group.style, size, finite.map(|p| (f.sx(p.0), f.sy(p.1))));
        let name = escaped(&group.name);
        f.push(&format!("<g><title>{name}</title>{path}</g>"));
    }
    for group in groups.iter().filter(|g| names && !g.points.is_empty()) {
        let middle = |axis: fn(&(f64, f64)) -> f64| {
            let mut v: Vec<f64> = group.points.iter().map(axis).filter(|v| v.is_finite()).collect();
            v.sort_by(f64::total_cmp);
            v.get(v.len() / 2).copied()
        };
        if let (Some(mx), Some(my)) = (middle(|p| p.0), middle(|p| p.1)) {
            let (tx, ty, name) = (f.sx(mx), f.sy(my) + 4.0, escaped(&tag(&group.name)));
            f.push(&format!("<text class=\"tag mid\" x=\"{tx:.1}\" y=\"{ty:.1}\">{name}</text>"));
        }
    }
    f.close()
}

/// A name that is short enough to stand in a plot.
fn tag(name: &str) -> String {
    if name.chars().count() <= 12 { name.to_owned() } else { name.chars().take(11).chain(['…']).collect() }
}

/// Paths through the plane over a faint cloud.
pub(crate) fn paths(alt: &str, x: Axis<'_>, y: Axis<'_>, cloud: &Series, paths: &[Series]) -> String {
    let mut f = Frame::open(alt, CLOUD, x, y);
    let finite = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let faint = markers(cloud.style, 3.0, cloud.points.iter().filter(finite).map(|p| (f.sx(p.0), f.sy(p.1))));
    f.push(&format!("<g opacity=\".35\">{faint}</g>"));
    for path in paths {
        let at: Vec<_> = path.points.iter().filter(finite).map(|p| (f.sx(p.0), f.sy(p.1))).collect();
        let d: Vec<String> = at.iter().map(|(px, py)| format!("{px:.1} {py:.1}")).collect();
        f.push(&format!("<path d=\"M{}\" {}/>", d.join("L"), stroke(path.style)));
        f.push(&markers(path.style % COLOURS, 5.0, at.into_iter()));
    }
    f.close()
}

/// Overlaid histograms on common bins, each as its share of rows, since the numbers of rows differ.
pub(crate) fn histogram(
    alt: &str,
    label: &str,
    bins: Bins,
    series: &[(&str, Vec<usize>, usize)],
    size: (f64, f64),
) -> String {
    let share = |count: usize, total: usize| 100.0 * count as f64 / total.max(1) as f64;
    let highest = series
        .iter()
        .flat_map(|(_, counts, total)| counts.iter().map(|&c| share(c, *total)))
        .fold(1e-6, f64::max);
    let x = Axis { label, range: (bins.lo, bins.edge(bins.n)), integer: false };
    let y = Axis { label: "% of rows", range: (0.0, highest * 1.05), integer: false };
    let mut f = Frame::open(alt, size, x, y);
    for (style, (_, counts, total)) in series.iter().enumerate() {
        let mut d = format!("M{:.1} {:.1}", f.sx(bins.lo), f.sy(0.0));
        for (i, &c) in counts.iter().enumerate() {
            d += &format!("V{:.1}H{:.1}", f.sy(share(c, *total)), f.sx(bins.edge(i + 1)));
        }
        d += &format!("V{:.1}", f.sy(0.0));
        f.push(&format!("<path d=\"{d}\" {}/>", bar_look(style)));
    }
    let (top, height) = (f.top, f.height);
    for i in (0..bins.n).filter(|&i| series.iter().any(|s| s.1[i] > 0)) {
        let (from, to) = (bins.edge(i), bins.edge(i + 1));
        let parts: Vec<String> = series
            .iter()
            .map(|(name, counts, total)| {
                format!("{} {} of {total} ({:.1} %)", escaped(name), counts[i], share(counts[i], *total))
            })
            .collect();
        let (at, wide, parts) = (f.sx(from), f.sx(to) - f.sx(from), parts.join(", "));
        let (from, to) = (short(from), short(to));
        f.push(&format!(
            "<rect class=\"hit\" x=\"{at:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{height:.1}\">\
             <title>{from} to {to}: {parts}</title></rect>"
        ));
    }
    f.close()
}

/// A picture that fills the plot area.
pub(crate) fn heat(alt: &str, x: Axis<'_>, y: Axis<'_>, uri: &str) -> String {
    let mut f = Frame::open(alt, CLOUD, x, y);
    let (left, top, width, height) = (f.left, f.top, f.width, f.height);
    f.push(&format!(
        "<image href=\"{uri}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         preserveAspectRatio=\"none\"/>"
    ));
    f.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(lo: f64, hi: f64) -> Axis<'static> {
        Axis { label: "x <axis>", range: (lo, hi), integer: false }
    }

    #[test]
    fn points_land_where_the_scale_says() {
        let f = Frame::open("a", (340.0, 320.0), axis(0.0, 10.0), axis(-1.0, 1.0));
        assert_eq!((f.sx(0.0), f.sx(10.0)), (f.left, f.left + f.width));
        assert_eq!((f.sy(1.0), f.sy(-1.0)), (f.top, f.top + f.height));
        assert_eq!(f.sy(0.0), f.top + f.height / 2.0);
    }

    #[test]
    fn names_are_escaped_and_every_chart_is_closed() {
        let s =
            Series { name: "<b>&".into(), style: 9, points: vec![(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.0)] };
        let both = [s.clone(), Series { style: 17, ..s.clone() }];
        let mark = Some((1.0, 0.5, "<i>".to_owned()));
        let bins = Bins { lo: 0.0, width: 1.0, n: 2 };
        for chart in [
            lines("\"alt\"", axis(0.0, 4.0), axis(0.0, 1.0), &both, mark, (300.0, 190.0)),
            scatter("\"alt\"", axis(0.0, 4.0), axis(0.0, 1.0), &both, true),
            paths("\"alt\"", axis(0.0, 4.0), axis(0.0, 1.0), &s, &both),
            histogram("\"alt\"", "<u>", bins, &[("<b>&", vec![3, 1], 5)], (300.0, 200.0)),
            heat("\"alt\"", axis(0.0, 4.0), axis(0.0, 1.0), "data:,"),
        ] {
            for raw in ["<b>", "<i>", "<u>", "<axis>", "\"alt\"\"", "NaN"] {
                assert!(!chart.contains(raw), "{raw} in {chart}");
            }
            assert!(chart.contains("aria-label=\"&quot;alt&quot;\""), "{chart}");
            assert_eq!(chart.matches("<svg").count(), chart.matches("</svg>").count());
        }
    }

    #[test]
    fn histogram_says_its_counts_and_shares() {
        let bins = Bins { lo: 0.0, width: 1.0, n: 3 };
        let chart = histogram(
            "h",
            "nats",
            bins,
            &[("test", vec![3, 0, 1], 4), ("train", vec![1, 0, 0], 2)],
            (300.0, 200.0),
        );
        assert!(chart.contains("0 to 1: test 3 of 4 (75.0 %), train 1 of 2 (50.0 %)"), "{chart}");
        assert_eq!(chart.matches("class=\"hit\"").count(), 2);
    }

    #[test]
    fn long_tick_labels_are_fewer() {
        let many = lines("a", axis(0.0, 6.0), axis(0.0, 1.0), &[], None, (380.0, 230.0));
        let few = lines("a", axis(100_000.0, 100_000.6), axis(0.0, 1.0), &[], None, (380.0, 230.0));
        let labels = |chart: &str| chart.matches("class=\"tick mid\"").count();
        assert_eq!(labels(&many), 8);
        assert!(labels(&few) < 8, "{few}");
    }
}
