//! What a mixture shows of its components.

use super::em::Component;
use genus_core::panel::{Cell, Named, Notes, Shade};
use genus_core::transform::Transform;
use genus_core::{Batch, Exhibit, Panel, Shape, Tensor};

/// Most components and columns of the table.
const ROWS: usize = 20;
const COLUMNS: usize = 12;
/// Most components whose correlations are shown.
const MAPS: usize = 4;
/// Most images of means.
const IMAGES: usize = 36;

/// Weights, means and spread of the heaviest components.
pub(super) fn components(transform: &Transform, all: &[Component]) -> Vec<Exhibit> {
    let d = transform.target().width();
    let shown = &all[..all.len().min(ROWS)];
    let panels = if matches!(transform.source().domain.shape, Shape::Image { .. }) {
        images(transform, &all[..all.len().min(IMAGES)]).into_iter().collect()
    } else {
        let mut panels = vec![table(transform, shown)];
        let correlated = |c: &Component| (0..d).any(|i| (0..i).any(|j| c.factor.covariance(i, j, d) != 0.0));
        if (3..=COLUMNS).contains(&d) && shown.iter().any(correlated) {
            panels.extend(shown.iter().take(MAPS).enumerate().map(|(k, c)| correlations(k, c)));
        }
        panels
    };
    if panels.is_empty() {
        return Vec::new();
    }
    let mut text = "Weight and mean of each component, the heaviest first".to_owned();
    if panels.iter().any(|p| matches!(p, Panel::Table { .. })) {
        text += ", with the standard deviation of each column";
        if transform.dequantizes() {
            text += ", after noise between the levels";
        }
    }
    if all.len() > ROWS || d > COLUMNS {
        text += &format!(" (there are {} components of {d} columns)", all.len());
    }
    vec![Exhibit::new("components", "Components", text + ".", panels)]
}

/// Weights, and means with standard deviations.
fn table(transform: &Transform, shown: &[Component]) -> Panel {
    let schema = transform.source();
    let d = transform.target().width();
    let columns = d.min(COLUMNS);
    let rows = shown.iter().enumerate().map(|(k, c)| {
        let means = inside(transform, &c.mean);
        // A transform takes whole rows; the columns that are not shown stay where they are.
        let mut further = c.mean.clone();
        (0..columns).for_each(|i| further[i] += c.factor.covariance(i, i, d).sqrt());
        let further = inside(transform, &further);
        let value = |i: usize| {
            Cell::Text(measured(means[i] + schema.column(i).origin, (further[i] - means[i]).abs()))
        };
        let first = [Cell::Number((k + 1) as f64), Cell::Share(libm::exp(c.log_weight))];
        first.into_iter().chain((0..columns).map(value)).collect()
    });
    let names = (0..columns).map(|i| format!("{}: {}", i + 1, schema.column(i).name));
    Panel::Table {
        title: "Weights and means ± standard deviations".into(),
        head: ["Component".to_owned(), "Weight".to_owned()].into_iter().chain(names).collect(),
        rows: rows.collect(),
    }
}

/// A row of what the mixture is fitted to, in units of the data where these have no levels.
fn inside(transform: &Transform, y: &[f64]) -> Vec<f64> {
    if transform.dequantizes() {
        return y.to_vec();
    }
    match Batch::new(y.iter().map(|v| *v as f32).collect(), y.len()) {
        Ok(row) => transform.inverse(&row).row(0).iter().map(|v| f64::from(*v)).collect(),
        Err(_) => y.to_vec(),
    }
}

/// A mean with two digits of its deviation.
fn measured(mean: f64, deviation: f64) -> String {
    if !(deviation > 0.0 && deviation.is_finite()) {
        return format!("{mean:.3}");
    }
    let decimals = (1.0 - deviation.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{mean:.decimals$} ± {deviation:.decimals$}")
}

/// Means as images, with their weights.
fn images(transform: &Transform, shown: &[Component]) -> Option<Panel> {
    let d = transform.target().width();
    let means = shown.iter().flat_map(|c| c.mean.iter().map(|v| *v as f32)).collect();
    let means = transform.inverse_mean(&Batch::new(means, d).ok()?);
    let weights: Vec<f64> = shown.iter().map(|c| libm::exp(c.log_weight)).collect();
    Some(Panel::Rows {
        title: "Means".into(),
        each: String::new(),
        sets: vec![Named::new("Means", &means)],
        per_line: None,
        notes: Some(Notes { label: "Weight".into(), values: weights.into() }),
        shade: Shade::Data,
    })
}

/// Correlations between the columns within a component.
fn correlations(k: usize, c: &Component) -> Panel {
    let d = c.mean.len();
    let side = 0.5..d as f64 + 0.5;
    let values = (0..d * d).map(|at| {
        let (i, j) = (at / d, at % d);
        let spread = c.factor.covariance(i, i, d) * c.factor.covariance(j, j, d);
        c.factor.covariance(i, j, d) / spread.sqrt()
    });
    Panel::Heat {
        title: format!("Correlations in component {}", k + 1),
        axes: ["column".into(), "column".into()],
        frame: [(side.start, side.end); 2],
        values: Tensor::f64(&[d, d], values.collect()),
        depth: 2.0,
        unit: "correlation of two columns".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::covariance::Factor;
    use super::*;
    use genus_core::Domain;

    /// Covariance [[4, 1], [1, 1]] has the factor [[2, 0], [1/2, √¾]], here a little more, so that 1 is not rounded down.
    #[test]
    fn means_and_deviations_are_shown() {
        let factor = Factor::Dense(vec![2.0, 0.0, 0.5, 0.751f64.sqrt()]);
        let transform = Transform::identity(Domain::real(2));
        let of = components(&transform, &[Component::new(0.0, vec![10.0, -1.0], factor)]);
        let Panel::Table { rows, .. } = &of[0].panels[0] else { panic!("{of:?}") };
        let text = |s: &str| Cell::Text(s.into());
        assert_eq!(rows[0], [Cell::Number(1.0), Cell::Share(1.0), text("10.0 ± 2.0"), text("-1.0 ± 1.0")]);
        assert_eq!(of[0].panels.len(), 1, "two columns have the map of their density");
    }

    #[test]
    fn correlations_have_ones_on_the_diagonal() {
        let factor = Factor::Dense(vec![2.0, 0.0, 0.5, 0.75f64.sqrt()]);
        let Panel::Heat { values, .. } = correlations(0, &Component::new(0.0, vec![0.0; 2], factor)) else {
            panic!("no heat map");
        };
        assert_eq!(values.shape, [2, 2]);
        let found = values.as_f64().unwrap();
        assert!(found.iter().zip([1.0, 0.5, 0.5, 1.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }
}
