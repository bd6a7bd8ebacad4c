//! Zero point of a frame against the catalogue, and the limiting magnitude measured on its own sky.

use super::findstars::StarField;
use super::frame_scale::BandChoice;
use super::settings::PhotometryParameters;
use crate::imaging::{
    CalibratedImage,
    colour_term::{ColouredStar, fit_with_colour, fit_with_given_term},
    empty_apertures::aperture_noise,
    statistics::median_and_deviation,
    zero_point::{CalibrationStar, ZeroPoint, fit},
};
use crate::model::{CatalogueObject, MagnitudeScale, ObjectKind, SourceFlags};

/// Signal-to-noise of the limiting magnitude (interfaces.md §9, domain.md §5).
pub const LIMIT_SIGNAL_TO_NOISE: f64 = 10.0;
/// Standard error in magnitudes of a relative error of one: 2.5 / ln 10.
pub const MAGNITUDES_PER_RELATIVE_ERROR: f64 = 1.085_736_204_758_129_6;
/// A neighbour in the catalogue spoils a star within this many aperture radii …
const NEIGHBOUR_RADII: f64 = 2.5;
/// … unless it is fainter by this much.
const NEIGHBOUR_MAGNITUDES: f64 = 4.0;

/// Flags of sources that do not calibrate.
pub const UNFIT_FLAGS: u16 = SourceFlags::SATURATED
    | SourceFlags::TRUNCATED
    | SourceFlags::MASKED
    | SourceFlags::BLENDED
    | SourceFlags::CROWDED;

/// A colour term is fitted with as many stars …
const FEWEST_COLOURED_STARS: usize = 15;
/// … whose colours differ by as much (robust standard deviation) …
const LEAST_COLOUR_SPREAD: f64 = 0.1;
/// … and which give it with no larger error.
const LARGEST_TERM_ERROR: f64 = 0.05;

/// Magnitude scale of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FramePhotometry {
    /// For fluxes in the aperture of the frame.
    pub zero_point: Option<ZeroPoint>,
    /// What those magnitudes are; present with the zero point.
    pub scale: Option<MagnitudeScale>,
    /// Standard deviation of the flux in an empty aperture, electrons.
    pub aperture_noise_electrons: f64,
    /// Magnitude of a source of ten times its noise; `None` without zero point.
    pub limiting_magnitude: Option<f64>,
}

/// The catalogue's objects about a frame.
#[derive(Debug, Clone, Copy)]
pub struct CalibratingCatalogue<'a> {
    pub objects: &'a [CatalogueObject],
    /// `None`: the one magnitude of each object is all there is.
    pub choice: Option<&'a BandChoice>,
}

/// Measures the magnitude scale of a frame. `identity` gives for each source its catalogue object; without a scale, arcseconds per pixel,
/// nothing is compared with the catalogue.
pub fn calibrate(
    image: &CalibratedImage,
    field: &StarField,
    exposure_seconds: f64,
    scale_arcsec: Option<f64>,
    catalogue: CalibratingCatalogue<'_>,
    identity: &[Option<usize>],
    parameters: &PhotometryParameters,
) -> FramePhotometry {
    let sources = &field.detections.sources;
    let aperture_radius_pixels = field.detections.aperture_radius_pixels;
    let noise = aperture_noise(image, &field.background, sources, aperture_radius_pixels).electrons;
    let calibrated = scale_arcsec.filter(|_| exposure_seconds > 0.0).and_then(|scale_arcsec| {
        let neighbour_arcsec = NEIGHBOUR_RADII * aperture_radius_pixels * scale_arcsec;
        let stars: Vec<(&CatalogueObject, (f64, f64))> = sources
            .iter()
            .zip(identity)
            .filter_map(|(source, object)| {
                let index = (*object)?;
                let object = catalogue.objects.get(index)?;
                let is_fit = object.kind != ObjectKind::Galaxy
                    && !source.flags.has(UNFIT_FLAGS)
                    && source.signal_to_noise() >= parameters.minimum_signal_to_noise
                    && !has_neighbour(catalogue.objects, index, neighbour_arcsec);
                let rate = source.flux_electrons / exposure_seconds;
                let error = source.flux_error_electrons / exposure_seconds;
                is_fit.then_some((object, (rate, error)))
            })
            .collect();
        match catalogue.choice {
            Some(choice) => calibrate_in_band(&stars, choice, parameters.minimum_stars),
            None => calibrate_plainly(&stars, parameters.minimum_stars),
        }
    });
    let (zero_point, scale) = calibrated.unzip();
    FramePhotometry {
        limiting_magnitude: zero_point
            .and_then(|zero: ZeroPoint| limiting_magnitude(noise, zero.value, exposure_seconds)),
        zero_point,
        scale,
        aperture_noise_electrons: noise,
    }
}

/// With the one magnitude that each object has.
fn calibrate_plainly(
    stars: &[(&CatalogueObject, (f64, f64))],
    minimum_stars: usize,
) -> Option<(ZeroPoint, MagnitudeScale)> {
    let stars: Vec<CalibrationStar> = stars
        .iter()
        .map(|(object, (flux, flux_error))| CalibrationStar {
            flux: *flux,
            flux_error: *flux_error,
            magnitude: object.magnitude,
            magnitude_error: object.magnitude_error,
        })
        .collect();
    let zero = fit(&stars, minimum_stars)?;
    let scale = MagnitudeScale {
        band: String::new(),
        system: None,
        colour_term: None,
        intrinsic_scatter: zero.intrinsic_scatter,
    };
    Some((zero, scale))
}

/// With magnitudes in the frame's band, and a colour term if the stars give one, or else the camera's file does.
fn calibrate_in_band(
    stars: &[(&CatalogueObject, (f64, f64))],
    choice: &BandChoice,
    minimum_stars: usize,
) -> Option<(ZeroPoint, MagnitudeScale)> {
    let in_band: Vec<(&CatalogueObject, CalibrationStar)> = stars
        .iter()
        .filter_map(|(object, rate)| Some((*object, choice.star(object, *rate)?)))
        .collect();
    let coloured: Vec<ColouredStar> =
        in_band.iter().filter_map(|(object, star)| choice.coloured(object, *star)).collect();
    let colours: Vec<f64> = coloured.iter().map(|star| star.colour).collect();
    let median = median_and_deviation(&colours).map(|(median, _)| median);
    let reference = choice.reference_colour(median.unwrap_or(0.0));
    let fewest = FEWEST_COLOURED_STARS.max(minimum_stars);
    let fitted = fit_with_colour(&coloured, reference, fewest).filter(|found| {
        found.colour_spread >= LEAST_COLOUR_SPREAD && found.slope_error <= LARGEST_TERM_ERROR
    });
    let with_term = match fitted {
        Some(found) => Some((found.zero_point, (found.slope, found.slope_error), true)),
        None => choice.given_term().and_then(|given| {
            Some((fit_with_given_term(&coloured, reference, given, minimum_stars)?, given, false))
        }),
    };
    let (zero, term) = match with_term {
        Some((zero, value, is_fitted)) => (zero, choice.term(value, reference, is_fitted)),
        None => {
            let stars: Vec<CalibrationStar> = in_band.iter().map(|(_, star)| *star).collect();
            (fit(&stars, minimum_stars)?, None)
        }
    };
    Some((zero, choice.scale(term, zero.intrinsic_scatter)))
}

/// Whether another object of the catalogue disturbs this one.
pub fn has_neighbour(catalogue: &[CatalogueObject], index: usize, radius_arcsec: f64) -> bool {
    let Some(star) = catalogue.get(index) else { return false };
    let radius_degrees = radius_arcsec / 3600.0;
    catalogue.iter().enumerate().any(|(other, object)| {
        other != index
            && (object.position.dec_degrees - star.position.dec_degrees).abs() <= radius_degrees
            && object.magnitude < star.magnitude + NEIGHBOUR_MAGNITUDES
            && object.position.separation_arcsec(star.position) <= radius_arcsec
    })
}

/// Magnitude at which flux is ten times its noise: sky noise `noise_electrons` in the aperture and the photon noise
/// of the source itself, S = k √(σ² + S).
pub fn limiting_magnitude(
    noise_electrons: f64,
    zero_point: f64,
    exposure_seconds: f64,
) -> Option<f64> {
    let flux = limiting_flux(noise_electrons, LIMIT_SIGNAL_TO_NOISE);
    let magnitude = zero_point - 2.5 * (flux / exposure_seconds).log10();
    (magnitude.is_finite() && noise_electrons > 0.0 && exposure_seconds > 0.0).then_some(magnitude)
}

/// Electrons of a source of `signal_to_noise` k: S = k √(σ² + S).
pub(super) fn limiting_flux(noise_electrons: f64, signal_to_noise: f64) -> f64 {
    let k = signal_to_noise;
    (k * k + (k.powi(4) + 4.0 * k * k * noise_electrons * noise_electrons).sqrt()) / 2.0
}

/// Magnitude and its standard error, the zero point's included. `None` for a flux that is not positive.
pub fn magnitude(
    flux_electrons: f64,
    error_electrons: f64,
    exposure_seconds: f64,
    zero_point: f64,
    zero_point_error: f64,
) -> Option<(f64, f64)> {
    let value = zero_point - 2.5 * (flux_electrons / exposure_seconds).log10();
    let own = MAGNITUDES_PER_RELATIVE_ERROR * error_electrons / flux_electrons;
    (value.is_finite() && flux_electrons > 0.0).then(|| (value, own.hypot(zero_point_error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::wcs::TangentPlane;
    use crate::imaging::{Image, Mask, background::Background, detection::Detections};
    use crate::model::{
        BandMagnitude, CatalogueBand, FilterRules, MagnitudeSystem, SkyPosition, Source,
    };

    /// A plane of Gaussian noise by the sum of uniform numbers, and its background of zero.
    fn noise_plane(size: usize, sigma: f32) -> (CalibratedImage, Background) {
        let mut state = 88_172_645_463_325_252u64;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let data = Image::from_shape_simple_fn((size, size), || {
            ((0..12).map(|_| uniform()).sum::<f32>() - 6.0) * sigma
        });
        let image = CalibratedImage {
            data,
            variance: Image::from_elem((size, size), sigma * sigma),
            mask: Mask::zeros((size, size)),
        };
        let background = Background {
            level: Image::zeros((size, size)).into(),
            noise: Image::from_elem((size, size), sigma).into(),
            global_level: 0.0,
            global_noise: f64::from(sigma),
        };
        (image, background)
    }

    #[test]
    fn a_source_at_the_limit_has_ten_times_its_noise() {
        for noise in [1.0, 100.0, 5000.0] {
            let limit = limiting_magnitude(noise, 22.8, 60.0).unwrap();
            let flux = 60.0 * 10f64.powf(0.4 * (22.8 - limit));
            let signal_to_noise = flux / (noise * noise + flux).sqrt();
            assert!((signal_to_noise - 10.0).abs() < 1e-6, "{signal_to_noise}");
        }
        assert_eq!(limiting_magnitude(0.0, 22.8, 60.0), None);
        assert_eq!(limiting_magnitude(10.0, 22.8, 0.0), None);
    }

    #[test]
    fn magnitudes_have_the_zero_points_error() {
        let (value, error) = magnitude(6000.0, 60.0, 60.0, 22.8, 0.02).unwrap();
        assert!((value - 17.8).abs() < 1e-9);
        assert!((error - 0.010857f64.hypot(0.02)).abs() < 1e-5);
        assert_eq!(magnitude(-5.0, 1.0, 60.0, 22.8, 0.0), None);
    }

    #[test]
    fn neighbours_that_matter() {
        let object = |east: f64, magnitude: f64| CatalogueObject {
            id: String::new(),
            kind: ObjectKind::Star,
            position: SkyPosition::new(30.0, 24.0).offset_arcsec(east, 0.0),
            magnitude,
            magnitude_error: 0.0,
            magnitudes: Vec::new(),
        };
        let pair = |east, magnitude| [object(0.0, 15.0), object(east, magnitude)];
        assert!(has_neighbour(&pair(3.0, 17.0), 0, 5.0));
        assert!(!has_neighbour(&pair(6.0, 17.0), 0, 5.0));
        assert!(!has_neighbour(&pair(3.0, 19.5), 0, 5.0));
    }

    /// Sources of a frame whose response is bluer than the catalogue's r, with their objects; g and r in AB.
    fn coloured_field(count: usize) -> (Vec<Source>, Vec<CatalogueObject>) {
        let object = |index: usize| {
            let colour = 0.2 + 1.2 * ((index * 7) % count) as f64 / count as f64;
            let magnitude = 14.0 + 4.0 * index as f64 / count as f64;
            let band = |value: f64| Some(BandMagnitude { value: value as f32, error: Some(0.01) });
            CatalogueObject {
                id: index.to_string(),
                kind: ObjectKind::Star,
                position: SkyPosition::new(30.0, 24.0).offset_arcsec(40.0 * index as f64, 0.0),
                magnitude,
                magnitude_error: 0.01,
                magnitudes: vec![band(magnitude), band(magnitude + colour)],
            }
        };
        let objects: Vec<CatalogueObject> = (0..count).map(object).collect();
        let source = |object: &CatalogueObject| {
            let colour = f64::from(object.magnitudes[1].unwrap().value) - object.magnitude;
            let natural = object.magnitude - 0.12 * (colour - 0.27);
            let flux = 60.0 * 10f64.powf(0.4 * (22.8 - natural));
            super::super::astrometry::tests::source(100.0, 100.0, flux)
        };
        (objects.iter().map(source).collect(), objects)
    }

    fn calibrated(count: usize, rules: &FilterRules) -> FramePhotometry {
        let (image, background) = noise_plane(256, 20.0);
        let (sources, objects) = coloured_field(count);
        let identity: Vec<Option<usize>> = (0..count).map(Some).collect();
        let band = |name: &str| CatalogueBand {
            system: Some(MagnitudeSystem::Ab),
            ..CatalogueBand::named(name)
        };
        let choice = BandChoice::new(&[band("r"), band("g")], "r", rules);
        let catalogue = CalibratingCatalogue { objects: &objects, choice: choice.as_ref() };
        let wcs = TangentPlane::nominal((128.0, 128.0), SkyPosition::new(30.0, 24.0), 0.0002);
        let parameters = PhotometryParameters::default();
        let detections = Detections {
            sources,
            stellar_fwhm_pixels: Some(3.0),
            aperture_radius_pixels: 3.0,
            dropped_count: 0,
        };
        let field = StarField { background, detections, point_spread: None, aperture: None };
        calibrate(&image, &field, 60.0, Some(wcs.scale_arcsec()), catalogue, &identity, &parameters)
    }

    #[test]
    fn the_colour_term_is_fitted_given_or_left_out() {
        let many = calibrated(60, &FilterRules::default());
        let (zero, scale) = (many.zero_point.unwrap(), many.scale.unwrap());
        let term = scale.colour_term.unwrap();
        assert!(term.is_fitted && (term.value - 0.12).abs() < 3.0 * term.error, "{term:?}");
        // The reference is the colour of 1/ν, 0.2703; the frame's 0.27 makes 0.00003 mag.
        assert!((zero.value - 22.8).abs() < 3.0 * zero.error, "{zero:?}");
        assert_eq!((scale.band.as_str(), scale.system), ("r", Some(MagnitudeSystem::Ab)));
        assert!((term.unknown_colour_error() - 0.036).abs() < 0.01);

        let given = FilterRules {
            colour: Some(("g".into(), "r".into())),
            reference_colour: Some(0.27),
            colour_term: Some(0.12),
            colour_term_error: Some(0.02),
            ..FilterRules::default()
        };
        let few = calibrated(8, &given);
        let term = few.scale.unwrap().colour_term.unwrap();
        assert!(!term.is_fitted && term.value == 0.12, "{term:?}");
        assert!((few.zero_point.unwrap().value - 22.8).abs() < 0.01);

        let without = calibrated(8, &FilterRules::default());
        assert_eq!(without.scale.unwrap().colour_term, None);
        // The stars' mean colour is 0.5 redder.
        assert!((without.zero_point.unwrap().value - 22.8).abs() > 0.03);
    }
}
