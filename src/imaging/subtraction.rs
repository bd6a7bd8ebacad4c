//! Image subtraction: what a new image has that a template of the same field had not.
//!
//! The sharper of the two is convolved with the kernel that makes it like the other (Alard & Lupton 1998, ApJ 503, 325; Alard 2000,
//! A&AS 144, 363). The difference is in the flux scale of the new image, whichever was convolved.

use super::kernel_basis::KernelBasis;
use super::kernel_convolution::{self, RawDifference};
use super::kernel_fit::KernelFit;
use super::kernel_stamps::{self, Cut, Side, Stamp};
use super::matched_filter::FWHM_PER_SIGMA;
use super::significance::{Filters, Significance};
use super::{CalibratedImage, Image, background, difference_sources, statistics};

pub use super::kernel_stamps::StampStar;

/// Two images on one grid.
#[derive(Debug, Clone, Copy)]
pub struct SubtractionInput<'a> {
    pub new: &'a CalibratedImage,
    pub template: &'a CalibratedImage,
    /// On which the kernel is fitted, if they are unsaturated and bright enough in both.
    pub stars: &'a [StampStar],
    /// Full widths at half maximum of stars, pixels of the common grid.
    pub new_fwhm_pixels: f64,
    pub template_fwhm_pixels: f64,
    /// How much noisier (in variance) a sum over many pixels is than the variances of its pixels say: one for a frame as it was read, above
    /// it for one that was resampled.
    pub new_noise_factor: f64,
    pub template_noise_factor: f64,
}

/// Which image is convolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Template,
    New,
}

impl Direction {
    /// As headers name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::New => "new",
        }
    }
}

/// Settings of [`subtract`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubtractionParameters {
    /// Highest power with which kernel and background vary over the image, at most two; less where stamps are few.
    pub kernel_degree: usize,
    pub background_degree: usize,
    /// Stars are taken from about the square of `cells` cells, at most `stars_per_cell` of each.
    pub cells: usize,
    pub stars_per_cell: usize,
    /// Fewer stamps that agree are refused.
    pub least_stamps: usize,
    /// `None`: the sharper image is convolved, and where they are alike the one with the smaller residuals.
    pub direction: Option<Direction>,
    /// Cells of the residual background and of the scatter of the significance; `None`: neither is corrected.
    pub mesh_pixels: Option<usize>,
}

impl Default for SubtractionParameters {
    fn default() -> Self {
        Self {
            kernel_degree: 2,
            background_degree: 2,
            cells: 12,
            stars_per_cell: 2,
            least_stamps: 5,
            direction: None,
            mesh_pixels: Some(128),
        }
    }
}

/// What was found out about the two images.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelSummary {
    pub direction: Direction,
    /// Flux of a star in the new image for one of the template.
    pub scale: f64,
    /// Widths of the Gaussians of the kernel, pixels; it has (2 · reach + 1)² of them.
    pub sigmas: Vec<f64>,
    pub reach: usize,
    /// Powers with which the kernel varies over the image.
    pub degree: usize,
    /// Chi-square per pixel of the stamps used.
    pub reduced_chi_square: f64,
    pub stamps_used: usize,
    pub stamps_rejected: usize,
    /// Scatter of what is left of the stars used, beyond the noise, as a share of their flux.
    pub residual_share: f64,
    /// Scatter of the significance on empty sky before it was brought to one.
    pub noise_ratio: f64,
}

/// A difference image and what stands out of it.
#[derive(Debug, Clone)]
pub struct Difference {
    /// New less template, in the flux scale of the new image, without background. Zero where masked.
    pub image: CalibratedImage,
    /// Of a point source at every pixel, in standard deviations; zero where masked.
    pub significance: Image,
    /// Full width of a star on the difference, pixels.
    pub fwhm_pixels: f64,
    /// What a Gaussian of this width, fitted to a star, gives for its light, over all of that light.
    pub response: f64,
    pub kernel: KernelSummary,
}

/// Why there is no difference.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubtractionError {
    #[error("the planes of the two images are not of one shape")]
    Shapes,
    #[error("a stellar width of {fwhm_pixels} pixels cannot be used")]
    Width { fwhm_pixels: f64 },
    #[error("only {share:.3} of the pixels are good in both images")]
    NoOverlap { share: f64 },
    #[error("{found} stars serve for the kernel, {least} are needed")]
    TooFewStamps { found: usize, least: usize },
    #[error("the {stamps} stars do not agree on a kernel")]
    NoKernel { stamps: usize },
}

/// Least share of pixels that must be good in both images.
const LEAST_OVERLAP: f64 = 0.01;
/// Widths that can be used, pixels.
const WIDTHS: std::ops::RangeInclusive<f64> = 1.0..=30.0;
/// Of two widths: images nearer to each other are tried in both directions.
const ALIKE: f64 = 1.06;
/// Half-side of a stamp in widths of the broader image.
const STAMP_WIDTHS: f64 = 3.0;
/// Share of a star's light in a pixel that the fit does not hold against the kernel.
const FIT_ERROR: f64 = 0.003;
/// The Gaussian is fitted to pixels within as many standard deviations.
const REACH_SIGMAS: f64 = 2.5;
/// Beyond these no image of a star was measured.
const RESPONSES: std::ops::RangeInclusive<f64> = 0.5..=1.5;
/// Residuals of stars this many times above their noise tell how wrong the kernel is.
const BRIGHT: f64 = 30.0;

/// Subtracts a template from a new image.
pub fn subtract(
    input: &SubtractionInput<'_>,
    parameters: &SubtractionParameters,
) -> Result<Difference, SubtractionError> {
    check(input)?;
    let (new, template) = (Side::of(input.new), Side::of(input.template));
    let ratio = input.new_fwhm_pixels / input.template_fwhm_pixels;
    let attempt = |direction| match direction {
        Direction::Template => Matched::new(direction, &new, &template, input, parameters),
        Direction::New => Matched::new(direction, &template, &new, input, parameters),
    };
    let matched = match parameters.direction {
        Some(direction) => attempt(direction)?,
        None if ratio > ALIKE => attempt(Direction::Template)?,
        None if ratio < 1.0 / ALIKE => attempt(Direction::New)?,
        None => match (attempt(Direction::Template), attempt(Direction::New)) {
            (Ok(one), Ok(other)) => {
                let is_worse = other.fit.reduced_chi_square < one.fit.reduced_chi_square;
                if is_worse { other } else { one }
            }
            (Ok(only), Err(_)) | (Err(_), Ok(only)) => only,
            (Err(error), Err(_)) => return Err(error),
        },
    };
    let sides = match matched.direction {
        Direction::Template => (&new, &template),
        Direction::New => (&template, &new),
    };
    Ok(matched.difference(sides, parameters))
}

fn check(input: &SubtractionInput<'_>) -> Result<(), SubtractionError> {
    let shape = input.new.data.dim();
    let is_of_shape = |image: &CalibratedImage| {
        image.data.dim() == shape && image.variance.dim() == shape && image.mask.dim() == shape
    };
    if !is_of_shape(input.new) || !is_of_shape(input.template) {
        return Err(SubtractionError::Shapes);
    }
    for fwhm_pixels in [input.new_fwhm_pixels, input.template_fwhm_pixels] {
        if !WIDTHS.contains(&fwhm_pixels) {
            return Err(SubtractionError::Width { fwhm_pixels });
        }
    }
    let pairs = input.new.mask.iter().zip(&input.template.mask);
    let good = pairs.filter(|(one, other)| **one | **other == 0).count();
    let share = good as f64 / input.new.mask.len().max(1) as f64;
    if share < LEAST_OVERLAP {
        return Err(SubtractionError::NoOverlap { share });
    }
    Ok(())
}

/// A kernel that makes one image like the other.
struct Matched {
    direction: Direction,
    fit: KernelFit,
    stamps: Vec<Stamp>,
    target_fwhm: f64,
    noise_factors: (f64, f64),
}

impl Matched {
    fn new(
        direction: Direction,
        target: &Side<'_>,
        convolved: &Side<'_>,
        input: &SubtractionInput<'_>,
        parameters: &SubtractionParameters,
    ) -> Result<Self, SubtractionError> {
        let new = (input.new_fwhm_pixels, input.new_noise_factor);
        let template = (input.template_fwhm_pixels, input.template_noise_factor);
        let (own, other) = match direction {
            Direction::Template => (new, template),
            Direction::New => (template, new),
        };
        let basis = KernelBasis::new(other.0 / FWHM_PER_SIGMA, own.0 / FWHM_PER_SIGMA);
        let half = (STAMP_WIDTHS * own.0.max(other.0)).ceil().max(7.0) as usize;
        let shape = (target.rows, target.columns);
        let chosen = kernel_stamps::spread_over_cells(
            input.stars,
            shape,
            parameters.cells,
            parameters.stars_per_cell,
            half + basis.reach() + 1,
        );
        let stars: Vec<StampStar> =
            chosen.iter().filter_map(|index| input.stars.get(*index).copied()).collect();
        let least = parameters.least_stamps.max(1);
        let too_few = |found| SubtractionError::TooFewStamps { found, least };
        let scale =
            kernel_stamps::flux_ratio(target, convolved, &stars, half).ok_or_else(|| too_few(0))?;
        let smoothing = basis.smoothing();
        let cut = Cut { half, scale, smoothing, model_error: FIT_ERROR };
        let stamps = kernel_stamps::cut(target, convolved, &stars, &basis, cut);
        if stamps.len() < least {
            return Err(too_few(stamps.len()));
        }
        let degrees = (parameters.kernel_degree.min(2), parameters.background_degree.min(2));
        let fit = KernelFit::new(basis, &stamps, shape, degrees, least)
            .ok_or(SubtractionError::NoKernel { stamps: stamps.len() })?;
        Ok(Self {
            direction,
            fit,
            stamps,
            target_fwhm: own.0,
            noise_factors: (own.1.max(0.0), other.1.max(0.0)),
        })
    }

    fn difference(
        self,
        (target, convolved): (&Side<'_>, &Side<'_>),
        parameters: &SubtractionParameters,
    ) -> Difference {
        let mut raw = kernel_convolution::difference(target, convolved, &self.fit);
        if let Some(mesh) = parameters.mesh_pixels {
            let background = background::estimate(&raw.data, &raw.mask, mesh);
            background.level.subtract_from(&mut raw.data);
            clear_masked(&mut raw);
        }
        let shape = raw.data.dim();
        let filters = Filters::new(self.target_fwhm, &self.fit, shape, self.noise_factors);
        let mut significance = Significance {
            difference: &raw,
            target,
            convolved,
            filters: &filters,
            model_error: 0.0,
        };
        significance.model_error = self.residual_share(&significance);
        let residual_share = significance.model_error;
        let mut plane = significance.plane();
        let mut noise_ratio = 1.0;
        if let Some(mesh) = parameters.mesh_pixels {
            let scatter = background::estimate(&plane, &raw.mask, mesh);
            noise_ratio = scatter.global_noise / CLIPPED_SCATTER;
            bring_to_one(&mut plane, &scatter, &raw.mask);
        }
        let sum = self.fit.sum();
        let scale = match self.direction {
            Direction::Template => sum,
            Direction::New => 1.0 / sum,
        };
        if self.direction == Direction::New {
            let factor = -scale as f32;
            raw.data.mapv_inplace(|value| value * factor);
            raw.variance.mapv_inplace(|value| value * factor * factor);
            plane.mapv_inplace(|value| -value);
        }
        let used = self.fit.is_used.iter().filter(|is_used| **is_used).count();
        Difference {
            image: CalibratedImage { data: raw.data, variance: raw.variance, mask: raw.mask },
            significance: plane,
            fwhm_pixels: self.target_fwhm,
            response: self.response(target),
            kernel: KernelSummary {
                direction: self.direction,
                scale,
                sigmas: self.fit.basis().sigmas().to_vec(),
                reach: self.fit.basis().reach(),
                degree: self.fit.degree(),
                reduced_chi_square: self.fit.reduced_chi_square,
                stamps_used: used,
                stamps_rejected: self.stamps.len() - used,
                residual_share,
                noise_ratio,
            },
        }
    }

    /// The median over the stars used of the fluxes of fitted Gaussians over all light nearby; one without any star.
    fn response(&self, target: &Side<'_>) -> f64 {
        let sigma = self.target_fwhm / FWHM_PER_SIGMA;
        let used = self.stamps.iter().zip(&self.fit.is_used).filter(|pair| *pair.1);
        let mut shares: Vec<f32> = used
            .filter_map(|(stamp, _)| {
                let star = stamp.star;
                let level = kernel_stamps::level_around(target, &star, stamp.half)?;
                let (light, _) = kernel_stamps::light(target, &star, stamp.half)?;
                let reach = (REACH_SIGMAS * sigma).ceil() as usize;
                let (row, column) = (star.y.round() as usize, star.x.round() as usize);
                let rows = row.checked_sub(reach)?..=row + reach;
                let columns = column.checked_sub(reach)?..=column + reach;
                let places =
                    rows.flat_map(|row| columns.clone().map(move |column| ((row, column), true)));
                let found = difference_sources::point(places, (star.x, star.y), sigma, |place| {
                    Some(target.pixel(place.0 * target.columns + place.1)?.0 - level)
                });
                (found.masked_share == 0.0).then_some((found.flux / light) as f32)
            })
            .collect();
        let response = statistics::median_in_place(&mut shares).map_or(1.0, f64::from);
        if RESPONSES.contains(&response) { response } else { 1.0 }
    }

    /// Scatter of the filtered residuals of bright stars as a share of their light, beyond the noise.
    fn residual_share(&self, significance: &Significance<'_>) -> f64 {
        let used = self.stamps.iter().zip(&self.fit.is_used).filter(|pair| *pair.1);
        let squares: Vec<(f64, f64)> = used
            .filter_map(|(stamp, _)| {
                let filtered = significance.at(stamp.x as usize, stamp.y as usize);
                let square = filtered.model * filtered.model;
                let is_bright = filtered.model > BRIGHT * filtered.variance.sqrt();
                is_bright.then(|| (filtered.light.powi(2) / square, filtered.variance / square))
            })
            .collect();
        excess_scatter(&squares)
    }
}

/// The scatter that has to be added to the noise of values for the median of their squares, in units of both, to be that of a normal
/// distribution. Of each the square and the variance by noise.
fn excess_scatter(squares: &[(f64, f64)]) -> f64 {
    let is_too_small = |scatter: f64| {
        let ratios: Vec<f64> =
            squares.iter().map(|(square, noise)| square / (noise + scatter * scatter)).collect();
        statistics::median_and_deviation(&ratios).is_some_and(|pair| pair.0 > MEDIAN_OF_SQUARES)
    };
    let (mut low, mut high) = (0.0, 1.0);
    if !is_too_small(low) {
        return 0.0;
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if is_too_small(middle) { low = middle } else { high = middle }
    }
    high
}

/// Steps in which a scatter is found to a millionth.
const HALVINGS: usize = 20;
/// Of a normal variable: the square of the upper quartile.
const MEDIAN_OF_SQUARES: f64 = 0.454_936;
/// Standard deviation of what is left of a normal distribution clipped at three standard deviations, as the mesh does it.
const CLIPPED_SCATTER: f64 = 0.986_58;

fn clear_masked(raw: &mut RawDifference) {
    for (value, bits) in raw.data.iter_mut().zip(&raw.mask) {
        if *bits != 0 {
            *value = 0.0;
        }
    }
}

/// Takes off the level of a significance and divides by its scatter, where there is one.
fn bring_to_one(plane: &mut Image, scatter: &background::Background, mask: &super::Mask) {
    let columns = plane.ncols();
    let (Some(values), Some(mask)) = (plane.as_slice_mut(), mask.as_slice()) else { return };
    super::bands::of_plane(values, columns, 1, |first, values| {
        let (mut levels, mut noises) = (vec![0.0; columns], vec![1.0; columns]);
        for (offset, values) in values.chunks_mut(columns.max(1)).enumerate() {
            let row = first + offset;
            scatter.level.fill(row, 0..columns, &mut levels);
            scatter.noise.fill(row, 0..columns, &mut noises);
            let bits = mask.get(row * columns..).unwrap_or_default();
            let own = values.iter_mut().zip(bits).zip(levels.iter().zip(&noises));
            for ((value, bits), (level, noise)) in own {
                if *bits == 0 && *noise > 0.0 {
                    *value = (*value - level) / noise * CLIPPED_SCATTER as f32;
                }
            }
        }
    });
}
