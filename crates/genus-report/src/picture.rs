//! Rows of numbers as PNG pictures inside the page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use genus_core::{Error, Result};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;

/// Width and height on the page that one image of a grid aims at, CSS pixels.
const TILE: usize = 56;
/// Largest side of an image that is shown; a grid of larger ones would not be a page any more.
const SIDE: usize = 512;
/// Dark to light, evenly bright steps that stay apart for every kind of colour vision.
const RAMP: [[f64; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 44.0, 122.0],
    [59.0, 81.0, 139.0],
    [44.0, 113.0, 142.0],
    [33.0, 144.0, 141.0],
    [39.0, 173.0, 129.0],
    [92.0, 200.0, 99.0],
    [170.0, 220.0, 50.0],
    [253.0, 231.0, 37.0],
];

/// A picture on the page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Picture {
    /// The data URI.
    pub src: String,
    /// Width on the page, CSS pixels; it shrinks with the window.
    pub width: usize,
    /// Height on the page, CSS pixels.
    pub height: usize,
    /// What it shows, in words.
    pub alt: String,
    /// Line above it, or empty.
    pub title: String,
    /// Line under it, or empty.
    pub caption: String,
}

/// Extents of an image row, channels last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pixels {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
}

impl Pixels {
    /// The extents, if `shape` is that of an image that can be shown.
    pub(crate) fn of(shape: &[usize]) -> Option<Self> {
        match *shape {
            [height @ 1..=SIDE, width @ 1..=SIDE, channels @ (1 | 3)] => {
                Some(Self { height, width, channels })
            }
            _ => None,
        }
    }

    /// Values per image.
    pub(crate) fn len(self) -> usize {
        self.height * self.width * self.channels
    }
}

fn byte(v: f64, range: (f64, f64)) -> u8 {
    let share = (v - range.0) / (range.1 - range.0);
    if share.is_nan() { 0 } else { (share * 255.0).round().clamp(0.0, 255.0) as u8 }
}

fn uri(pixels: &[u8], width: usize, height: usize, colour: ExtendedColorType) -> Result<String> {
    let refuse = |e: String| Error::Run(format!("cannot write a picture of {width}×{height} pixels: {e}"));
    let (w, h) = (u32::try_from(width), u32::try_from(height));
    let (Ok(w), Ok(h)) = (w, h) else { return Err(refuse("too large".to_owned())) };
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(pixels, w, h, colour).map_err(|e| refuse(e.to_string()))?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(&png)))
}

/// Images side by side, `columns` per line, with one transparent pixel between them. Values at the ends of
/// `range` are black and white.
pub(crate) fn grid(
    images: &[&[f32]],
    size: Pixels,
    columns: usize,
    range: (f64, f64),
    alt: String,
) -> Result<Picture> {
    let columns = columns.clamp(1, images.len().max(1));
    let lines = images.len().div_ceil(columns).max(1);
    let (width, height) = (columns * (size.width + 1) - 1, lines * (size.height + 1) - 1);
    // Alpha is the last channel, and zero where nothing is drawn.
    let depth = size.channels + 1;
    let mut out = vec![0u8; width * height * depth];
    for (i, image) in images.iter().enumerate() {
        let (left, top) = ((i % columns) * (size.width + 1), (i / columns) * (size.height + 1));
        for (p, values) in image.chunks_exact(size.channels).take(size.height * size.width).enumerate() {
            let at = ((top + p / size.width) * width + left + p % size.width) * depth;
            for (to, &v) in out[at..at + size.channels].iter_mut().zip(values) {
                *to = byte(f64::from(v), range);
            }
            out[at + size.channels] = 255;
        }
    }
    let colour = if size.channels == 1 { ExtendedColorType::La8 } else { ExtendedColorType::Rgba8 };
    let zoom = (TILE / size.height.max(size.width)).max(1);
    let src = uri(&out, width, height, colour)?;
    Ok(Picture {
        src,
        width: width * zoom,
        height: height * zoom,
        alt,
        title: String::new(),
        caption: String::new(),
    })
}

/// Colour of a share between 0 (dark) and 1 (light).
fn ramp(share: f64) -> [u8; 3] {
    let at = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) } * (RAMP.len() - 1) as f64;
    let low = (at as usize).min(RAMP.len() - 2);
    let part = at - low as f64;
    std::array::from_fn(|c| (RAMP[low][c] * (1.0 - part) + RAMP[low + 1][c] * part).round() as u8)
}

/// A heat map of `width` values per line, the first line at the bottom.
pub(crate) fn heat(values: &[f64], width: usize, range: (f64, f64)) -> Result<String> {
    let mut out = Vec::with_capacity(values.len() * 3);
    for line in values.chunks_exact(width.max(1)).rev() {
        out.extend(line.iter().flat_map(|v| ramp((v - range.0) / (range.1 - range.0))));
    }
    uri(&out, width, values.len() / width.max(1), ExtendedColorType::Rgb8)
}

/// The colours of [`heat`] from low to high, as CSS takes them.
pub(crate) fn ramp_css() -> String {
    let stops = RAMP.map(|[r, g, b]| format!("rgb({r:.0} {g:.0} {b:.0})"));
    format!("linear-gradient(90deg,{})", stops.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(src: &str) -> image::RgbaImage {
        let png = STANDARD.decode(src.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        image::load_from_memory(&png).unwrap().to_rgba8()
    }

    #[test]
    fn grey_grid_decodes_to_its_values() {
        let (a, b, c) = ([0.0, 1.0, 2.0, 4.0], [4.0; 4], [-1.0, 9.0, f32::NAN, 3.0]);
        let size = Pixels::of(&[2, 2, 1]).unwrap();
        let picture = grid(&[&a, &b, &c], size, 2, (0.0, 4.0), "alt".into()).unwrap();
        let png = decode(&picture.src);
        assert_eq!(png.dimensions(), (5, 5));
        let grey = |x, y| {
            let p = png.get_pixel(x, y).0;
            assert_eq!((p[0], p[0], p[3]), (p[1], p[2], 255));
            p[0]
        };
        assert_eq!([grey(0, 0), grey(1, 0), grey(0, 1), grey(1, 1)], [0, 64, 128, 255]);
        assert_eq!([grey(3, 0), grey(4, 1)], [255, 255]);
        assert_eq!([grey(0, 3), grey(1, 3), grey(0, 4), grey(1, 4)], [0, 255, 0, 191]);
        // The gap and the missing fourth image are transparent.
        assert_eq!([png.get_pixel(2, 0).0[3], png.get_pixel(0, 2).0[3], png.get_pixel(4, 4).0[3]], [0; 3]);
        assert_eq!((picture.width, picture.height), (140, 140));
    }

    #[test]
    fn colour_channels_come_last() {
        let size = Pixels::of(&[1, 2, 3]).unwrap();
        let picture = grid(&[&[255.0, 0.0, 51.0, 0.0, 102.0, 255.0]], size, 8, (0.0, 255.0), String::new());
        let png = decode(&picture.unwrap().src);
        assert_eq!(png.get_pixel(0, 0).0, [255, 0, 51, 255]);
        assert_eq!(png.get_pixel(1, 0).0, [0, 102, 255, 255]);
    }

    #[test]
    fn heat_map_has_its_first_line_at_the_bottom() {
        let png = decode(&heat(&[0.0, 1.0, f64::NEG_INFINITY, f64::NAN], 2, (0.0, 1.0)).unwrap());
        assert_eq!(png.dimensions(), (2, 2));
        assert_eq!(png.get_pixel(0, 1).0, [68, 1, 84, 255]);
        assert_eq!(png.get_pixel(1, 1).0, [253, 231, 37, 255]);
        assert_eq!(png.get_pixel(0, 0).0, [68, 1, 84, 255]);
        assert_eq!(png.get_pixel(1, 0).0, [68, 1, 84, 255]);
    }

    #[test]
    fn only_images_are_images() {
        assert_eq!(Pixels::of(&[28, 28, 1]).map(Pixels::len), Some(784));
        for other in [&[784][..], &[28, 28, 2], &[0, 28, 1], &[28, 28]] {
            assert_eq!(Pixels::of(other), None);
        }
    }
}
