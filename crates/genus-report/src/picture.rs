//! Rows of numbers as PNG pictures inside the page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use genus_core::{Error, Result};
use png::{ColorType, EncodingError};
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
    /// The data URI of what a reader sees who wants nothing to move; empty if nothing does.
    pub still: String,
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
    pub(crate) fn from_shape(shape: &[usize]) -> Option<Self> {
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

fn uri(pixels: &[u8], width: usize, height: usize, colour: ColorType) -> Result<String> {
    film_uri(&[pixels], 0, 0, (width, height), colour)
}

/// Frames of `delay` milliseconds, the last of which stays for `last`; they are repeated without end.
fn film_uri(
    frames: &[&[u8]],
    delay: u16,
    last: u16,
    (width, height): (usize, usize),
    colour: ColorType,
) -> Result<String> {
    let refuse = |e: String| Error::Run(format!("cannot write a picture of {width}×{height} pixels: {e}"));
    let (w, h) = (u32::try_from(width), u32::try_from(height));
    let (Ok(w), Ok(h)) = (w, h) else { return Err(refuse("too large".to_owned())) };
    let mut out = Vec::new();
    let write = |out: &mut Vec<u8>| -> std::result::Result<(), EncodingError> {
        let mut encoder = png::Encoder::new(out, w, h);
        encoder.set_color(colour);
        if frames.len() > 1 {
            encoder.set_animated(frames.len() as u32, 0)?;
            encoder.set_frame_delay(delay, 1000)?;
        }
        let mut writer = encoder.write_header()?;
        for (i, frame) in frames.iter().enumerate() {
            if i > 0 && i + 1 == frames.len() {
                writer.set_frame_delay(last, 1000)?;
            }
            writer.write_image_data(frame)?;
        }
        writer.finish()
    };
    write(&mut out).map_err(|e| refuse(e.to_string()))?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(&out)))
}

/// Where the pixels of images that lie side by side come to be, `columns` per line, with one transparent pixel between them.
#[derive(Debug, Clone, Copy)]
struct Sheet {
    size: Pixels,
    columns: usize,
    lines: usize,
}

impl Sheet {
    fn new(size: Pixels, images: usize, columns: usize) -> Self {
        let columns = columns.clamp(1, images.max(1));
        Self { size, columns, lines: images.div_ceil(columns).max(1) }
    }

    fn extents(self) -> (usize, usize) {
        (self.columns * (self.size.width + 1) - 1, self.lines * (self.size.height + 1) - 1)
    }

    /// Channels, the last of which is alpha: zero where nothing is drawn.
    fn depth(self) -> usize {
        self.size.channels + 1
    }

    fn colour(self) -> ColorType {
        if self.size.channels == 1 { ColorType::GrayscaleAlpha } else { ColorType::Rgba }
    }

    fn blank(self) -> Vec<u8> {
        let (width, height) = self.extents();
        vec![0; width * height * self.depth()]
    }

    /// Draws value `v` of an image. What is missing stays transparent.
    fn put(self, out: &mut [u8], image: usize, v: usize, value: f32, range: (f64, f64)) {
        let (pixel, channel) = (v / self.size.channels, v % self.size.channels);
        let left = (image % self.columns) * (self.size.width + 1) + pixel % self.size.width;
        let top = (image / self.columns) * (self.size.height + 1) + pixel / self.size.width;
        let at = (top * self.extents().0 + left) * self.depth();
        if !value.is_nan() {
            out[at + channel] = byte(f64::from(value), range);
            out[at + self.size.channels] = 255;
        }
    }

    fn picture(self, src: String, still: String, alt: String) -> Picture {
        let zoom = (TILE / self.size.height.max(self.size.width)).max(1);
        let (width, height) = self.extents();
        let (title, caption) = (String::new(), String::new());
        Picture { src, still, width: width * zoom, height: height * zoom, alt, title, caption }
    }
}

/// Images side by side, `columns` per line. Values at the ends of `range` are black and white; where one is NaN, nothing is drawn.
pub(crate) fn grid(
    images: &[&[f32]],
    size: Pixels,
    columns: usize,
    range: (f64, f64),
    alt: String,
) -> Result<Picture> {
    let sheet = Sheet::new(size, images.len(), columns);
    let mut out = sheet.blank();
    for (i, image) in images.iter().enumerate() {
        for (v, value) in image.iter().take(size.len()).enumerate() {
            sheet.put(&mut out, i, v, *value, range);
        }
    }
    let (width, height) = sheet.extents();
    Ok(sheet.picture(uri(&out, width, height, sheet.colour())?, String::new(), alt))
}

/// Images as they come to be, value by value in the given order: about `frames` frames.
pub(crate) fn film(
    images: &[&[f32]],
    order: &[usize],
    size: Pixels,
    columns: usize,
    range: (f64, f64),
    frames: usize,
    alt: String,
) -> Result<Picture> {
    let sheet = Sheet::new(size, images.len(), columns);
    let mut now = sheet.blank();
    let mut all = vec![now.clone()];
    for values in order.chunks(order.len().div_ceil(frames.max(1)).max(1)) {
        for (i, image) in images.iter().enumerate() {
            values.iter().for_each(|v| sheet.put(&mut now, i, *v, image[*v], range));
        }
        all.push(now.clone());
    }
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let extents = sheet.extents();
    let src = film_uri(&all, 80, 3000, extents, sheet.colour())?;
    Ok(sheet.picture(src, uri(&now, extents.0, extents.1, sheet.colour())?, alt))
}

/// Images at several times, one after the other.
pub(crate) fn frames(
    times: &[Vec<&[f32]>],
    size: Pixels,
    columns: usize,
    range: (f64, f64),
    alt: String,
) -> Result<Picture> {
    let sheet = Sheet::new(size, times.first().map_or(0, Vec::len), columns);
    let draw = |images: &Vec<&[f32]>| {
        let mut out = sheet.blank();
        for (i, image) in images.iter().enumerate() {
            image
                .iter()
                .take(size.len())
                .enumerate()
                .for_each(|(v, value)| sheet.put(&mut out, i, v, *value, range));
        }
        out
    };
    let all: Vec<Vec<u8>> = times.iter().map(draw).collect();
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let extents = sheet.extents();
    let still =
        all.last().map_or(Ok(String::new()), |last| uri(last, extents.0, extents.1, sheet.colour()))?;
    Ok(sheet.picture(film_uri(&all, 400, 3000, extents, sheet.colour())?, still, alt))
}

/// Colour of a share between 0 (dark) and 1 (light).
fn ramp(share: f64) -> [u8; 3] {
    let at = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) } * (RAMP.len() - 1) as f64;
    let low = (at as usize).min(RAMP.len() - 2);
    let part = at - low as f64;
    std::array::from_fn(|c| (RAMP[low][c] * (1.0 - part) + RAMP[low + 1][c] * part).round() as u8)
}

/// How strong every pixel of an image of `width` columns is: zero is transparent, what is not is coloured by its logarithm from
/// `range.0` to `range.1`; the pixel `marked` is white.
pub(crate) fn strengths(
    values: &[f64],
    width: usize,
    marked: usize,
    range: (f64, f64),
    alt: String,
) -> Result<Picture> {
    let height = values.len() / width.max(1);
    let mut out = Vec::with_capacity(values.len() * 4);
    for (p, v) in values.iter().enumerate() {
        let share = (v.log10() - range.0) / (range.1 - range.0);
        let [r, g, b] = if p == marked { [255; 3] } else { ramp(share) };
        out.extend(if p == marked || *v > 0.0 { [r, g, b, 255] } else { [0; 4] });
    }
    let sheet = Sheet::new(Pixels { height, width, channels: 3 }, 1, 1);
    let zoom = (4 * TILE / height.max(width)).max(1);
    let picture = sheet.picture(uri(&out, width, height, ColorType::Rgba)?, String::new(), alt);
    Ok(Picture { width: width * zoom, height: height * zoom, ..picture })
}

/// A heat map of `width` values per line, the first line at the bottom.
pub(crate) fn heat(values: &[f64], width: usize, range: (f64, f64)) -> Result<String> {
    let mut out = Vec::with_capacity(values.len() * 3);
    for line in values.chunks_exact(width.max(1)).rev() {
        out.extend(line.iter().flat_map(|v| ramp((v - range.0) / (range.1 - range.0))));
    }
    uri(&out, width, values.len() / width.max(1), ColorType::Rgb)
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
        let size = Pixels::from_shape(&[2, 2, 1]).unwrap();
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
        assert_eq!([grey(0, 3), grey(1, 3), grey(1, 4)], [0, 255, 191]);
        // The gap, the missing value and the missing fourth image are transparent.
        for (x, y) in [(2, 0), (0, 2), (0, 4), (4, 4)] {
            assert_eq!(png.get_pixel(x, y).0[3], 0);
        }
        assert_eq!((picture.width, picture.height), (140, 140));
    }

    #[test]
    fn films_show_values_in_their_order() {
        let size = Pixels::from_shape(&[1, 3, 1]).unwrap();
        let images: [&[f32]; 2] = [&[1.0, 0.0, 1.0], &[0.0, 1.0, 1.0]];
        let film = film(&images, &[2, 0, 1], size, 1, (0.0, 1.0), 3, String::new()).unwrap();
        let png = STANDARD.decode(film.src.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let decoder = image::codecs::png::PngDecoder::new(std::io::Cursor::new(png)).unwrap();
        let frames = image::AnimationDecoder::into_frames(decoder.apng().unwrap()).collect_frames().unwrap();
        let shown: Vec<[u8; 6]> = frames
            .iter()
            .map(|f| std::array::from_fn(|i| f.buffer().get_pixel(i as u32 % 3, 2 * (i as u32 / 3)).0))
            .map(|p: [[u8; 4]; 6]| p.map(|[grey, _, _, alpha]| if alpha == 0 { 7 } else { grey / 255 }))
            .collect();
        let want = [[7; 6], [7, 7, 1, 7, 7, 1], [1, 7, 1, 0, 7, 1], [1, 0, 1, 0, 1, 1]];
        assert_eq!(shown, want);
        let still = decode(&film.still);
        assert_eq!(still.get_pixel(1, 2).0, [255; 4]);
        let delays: Vec<u32> = frames.iter().map(|f| f.delay().numer_denom_ms().0).collect();
        assert_eq!(delays, [80, 80, 80, 3000]);
    }

    #[test]
    fn strengths_are_clear_where_nothing_is() {
        let picture = strengths(&[0.0, 1e-3, 1.0, 1.0], 2, 3, (-3.0, 0.0), String::new()).unwrap();
        let png = decode(&picture.src);
        let at = |x, y| png.get_pixel(x, y).0;
        assert_eq!(at(0, 0)[3], 0);
        assert_eq!([at(1, 0), at(0, 1)], [[68, 1, 84, 255], [253, 231, 37, 255]]);
        assert_eq!(at(1, 1), [255; 4]);
    }

    #[test]
    fn colour_channels_come_last() {
        let size = Pixels::from_shape(&[1, 2, 3]).unwrap();
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
        assert_eq!(Pixels::from_shape(&[28, 28, 1]).map(Pixels::len), Some(784));
        for other in [&[784][..], &[28, 28, 2], &[0, 28, 1], &[28, 28]] {
            assert_eq!(Pixels::from_shape(other), None);
        }
    }
}
