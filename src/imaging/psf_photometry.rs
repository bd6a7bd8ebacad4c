//! Fluxes of all sources of a frame by its point-spread function, neighbours fitted together.

use super::{
    CalibratedImage,
    background::Background,
    bands,
    neighbourhood::Neighbourhood,
    psf::{PointSpread, forced_photometry},
};
use crate::model::{PointFlux, Source};

/// Neighbours within this many full widths are fitted with a source.
const NEIGHBOUR_WIDTHS: f64 = 4.0;

/// Point-source flux of each source at its position, in the order of `sources`. `None` where too few good pixels hold its light.
pub fn point_fluxes(
    image: &CalibratedImage,
    background: &Background,
    spread: &PointSpread,
    sources: &[Source],
) -> Vec<Option<PointFlux>> {
    let positions: Vec<(f64, f64)> = sources.iter().map(|source| (source.x, source.y)).collect();
    let reach = NEIGHBOUR_WIDTHS * spread.fwhm_pixels();
    let index = Neighbourhood::new(&positions, reach);
    bands::map(sources, |source| {
        let neighbours: Vec<(f64, f64)> = index
            .within(source.x, source.y, reach)
            .filter_map(|near| positions.get(near).copied())
            .filter(|near| *near != (source.x, source.y))
            .collect();
        let found =
            forced_photometry(image, background, spread, source.x, source.y, false, &neighbours)?;
        Some(PointFlux {
            electrons: found.flux_electrons,
            error_electrons: found.flux_error_electrons,
            reduced_chi_square: found.chi_square / found.degrees_of_freedom.max(1) as f64,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        background,
        detection::{DetectionParameters, detect},
        synthetic,
    };
    use crate::model::SourceFlags;

    /// Bright stars to five thousandths of their flux, faint ones within their errors, close pairs too.
    #[test]
    fn fluxes_are_those_of_the_stars() {
        let mut stars = synthetic::scattered(40, (400, 400), 22.0, 2e3, 3e5, 51);
        let pair = synthetic::Star { x: stars[5].x + 5.0, y: stars[5].y + 2.0, flux: 4e4 };
        stars.push(pair);
        let image = synthetic::frame((400, 400), &stars, 3.0, 200.0, 0.0, 52);
        let background = background::estimate(&image.data, &image.mask, 64);
        let found = detect(&image, &background, &DetectionParameters::default());
        let spread = PointSpread::fit(&image, &background, &found.sources).unwrap();
        let fluxes = point_fluxes(&image, &background, &spread, &found.sources);
        let mut pulls = Vec::new();
        let mut bright = Vec::new();
        for (source, flux) in found.sources.iter().zip(&fluxes) {
            let near = |star: &&synthetic::Star| (star.x - source.x).hypot(star.y - source.y) < 1.0;
            let (Some(star), Some(flux)) = (stars.iter().find(near), flux) else { continue };
            pulls
                .push((flux.electrons - star.flux) / flux.error_electrons.hypot(0.005 * star.flux));
            if star.flux > 5e4 {
                bright.push(flux.electrons / star.flux - 1.0);
            }
            // The centroids of a blend are drawn to each other, and the fixed positions then fit worse.
            if source.flags == SourceFlags::default() {
                assert!(flux.reduced_chi_square < 2.0, "{flux:?}");
            }
        }
        assert!(pulls.len() >= 38 && bright.len() >= 8, "{} {}", pulls.len(), bright.len());
        let rms = |values: &[f64]| {
            (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
        };
        assert!(rms(&pulls) < 1.5, "{}", rms(&pulls));
        assert!(rms(&bright) < 0.005, "{}", rms(&bright));
    }
}
