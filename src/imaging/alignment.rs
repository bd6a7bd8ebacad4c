//! Frame-to-frame alignment without a catalogue: triangles of bright sources, then a fit.

use super::matching::{Point, log10_chance, match_nearest};
use super::star_pattern::{self, PatternSearch};
use super::verification::{self, Bounds, LOG10_FALSE_LIMIT};
use crate::model::{Source, SourceFlags};
use std::f64::consts::PI;

/// Sources used for the pattern, brightest first, and for the vote.
const BRIGHT_COUNT: usize = 50;
/// Sources used for the last fit.
const FIT_COUNT: usize = 2000;
/// Relative tolerance on the scale.
const SCALE_TOLERANCE: f64 = 0.02;
/// How far a pair may be apart in the triangles, pixels.
const PATTERN_TOLERANCE: f64 = 1.5;
/// Matching radii in turn; the last one counts.
const RADII: [f64; 4] = [8.0, 4.0, 2.5, 2.0];
/// Share of the bright sources in the overlap that must agree. Chance alone would allow less, but defects of the detector
/// stand at the same place in every frame and agree better than chance between unrelated fields.
const AGREEING_SHARE: f64 = 0.25;
/// Fewer matches are no alignment, whatever the share.
const MINIMUM_VOTES: usize = 5;

/// x' = a·x + b·y + c, y' = d·x + e·y + f, zero-based pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AffineTransform {
    pub a: f64,
    pub b: f64,
    pub c: f64,
    pub d: f64,
    pub e: f64,
    pub f: f64,
}

impl AffineTransform {
    pub const IDENTITY: Self = Self { a: 1.0, b: 0.0, c: 0.0, d: 0.0, e: 1.0, f: 0.0 };

    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        (self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f)
    }

    /// `None` when singular.
    pub fn inverse(&self) -> Option<Self> {
        let determinant = self.determinant();
        let largest = [self.a, self.b, self.d, self.e]
            .iter()
            .fold(0.0_f64, |largest, coefficient| largest.max(coefficient.abs()));
        if !self.is_finite() || determinant.abs() <= 1e-12 * largest * largest {
            return None;
        }
        let (a, b) = (self.e / determinant, -self.b / determinant);
        let (d, e) = (-self.d / determinant, self.a / determinant);
        Some(Self { a, b, c: -(a * self.c + b * self.f), d, e, f: -(d * self.c + e * self.f) })
    }

    /// Determinant of the linear part: the ratio of areas, negative for a reflection.
    pub fn determinant(&self) -> f64 {
        self.a * self.e - self.b * self.d
    }

    /// Geometric mean of the scale.
    pub fn scale(&self) -> f64 {
        self.determinant().abs().sqrt()
    }

    /// Rotation of the x axis, −180..180 degrees.
    pub fn rotation_degrees(&self) -> f64 {
        self.d.atan2(self.a).to_degrees()
    }

    /// Whether every coefficient is a finite number.
    pub fn is_finite(&self) -> bool {
        [self.a, self.b, self.c, self.d, self.e, self.f]
            .iter()
            .all(|coefficient| coefficient.is_finite())
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "the frame does not fit its reference: {votes} of {sources} bright sources agree (need {needed})"
)]
pub struct AlignmentFailure {
    pub votes: usize,
    pub sources: usize,
    pub needed: usize,
}

/// The transform that takes positions of `moved` to those of `reference`, with the number of matched sources and their
/// residual per axis (pixels). Any shift and rotation; scale within 2 %. Deterministic.
pub fn align(
    reference: &[Source],
    moved: &[Source],
) -> Result<(AffineTransform, usize, f64), AlignmentFailure> {
    let (reference, moved) = (BrightFirst::new(reference), BrightFirst::new(moved));
    let search = PatternSearch {
        tolerance: PATTERN_TOLERANCE,
        scale_tolerance: SCALE_TOLERANCE,
        mirror: false,
        maximum_points: BRIGHT_COUNT,
        maximum_candidates: 8,
    };
    let mut failure = AlignmentFailure {
        votes: 0,
        sources: reference.points.len().min(moved.points.len()).min(BRIGHT_COUNT),
        needed: MINIMUM_VOTES,
    };
    let mut best: Option<(AffineTransform, usize, f64)> = None;
    for candidate in star_pattern::find(&reference.points, &moved.points, &search) {
        let refined = verification::refine(
            &moved.points,
            &moved.weights,
            &reference.points,
            &candidate.transform,
            &RADII,
        );
        let Some(transform) = refined else { continue };
        let Some(trial) = Trial::of(&transform, &reference, &moved) else { continue };
        if trial.accepted && best.is_none_or(|(_, matches, _)| trial.matches > matches) {
            best = Some((transform, trial.matches, trial.rms));
        }
        if trial.votes > failure.votes || failure.votes == 0 {
            failure = AlignmentFailure {
                votes: trial.votes,
                sources: trial.bright,
                needed: trial.needed,
            };
        }
    }
    best.ok_or(failure)
}

/// Positions, brightest first, with the weights of the fit.
struct BrightFirst {
    points: Vec<Point>,
    weights: Vec<f64>,
}

impl BrightFirst {
    fn new(sources: &[Source]) -> Self {
        let mut usable: Vec<&Source> = sources
            .iter()
            .filter(|source| {
                source.x.is_finite() && source.y.is_finite() && source.flux_electrons > 0.0
            })
            .collect();
        usable.sort_by(|a, b| b.flux_electrons.total_cmp(&a.flux_electrons));
        usable.truncate(FIT_COUNT);
        let flagged = |source: &Source| {
            source.flags.has(SourceFlags::SATURATED)
                || source.flags.has(SourceFlags::TRUNCATED)
                || source.flags.has(SourceFlags::MASKED)
        };
        let clean = usable.iter().filter(|source| !flagged(source)).count();
        let weights = usable
            .iter()
            .map(|source| {
                if flagged(source) && clean >= 20 {
                    return 0.0;
                }
                let error = source.position_error_pixels;
                // No centroid is trusted beyond 0.05 pixel: the frames' distortions differ by that.
                let error = if error.is_finite() && error > 0.0 { error } else { 0.2 };
                1.0 / (error * error + 0.05 * 0.05)
            })
            .collect();
        Self { points: usable.iter().map(|source| (source.x, source.y)).collect(), weights }
    }
}

/// A refined transform on trial.
struct Trial {
    accepted: bool,
    matches: usize,
    rms: f64,
    votes: usize,
    bright: usize,
    needed: usize,
}

impl Trial {
    fn of(
        transform: &AffineTransform,
        reference: &BrightFirst,
        moved: &BrightFirst,
    ) -> Option<Self> {
        let inverse = transform.inverse()?;
        let map = |transform: &AffineTransform, points: &[Point]| -> Vec<Point> {
            points.iter().map(|point| transform.apply(point.0, point.1)).collect()
        };
        let radius = RADII[RADII.len() - 1];
        let there = map(transform, &moved.points);
        let pairs = match_nearest(&there, &reference.points, radius);
        let (reference_bounds, moved_bounds) =
            (Bounds::of(&reference.points)?, Bounds::of(&moved.points)?);

        // The vote: of the brightest of both lists that lie in the overlap, how many are the same?
        let in_overlap = |points: &[Point], bounds: &Bounds| -> Vec<bool> {
            points.iter().map(|point| bounds.contains(*point)).collect()
        };
        let moved_inside = in_overlap(&there, &reference_bounds);
        let reference_inside = in_overlap(&map(&inverse, &reference.points), &moved_bounds);
        let rank = |inside: &[bool]| -> Vec<usize> {
            let ranks = inside.iter().scan(0, |next, inside| {
                let rank = *next;
                *next += usize::from(*inside);
                Some(if *inside { rank } else { usize::MAX })
            });
            ranks.collect()
        };
        let (moved_rank, reference_rank) = (rank(&moved_inside), rank(&reference_inside));
        let is_bright = |rank: usize| rank < BRIGHT_COUNT;
        let bright = moved_rank
            .iter()
            .filter(|rank| is_bright(**rank))
            .count()
            .min(reference_rank.iter().filter(|rank| is_bright(**rank)).count());
        let votes = pairs
            .iter()
            .filter(|&&(i, j)| is_bright(moved_rank[i]) && is_bright(reference_rank[j]))
            .count();

        let extent = moved_bounds.half_diagonal();
        let shift_area = 4.0 * (reference_bounds.area() + moved_bounds.area());
        let trials = verification::log10_transforms(
            shift_area,
            2.0 * PI,
            2.0 * SCALE_TOLERANCE,
            extent,
            radius / 2.0,
        );
        let evidence = verification::weigh(&there, &reference.points, &pairs, radius, trials);
        let by_chance = {
            let density = bright as f64 / reference_bounds.area().max(1.0);
            let expected = bright as f64 * density * PI * radius * radius;
            (1..=bright).find(|count| log10_chance(*count, expected) + trials <= LOG10_FALSE_LIMIT)
        };
        let needed = ((AGREEING_SHARE * bright as f64).ceil() as usize).max(MINIMUM_VOTES);

        let mut squares: Vec<f64> = pairs
            .iter()
            .map(|&(i, j)| {
                let (a, b) = (there[i], reference.points[j]);
                (a.0 - b.0).powi(2) + (a.1 - b.1).powi(2)
            })
            .collect();
        let distances: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
        let limit = verification::clip_limit(&distances, radius);
        squares.retain(|square| square.sqrt() <= limit);
        let rms = (squares.iter().sum::<f64>() / (2.0 * squares.len().max(1) as f64)).sqrt();

        let scale_kept = (transform.scale() - 1.0).abs() <= 1.25 * SCALE_TOLERANCE;
        let undistorted = {
            let (u, v) = (transform.a - transform.e, transform.b + transform.d);
            u.hypot(v) < SCALE_TOLERANCE
        };
        let accepted = evidence.is_convincing()
            && votes >= needed
            && scale_kept
            && undistorted
            && rms < radius;
        Some(Self {
            accepted,
            matches: squares.len(),
            rms,
            votes,
            bright,
            needed: needed.max(by_chance.unwrap_or(needed)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn source(x: f64, y: f64, flux: f64) -> Source {
        Source {
            x,
            y,
            position_error_pixels: 0.1,
            peak_electrons: flux / 10.0,
            flux_electrons: flux,
            flux_error_electrons: flux.sqrt(),
            aperture_radius_pixels: 4.0,
            semi_major_pixels: 1.5,
            semi_minor_pixels: 1.5,
            theta_radians: 0.0,
            fwhm_pixels: 3.5,
            half_light_radius_pixels: 1.6,
            isophotal_flux_electrons: 0.9 * flux,
            isophotal_flux_error_electrons: flux.abs().sqrt(),
            total: None,
            point: None,
            spread: None,
            pixel_count: 20,
            flags: SourceFlags::default(),
        }
    }

    /// Stars over an area wider than the frame, fluxes as a power law.
    fn sky(random: &mut ChaCha8Rng, count: usize) -> Vec<(f64, f64, f64)> {
        (0..count)
            .map(|_| {
                let flux = 100.0 * random.random_range(0.001_f64..1.0).powf(-1.2);
                (random.random_range(-700.0..1700.0), random.random_range(-700.0..1700.0), flux)
            })
            .collect()
    }

    /// A frame of `size` pixels of that sky, with centroid noise and cosmic rays.
    fn frame(
        random: &mut ChaCha8Rng,
        sky: &[(f64, f64, f64)],
        to_frame: &AffineTransform,
        cosmic_rays: usize,
    ) -> Vec<Source> {
        let mut sources: Vec<Source> = sky
            .iter()
            .filter_map(|&(x, y, flux)| {
                let (x, y) = to_frame.apply(x, y);
                let inside = (0.0..1024.0).contains(&x) && (0.0..1024.0).contains(&y);
                let (dx, dy) = (random.random_range(-0.2..0.2), random.random_range(-0.2..0.2));
                let flux = flux * random.random_range(0.9..1.1);
                inside.then(|| source(x + dx, y + dy, flux))
            })
            .collect();
        for _ in 0..cosmic_rays {
            let flux = 200.0 * random.random_range(0.001_f64..1.0).powf(-0.8);
            let (x, y) = (random.random_range(0.0..1024.0), random.random_range(0.0..1024.0));
            sources.push(source(x, y, flux));
        }
        sources
    }

    fn rotation(degrees: f64, scale: f64, shift: (f64, f64)) -> AffineTransform {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let (a, d) = (scale * cosine, scale * sine);
        // About the centre of the frame.
        let c = 512.0 - a * 512.0 + d * 512.0 + shift.0;
        let f = 512.0 - d * 512.0 - a * 512.0 + shift.1;
        AffineTransform { a, b: -d, c, d, e: a, f }
    }

    #[test]
    fn any_shift_and_rotation_is_recovered() {
        for seed in 0..60 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let sky = sky(&mut random, 700);
            let shift = (random.random_range(-250.0..250.0), random.random_range(-250.0..250.0));
            let angle =
                if seed % 2 == 0 { random.random_range(-2.0..2.0) } else { seed as f64 * 31.0 };
            let scale = random.random_range(0.985..1.015);
            let truth = rotation(angle, scale, shift);
            let moved = frame(&mut random, &sky, &AffineTransform::IDENTITY, 25);
            let reference = frame(&mut random, &sky, &truth, 25);
            let (found, matches, rms) = align(&reference, &moved).unwrap();
            assert!(matches > 20 && rms < 0.3, "seed {seed}: {matches} {rms}");
            for (x, y) in [(512.0, 512.0), (200.0, 800.0), (900.0, 900.0)] {
                let (a, b) = (found.apply(x, y), truth.apply(x, y));
                let error = (a.0 - b.0).hypot(a.1 - b.1);
                assert!(error < 0.25, "seed {seed}: {error} at {x} {y}, {matches} matches");
            }
        }
    }

    #[test]
    fn unrelated_fields_are_refused() {
        for seed in 0..150 {
            let mut random = ChaCha8Rng::seed_from_u64(5000 + seed);
            let count = [30, 150, 700, 3000][seed as usize % 4];
            let (one, other) = (sky(&mut random, count), sky(&mut random, count));
            let left = frame(&mut random, &one, &AffineTransform::IDENTITY, 20);
            let right = frame(&mut random, &other, &AffineTransform::IDENTITY, 20);
            let failure = align(&left, &right).expect_err("unrelated fields");
            assert!(failure.votes < failure.needed, "{failure}");
        }
    }

    #[test]
    fn hot_pixels_in_common_do_not_make_two_fields_one() {
        for seed in 0..30 {
            let mut random = ChaCha8Rng::seed_from_u64(9000 + seed);
            let (one, other) = (sky(&mut random, 700), sky(&mut random, 700));
            let mut left = frame(&mut random, &one, &AffineTransform::IDENTITY, 10);
            let mut right = frame(&mut random, &other, &AffineTransform::IDENTITY, 10);
            for _ in 0..9 {
                let x = random.random_range(0.0..1024.0);
                let y = random.random_range(0.0..1024.0);
                left.push(source(x, y, 40_000.0));
                right.push(source(x, y, 40_000.0));
            }
            assert!(align(&left, &right).is_err(), "seed {seed}");
        }
    }

    #[test]
    fn a_mirrored_frame_is_another_field() {
        let mut random = ChaCha8Rng::seed_from_u64(77);
        let sky = sky(&mut random, 700);
        let moved = frame(&mut random, &sky, &AffineTransform::IDENTITY, 0);
        let mirror = AffineTransform { a: -1.0, c: 1023.0, ..AffineTransform::IDENTITY };
        let reference = frame(&mut random, &sky, &mirror, 0);
        assert!(align(&reference, &moved).is_err());
    }

    #[test]
    fn small_broken_and_empty_lists_are_refused() {
        assert!(align(&[], &[]).is_err());
        let stars: Vec<_> =
            (0..4).map(|i| source(100.0 * i as f64, 37.0 * i as f64 * i as f64, 9.0)).collect();
        assert!(align(&stars, &stars).is_err());
        let poisoned: Vec<_> = (0..50).map(|_| source(f64::NAN, 1.0, f64::NAN)).collect();
        assert!(align(&poisoned, &poisoned).is_err());
        let same: Vec<_> = (0..50).map(|_| source(5.0, 5.0, 10.0)).collect();
        assert!(align(&same, &same).is_err());
    }

    #[test]
    fn inverse_returns() {
        let transform = AffineTransform { a: 1.1, b: 0.3, c: 5.0, d: -0.2, e: 0.9, f: -7.0 };
        let (x, y) = transform.apply(12.0, 34.0);
        let (back_x, back_y) = transform.inverse().unwrap().apply(x, y);
        assert!((back_x - 12.0).hypot(back_y - 34.0) < 1e-12);
        let flat = AffineTransform { a: 1.0, b: 2.0, c: 0.0, d: 2.0, e: 4.0, f: 0.0 };
        assert!(flat.inverse().is_none());
    }
}
