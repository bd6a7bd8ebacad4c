//! Subtraction of synthetic pairs with truth.

use super::difference_sources::{self, DifferenceSearch, DifferenceSource};
use super::subtraction::{
    Difference, Direction, StampStar, SubtractionError, SubtractionInput, SubtractionParameters,
    subtract,
};
use super::synthetic::{self, Generator, Star};
use super::{CalibratedImage, mask_bits};

const SHAPE: (usize, usize) = (400, 440);
/// Flux in the new image for one in the template.
const SCALE: f64 = 0.8;
/// Position and flux of what is in the new image only.
const NEW_STARS: [(f64, f64, f64); 4] = [
    (100.3, 90.6, 6000.0),
    (310.8, 120.2, 3000.0),
    (200.1, 300.4, 12_000.0),
    (61.5, 333.0, 2500.0),
];

struct Pair {
    new: CalibratedImage,
    template: CalibratedImage,
    stars: Vec<StampStar>,
    widths: (f64, f64),
}

fn pair(new_fwhm: f64, template_fwhm: f64) -> Pair {
    let mut generator = Generator::new(17);
    let template_stars: Vec<Star> = (0..120)
        .map(|_| Star {
            x: 440.0 * generator.uniform(),
            y: 400.0 * generator.uniform(),
            flux: 1500.0 / (0.01 + generator.uniform()),
        })
        .collect();
    let scaled = |star: &Star| Star { flux: SCALE * star.flux, ..*star };
    let mut new_stars: Vec<Star> = template_stars.iter().map(scaled).collect();
    new_stars.extend(NEW_STARS.map(|(x, y, flux)| Star { x, y, flux }));
    let stars = template_stars.iter().map(|&Star { x, y, flux }| StampStar { x, y, flux });
    Pair {
        new: synthetic::frame(SHAPE, &new_stars, new_fwhm, 300.0, 0.05, 5),
        template: synthetic::frame(SHAPE, &template_stars, template_fwhm, 150.0, -0.02, 6),
        stars: stars.collect(),
        widths: (new_fwhm, template_fwhm),
    }
}

impl Pair {
    fn subtract(&self, direction: Option<Direction>) -> Result<Difference, SubtractionError> {
        let input = SubtractionInput {
            new: &self.new,
            template: &self.template,
            stars: &self.stars,
            new_fwhm_pixels: self.widths.0,
            template_fwhm_pixels: self.widths.1,
            new_noise_factor: 1.0,
            template_noise_factor: 1.0,
        };
        let parameters = SubtractionParameters {
            direction,
            cells: 6,
            mesh_pixels: Some(64),
            ..SubtractionParameters::default()
        };
        subtract(&input, &parameters)
    }

    fn found(&self, difference: &Difference) -> Vec<DifferenceSource> {
        difference_sources::find(difference, &self.new, &DifferenceSearch::default()).sources
    }

    /// Significance where no star is near.
    fn scatter_on_empty_sky(&self, difference: &Difference) -> f64 {
        let places = self.stars.iter().map(|star| (star.x, star.y));
        let places: Vec<(f64, f64)> = places.chain(NEW_STARS.map(|(x, y, _)| (x, y))).collect();
        let (mut sum, mut count) = (0.0, 0.0);
        for ((row, column), value) in difference.significance.indexed_iter() {
            let is_empty =
                places.iter().all(|(x, y)| (column as f64 - x).hypot(row as f64 - y) > 12.0);
            if is_empty && difference.image.mask[(row, column)] == 0 {
                sum += f64::from(value * value);
                count += 1.0;
            }
        }
        f64::sqrt(sum / count)
    }
}

#[test]
fn what_is_new_is_found_and_nothing_else_whichever_is_sharper() {
    for (widths, direction) in [((3.4, 2.6), Direction::Template), ((2.6, 3.4), Direction::New)] {
        let pair = pair(widths.0, widths.1);
        let difference = pair.subtract(None).unwrap();
        let kernel = &difference.kernel;
        assert_eq!(kernel.direction, direction);
        assert!((kernel.scale / SCALE - 1.0).abs() < 0.03, "{kernel:?}");
        assert!(kernel.stamps_used >= 25 && kernel.residual_share < 0.05, "{kernel:?}");
        let scatter = pair.scatter_on_empty_sky(&difference);
        assert!((scatter - 1.0).abs() < 0.05, "{scatter} {kernel:?}");
        assert!((kernel.noise_ratio - 1.0).abs() < 0.05, "{kernel:?}");
        let found = pair.found(&difference);
        assert_eq!(found.len(), NEW_STARS.len(), "{found:?}");
        for (x, y, flux) in NEW_STARS {
            let near = |source: &&DifferenceSource| (source.x - x).hypot(source.y - y) < 0.5;
            let source = found.iter().find(near).unwrap();
            let pull = (source.flux_electrons - flux) / source.flux_error.hypot(0.02 * flux);
            assert!(pull.abs() < 4.0, "{source:?} {flux}");
            assert!(source.opposite_share < 0.4 && source.changed_share > 0.5, "{source:?}");
        }
    }
}

#[test]
fn both_directions_are_on_the_flux_scale_of_the_new_image() {
    let pair = pair(3.0, 3.0);
    for direction in [Direction::Template, Direction::New] {
        let difference = pair.subtract(Some(direction)).unwrap();
        let found = pair.found(&difference);
        let brightest = found.first().unwrap();
        assert!((brightest.flux_electrons / 12_000.0 - 1.0).abs() < 0.06, "{brightest:?}");
        assert!(brightest.significance > 0.0);
    }
}

#[test]
fn what_has_gone_is_negative() {
    let pair = pair(3.4, 2.6);
    let gone =
        Pair { new: pair.template.clone(), template: pair.new.clone(), widths: (2.6, 3.4), ..pair };
    let difference = gone.subtract(None).unwrap();
    let found = gone.found(&difference);
    assert_eq!(found.len(), NEW_STARS.len(), "{found:?}");
    assert!(found.iter().all(|source| source.significance < 0.0 && source.flux_electrons < 0.0));
}

#[test]
fn masks_grow_by_the_kernel_and_nothing_bad_gets_through() {
    let mut pair = pair(3.4, 2.6);
    pair.template.data[(50, 60)] = f32::NAN;
    pair.template.data[(150, 160)] = 1e9;
    pair.template.mask[(150, 160)] = mask_bits::COSMIC;
    pair.new.data[(250, 260)] = f32::INFINITY;
    let difference = pair.subtract(None).unwrap();
    let mask = &difference.image.mask;
    assert_eq!(mask[(50, 60)] & mask_bits::BAD, mask_bits::BAD);
    assert_eq!(mask[(150, 162)] & mask_bits::COSMIC, mask_bits::COSMIC);
    assert_eq!(mask[(250, 260)], mask_bits::BAD);
    assert_eq!((mask[(250, 262)], mask[(150, 180)]), (0, 0));
    assert_eq!(mask[(0, 200)], mask_bits::NO_DATA);
    let planes = [&difference.image.data, &difference.image.variance, &difference.significance];
    assert!(planes.iter().all(|plane| plane.iter().all(|value| value.is_finite())));
    assert_eq!(pair.found(&difference).len(), NEW_STARS.len());
}

#[test]
fn a_cosmic_ray_is_sharp_and_a_shifted_star_a_dipole() {
    let mut pair = pair(3.4, 2.6);
    pair.new.data[(180, 90)] += 4000.0;
    let difference = pair.subtract(None).unwrap();
    let near = |x: f64, y: f64| {
        let found = pair.found(&difference);
        found.into_iter().find(|source| (source.x - x).hypot(source.y - y) < 2.0).unwrap()
    };
    assert!(near(90.0, 180.0).sharpness > 2.5, "{:?}", near(90.0, 180.0));
    assert!(near(200.1, 300.4).sharpness < 1.5, "{:?}", near(200.1, 300.4));
    let mut moved =
        synthetic::frame(SHAPE, &[Star { x: 200.8, y: 200.2, flux: 60_000.0 }], 3.4, 0.0, 0.0, 1);
    moved.data += &pair.new.data;
    moved.variance += &pair.new.variance;
    let mut was =
        synthetic::frame(SHAPE, &[Star { x: 200.0, y: 200.0, flux: 75_000.0 }], 2.6, 0.0, 0.0, 2);
    was.data += &pair.template.data;
    was.variance += &pair.template.variance;
    pair.new = moved;
    pair.template = was;
    let difference = pair.subtract(None).unwrap();
    let found = pair.found(&difference);
    let dipole = found.iter().find(|source| (source.x - 200.4).hypot(source.y - 200.1) < 4.0);
    assert!(dipole.is_some_and(|source| source.opposite_share > 0.5), "{dipole:?}");
}

#[test]
fn what_cannot_be_subtracted_is_refused() {
    let pair = pair(3.4, 2.6);
    let refusal = |pair: &Pair| pair.subtract(None).err();
    let few = Pair { stars: pair.stars[..2].to_vec(), ..clone(&pair) };
    assert!(matches!(refusal(&few), Some(SubtractionError::TooFewStamps { .. })));
    let mut dark = clone(&pair);
    dark.template.mask.fill(mask_bits::NO_DATA);
    assert_eq!(refusal(&dark), Some(SubtractionError::NoOverlap { share: 0.0 }));
    let mut wide = clone(&pair);
    wide.widths.0 = f64::NAN;
    assert!(matches!(refusal(&wide), Some(SubtractionError::Width { .. })));
    let mut small = clone(&pair);
    small.template.mask = super::Mask::zeros((3, 3));
    assert_eq!(refusal(&small), Some(SubtractionError::Shapes));
}

fn clone(pair: &Pair) -> Pair {
    Pair {
        new: pair.new.clone(),
        template: pair.template.clone(),
        stars: pair.stars.clone(),
        widths: pair.widths,
    }
}

/// Electrons within a circle about a place.
fn in_circle(difference: &Difference, x: f64, y: f64, radius: f64) -> f64 {
    let pixels = difference.image.data.indexed_iter();
    let inside =
        pixels.filter(|((row, column), _)| (*column as f64 - x).hypot(*row as f64 - y) <= radius);
    inside.map(|(_, value)| f64::from(*value)).sum()
}

/// `tests/oracles/subtraction.py`: what ois, whose kernel has every pixel free, leaves of the same pixels. Its kernel is drawn low by the
/// noise of the template, so that it leaves some per cent of the stars; this kernel leaves less.
#[test]
fn it_agrees_with_another_program_on_what_is_new_and_leaves_less_of_the_stars() {
    let text = include_str!("../../tests/oracles/subtraction.json");
    let oracle: serde_json::Value = serde_json::from_str(text).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let pair = pair(3.4, 2.6);
    let sum = |image: &CalibratedImage| image.data.iter().map(|v| f64::from(*v)).sum::<f64>();
    let checksum = number(&oracle["checksum"]);
    assert!((sum(&pair.new) + sum(&pair.template) - checksum).abs() < 1.0);
    let difference = pair.subtract(None).unwrap();
    let radius = number(&oracle["radius"]);
    for theirs in oracle["transients"].as_array().unwrap() {
        let flux = number(&theirs["flux"]);
        let ours = in_circle(&difference, number(&theirs["x"]), number(&theirs["y"]), radius);
        // Noise in the circle, about 250 electrons of the new image, is common to both; the template's is filtered in two ways.
        assert!((ours - flux).abs() < 0.06 * flux + 300.0, "{ours} {flux}");
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for star in oracle["stars"].as_array().unwrap() {
        let (x, y) = (number(&star["x"]), number(&star["y"]));
        let flux =
            pair.stars.iter().find(|each| (each.x - x).hypot(each.y - y) < 0.01).unwrap().flux;
        ours.push((in_circle(&difference, x, y, radius) / (SCALE * flux)).abs());
        theirs.push(number(&star["share"]).abs());
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    assert!(mean(&ours) < 0.5 * mean(&theirs), "{} {}", mean(&ours), mean(&theirs));
}
