//! Orderings and degrees: which unit of a MADE may see which.
//!
//! With dimensions renumbered by their place p = 1 … D in an ordering, input p has degree p, output p has degree p − 1, hidden
//! units have degrees between 1 and D − 1, and a unit sees what has a degree of at most its own. Output 1 therefore sees
//! nothing, and strictness needs no second rule (Germain et al. 2015, section 3, written with ≤ throughout).

use genus_core::Rng;
use genus_nn::Staircase;
use std::sync::Arc;

/// One ordering of the dimensions with one connectivity. Units are kept sorted by degree, so that all masks are staircases.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MaskSet {
    /// `order[p]` is the dimension at place p (from 0).
    pub order: Vec<usize>,
    /// Per hidden layer the unit at each sorted place.
    pub units: Vec<Vec<usize>>,
    /// One mask per layer, output layer last.
    pub layers: Vec<Arc<Staircase>>,
    /// Mask of the direct input-to-output connection.
    pub direct: Arc<Staircase>,
    /// Degrees of the hidden units in their own numbering, per layer: what the model file keeps.
    pub degrees: Vec<Vec<usize>>,
}

impl MaskSet {
    /// Draws hidden degrees uniformly between the smallest degree of the layer below and D − 1: a smaller one would see
    /// nothing of that layer, a larger one would be seen by no output.
    pub fn draw(order: Vec<usize>, hidden: &[usize], rng: &mut Rng) -> Self {
        let top = (order.len() - 1).max(1);
        let mut least = 1;
        let degrees = hidden
            .iter()
            .map(|&n| {
                let layer: Vec<usize> = (0..n).map(|_| least + rng.below(top - least + 1)).collect();
                least = layer.iter().copied().min().unwrap_or(least);
                layer
            })
            .collect();
        Self::new(order, degrees)
    }

    pub fn new(order: Vec<usize>, degrees: Vec<Vec<usize>>) -> Self {
        let d = order.len();
        let inputs: Vec<usize> = (1..=d).collect();
        let outputs: Vec<usize> = (0..d).collect();
        let mut units = Vec::new();
        let mut layers = Vec::new();
        let mut below = inputs.clone();
        for layer in &degrees {
            let mut sorted: Vec<usize> = (0..layer.len()).collect();
            sorted.sort_by_key(|u| layer[*u]);
            let own: Vec<usize> = sorted.iter().map(|u| layer[*u]).collect();
            layers.push(Arc::new(Staircase::from_degrees(&below, &own)));
            units.push(sorted);
            below = own;
        }
        layers.push(Arc::new(Staircase::from_degrees(&below, &outputs)));
        let direct = Arc::new(Staircase::from_degrees(&inputs, &outputs));
        Self { order, units, layers, direct, degrees }
    }

    /// True if neither inputs nor hidden units change places by sorting.
    pub fn is_sorted(&self) -> bool {
        let identity = |p: &Vec<usize>| p.iter().enumerate().all(|(i, u)| i == *u);
        identity(&self.order) && self.units.iter().all(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    /// The product of all masks of a chain is strictly lower triangular: output p sees exactly inputs before p.
    #[test]
    fn connectivity_is_the_ordering() {
        let d = 9;
        for seed in 0..20 {
            let mut rng = Seed::from(seed).rng();
            let order = rng.permutation(d);
            let set = MaskSet::draw(order, &[200, 220], &mut rng);
            let mut reach: Vec<Vec<bool>> = (0..d).map(|i| (0..d).map(|j| i == j).collect()).collect();
            for mask in &set.layers {
                reach = (0..mask.outputs())
                    .map(|o| {
                        (0..d).map(|i| (0..mask.inputs()).any(|h| mask.allows(h, o) && reach[h][i])).collect()
                    })
                    .collect();
            }
            for (output, seen) in reach.iter().enumerate() {
                for (input, sees) in seen.iter().enumerate() {
                    assert!(!sees || input < output, "output {output} sees input {input}");
                    assert_eq!(set.direct.allows(input, output), input < output);
                }
                // With 200 units on 8 degrees, one is missing with probability 2e-11.
                assert_eq!(seen.iter().filter(|s| **s).count(), output);
            }
        }
    }

    #[test]
    fn one_dimension_sees_nothing() {
        let set = MaskSet::draw(vec![0], &[4], &mut Seed::from(0).rng());
        assert!((0..4).all(|h| !set.layers[1].allows(h, 0)));
    }
}
