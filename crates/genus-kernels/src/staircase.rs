//! A mask that is block lower-triangular once both sides are sorted.

use crate::crew;

/// Rows of a job.
const ROWS: usize = 64;

/// Which inputs each output may see: output `j` sees the inputs `0..reach(j)`, and `reach` never falls with `j`.
///
/// The mask of an autoregressive layer (MADE: input degree ≤ output degree) has this form once units are sorted by degree;
/// about half of the products then meet only zeros and are skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staircase {
    reach: Vec<usize>,
    /// For each input the first output that sees it.
    first: Vec<usize>,
}

impl Staircase {
    /// The mask "input i is seen by output j if `inputs[i] ≤ outputs[j]`". Panics if either list falls somewhere.
    pub fn from_degrees(inputs: &[usize], outputs: &[usize]) -> Self {
        assert!(inputs.is_sorted() && outputs.is_sorted(), "units must be sorted by degree");
        let reach = outputs.iter().map(|d| inputs.partition_point(|i| i <= d)).collect();
        let first = inputs.iter().map(|i| outputs.partition_point(|d| d < i)).collect();
        Self { reach, first }
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.first.len()
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.reach.len()
    }

    /// Per output the number of inputs that it sees.
    pub fn reach(&self) -> &[usize] {
        &self.reach
    }

    /// Per input the first output that sees it; the number of outputs if none does.
    pub fn first(&self) -> &[usize] {
        &self.first
    }

    /// Whether output `j` sees input `i`.
    pub fn allows(&self, i: usize, j: usize) -> bool {
        i < self.reach[j]
    }

    /// Sets the weights `[inputs, outputs]` that the mask drops to zero.
    pub fn apply(&self, weights: &mut [f32]) {
        crew::rows([(weights, self.outputs().max(1))], ROWS, |i, [weights]| {
            let rows = weights.chunks_exact_mut(self.outputs().max(1));
            rows.zip(&self.first[i * ROWS..]).for_each(|(row, first)| row[..*first].fill(0.0));
        });
    }

    /// The mask as zeros and ones, `[inputs, outputs]`.
    pub fn dense(&self) -> Vec<f32> {
        let mut m = vec![1.0; self.inputs() * self.outputs()];
        self.apply(&mut m);
        m
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_views_agree_with_the_degrees() {
        let (inputs, outputs) = ([1, 1, 2, 4, 4], [0, 1, 3, 4]);
        let s = Staircase::from_degrees(&inputs, &outputs);
        let dense = s.dense();
        for i in 0..5 {
            for j in 0..4 {
                assert_eq!(s.allows(i, j), inputs[i] <= outputs[j]);
                assert_eq!(dense[i * 4 + j] == 1.0, inputs[i] <= outputs[j]);
            }
        }
    }
}
