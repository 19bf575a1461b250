//! Parcels: a category, a bit, a whole number and a real one, each of which depends on those before it.
//!
//! A kind of three; whether it goes express, more often if it is a letter; ten places of which each has an item by the throw of the kind's
//! coin; and a weight that grows with the items, of a deviation that is smaller for express parcels.

use crate::math::LN_2PI;
use crate::{Column, Kind, Rng};

const KINDS: [(&str, f64); 3] = [("letter", 0.5), ("box", 0.3), ("crate", 0.2)];
const EXPRESS: [f64; 3] = [0.6, 0.3, 0.1];
const ITEM: [f64; 3] = [0.1, 0.4, 0.8];
const PLACES: usize = 10;
/// Of a parcel that does not go express, and of one that does.
const DEVIATION: [f64; 2] = [1.0, 0.3];

/// What the columns are.
pub(super) fn columns() -> Vec<Column> {
    let names = KINDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    vec![
        Column::new("kind", Kind::Category(names)),
        Column::new("express", Kind::Binary),
        Column::new("items", Kind::Whole { least: 0, most: PLACES as i64 }),
        Column::new("weight", Kind::REAL),
    ]
}

fn mean(items: f64) -> f64 {
    1.0 + 0.5 * items
}

/// log of the probability of so many items.
fn log_items(kind: usize, items: usize) -> f64 {
    let ways: f64 = (0..items).map(|i| libm::log((PLACES - i) as f64 / (i + 1) as f64)).sum();
    ways + items as f64 * libm::log(ITEM[kind]) + (PLACES - items) as f64 * libm::log1p(-ITEM[kind])
}

fn log_coin(p: f64, on: bool) -> f64 {
    if on { libm::log(p) } else { libm::log1p(-p) }
}

/// log p of a row, nats.
pub(super) fn log_density(row: &[f32]) -> f64 {
    let [kind, express, items, weight] = [0, 1, 2, 3].map(|c| f64::from(row[c]));
    if items > PLACES as f64 {
        return f64::NEG_INFINITY;
    }
    let (kind, on) = (kind as usize, express > 0.5);
    let deviation = DEVIATION[usize::from(on)];
    let z = (weight - mean(items)) / deviation;
    libm::log(KINDS[kind].1) + log_coin(EXPRESS[kind], on) + log_items(kind, items as usize)
        - 0.5 * (LN_2PI + z * z)
        - libm::log(deviation)
}

pub(super) fn draw(rng: &mut Rng, row: &mut [f32]) {
    let kind = rng.categorical(&KINDS.map(|k| k.1));
    let express = rng.uniform_f64() < EXPRESS[kind];
    let items = (0..PLACES).filter(|_| rng.uniform_f64() < ITEM[kind]).count() as f64;
    let weight = mean(items) + DEVIATION[usize::from(express)] * rng.normal();
    row.copy_from_slice(&[kind as f32, f32::from(u8::from(express)), items as f32, weight as f32]);
}

/// Entropy, nats.
pub(super) fn entropy() -> f64 {
    let term = |p: f64| -p * libm::log(p);
    let of = |k: usize| {
        let (share, express) = (KINDS[k].1, EXPRESS[k]);
        let items: f64 = (0..=PLACES).map(|i| log_items(k, i)).map(|l| -libm::exp(l) * l).sum();
        let spread = (1.0 - express) * libm::log(DEVIATION[0]) + express * libm::log(DEVIATION[1]);
        term(share) + share * (term(express) + term(1.0 - express) + items + spread)
    };
    (0..KINDS.len()).map(of).sum::<f64>() + 0.5 * (LN_2PI + 1.0)
}
