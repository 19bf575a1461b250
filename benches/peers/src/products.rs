//! Matrix products of the shapes that training meets.

use crate::Work;
use genus_kernels::{Limits, Mat, gemm};

pub struct Product {
    shape: [usize; 3],
    transposed: [bool; 2],
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

/// The product called `name`.
pub fn find(name: &str) -> Option<Product> {
    let (shape, transposed) = match name {
        "sgemm-fwd" => ([128, 400, 784], [false, false]),
        "sgemm-512" => ([512, 512, 512], [false, false]),
        "sgemm-dx" => ([128, 784, 400], [false, true]),
        "sgemm-dw" => ([784, 400, 128], [true, false]),
        _ => return None,
    };
    let [m, n, k] = shape;
    let values = |n: usize| (0..n).map(|i| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5).collect();
    Some(Product { shape, transposed, a: values(m * k), b: values(k * n), c: vec![0.0; m * n] })
}

impl Work for Product {
    fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        let [m, n, k] = self.shape;
        let a = if self.transposed[0] { Mat::rows(&self.a, m).t() } else { Mat::rows(&self.a, k) };
        let b = if self.transposed[1] { Mat::rows(&self.b, k).t() } else { Mat::rows(&self.b, n) };
        let c = &mut self.c;
        // On a thread of the pool, as training runs.
        rayon::scope(|_| (0..steps).for_each(|_| gemm(m, n, k, a, b, c, false, Limits::Dense)));
        Ok(())
    }
}
