//! Stars and galaxies told apart: SPREAD_MODEL and SPREADERR_MODEL of SExtractor's manual (Mohr et al. 2012, Proc. SPIE 8451, 84510D;
//! Desai et al. 2012, ApJ 757, 83, §4.3).
//!
//! S = Σ G p / Σ φ p − Σ G φ / Σ φ², over good pixels with one weight, where p is the light of the source, φ the stars' profile, and G
//! a circular exponential disk of scale length FWHM/16 seen through it. S is near zero for a star, positive for what is wider and negative
//! for what is sharper. Its error is that of the first ratio r: √(Σ (G − rφ)² V) / Σ φ p, V from the variance plane.
//!
//! FWHM is here what PSFEx calls so and source-extractor goes by, the diameter of half of a star's light: limits of the literature on S
//! nearly hold for ours, which is 0.82 of source-extractor's for the same galaxies, whatever their flux, and so is its error. (By the full
//! width at half maximum of a Moffat profile it would be 0.54.)
//!
//! Two things differ. The source is taken at its windowed position, not at one fitted with the profile. And the profile is a Moffat
//! profile, which no telescope keeps to exactly: the median S of the frame's own stars is subtracted, so that stars lie about zero.

use super::{
    CalibratedImage,
    background::Background,
    bands,
    neighbourhood::Neighbourhood,
    planes::Planes,
    psf::PointSpread,
    star_profile::{self, StarLight},
    statistics,
};
use crate::model::{Source, SourceFlags, SpreadModel};

/// Scale length of the disk over the diameter of half of a star's light.
const SCALE_LENGTH: f64 = 1.0 / 16.0;
/// Radius of the sums in full widths, and its bounds in pixels.
const REACH_WIDTHS: f64 = 2.0;
const SMALLEST_REACH: f64 = 3.0;
const LARGEST_REACH: f64 = 24.0;
/// Light of neighbours is taken off within this many full widths.
const NEIGHBOUR_WIDTHS: f64 = 4.0;
/// The most neighbours, nearest first: a bound on time.
const MOST_NEIGHBOURS: usize = 8;
/// Good pixels hold at least this share of Σ φ².
const LEAST_SHARE: f64 = 0.6;
/// What a star needs to say where zero lies: this signal-to-noise ratio, a full width within this share of the stars'.
const LEAST_SIGNAL_TO_NOISE: f64 = 20.0;
const STELLAR_WIDTH_SHARE: f64 = 0.1;
const FEWEST_STARS: usize = 5;
/// Rings reach this many full widths where the profile is read from the image.
const PROFILE_REACH: f64 = 1.9;
/// Steps of the table of the profile.
const TABLE_STEPS: usize = 4096;
/// The table reaches this many full widths.
const TABLE_WIDTHS: f64 = 3.2;

/// How the stars of a frame look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StarLook {
    profile: PointSpread,
    /// Whether the profile is one of pixel values, the pixel's own width part of it.
    through_pixels: bool,
}

impl StarLook {
    /// By the point-spread function that was fitted to the frame.
    pub fn fitted(profile: PointSpread) -> Self {
        Self { profile, through_pixels: false }
    }

    /// Where none was fitted: a round Moffat profile through the light of the frame's bright lone stars, one for all of the frame. `None`
    /// with fewer than five stars.
    pub fn round(
        image: &CalibratedImage,
        background: &Background,
        sources: &[Source],
        stellar_fwhm_pixels: f64,
    ) -> Option<Self> {
        let planes = Planes::new(image, background)?;
        let mut stars: Vec<&Source> =
            sources.iter().filter(|source| is_star(source, stellar_fwhm_pixels)).collect();
        stars.sort_by(|one, other| other.flux_electrons.total_cmp(&one.flux_electrons));
        let stars: Vec<StarLight> = stars
            .iter()
            .map(|star| StarLight { x: star.x, y: star.y, electrons: star.flux_electrons })
            .collect();
        let reach = PROFILE_REACH * stellar_fwhm_pixels;
        let (width, index) = star_profile::moffat_of(&planes, &stars, reach)?;
        let profile = PointSpread::round(width, index)?;
        Some(Self { profile, through_pixels: true })
    }
}

fn is_star(source: &Source, stellar_fwhm_pixels: f64) -> bool {
    source.flags == SourceFlags::default()
        && source.signal_to_noise() > LEAST_SIGNAL_TO_NOISE
        && (source.fwhm_pixels / stellar_fwhm_pixels - 1.0).abs() < STELLAR_WIDTH_SHARE
}

/// S and its error of each source, in the order of `sources`. `None` where too few good pixels hold its light, or it has none on
/// balance. Neighbours are taken off as stars of their own fluxes, and pixels that are nearer to one of them are left out.
pub fn spread_models(
    image: &CalibratedImage,
    background: &Background,
    look: &StarLook,
    sources: &[Source],
    stellar_fwhm_pixels: f64,
) -> Vec<Option<SpreadModel>> {
    let Some(planes) = Planes::new(image, background) else { return vec![None; sources.len()] };
    let positions: Vec<(f64, f64)> = sources.iter().map(|source| (source.x, source.y)).collect();
    let fluxes = all_light(look, sources);
    let reach = NEIGHBOUR_WIDTHS * look.profile.fwhm_pixels();
    let index = Neighbourhood::new(&positions, reach);
    let templates = Templates::new(look, star_diameter(sources, stellar_fwhm_pixels));
    let places: Vec<usize> = (0..sources.len()).collect();
    let mut spreads = bands::map(&places, |&own| {
        let (x, y) = positions[own];
        let mut neighbours: Vec<Neighbour> = index
            .within(x, y, reach)
            .filter(|&near| near != own)
            .map(|near| Neighbour {
                x: positions[near].0,
                y: positions[near].1,
                electrons: fluxes[near],
                distance_square: (positions[near].0 - x).powi(2) + (positions[near].1 - y).powi(2),
            })
            .collect();
        neighbours.sort_by(|one, other| one.distance_square.total_cmp(&other.distance_square));
        neighbours.truncate(MOST_NEIGHBOURS);
        templates.spread(&planes, x, y, &neighbours)
    });
    let stars: Vec<f64> = sources
        .iter()
        .zip(&spreads)
        .filter(|(source, _)| is_star(source, stellar_fwhm_pixels))
        .filter_map(|(_, spread)| spread.map(|spread| spread.value))
        .collect();
    if stars.len() >= FEWEST_STARS
        && let Some((zero, _)) = statistics::median_and_deviation(&stars)
    {
        for spread in spreads.iter_mut().flatten() {
            spread.value -= zero;
        }
    }
    spreads
}

/// Median diameter of half of a star's light, pixels.
fn star_diameter(sources: &[Source], stellar_fwhm_pixels: f64) -> f64 {
    let diameters: Vec<f64> = sources
        .iter()
        .filter(|source| is_star(source, stellar_fwhm_pixels))
        .map(|source| 2.0 * source.half_light_radius_pixels)
        .collect();
    statistics::median_and_deviation(&diameters).map_or(stellar_fwhm_pixels, |pair| pair.0)
}

/// Flux of each source as a star: by the point-spread function where it was measured, else what the aperture holds over its share.
fn all_light(look: &StarLook, sources: &[Source]) -> Vec<f64> {
    let radius = sources.first().map_or(0.0, |source| source.aperture_radius_pixels);
    let share = look.profile.share_within(radius).max(0.1);
    let of = |source: &Source| {
        let aperture = source.flux_electrons / share;
        source.point.map_or(aperture, |point| point.electrons).max(0.0)
    };
    sources.iter().map(of).collect()
}

struct Neighbour {
    x: f64,
    y: f64,
    electrons: f64,
    distance_square: f64,
}

/// Weights of nine points that stand for a pixel, or a pixel and the disk: the centre, four at `step` on the axes, four on the diagonals at
/// (±`step`, ±`step`). Their moments are those of the original up to the fifth order.
#[derive(Debug, Clone, Copy)]
struct NinePoints {
    step: f64,
    centre: f64,
    axis: f64,
    diagonal: f64,
}

impl NinePoints {
    /// From E[x²], E[x⁴] and E[x²y²] of something with the symmetry of a square.
    fn new(second: f64, fourth: f64, mixed: f64) -> Self {
        let square = fourth / second;
        let (axis, diagonal) =
            ((fourth - mixed) / (2.0 * square * square), mixed / (4.0 * square * square));
        Self { step: square.sqrt(), centre: 1.0 - 4.0 * (axis + diagonal), axis, diagonal }
    }

    /// A unit pixel.
    fn pixel() -> Self {
        Self::new(1.0 / 12.0, 1.0 / 80.0, 1.0 / 144.0)
    }

    /// An exponential disk of scale length s: E[r²] = 6 s², E[r⁴] = 120 s⁴.
    fn disk(scale: f64) -> Self {
        let square = scale * scale;
        Self::new(3.0 * square, 45.0 * square * square, 15.0 * square * square)
    }

    /// The disk seen through a pixel.
    fn disk_in_pixel(scale: f64) -> Self {
        let square = scale * scale;
        Self::new(
            1.0 / 12.0 + 3.0 * square,
            1.0 / 80.0 + 1.5 * square + 45.0 * square * square,
            1.0 / 144.0 + 0.5 * square + 15.0 * square * square,
        )
    }

    fn mean(&self, centre: f64, value: impl Fn(f64, f64) -> f64) -> f64 {
        let step = self.step;
        let axis = value(step, 0.0) + value(-step, 0.0) + value(0.0, step) + value(0.0, -step);
        let diagonal =
            value(step, step) + value(-step, step) + value(step, -step) + value(-step, -step);
        self.centre * centre + self.axis * axis + self.diagonal * diagonal
    }
}

/// φ and G of a frame.
struct Templates {
    profile: PointSpread,
    reach: f64,
    /// `None` for a profile of pixel values.
    star: Option<NinePoints>,
    disk: NinePoints,
    /// The profile at equal steps of its argument.
    table: Vec<f32>,
    steps_per_unit: f64,
}

impl Templates {
    fn new(look: &StarLook, star_diameter: f64) -> Self {
        let profile = look.profile;
        let fwhm = profile.fwhm_pixels();
        let scale = SCALE_LENGTH * star_diameter;
        let (star, disk) = match look.through_pixels {
            true => (None, NinePoints::disk(scale)),
            false => (Some(NinePoints::pixel()), NinePoints::disk_in_pixel(scale)),
        };
        let end = (TABLE_WIDTHS * profile.unit_width()).powi(2);
        let steps_per_unit = TABLE_STEPS as f64 / end;
        let table = (0..=TABLE_STEPS)
            .map(|step| profile.density_at(step as f64 / steps_per_unit) as f32)
            .collect();
        let reach = (REACH_WIDTHS * fwhm).clamp(SMALLEST_REACH, LARGEST_REACH);
        Self { profile, reach, star, disk, table, steps_per_unit }
    }

    /// The profile for its argument.
    fn density(&self, argument: f64) -> f64 {
        let place = argument * self.steps_per_unit;
        let step = place as usize;
        match (self.table.get(step), self.table.get(step + 1)) {
            (Some(&low), Some(&high)) => {
                let (low, high) = (f64::from(low), f64::from(high));
                low + (place - step as f64) * (high - low)
            }
            _ => self.profile.density_at(argument),
        }
    }

    /// φ and G of a pixel at a distance from the source.
    fn pair(&self, profile: &PointSpread, dx: f64, dy: f64) -> (f64, f64) {
        let value = |u: f64, v: f64| self.density(profile.argument(dx + u, dy + v));
        let centre = value(0.0, 0.0);
        let star = self.star.map_or(centre, |points| points.mean(centre, value));
        (star, self.disk.mean(centre, value))
    }

    fn spread(
        &self,
        planes: &Planes<'_>,
        x: f64,
        y: f64,
        neighbours: &[Neighbour],
    ) -> Option<SpreadModel> {
        if !planes.contains(x, y) {
            return None;
        }
        let profile = self.profile.at(x, y);
        let height = profile.height();
        let (rows, columns) = planes.window(x, y, self.reach);
        let reach_square = self.reach * self.reach;
        let mut pixels = Vec::with_capacity(rows.len() * columns.len());
        let (mut star_light, mut disk_light) = (0.0, 0.0);
        let (mut star_star, mut star_disk, mut all_star) = (0.0, 0.0, 0.0);
        for row in rows {
            let dy = row as f64 - y;
            for column in columns.clone() {
                let dx = column as f64 - x;
                let distance_square = dx * dx + dy * dy;
                if distance_square > reach_square {
                    continue;
                }
                let (star, disk) = self.pair(&profile, dx, dy);
                all_star += star * star;
                let pixel = planes.pixel(row, column);
                let mut light = pixel.signal;
                let mut is_own = pixel.usable;
                for near in neighbours {
                    let (u, v) = (column as f64 - near.x, row as f64 - near.y);
                    is_own &= u * u + v * v >= distance_square;
                    light -= near.electrons * height * self.density(profile.argument(u, v));
                }
                if !is_own {
                    continue;
                }
                star_light += star * light;
                disk_light += disk * light;
                star_star += star * star;
                star_disk += star * disk;
                pixels.push((star, disk, pixel.variance));
            }
        }
        if star_light <= 0.0 || star_star <= LEAST_SHARE * all_star {
            return None;
        }
        let ratio = disk_light / star_light;
        let variance: f64 = pixels
            .iter()
            .map(|(star, disk, variance)| (disk - ratio * star).powi(2) * variance)
            .sum();
        let (value, error) = (ratio - star_disk / star_star, variance.sqrt() / star_light);
        (value.is_finite() && error > 0.0 && error.is_finite())
            .then_some(SpreadModel { value, error })
    }
}
