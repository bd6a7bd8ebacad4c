//! Flux at given places of an image, whether or not a source is seen there: with the point-spread function of the image and
//! the known objects about the place, or in an aperture where the image has too few stars for one.

use crate::imaging::{
    CalibratedImage,
    aperture::measure,
    background::Background,
    psf::{PointSpread, forced_photometry},
    wcs::TangentPlane,
};
use crate::model::{SkyPosition, Source};

/// Objects within this many full widths share the window of the fit.
const NEIGHBOUR_REACH_WIDTHS: f64 = 5.0;
/// Two objects nearer than this share of a full width cannot be told apart: their light is one.
const INSEPARABLE_WIDTHS: f64 = 0.7;
/// A neighbour fainter than this many sky errors does not disturb.
const LEAST_NEIGHBOUR_SIGMA: f64 = 1.5;
/// Light of an inseparable object is known to this share.
const KNOWN_LIGHT_ERROR: f64 = 0.05;
/// Fainter than this share of an aperture is left of a place, it is not measured.
const LEAST_GOOD_SHARE: f64 = 0.5;

/// An image to be measured, with the sources found on it.
#[derive(Clone, Copy)]
pub struct ForcedField<'a> {
    pub image: &'a CalibratedImage,
    pub background: &'a Background,
    pub sources: &'a [Source],
    pub wcs: &'a TangentPlane,
    pub fwhm_pixels: Option<f64>,
    /// Fluxes are on the scale of this aperture.
    pub aperture_radius_pixels: f64,
    /// Standard deviation of the flux in an empty aperture, measured.
    pub aperture_noise_electrons: f64,
}

/// A known object whose light is told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    pub position: SkyPosition,
    /// Expected, on the scale of the aperture.
    pub flux_electrons: f64,
}

/// Where to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub position: SkyPosition,
    /// The neighbour that it is itself, if it is one.
    pub is_neighbour: Option<usize>,
}

/// Flux at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedFlux {
    pub flux_electrons: f64,
    pub error_electrons: f64,
    /// The error without the photon noise of the source itself.
    pub sky_error_electrons: f64,
    /// OR of the bits at the heart of the place.
    pub mask_bits: u8,
}

/// Measures every place that is on the image. Places also disturb each other: two candidates side by side are fitted
/// together.
pub fn measure_places(
    field: &ForcedField<'_>,
    places: &[Place],
    neighbours: &[Neighbour],
) -> Vec<Option<ForcedFlux>> {
    let profile = Profile::of(field);
    let pixels = |position: SkyPosition| field.wcs.sky_to_pixel(position);
    let mut others: Vec<Other> = neighbours
        .iter()
        .enumerate()
        .filter_map(|(index, neighbour)| {
            let (x, y) = pixels(neighbour.position)?;
            Some(Other { x, y, flux: neighbour.flux_electrons, is: Is::Neighbour(index) })
        })
        .collect();
    others.extend(places.iter().enumerate().filter_map(|(index, place)| {
        let (x, y) = pixels(place.position).filter(|_| place.is_neighbour.is_none())?;
        Some(Other { x, y, flux: f64::INFINITY, is: Is::Place(index) })
    }));
    others.sort_by(|left, right| left.y.total_cmp(&right.y).then(left.x.total_cmp(&right.x)));
    places
        .iter()
        .enumerate()
        .map(|(index, place)| {
            let (x, y) = pixels(place.position)?;
            let own = [Some(Is::Place(index)), place.is_neighbour.map(Is::Neighbour)];
            let reach = NEIGHBOUR_REACH_WIDTHS * profile.fwhm_pixels;
            let first = others.partition_point(|other| other.y < y - reach);
            let near = others
                .iter()
                .skip(first)
                .take_while(|other| other.y <= y + reach)
                .filter(|other| (other.x - x).hypot(other.y - y) <= reach)
                .filter(|other| !own.contains(&Some(other.is)));
            profile.measure(field, x, y, near)
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Is {
    Neighbour(usize),
    Place(usize),
}

#[derive(Debug, Clone, Copy)]
struct Other {
    x: f64,
    y: f64,
    flux: f64,
    is: Is,
}

/// How fluxes are measured on an image.
struct Profile {
    spread: Option<PointSpread>,
    fwhm_pixels: f64,
    /// Share of the light in the aperture.
    aperture_share: f64,
    /// Pixels whose sky noise is in a fitted flux: 1 / Σ P², on the scale of the aperture.
    noise_pixels: f64,
    /// Noise measured in empty apertures over that expected from the map: correlated noise, unseen stars.
    noise_factor: f64,
}

impl Profile {
    fn of(field: &ForcedField<'_>) -> Self {
        let radius = field.aperture_radius_pixels;
        let area = std::f64::consts::PI * radius * radius;
        let expected = field.background.global_noise * area.sqrt();
        let ratio = field.aperture_noise_electrons / expected;
        let noise_factor = if ratio.is_finite() { ratio.max(1.0) } else { 1.0 };
        let spread = PointSpread::fit(field.image, field.background, field.sources);
        match spread {
            Some(spread) => {
                let aperture_share = spread.aperture_correction(radius);
                let reach = (4.0 * spread.fwhm_pixels()).clamp(4.0, 40.0) as i64;
                let squares: f64 = (-reach..=reach)
                    .flat_map(|row| (-reach..=reach).map(move |column| (row, column)))
                    .map(|(row, column)| spread.pixel_share(column as f64, row as f64).powi(2))
                    .sum();
                Self {
                    fwhm_pixels: spread.fwhm_pixels(),
                    aperture_share,
                    noise_pixels: aperture_share * aperture_share / squares.max(1e-9),
                    noise_factor,
                    spread: Some(spread),
                }
            }
            None => Self {
                fwhm_pixels: field.fwhm_pixels.unwrap_or(radius),
                aperture_share: 1.0,
                noise_pixels: area,
                noise_factor,
                spread: None,
            },
        }
    }

    fn measure<'a>(
        &self,
        field: &ForcedField<'_>,
        x: f64,
        y: f64,
        others: impl Iterator<Item = &'a Other>,
    ) -> Option<ForcedFlux> {
        let place = (y.round().max(0.0) as usize, x.round().max(0.0) as usize);
        let local = f64::from(*field.background.noise.get(place)?);
        let ideal = local * self.noise_pixels.sqrt();
        let sky_error = ideal * self.noise_factor;
        let mut apart = Vec::new();
        let (mut inseparable, mut inseparable_error) = (0.0, 0.0f64);
        for other in others {
            let distance = (other.x - x).hypot(other.y - y);
            let is_place = matches!(other.is, Is::Place(_));
            if other.flux < LEAST_NEIGHBOUR_SIGMA * sky_error {
                continue;
            }
            if distance >= INSEPARABLE_WIDTHS * self.fwhm_pixels {
                apart.push((other.x, other.y));
            } else if !is_place {
                inseparable += other.flux;
                inseparable_error = inseparable_error.hypot(KNOWN_LIGHT_ERROR * other.flux);
            }
        }
        let (flux, error, mask_bits) = match &self.spread {
            Some(spread) => {
                let fitted =
                    forced_photometry(field.image, field.background, spread, x, y, false, &apart)?;
                (
                    fitted.flux_electrons * self.aperture_share,
                    fitted.flux_error_electrons * self.aperture_share,
                    fitted.mask_bits,
                )
            }
            None => {
                let radius = field.aperture_radius_pixels;
                let sum = measure(field.image, field.background, x, y, radius)?;
                if sum.lost_area_pixels > (1.0 - LEAST_GOOD_SHARE) * sum.area_pixels {
                    return None;
                }
                (sum.flux_electrons, sum.flux_error_electrons, sum.mask_bits)
            }
        };
        // The variance plane knows of photons and the amplifier; empty apertures know of everything.
        let unseen = (sky_error * sky_error - ideal * ideal).max(0.0);
        let error = (error * error + unseen).sqrt().hypot(inseparable_error);
        Some(ForcedFlux {
            flux_electrons: flux - inseparable,
            error_electrons: error,
            sky_error_electrons: sky_error.hypot(inseparable_error),
            mask_bits,
        })
    }
}
