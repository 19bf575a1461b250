//! The page: pictures of 8×8 pixels as inline SVG.

use crate::net::SIDE;
use crate::{Row, STROKE};
use genus::Batch;
use std::fmt::Write;

/// Colours of the labels: ground, stroke, hole.
const COLOURS: [&str; 3] = ["#22303c", "#f2c14e", "#e4572e"];

/// One picture of `SIDE`×`SIDE` pixels.
fn picture(values: &[f32], colour: impl Fn(f32) -> String) -> String {
    let mut svg =
        format!("<svg viewBox=\"0 0 {SIDE} {SIDE}\" width=56 height=56 shape-rendering=crispEdges>");
    for (i, v) in values.iter().enumerate() {
        let (x, y, fill) = (i % SIDE, i / SIDE, colour(*v));
        let _ = write!(svg, "<rect x={x} y={y} width=1 height=1 fill=\"{fill}\"/>");
    }
    svg + "</svg>"
}

fn line(title: &str, images: &Batch, n: usize, colour: &dyn Fn(f32) -> String) -> String {
    let pictures: String = images.iter().take(n).map(|row| picture(row, colour)).collect();
    format!("<p>{title}</p><div>{pictures}</div>")
}

/// Everything that the page shows.
pub struct Page<'a> {
    /// Test images.
    pub images: &'a Batch,
    /// Their label maps.
    pub maps: &'a Batch,
    /// What the segmentation network makes of them.
    pub found: &'a Batch,
    /// The most probable value of every pixel given those before it.
    pub guessed: &'a Batch,
    /// Images drawn from the causal network.
    pub drawn: &'a Batch,
    /// What a pixel's logits depend on: causal, whole.
    pub sight: [Vec<f32>; 2],
    /// The table.
    pub rows: &'a [Row],
}

impl Page<'_> {
    /// As HTML.
    pub fn html(&self) -> String {
        let grey = |v: f32| {
            let byte = (v / 16.0 * 255.0).round().clamp(0.0, 255.0);
            format!("rgb({byte} {byte} {byte})")
        };
        let label = |v: f32| COLOURS[v as usize % COLOURS.len()].to_owned();
        let strength = |v: f32| if v > 0.0 { "#3d9970".to_owned() } else { "#dddddd".to_owned() };
        let n = 12;
        let table: String = self
            .rows
            .iter()
            .map(|r| {
                let Row { what, mask, label, accuracy, iou } = r;
                format!(
                    "<tr><th>{what}<td>{mask}<td>{label}<td>{:.1} %<td>{:.1} %</tr>",
                    100.0 * accuracy,
                    100.0 * iou
                )
            })
            .collect();
        let [before, all] = &self.sight;
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>PixelCNN and segmentation</title>\
             <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;\
             color:#222;background:#fff}}svg{{margin:2px}}p{{margin:.8rem 0 .2rem}}table{{border-collapse:collapse}}\
             th,td{{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #ddd;font-weight:400}}</style>\
             <h1>PixelCNN and segmentation are one network</h1>\
             <p>Both put out one distribution per pixel and minimise the cross-entropy of one label per pixel. Semantic \
             segmentation takes the labels from a person and looks at the whole image. PixelCNN takes the pixel's own value as \
             its label, and a mask hides the pixel itself and all that follow, so that the product of its distributions is a \
             probability of the image, from which images can be drawn. Without the mask, that label is its own input, and the \
             network learns to copy it.</p>\
             <table><tr><th><b>network</b><td><b>sees</b><td><b>label</b><td><b>pixel accuracy</b><td><b>mean IoU</b></tr>\
             {table}</table>\
             <h2>Segmentation</h2>{}{}{}\
             <p>Yellow: stroke, a value of at least {STROKE} of 16. Red: a hole, ground that strokes enclose. Dark: other ground.</p>\
             <h2>PixelCNN</h2>{}{}\
             <h2>What the pixel in row 5, column 5 depends on</h2>\
             <p>PixelCNN, then segmentation.</p><div>{}{}</div></html>\n",
            line("Test images", self.images, n, &grey),
            line("Their label maps", self.maps, n, &label),
            line("What the network makes of the images", self.found, n, &label),
            line(
                "The most probable value of each pixel of the test images, given those before it",
                self.guessed,
                n,
                &grey
            ),
            line("Images drawn pixel by pixel", self.drawn, n, &grey),
            picture(before, strength),
            picture(all, strength),
        )
    }
}
