//! Made-up frames with the truth, for the study and the timing of the astrometric solution: a sky of stars and galaxies, what a camera
//! detects of it, what a catalogue lists of it, and a header that is wrong.

use gic::imaging::wcs::{TangentPlane, sky_to_standard};
use gic::model::{CatalogueObject, ObjectKind, SkyPosition, Source, SourceFlags};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::f64::consts::PI;

/// How steeply the stars become more numerous: dex per magnitude.
const SLOPE: f64 = 0.3;
/// What is added to the radius of the cone beyond corner and largest error of the pointing, arcseconds.
const CONE_MARGIN_ARCSEC: f64 = 36.0;
/// Stars on the frame and in the catalogue that make a field a good one.
pub const GOOD_FIELD: usize = 8;

/// What a frame, its catalogue and its header are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Rows and columns.
    pub side: usize,
    pub scale_arcsec: f64,
    /// Stars bright enough to be detected on the frame.
    pub star_count: usize,
    /// Galaxies as a share of the stars; half of them are in the catalogue.
    pub galaxy_share: f64,
    pub cosmic_ray_count: usize,
    /// Detections of noise as a share of the stars.
    pub spurious_share: f64,
    /// Stars that were not detected, or not listed: each this share.
    pub missing_share: f64,
    /// Magnitudes by which the catalogue is deeper (+) or less deep (−) than the frame.
    pub catalogue_depth: f64,
    /// The brightest magnitudes of the sky that the catalogue leaves out.
    pub catalogue_bright_gap: f64,
    pub offset_arcsec: f64,
    /// How far the pointing may be wrong: how wide the catalogue is asked for.
    pub maximum_offset_arcsec: f64,
    pub rotation_degrees: f64,
    pub is_mirrored: bool,
    /// True scale over that of the header, less one.
    pub scale_error: f64,
    /// Shift of the corners by a radial distortion.
    pub corner_distortion_arcsec: f64,
}

impl Trial {
    /// An ordinary frame, its header right to some arcseconds.
    pub fn ordinary(side: usize, star_count: usize) -> Self {
        Self {
            side,
            scale_arcsec: 0.38,
            star_count,
            galaxy_share: 0.05,
            cosmic_ray_count: star_count / 20,
            spurious_share: 0.02,
            missing_share: 0.03,
            catalogue_depth: 0.5,
            catalogue_bright_gap: 0.0,
            offset_arcsec: 20.0,
            maximum_offset_arcsec: 300.0,
            rotation_degrees: 0.1,
            is_mirrored: false,
            scale_error: 0.002,
            corner_distortion_arcsec: 0.0,
        }
    }

    /// Anything that must be solved: eight stars to twenty thousand, pointing wrong by up to 5′, any rotation, either parity, scale
    /// wrong by up to 2 %.
    pub fn any(random: &mut ChaCha8Rng) -> Self {
        let (side, scale_arcsec) =
            [(1024, 0.7), (2048, 0.38), (2048, 0.38), (4096, 0.38)][random.random_range(0..4)];
        let star_count = (8.0 * 2500f64.powf(random.random::<f64>())).round() as usize;
        let crowd = star_count as f64;
        Self {
            side,
            scale_arcsec,
            star_count,
            galaxy_share: random.random_range(0.0..0.3),
            cosmic_ray_count: random.random_range(0.0..(0.5 * crowd).min(300.0) + 8.0) as usize,
            spurious_share: random.random_range(0.0..0.1),
            missing_share: random.random_range(0.0..0.1),
            catalogue_depth: random.random_range(-1.5..2.0),
            catalogue_bright_gap: if random.random_bool(0.2) { 2.0 } else { 0.0 },
            offset_arcsec: 300.0 * random.random::<f64>().sqrt(),
            maximum_offset_arcsec: 300.0,
            rotation_degrees: random.random_range(-180.0..180.0),
            is_mirrored: random.random_bool(0.5),
            scale_error: random.random_range(-0.02..0.02),
            corner_distortion_arcsec: random.random_range(-0.3..0.3),
        }
    }
}

/// A frame's detections, brightest first, with what the program is given and the truth.
#[derive(Debug, Clone)]
pub struct Simulated {
    pub sources: Vec<Source>,
    /// Brightest first, as a cone about the nominal centre.
    pub catalogue: Vec<CatalogueObject>,
    pub nominal: TangentPlane,
    /// Without the distortion.
    pub truth: TangentPlane,
    pub shape: (usize, usize),
    /// Stars that are both detected and listed.
    pub common_count: usize,
}

impl Simulated {
    /// Largest error of a solution over centre and corners, arcseconds.
    pub fn worst_error_arcsec(&self, wcs: &TangentPlane) -> f64 {
        let last = self.shape.1 as f64 - 1.0;
        [(0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
            .iter()
            .map(|&(x, y)| {
                let (x, y) = (x * last, y * last);
                wcs.pixel_to_sky(x, y).separation_arcsec(self.truth.pixel_to_sky(x, y))
            })
            .fold(0.0, f64::max)
    }

    /// The same frame with the catalogue of another part of the sky.
    pub fn with_the_sky_of(self, other: &Self) -> Self {
        let (from, to) = (other.nominal.reference_sky, self.nominal.reference_sky);
        let moved = |object: &CatalogueObject| {
            let (xi, eta) = sky_to_standard(from, object.position)?;
            let position = to.offset_arcsec(xi * 3600.0, eta * 3600.0);
            Some(CatalogueObject { position, ..object.clone() })
        };
        let catalogue = other.catalogue.iter().filter_map(moved).collect();
        Self { catalogue, ..self }
    }
}

/// Makes a frame. The same seed makes the same frame.
pub fn simulate(seed: u64, trial: &Trial) -> Simulated {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let normal = Normal::new(0.0, 1.0).expect("a standard normal distribution");
    let side = trial.side as f64;
    let middle = (side - 1.0) / 2.0;
    let pointing =
        SkyPosition::new(random.random_range(0.0..360.0), random.random_range(-85.0..85.0));
    let nominal = TangentPlane::nominal((middle, middle), pointing, trial.scale_arcsec / 3600.0);
    let direction = random.random_range(0.0..2.0 * PI);
    let truth = {
        let scale = trial.scale_arcsec / 3600.0 * (1.0 + trial.scale_error);
        let angle = trial.rotation_degrees.to_radians();
        let (sine, cosine) = (scale * angle.sin(), scale * angle.cos());
        let parity = if trial.is_mirrored { 1.0 } else { -1.0 };
        let reference_sky = pointing.offset_arcsec(
            trial.offset_arcsec * direction.cos(),
            trial.offset_arcsec * direction.sin(),
        );
        let cd = [[parity * cosine, -sine], [parity * sine, cosine]];
        TangentPlane { reference_pixel: (middle, middle), reference_sky, cd }
    };

    // Stars over the cone, as places about the true centre in pixels.
    let half_diagonal = side / 2.0 * 2f64.sqrt() * trial.scale_arcsec;
    let radius = half_diagonal + trial.maximum_offset_arcsec + CONE_MARGIN_ARCSEC;
    let reach = (radius + trial.offset_arcsec) / trial.scale_arcsec * 1.03;
    let (limit, hidden) = (19.0, 10f64.powf(SLOPE * trial.catalogue_depth.max(0.0)));
    let per_pixel = trial.star_count as f64 / (side * side);
    let sky_count = (per_pixel * 4.0 * reach * reach * hidden).round() as usize;
    let deepest = limit + trial.catalogue_depth.max(0.0);
    let brightest = limit - (per_pixel * 4.0 * reach * reach).log10() / SLOPE;
    let galaxies = (sky_count as f64 * trial.galaxy_share).round() as usize;
    let distorted = |x: f64, y: f64| {
        let (u, v) = ((x - middle) / (side / 2.0), (y - middle) / (side / 2.0));
        let push = trial.corner_distortion_arcsec / trial.scale_arcsec * (u * u + v * v) / 2.0;
        (x + push * u / 2f64.sqrt(), y + push * v / 2f64.sqrt())
    };
    let mut simulated = Simulated {
        sources: Vec::new(),
        catalogue: Vec::new(),
        nominal,
        truth,
        shape: (trial.side, trial.side),
        common_count: 0,
    };
    for number in 0..sky_count + galaxies {
        let is_galaxy = number >= sky_count;
        let x = middle + random.random_range(-reach..reach);
        let y = middle + random.random_range(-reach..reach);
        let magnitude = deepest + random.random_range(1e-6_f64..1.0).log10() / SLOPE;
        let is_on_frame = (0.0..side - 1.0).contains(&x) && (0.0..side - 1.0).contains(&y);
        let is_missed = random.random_bool(trial.missing_share);
        let is_unlisted = random.random_bool(if is_galaxy { 0.5 } else { trial.missing_share });
        let mut is_detected = false;
        if is_on_frame && magnitude < limit && !is_missed {
            let signal_to_noise = 5.0 * 10f64.powf(0.4 * (limit - magnitude)).min(1e6).powf(0.8);
            let is_saturated = magnitude < limit - 7.5;
            let error = match (is_saturated, is_galaxy) {
                (true, _) => 1.0,
                (_, true) => 0.3,
                _ => (1.5 / signal_to_noise).max(0.01),
            };
            let (x, y) = distorted(x, y);
            let x = x + error * normal.sample(&mut random);
            let y = y + error * normal.sample(&mut random);
            let colour = 0.2 * normal.sample(&mut random);
            let flux = 10f64.powf(-0.4 * (magnitude + colour - 30.0));
            let flags = if is_saturated { SourceFlags::SATURATED } else { 0 };
            let width = if is_galaxy { 6.0 } else { 3.5 };
            let error = if is_saturated { 0.02 } else { error };
            simulated.sources.push(source((x, y), error, (flux, signal_to_noise), width, flags));
            is_detected = true;
        }
        let is_listed = magnitude < limit + trial.catalogue_depth
            && magnitude > brightest + trial.catalogue_bright_gap
            && !is_unlisted;
        if is_listed {
            let blur = (0.03 * normal.sample(&mut random), 0.03 * normal.sample(&mut random));
            let position = truth.pixel_to_sky(x, y).offset_arcsec(blur.0, blur.1);
            if position.separation_arcsec(pointing) <= radius {
                simulated.catalogue.push(CatalogueObject {
                    id: number.to_string(),
                    kind: if is_galaxy { ObjectKind::Galaxy } else { ObjectKind::Star },
                    position,
                    magnitude,
                    magnitude_error: 0.02,
                    magnitudes: Vec::new(),
                });
                simulated.common_count += usize::from(is_detected && !is_galaxy);
            }
        }
    }
    let spurious = (trial.star_count as f64 * trial.spurious_share).round() as usize;
    for number in 0..trial.cosmic_ray_count + spurious {
        let place = (random.random_range(0.0..side - 1.0), random.random_range(0.0..side - 1.0));
        let faintest = 10f64.powf(-0.4 * (limit - 30.0));
        let (flux, width) = if number < trial.cosmic_ray_count {
            (faintest / random.random_range(1e-3..1.0), 1.6)
        } else {
            (faintest * random.random_range(1.0..1.5), 3.0)
        };
        simulated.sources.push(source(place, 0.05, (flux, 20.0), width, 0));
    }
    simulated.sources.sort_by(|a, b| b.flux_electrons.total_cmp(&a.flux_electrons));
    simulated.catalogue.sort_by(|a, b| a.magnitude.total_cmp(&b.magnitude));
    simulated
}

/// A source of which place, error, brightness and width are known.
pub fn source(
    (x, y): (f64, f64),
    position_error_pixels: f64,
    (flux, signal_to_noise): (f64, f64),
    fwhm_pixels: f64,
    flags: u16,
) -> Source {
    Source {
        x,
        y,
        position_error_pixels,
        peak_electrons: flux / 10.0,
        flux_electrons: flux,
        flux_error_electrons: flux / signal_to_noise,
        aperture_radius_pixels: 4.0,
        semi_major_pixels: fwhm_pixels / 2.355,
        semi_minor_pixels: fwhm_pixels / 2.355,
        theta_radians: 0.0,
        fwhm_pixels,
        half_light_radius_pixels: fwhm_pixels / 2.0,
        isophotal_flux_electrons: 0.9 * flux,
        isophotal_flux_error_electrons: flux.sqrt(),
        total: None,
        point: None,
        spread: None,
        pixel_count: 20,
        flags: SourceFlags(flags),
    }
}
