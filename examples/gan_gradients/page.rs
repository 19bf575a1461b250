//! The page: charts and pictures as inline SVG.

use crate::game::{Moment, Objective};
use std::fmt::Write;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 280.0;
const MARGIN: f64 = 44.0;
const RIGHT: f64 = 24.0;
const COLOURS: [&str; 2] = ["#d1495b", "#00798c"];

/// Decades of an axis that counts in powers of ten.
struct Log {
    low: f64,
    high: f64,
}

impl Log {
    fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let positive = values.filter(|v| *v > 0.0 && v.is_finite());
        let low = positive.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let high = positive.fold(f64::NEG_INFINITY, f64::max).log10().ceil();
        Self { low: low.max(-8.0), high: high.max(low.max(-8.0) + 1.0) }
    }

    fn share(&self, v: f64) -> f64 {
        ((v.max(1e-300).log10() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> impl Iterator<Item = i32> + use<> {
        self.low as i32..=self.high as i32
    }
}

fn across(share: f64) -> f64 {
    MARGIN + share * (WIDTH - MARGIN - RIGHT)
}

fn up(share: f64) -> f64 {
    HEIGHT - MARGIN - share * (HEIGHT - MARGIN - 10.0)
}

/// A frame with its axes, of which the upright one counts in powers of ten.
fn frame(title: &str, x: (&str, &[(f64, String)]), y: (&str, &Log), content: &str) -> String {
    let mut svg = format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{title}\"><path d=\"M{MARGIN} 10V{0}H{1}\" class=axis />",
        up(0.0),
        WIDTH - RIGHT
    );
    for (share, word) in x.1 {
        let _ = write!(
            svg,
            "<text x={:.1} y={:.1} text-anchor=middle>{word}</text>",
            across(*share),
            up(0.0) + 14.0
        );
    }
    for tick in y.1.ticks() {
        let at = up(y.1.share(10f64.powi(tick)));
        let _ = write!(
            svg,
            "<text x={:.1} y={:.1} text-anchor=end>10<tspan dy=-4 font-size=8>{tick}</tspan></text>",
            MARGIN - 4.0,
            at + 3.0
        );
    }
    let _ = write!(
        svg,
        "<text x={:.1} y={:.1} text-anchor=middle>{}</text><text x=12 y={:.1} text-anchor=middle transform=\"rotate(-90 12 {:.1})\">{}</text>{content}</svg><figcaption>{title}</figcaption></figure>",
        across(0.5),
        HEIGHT - 8.0,
        x.0,
        up(0.5),
        up(0.5),
        y.0
    );
    svg
}

/// What draws receive over what D says of them.
fn gradients(title: &str, moment: &Moment) -> String {
    let all = moment.received.iter().flat_map(|r| r.gradient);
    let y = Log::around(all);
    let x = Log { low: -6.0, high: 0.0 };
    let mut content = String::new();
    for (k, objective) in Objective::ALL.iter().enumerate() {
        for r in &moment.received {
            let _ = write!(
                content,
                "<circle cx={:.1} cy={:.1} r=2 fill=\"{}\" fill-opacity=.5 />",
                across(x.share(r.told)),
                up(y.share(r.gradient[k])),
                COLOURS[k]
            );
        }
        // The gradient of the logit, which both share, at its median.
        let mut sizes: Vec<f64> = moment
            .received
            .iter()
            .map(|r| r.gradient.iter().sum::<f64>())
            .filter(|v| v.is_finite())
            .collect();
        sizes.sort_by(f64::total_cmp);
        let typical = sizes.get(sizes.len() / 2).copied().unwrap_or(1.0);
        let points: String = (0..=60)
            .map(|i| {
                let share = f64::from(i) / 60.0;
                let p = 10f64.powf(x.low + share * (x.high - x.low)).min(1.0 - 1e-6);
                format!("{:.1},{:.1} ", across(share), up(y.share(objective.slope(p) * typical)))
            })
            .collect();
        let _ = write!(
            content,
            "<polyline points=\"{points}\" fill=none stroke=\"{}\" stroke-width=1.5 />",
            COLOURS[k]
        );
    }
    let ticks: Vec<(f64, String)> = (-6..=0)
        .map(|t| (x.share(10f64.powi(t)), format!("10<tspan dy=-4 font-size=8>{t}</tspan>")))
        .collect();
    frame(title, ("D(G(z))", &ticks), ("|∂ loss/∂ G(z)|", &y), &content)
}

/// A figure of both trainings over the steps.
fn course(title: &str, what: &str, trainings: &[Vec<Moment>], of: impl Fn(&Moment) -> f64) -> String {
    let y = Log::around(trainings.iter().flatten().map(&of).collect::<Vec<_>>().into_iter());
    let last = trainings[0].len() - 1;
    let mut content = String::new();
    for (k, moments) in trainings.iter().enumerate() {
        let points: String = moments
            .iter()
            .enumerate()
            .map(|(i, m)| format!("{:.1},{:.1} ", across(i as f64 / last as f64), up(y.share(of(m)))))
            .collect();
        let _ = write!(
            content,
            "<polyline points=\"{points}\" fill=none stroke=\"{}\" stroke-width=2 />",
            COLOURS[k]
        );
    }
    let ticks: Vec<(f64, String)> =
        trainings[0].iter().enumerate().map(|(i, m)| (i as f64 / last as f64, m.step.to_string())).collect();
    frame(title, ("step", &ticks), (what, &y), &content)
}

fn pictures(moment: &Moment, count: usize) -> String {
    let side = 8;
    let mut out = String::new();
    for row in moment.draws.iter().take(count) {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {side} {side}\" class=digit shape-rendering=crispEdges aria-hidden=true>"
        );
        for (i, v) in row.iter().enumerate() {
            let grey = (127.5 * (v + 1.0)).round().clamp(0.0, 255.0);
            let _ = write!(
                svg,
                "<rect x={} y={} width=1 height=1 fill=\"rgb({grey} {grey} {grey})\"/>",
                i % side,
                i / side
            );
        }
        out += &svg;
        out += "</svg>";
    }
    out
}

/// Everything.
pub fn html(trainings: &[Vec<Moment>], early: usize, late: usize) -> String {
    let mut body = String::new();
    for (k, objective) in Objective::ALL.iter().enumerate() {
        let moments = &trainings[k];
        let _ = write!(
            body,
            "<h2>What draws receive, in the training by the {} objective</h2><div class=row>",
            objective.name()
        );
        for (word, at) in [("early", early), ("late", late)] {
            let m = &moments[at];
            body +=
                &gradients(&format!("{word}, after {} steps: mean D(G(z)) = {:.2e}", m.step, m.told()), m);
        }
        body += "</div>";
    }
    body += "<h2>Both trainings, from the same weights, rows and noise</h2><div class=row>";
    body += &course("gradient of all weights of the generator", "norm", trainings, |m| m.norm);
    body += &course("what the discriminator says of draws", "mean D(G(z))", trainings, Moment::told);
    body += "</div><table><tr><th>step";
    for objective in Objective::ALL {
        let _ = write!(body, "<th>{}", objective.name());
    }
    for (minimax, other) in trainings[0].iter().zip(&trainings[1]) {
        let _ =
            write!(body, "<tr><td>{}<td>{}<td>{}", minimax.step, pictures(minimax, 8), pictures(other, 8));
    }
    body += "</table>";
    let [minimax, other] = COLOURS;
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>What reaches the generator</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}}\
         svg text{{font:10px system-ui,sans-serif;fill:#444}}.axis{{fill:none;stroke:#888}}figure{{margin:0;flex:1 1 20rem}}figcaption{{font-size:.85rem;color:#555}}\
         .row{{display:flex;flex-wrap:wrap;gap:1rem}}.digit{{width:32px;height:32px;margin:2px}}td,th{{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}}\
         h2{{font-size:1.1rem;margin-top:2rem}}</style>\
         <h1>What reaches the generator</h1>\
         <p>The discriminator says D(G(z)) = σ(d) of a draw. By the <b style=\"color:{minimax}\">minimax</b> objective, log(1 − D), the draw receives σ(d) ∂d/∂G(z): \
         next to nothing where D is sure that it was made, which is where the generator has most to learn. By the \
         <b style=\"color:{other}\">non-saturating</b> one, −log D, it receives (1 − σ(d)) ∂d/∂G(z): all of it there. At D = ½ both are the same. Points are measured on \
         each of 200 draws; lines are the two factors times the median |∂d/∂G(z)|.</p>{body}</html>"
    )
}
