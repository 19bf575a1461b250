//! What a study found so far, a line of `points.jsonl` for each number, so that one that was interrupted goes on where it was; and means of
//! them with intervals.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

/// A number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What was looked at.
    pub series: String,
    /// How much there was of what the study varies.
    pub size: usize,
    /// Which of the repetitions.
    pub seed: u64,
    /// What came of it; none where it could not be done.
    pub value: Option<f64>,
    /// Why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// The numbers of a study, on disk and here.
pub(super) struct Points {
    file: File,
    all: Vec<Point>,
}

/// Mean over seeds, and the half-width of its interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// Mean.
    pub mean: f64,
    /// Half-width; infinite with one seed.
    pub half: f64,
}

impl Points {
    /// Those of a folder, to which more are added. A last line that was cut off is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let text =
            if path.exists() { std::fs::read(path).map_err(Error::io("read", path))? } else { Vec::new() };
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let lines = text[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let mut all: Vec<Point> = Vec::new();
        for (at, line) in lines.enumerate() {
            let damaged = |what: String| {
                let place = format!("{}, line {}", path.display(), at + 1);
                Error::Run(format!("{place}: {what}; take the line out, and what it said is found again"))
            };
            let point: Point = serde_json::from_slice(line).map_err(|e| damaged(e.to_string()))?;
            if point.value.is_some_and(|v| !(0.0..=1.0).contains(&v)) {
                return Err(damaged("a share lies between 0 and 1".into()));
            }
            let known = |p: &Point| p.series == point.series && p.size == point.size && p.seed == point.seed;
            if !all.iter().any(known) {
                all.push(point);
            }
        }
        let io = Error::io("write", path);
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            file.set_len(whole as u64)?;
            Ok(file)
        };
        Ok(Self { file: open().map_err(io)?, all })
    }

    /// Whether there is this one.
    pub fn has(&self, series: &str, size: usize, seed: u64) -> bool {
        self.all.iter().any(|p| p.series == series && p.size == size && p.seed == seed)
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put(&mut self, point: Point) -> Result<()> {
        let mut line = serde_json::to_vec(&point).map_err(|e| Error::Run(format!("a point: {e}")))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", Path::new("points.jsonl")))?;
        self.all.push(point);
        Ok(())
    }

    /// All of them.
    pub fn all(&self) -> &[Point] {
        &self.all
    }
}

/// Values of a series at a size, by seed.
fn values(of: &[Point], series: &str, size: usize) -> Vec<(u64, f64)> {
    let own = of.iter().filter(|p| p.series == series && p.size == size);
    own.filter_map(|p| Some((p.seed, p.value?))).collect()
}

/// The mean of a series at a size; none where there is no value.
pub(super) fn mean(of: &[Point], series: &str, size: usize) -> Option<Mean> {
    over(&values(of, series, size).iter().map(|v| v.1).collect::<Vec<_>>())
}

/// The mean of what a series has more than another at a size, seed by seed.
pub(super) fn gain(of: &[Point], series: &str, beside: &str, size: usize) -> Option<Mean> {
    let others = values(of, beside, size);
    let own = values(of, series, size);
    let pairs = own.iter().filter_map(|(s, v)| Some(v - others.iter().find(|(o, _)| o == s)?.1));
    over(&pairs.collect::<Vec<_>>())
}

/// Mean and Student's interval.
fn over(values: &[f64]) -> Option<Mean> {
    // 97.5 % points of Student's t with 1, 2, … degrees of freedom.
    const T: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Some(Mean { mean, half: f64::INFINITY });
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let t = T.get(n - 2).copied().unwrap_or(2.228);
    Some(Mean { mean, half: t * (variance / n as f64).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(series: &str, seed: u64, value: Option<f64>) -> Point {
        Point { series: series.into(), size: 10, seed, value, why: String::new() }
    }

    /// By hand: 1, 2 and 6 have the mean 3 and the deviation √7.
    #[test]
    fn intervals_are_students() {
        let all: Vec<Point> =
            [1.0, 2.0, 6.0].iter().enumerate().map(|(s, v)| point("a", s as u64, Some(*v))).collect();
        let found = mean(&all, "a", 10).unwrap();
        assert!((found.mean - 3.0).abs() < 1e-12 && (found.half - 4.303 * (7f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(mean(&all, "b", 10).is_none() && mean(&all, "a", 11).is_none());
        assert!(over(&[1.0]).unwrap().half.is_infinite());
        // Differences are of the same seed, and a seed without a number has none.
        let beside = [point("b", 0, Some(0.5)), point("b", 1, None), point("b", 2, Some(5.0))];
        let found = gain(&[&all[..], &beside].concat(), "a", "b", 10).unwrap();
        assert!((found.mean - 0.75).abs() < 1e-12);
    }

    /// What was written is there again, and a line that was cut off is not.
    #[test]
    fn points_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.jsonl");
        let mut points = Points::open(&path).unwrap();
        points.put(point("a", 0, Some(0.25))).unwrap();
        points.put(point("a", 1, None)).unwrap();
        drop(points);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{{\"series\": \"a\"")).unwrap();
        let mut points = Points::open(&path).unwrap();
        assert!(points.all().len() == 2 && points.has("a", 10, 1) && !points.has("a", 10, 2));
        points.put(point("a", 2, Some(1.0))).unwrap();
        assert_eq!(Points::open(&path).unwrap().all().len(), 3);
    }
}
