//! Sources and catalogue of one frame in one plane, and the trial of a candidate solution.

use super::alignment::AffineTransform;
use super::astrometry::{AstrometricSolution, AstrometryFailure, AstrometryParameters};
use super::matching::{Point, match_nearest};
use super::verification::{self, Evidence};
use super::wcs::{PixelSkyPair, TangentPlane, sky_to_standard};
use crate::model::{CatalogueObject, Source, SourceFlags};
use std::f64::consts::PI;

/// The most sources and catalogue objects used, brightest first: a bound on time.
const MAXIMUM_SOURCES: usize = 3000;
const MAXIMUM_OBJECTS: usize = 10_000;
/// Unflagged sources enough to leave the flagged ones out of the fit.
const ENOUGH_CLEAN: usize = 12;
/// With fewer matches pixels are held square.
const SIX_COEFFICIENTS_MINIMUM: usize = 16;
/// Position error of catalogue objects (and of the air), added to that of the centroid until enough matches tell it.
const CATALOGUE_ERROR_ARCSEC: f64 = 0.05;
/// Clean matches that are enough to measure it, and the least it can be.
const MEASURED_ERROR_MATCHES: usize = 80;
const LEAST_ERROR_ARCSEC: f64 = 0.001;
/// The median square of a distance of two axes in units of the variance of one: 2 ln 2.
const MEDIAN_SQUARE: f64 = 2.0 * std::f64::consts::LN_2;
/// The same for flagged sources: the centroid of a saturated or cut-off star is worse than its error says.
const FLAGGED_ERROR_ARCSEC: f64 = 0.5;
/// Largest share by which the axes of a solution may differ in scale or depart from a right angle.
const MAXIMUM_DISTORTION: f64 = 0.01;

/// How far from the nominal solution is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Nominal,
    Anywhere,
}

pub(super) struct Trials {
    pub(super) search: Reach,
    pub(super) log10: f64,
}

/// Both lists, brightest first, in one plane: arcseconds about the nominal centre of the image.
pub(super) struct Field<'a> {
    sources: Vec<(usize, &'a Source)>,
    pub(super) points: Vec<Point>,
    /// Standard errors of the centroids, arcseconds.
    errors: Vec<f64>,
    weights: Vec<f64>,
    catalogue: Vec<(usize, &'a CatalogueObject)>,
    pub(super) objects: Vec<Point>,
    nominal: &'a TangentPlane,
    /// Of the image, pixels.
    centre: Point,
    /// Half of width and height, and from the centre to a corner; arcseconds.
    half_size: Point,
    pub(super) half_diagonal: f64,
    /// Unit vector (east, north) of the image's +y axis in the nominal solution.
    up: Point,
    scale: f64,
}

impl<'a> Field<'a> {
    /// `None` where the nominal solution is none.
    pub(super) fn new(
        sources: &'a [Source],
        catalogue: &'a [CatalogueObject],
        nominal: &'a TangentPlane,
        shape: (usize, usize),
    ) -> Option<Self> {
        let scale = nominal.scale_arcsec();
        let centre = ((shape.1 as f64 - 1.0) / 2.0, (shape.0 as f64 - 1.0) / 2.0);
        let tangent = nominal.pixel_to_sky(centre.0, centre.1);
        nominal.sky_to_pixel(tangent)?;
        let half_size = (scale * shape.1 as f64 / 2.0, scale * shape.0 as f64 / 2.0);
        let (up_east, up_north) = nominal.position_angle_degrees().to_radians().sin_cos();

        let mut used: Vec<(usize, &Source)> = sources
            .iter()
            .enumerate()
            .filter(|(_, source)| {
                source.x.is_finite() && source.y.is_finite() && source.flux_electrons > 0.0
            })
            .collect();
        used.sort_by(|a, b| b.1.flux_electrons.total_cmp(&a.1.flux_electrons).then(a.0.cmp(&b.0)));
        used.truncate(MAXIMUM_SOURCES);
        let errors: Vec<f64> = used
            .iter()
            .map(|(_, source)| {
                let error = source.position_error_pixels;
                if error.is_finite() && error > 0.0 { error * scale } else { 0.2 * scale }
            })
            .collect();
        let weights = weights(&used, &errors, CATALOGUE_ERROR_ARCSEC);
        let on_plane = |sky| {
            let (xi, eta) = sky_to_standard(tangent, sky)?;
            Some((xi * 3600.0, eta * 3600.0))
        };
        let points: Option<Vec<Point>> = used
            .iter()
            .map(|(_, source)| on_plane(nominal.pixel_to_sky(source.x, source.y)))
            .collect();

        let mut known: Vec<(usize, &CatalogueObject, Point)> = catalogue
            .iter()
            .enumerate()
            .filter(|(_, object)| object.magnitude.is_finite())
            .filter_map(|(number, object)| Some((number, object, on_plane(object.position)?)))
            .filter(|(_, _, point)| point.0.is_finite() && point.1.is_finite())
            .collect();
        known.sort_by(|a, b| a.1.magnitude.total_cmp(&b.1.magnitude).then(a.0.cmp(&b.0)));
        known.truncate(MAXIMUM_OBJECTS);
        Some(Self {
            sources: used,
            points: points?,
            errors,
            weights,
            objects: known.iter().map(|(_, _, point)| *point).collect(),
            catalogue: known.into_iter().map(|(number, object, _)| (number, object)).collect(),
            nominal,
            centre,
            half_size,
            half_diagonal: half_size.0.hypot(half_size.1),
            up: (up_east, up_north),
            scale,
        })
    }

    /// Area of the sky that the catalogue given spreads over in frames, from one to `most`.
    pub(super) fn area_ratio(&self, most: f64) -> f64 {
        let frame = 4.0 * self.half_size.0 * self.half_size.1;
        // A cone, not its box.
        let sky =
            verification::Bounds::of(&self.objects).map_or(0.0, |bounds| PI / 4.0 * bounds.area());
        let ratio = sky / frame;
        if ratio.is_finite() { ratio.clamp(1.0, most) } else { 1.0 }
    }

    /// The catalogue objects in the image as a transform of its sources places it, and up to `margin` arcseconds around.
    pub(super) fn objects_within(&self, transform: &AffineTransform, margin: f64) -> Vec<Point> {
        let Some(inverse) = transform.inverse() else { return Vec::new() };
        let (width, height) = (self.half_size.0 + margin, self.half_size.1 + margin);
        let is_inside = |point: &&Point| {
            let (x, y) = inverse.apply(point.0, point.1);
            let (u, v) = (x * self.up.1 - y * self.up.0, x * self.up.0 + y * self.up.1);
            u.abs() <= width && v.abs() <= height
        };
        self.objects.iter().filter(is_inside).copied().collect()
    }

    /// Refines a candidate to a full solution and puts it on trial.
    pub(super) fn confirm(
        &self,
        candidate: &AffineTransform,
        votes: usize,
        trials: &Trials,
        parameters: &AstrometryParameters,
        minimum: usize,
    ) -> Result<AstrometricSolution, AstrometryFailure> {
        let no_pattern = || AstrometryFailure::NoPattern {
            votes,
            searched_arcsec: parameters.maximum_offset_arcsec,
            searched_degrees: parameters.maximum_rotation_degrees,
        };
        let radius = parameters.match_radius_arcsec;
        let inside = self.objects_within(candidate, 10.0 * radius);
        let refined = [40, 160, usize::MAX].iter().try_fold(*candidate, |transform, &count| {
            // The brightest first, while the transform is rough: with all of a dense catalogue
            // the wrong neighbour would often be the nearest.
            let sources = self.points.len().min(count);
            let objects = inside.len().min(count.saturating_mul(2));
            let radii: &[f64] = match count {
                40 => &[3.0, 2.0],
                160 => &[2.0, 1.0],
                _ => &[1.5, 1.0],
            };
            let radii: Vec<f64> = radii.iter().map(|factor| factor * radius).collect();
            let (points, objects) = (&self.points[..sources], &inside[..objects]);
            let refine = |start: &AffineTransform| {
                verification::refine(points, &self.weights, objects, start, &radii)
            };
            // A short list may hold too few in common; the longer ones then start from the candidate.
            refine(&transform).or_else(|| (count != usize::MAX).then_some(transform))
        });
        let transform = refined.ok_or_else(no_pattern)?;
        let moved = self.apply(&transform);
        let pairs = match_nearest(&moved, &inside, radius);
        // What chance explains at this point is not worth the fit on the sky.
        if verification::weigh(&moved, &inside, &pairs, radius, trials.log10).log10_false > 0.0 {
            return Err(no_pattern());
        }
        let wcs = self.fit(&transform, radius).ok_or_else(no_pattern)?;

        // From here on everything is judged with the solution that would be returned.
        let (moved, objects) = self.in_plane_of(&wcs).ok_or_else(no_pattern)?;
        let pairs = match_nearest(&moved, &objects, radius);
        let evidence = verification::weigh(&moved, &objects, &pairs, radius, trials.log10);
        let distance =
            |&(i, j): &(usize, usize)| (moved[i].0 - objects[j].0).hypot(moved[i].1 - objects[j].1);
        let fitted = self.fitted_pairs(&pairs);
        let distances: Vec<f64> = fitted.iter().map(distance).collect();
        let limit = verification::clip_limit(&distances, radius);
        let kept: Vec<f64> = distances.into_iter().filter(|distance| *distance <= limit).collect();
        let square_sum: f64 = kept.iter().map(|distance| distance * distance).sum();
        let rms_arcsec = (square_sum / (2.0 * kept.len().max(1) as f64)).sqrt();

        let shift = self.shift_from_nominal(&wcs);
        let accepted = evidence.is_convincing()
            && kept.len() >= minimum
            && rms_arcsec <= parameters.maximum_rms_arcsec
            && self.is_plausible(&wcs, &shift, trials.search, parameters);
        if !accepted {
            return Err(self.refusal(&evidence, kept.len(), rms_arcsec, no_pattern()));
        }
        let mut matches: Vec<(usize, usize)> =
            pairs.iter().map(|&(i, j)| (self.sources[i].0, self.catalogue[j].0)).collect();
        matches.sort_unstable();
        Ok(AstrometricSolution {
            wcs,
            matches,
            rms_arcsec,
            offset_arcsec: shift.offset_arcsec,
            rotation_degrees: shift.rotation_degrees,
            log10_false: evidence.log10_false,
        })
    }

    /// A pattern counts as found, though not confirmed, where chance gives fewer than half of its matches.
    fn refusal(
        &self,
        evidence: &Evidence,
        matches: usize,
        rms_arcsec: f64,
        no_pattern: AstrometryFailure,
    ) -> AstrometryFailure {
        if matches as f64 > 2.0 * evidence.expected && matches >= 4 {
            AstrometryFailure::NotConfirmed { matches, rms_arcsec }
        } else {
            no_pattern
        }
    }

    /// Sources that may drive the fit: the clean ones if there are enough of them, else all.
    fn fitted_pairs(&self, pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let clean: Vec<(usize, usize)> =
            pairs.iter().copied().filter(|&(i, _)| !is_flagged(self.sources[i].1)).collect();
        if clean.len() >= ENOUGH_CLEAN { clean } else { pairs.to_vec() }
    }

    fn apply(&self, transform: &AffineTransform) -> Vec<Point> {
        self.points.iter().map(|point| transform.apply(point.0, point.1)).collect()
    }

    /// The coefficients through the clean matches, on the sky itself: the plane of the nominal solution
    /// touches the sky elsewhere.
    fn fit(&self, transform: &AffineTransform, radius: f64) -> Option<TangentPlane> {
        let moved = self.apply(transform);
        let mirrored = self.nominal.is_mirrored() != (transform.determinant() < 0.0);
        let mut pairs = self.fitted_pairs(&match_nearest(&moved, &self.objects, radius));
        let mut wcs =
            self.fit_pairs(&pairs, &self.weights, (&moved, &self.objects), radius, mirrored)?;
        for _ in 0..2 {
            let (moved, objects) = self.in_plane_of(&wcs)?;
            pairs = self.fitted_pairs(&match_nearest(&moved, &objects, radius));
            let systematic = self.systematic_error(&pairs, &moved, &objects);
            let weights = weights(&self.sources, &self.errors, systematic);
            wcs = self.fit_pairs(&pairs, &weights, (&moved, &objects), radius, mirrored)?;
        }
        Some(wcs)
    }

    /// What the distances of the matches hold beyond the centroids' own errors: of the catalogue, and of the air. Measured on the
    /// best quarter of the centroids.
    fn systematic_error(
        &self,
        pairs: &[(usize, usize)],
        moved: &[Point],
        objects: &[Point],
    ) -> f64 {
        let mut measured: Vec<(f64, f64)> = pairs
            .iter()
            .filter(|&&(i, _)| !is_flagged(self.sources[i].1))
            .map(|&(i, j)| {
                let (u, v) = (moved[i].0 - objects[j].0, moved[i].1 - objects[j].1);
                (self.errors[i], u * u + v * v)
            })
            .collect();
        if measured.len() < MEASURED_ERROR_MATCHES {
            return CATALOGUE_ERROR_ARCSEC;
        }
        measured.sort_by(|a, b| a.0.total_cmp(&b.0));
        measured.truncate(measured.len() / 4);
        let middle = measured.len() / 2;
        let error = measured[middle].0;
        measured.sort_by(|a, b| a.1.total_cmp(&b.1));
        let variance = measured[middle].1 / MEDIAN_SQUARE - error * error;
        variance.max(LEAST_ERROR_ARCSEC * LEAST_ERROR_ARCSEC).sqrt()
    }

    fn fit_pairs(
        &self,
        pairs: &[(usize, usize)],
        weights: &[f64],
        (moved, objects): (&[Point], &[Point]),
        radius: f64,
        mirrored: bool,
    ) -> Option<TangentPlane> {
        let distances: Vec<f64> = pairs
            .iter()
            .map(|&(i, j)| (moved[i].0 - objects[j].0).hypot(moved[i].1 - objects[j].1))
            .collect();
        let limit = verification::clip_limit(&distances, radius);
        let kept: Vec<PixelSkyPair> = pairs
            .iter()
            .zip(&distances)
            .filter(|(_, distance)| **distance <= limit)
            .map(|(&(i, j), _)| PixelSkyPair {
                pixel: (self.sources[i].1.x, self.sources[i].1.y),
                sky: self.catalogue[j].1.position,
                weight: weights[i],
            })
            .collect();
        if kept.len() < SIX_COEFFICIENTS_MINIMUM {
            TangentPlane::fit_square(&kept, self.centre, mirrored)
        } else {
            TangentPlane::fit(&kept, self.centre)
        }
    }

    /// Sources and catalogue in the tangent plane of a solution, arcseconds.
    fn in_plane_of(&self, wcs: &TangentPlane) -> Option<(Vec<Point>, Vec<Point>)> {
        let arcsec = |(xi, eta): (f64, f64)| (xi * 3600.0, eta * 3600.0);
        let moved = self
            .sources
            .iter()
            .map(|(_, source)| arcsec(wcs.pixel_to_standard(source.x, source.y)))
            .collect();
        let objects: Option<Vec<Point>> = self
            .catalogue
            .iter()
            .map(|(_, object)| sky_to_standard(wcs.reference_sky, object.position).map(arcsec))
            .collect();
        Some((moved, objects?))
    }

    fn shift_from_nominal(&self, wcs: &TangentPlane) -> Shift {
        let was = self.nominal.pixel_to_sky(self.centre.0, self.centre.1);
        let is = wcs.pixel_to_sky(self.centre.0, self.centre.1);
        let turned = wcs.position_angle_degrees() - self.nominal.position_angle_degrees();
        Shift {
            offset_arcsec: was.separation_arcsec(is),
            rotation_degrees: (turned + 180.0).rem_euclid(360.0) - 180.0,
        }
    }

    /// Whether a solution is one that the search could rightly have found, and an image that a telescope could make.
    fn is_plausible(
        &self,
        wcs: &TangentPlane,
        shift: &Shift,
        reach: Reach,
        parameters: &AstrometryParameters,
    ) -> bool {
        let parity = if wcs.is_mirrored() { -1.0 } else { 1.0 };
        let ([a, b], [d, e]) = (wcs.cd[0], wcs.cd[1]);
        let distortion = (a + parity * e).hypot(b - parity * d) * 3600.0 / self.scale;
        let scale = (wcs.scale_arcsec() / self.scale - 1.0).abs();
        distortion <= MAXIMUM_DISTORTION
            && scale <= 1.25 * parameters.scale_tolerance
            && shift.offset_arcsec <= 1.1 * parameters.maximum_offset_arcsec
            && shift.rotation_degrees.abs() <= 1.1 * parameters.maximum_rotation_degrees
            && (wcs.is_mirrored() == self.nominal.is_mirrored() || reach == Reach::Anywhere)
    }
}

/// 1 / variance of the sources' positions with what their errors do not hold, arcseconds.
fn weights(sources: &[(usize, &Source)], errors: &[f64], systematic: f64) -> Vec<f64> {
    let weight = |((_, source), error): (&(usize, &Source), &f64)| {
        let systematic =
            if is_flagged(source) { FLAGGED_ERROR_ARCSEC.max(systematic) } else { systematic };
        1.0 / (error * error + systematic * systematic)
    };
    sources.iter().zip(errors).map(weight).collect()
}

fn is_flagged(source: &Source) -> bool {
    source.flags.has(
        SourceFlags::SATURATED
            | SourceFlags::TRUNCATED
            | SourceFlags::MASKED
            | SourceFlags::BLENDED,
    )
}

struct Shift {
    offset_arcsec: f64,
    rotation_degrees: f64,
}
