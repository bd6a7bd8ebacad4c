//! The place of a candidate on several images side by side: same piece of sky, same stretch, north up.

use super::canvas::Canvas;
use crate::imaging::north_up::{AsinhStretch, SkyPicture};

/// Height of the band with the titles, pixels.
const TITLE_HEIGHT: usize = 22;
const GAP: usize = 6;
/// About as wide a picture is made, by showing each of its pixels as several.
const PANEL_PIXELS: usize = 192;
/// Lengths of scale bars, arcseconds.
const BARS_ARCSEC: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];

/// One image about a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub title: String,
    pub picture: SkyPicture,
    /// What its fluxes are multiplied by to be in one unit with those of the other layers.
    pub flux_scale: f64,
}

impl Layer {
    /// Sky level in its own unit, and its noise in that of all layers. `None` where the image has no pixel here.
    fn sky(&self) -> Option<(f64, f64)> {
        let (sky, sigma) = self.picture.sky()?;
        let is_scaled = self.flux_scale.is_finite() && self.flux_scale > 0.0;
        is_scaled.then_some((sky, sigma * self.flux_scale))
    }

    /// Brightest pixel about the middle, above the sky, in the unit of all layers.
    fn peak(&self, sky: f64, reach_pixels: f64) -> f64 {
        let middle = (self.picture.pixels.nrows() as f64 - 1.0) / 2.0;
        self.picture
            .pixels
            .indexed_iter()
            .filter(|((row, column), value)| {
                value.is_finite()
                    && (*row as f64 - middle).hypot(*column as f64 - middle) <= reach_pixels
            })
            .map(|(_, value)| (f64::from(*value) - sky) * self.flux_scale)
            .fold(0.0, f64::max)
    }
}

/// The longest round length that takes no more than so many arcseconds.
pub fn bar_arcsec(most: f64) -> f64 {
    let fits = BARS_ARCSEC.into_iter().rev().find(|length| *length <= most);
    fits.unwrap_or(most)
}

/// A scale bar with its length, its left end at a place.
pub fn draw_bar(canvas: &mut Canvas, (left, y): (f64, f64), arcsec: f64, pixels_per_arcsec: f64) {
    let right = left + arcsec * pixels_per_arcsec;
    canvas.line((left, y), (right, y));
    canvas.line((left, y - 3.0), (left, y + 3.0));
    canvas.line((right, y - 3.0), (right, y + 3.0));
    let label = if arcsec >= 60.0 { format!("{}'", arcsec / 60.0) } else { format!("{arcsec}\"") };
    canvas.text((left, y - 14.0 - 5.0), 2, &label);
}

/// North up and east left, as arrows with their letters from a corner at (`x`, `y`).
pub fn draw_compass(canvas: &mut Canvas, (x, y): (f64, f64), length: f64) {
    canvas.arrow((x, y), (x, y - length));
    canvas.arrow((x, y), (x - length, y));
    canvas.text((x - 5.0, y - length - 18.0), 2, "N");
    canvas.text((x - length - 15.0, y - 7.0), 2, "E");
}

/// Draws the layers that have pixels from left to right, each about the place in the middle of its picture, which a reticle
/// marks and leaves free for `clear_arcsec` about it. `None` where no layer has any.
///
/// All have one stretch, in one unit of flux: what looks brighter is.
pub fn strip(layers: &[Layer], clear_arcsec: f64) -> Option<Canvas> {
    let shown: Vec<(&Layer, f64, f64)> = layers
        .iter()
        .filter_map(|layer| layer.sky().map(|(sky, sigma)| (layer, sky, sigma)))
        .collect();
    let first = shown.first()?.0;
    let side = first.picture.pixels.nrows();
    let zoom = (PANEL_PIXELS / side.max(1)).max(1);
    let panel = side * zoom;
    let scale = first.picture.scale_arcsec;
    let clear = clear_arcsec / scale;
    let sigma = shown.iter().map(|each| each.2).fold(0.0, f64::max);
    let peak = shown.iter().map(|(layer, sky, _)| layer.peak(*sky, clear)).fold(0.0, f64::max);
    let stretch = AsinhStretch::for_noise(sigma, peak);
    let width = shown.len() * panel + (shown.len() - 1) * GAP;
    let mut canvas = Canvas::new(width, TITLE_HEIGHT + panel);
    for (index, (layer, sky, _)) in shown.iter().enumerate() {
        let left = index * (panel + GAP);
        canvas.sky((left, TITLE_HEIGHT), &layer.picture, zoom, (*sky, layer.flux_scale), stretch);
        canvas.text((left as f64 + 3.0, 4.0), 2, &layer.title);
        let middle = (panel as f64 - 1.0) / 2.0;
        let centre = (left as f64 + middle, TITLE_HEIGHT as f64 + middle);
        canvas.reticle(centre, clear * zoom as f64, panel as f64 / 9.0, 1.0);
    }
    let floor = (TITLE_HEIGHT + panel) as f64;
    let pixels_per_arcsec = zoom as f64 / scale;
    let bar = bar_arcsec(panel as f64 / 3.0 / pixels_per_arcsec);
    draw_bar(&mut canvas, (8.0, floor - 8.0), bar, pixels_per_arcsec);
    draw_compass(&mut canvas, (panel as f64 - 10.0, TITLE_HEIGHT as f64 + 52.0), 28.0);
    Some(canvas)
}

#[cfg(test)]
mod tests {
    use super::super::canvas::{BLACK, WHITE};
    use super::*;
    use crate::model::SkyPosition;
    use ndarray::Array2;

    fn layer(title: &str, peak: f32, flux_scale: f64) -> Layer {
        let mut pixels = Array2::from_shape_fn((41, 41), |(row, column)| {
            100.0 + ((row * 7 + column * 13) % 11) as f32
        });
        pixels[[20, 20]] = 100.0 + peak;
        let centre = SkyPosition::new(30.0, 24.0);
        let picture = SkyPicture { centre, scale_arcsec: 1.0, pixels };
        Layer { title: title.into(), picture, flux_scale }
    }

    #[test]
    fn the_source_is_in_the_middle_and_free_of_marks() {
        let canvas = strip(&[layer("NEW", 3000.0, 1.0), layer("STACK", 300.0, 10.0)], 4.0).unwrap();
        let panel = 41 * 4;
        assert_eq!(canvas.dim(), (2 * panel + GAP, TITLE_HEIGHT + panel));
        for left in [0, panel + GAP] {
            let middle = (left + 82, TITLE_HEIGHT + 82);
            assert!(canvas.at(middle.0, middle.1).unwrap() < 20, "the source is dark");
            let beside = canvas.at(middle.0 - 12, middle.1).unwrap();
            assert!(beside > 120 && beside < WHITE, "sky is light grey: {beside}");
            let row = TITLE_HEIGHT + 81;
            let tick = (middle.0 + 17..middle.0 + 32)
                .any(|x| (row..row + 3).any(|y| canvas.at(x, y) == Some(BLACK)));
            assert!(tick, "the reticle");
        }
    }

    #[test]
    fn layers_without_pixels_are_left_out() {
        let mut blank = layer("DIFFERENCE", 1.0, 1.0);
        blank.picture.pixels.fill(f32::NAN);
        assert_eq!(strip(&[blank.clone()], 4.0), None);
        assert_eq!(strip(&[], 4.0), None);
        let one = strip(&[blank, layer("NEW", 9.0, 1.0), layer("STACK", 9.0, f64::NAN)], 4.0);
        assert_eq!(one.unwrap().dim().0, 41 * 4);
    }

    #[test]
    fn bars_are_round() {
        assert_eq!(bar_arcsec(25.0), 20.0);
        assert_eq!(bar_arcsec(1000.0), 300.0);
        assert_eq!(bar_arcsec(0.3), 0.3);
    }
}
