//! What PixelCNN is, shown beside semantic segmentation: the same convolutional network with another label and another mask.
//!
//! `cargo run --release --example pixelcnn_vs_segmentation` trains three networks in about half a minute, prints a table and
//! writes `pixelcnn_vs_segmentation.html`. See the README in this folder.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

mod net;
mod page;

use genus::{Batch, Result, Seed, data, level_at};
use net::{Net, SIDE, Sight};
use page::Page;

/// Values of a pixel: 0 to 16.
const LEVELS: usize = 17;
/// Least value of a stroke.
const STROKE: f32 = 8.0;
/// Labels: ground, stroke, hole.
const LABELS: usize = 3;

/// A line of the table.
struct Row {
    what: &'static str,
    mask: &'static str,
    label: &'static str,
    accuracy: f64,
    iou: f64,
}

fn main() -> Result<()> {
    let epochs = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(40);
    let digits = data::load("digits", &data::Options::default())?;
    let Some(test) = &digits.test else { unreachable!("the digits have test rows") };
    let (train, test) = (&digits.train.x, &test.x);
    let (train_maps, maps) = (label_maps(train)?, label_maps(test)?);

    let learn = |sight, labels, of: &Batch, name: &str| -> Result<Net> {
        eprintln!("training: {name}");
        let mut net = Net::new(sight, (LEVELS - 1) as f32, labels, Seed::from(1).child(name));
        net.train(train, of, epochs, Seed::from(2).child(name))?;
        Ok(net)
    };
    let causal = learn(Sight::Before, LEVELS, train, "PixelCNN")?;
    let segment = learn(Sight::All, LABELS, &train_maps, "segmentation")?;
    let copy = learn(Sight::All, LEVELS, train, "its own value without a mask")?;

    let (guessed, found, copied) = (causal.label(test)?, segment.label(test)?, copy.label(test)?);
    let row = |what, mask, label, found: &Batch, of: &Batch, labels| {
        let (accuracy, iou) = scores(found, of, labels);
        Row { what, mask, label, accuracy, iou }
    };
    let rows = [
        row("segmentation", "everything", "a person's map, 3 labels", &found, &maps, LABELS),
        row("PixelCNN", "pixels before", "its own value, 17 levels", &guessed, test, LEVELS),
        row("neither", "everything", "its own value, 17 levels", &copied, test, LEVELS),
    ];
    for Row { what, mask, label, accuracy, iou } in &rows {
        println!("{what:<13} sees {mask:<14} label: {label:<26} accuracy {accuracy:.3}  mean IoU {iou:.3}");
    }
    let pixel = 4 * SIDE + 4;
    let drawn = draw(&causal, 12, Seed::from(3));
    let sight = [&causal, &segment].map(|net: &Net| net.dependencies(&test.slice(0, 1), pixel));
    let page = Page {
        images: test,
        maps: &maps,
        found: &found,
        guessed: &guessed,
        drawn: &drawn,
        sight,
        rows: &rows,
    };
    let path = "pixelcnn_vs_segmentation.html";
    std::fs::write(path, page.html()).map_err(genus::Error::io("write", path))?;
    println!("page: {path}");
    Ok(())
}

/// What a person would draw: strokes, holes that strokes enclose, and other ground.
fn label_maps(images: &Batch) -> Result<Batch> {
    Batch::new(images.iter().flat_map(label_map).collect(), images.width())
}

fn label_map(image: &[f32]) -> Vec<f32> {
    // Ground that is reached from the edge, from neighbour to neighbour, is no hole.
    let mut map: Vec<f32> = image.iter().map(|v| if *v >= STROKE { 1.0 } else { 2.0 }).collect();
    let inner = 1..SIDE - 1;
    let edge = |i: usize| !inner.contains(&(i % SIDE)) || !inner.contains(&(i / SIDE));
    let mut reached: Vec<usize> = (0..map.len()).filter(|i| edge(*i)).collect();
    while let Some(i) = reached.pop() {
        if map[i] != 2.0 {
            continue;
        }
        map[i] = 0.0;
        let (x, y) = (i % SIDE, i / SIDE);
        let near = [
            (x > 0, i.wrapping_sub(1)),
            (x + 1 < SIDE, i + 1),
            (y > 0, i.wrapping_sub(SIDE)),
            (y + 1 < SIDE, i + SIDE),
        ];
        reached.extend(near.into_iter().filter(|(inside, _)| *inside).map(|(_, i)| i));
    }
    map
}

/// Share of pixels with the right label, and intersection over union averaged over the labels that occur.
fn scores(found: &Batch, wanted: &Batch, labels: usize) -> (f64, f64) {
    let mut both = vec![0.0; labels];
    let mut either = vec![0.0; labels];
    for (f, w) in found.data().iter().zip(wanted.data()) {
        either[*w as usize] += 1.0;
        if f == w {
            both[*w as usize] += 1.0;
        } else {
            either[*f as usize] += 1.0;
        }
    }
    let accuracy = both.iter().sum::<f64>() / wanted.data().len() as f64;
    let ious: Vec<f64> = both.iter().zip(&either).filter(|(_, e)| **e > 0.0).map(|(b, e)| b / e).collect();
    (accuracy, ious.iter().sum::<f64>() / ious.len() as f64)
}

/// Images from a causal network, pixel by pixel.
fn draw(net: &Net, n: usize, seed: Seed) -> Batch {
    let mut rng = seed.rng();
    let mut x = Batch::zeros(n, SIDE * SIDE);
    for pixel in 0..SIDE * SIDE {
        let p = net.probabilities(&x);
        for row in 0..n {
            let p = &p[(row * SIDE * SIDE + pixel) * LEVELS..][..LEVELS];
            x.row_mut(row)[pixel] = level_at(rng.uniform(), p) as f32;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_a_hole_and_an_open_one_has_none() {
        let mut image = vec![0.0; SIDE * SIDE];
        for (x, y) in [(2, 2), (3, 2), (4, 2), (2, 3), (4, 3), (2, 4), (3, 4), (4, 4)] {
            image[y * SIDE + x] = 16.0;
        }
        let count = |image: &[f32], label: f32| label_map(image).iter().filter(|v| **v == label).count();
        assert_eq!([0.0, 1.0, 2.0].map(|l| count(&image, l)), [55, 8, 1]);
        assert_eq!(label_map(&image)[3 * SIDE + 3], 2.0);
        image[2 * SIDE + 3] = 0.0;
        assert_eq!([0.0, 1.0, 2.0].map(|l| count(&image, l)), [57, 7, 0]);
    }

    #[test]
    fn scores_of_a_small_case() {
        let (found, wanted) = (
            Batch::new(vec![0.0, 0.0, 1.0, 1.0], 4).unwrap(),
            Batch::new(vec![0.0, 1.0, 1.0, 1.0], 4).unwrap(),
        );
        // Label 0: 1 of 2; label 1: 2 of 3; label 2 does not occur.
        assert_eq!(scores(&found, &wanted, 3), (0.75, (0.5 + 2.0 / 3.0) / 2.0));
    }

    /// The mask is the difference: the causal network sees pixels before, the other one itself and later ones too.
    #[test]
    fn sight() {
        let mut rng = Seed::from(5).rng();
        let image = Batch::from_fn(1, SIDE * SIDE, |_, _| rng.below(LEVELS) as f32);
        let pixel = 3 * SIDE + 3;
        let of = |sight| Net::new(sight, 16.0, LEVELS, Seed::from(4)).dependencies(&image, pixel);
        let (before, all) = (of(Sight::Before), of(Sight::All));
        assert!(before[pixel..].iter().all(|v| *v == 0.0) && before[pixel - 1] > 0.0);
        assert!(all[pixel] > 0.0 && all[pixel + 1] > 0.0 && all[pixel - 1] > 0.0);
    }

    /// A few epochs are enough to be far better than the most frequent label.
    #[test]
    fn segmentation_learns() {
        let digits = data::load("digits", &data::Options::default()).unwrap();
        let images = digits.train.x.slice(0, 400);
        let maps = label_maps(&images).unwrap();
        let mut net = Net::new(Sight::All, 16.0, LABELS, Seed::from(1));
        net.train(&images, &maps, 5, Seed::from(2)).unwrap();
        let held = digits.test.unwrap().x;
        let wanted = label_maps(&held).unwrap();
        let (accuracy, _) = scores(&net.label(&held).unwrap(), &wanted, LABELS);
        let ground = wanted.data().iter().filter(|v| **v == 0.0).count() as f64 / wanted.data().len() as f64;
        assert!(accuracy > 0.9 && ground < 0.75, "{accuracy} {ground}");
    }
}
