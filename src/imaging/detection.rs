//! Detection of sources: matched filter, threshold, connected pixels, deblending, measurement.

use super::{
    CalibratedImage, aperture,
    background::Background,
    bands, cleaning,
    components::{self, BrightRuns, Run},
    deblending::{self, Cutting, Member},
    half_light, kron, mask_bits,
    matched_filter::{self, FWHM_PER_SIGMA},
    moments::{self, Footprint},
    neighbourhood::Neighbourhood,
    planes::{Owners, Planes, UNUSABLE},
    star_profile::{self, StarLight},
    stellar_width::{self, StarLocus, WidthSample},
    surroundings::Surroundings,
    windowed_centroid,
};
use crate::model::{Source, SourceFlags, TotalFlux};

/// Settings of [`detect`]; the defaults suit a seeing of two to four pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectionParameters {
    /// Threshold in standard deviations of the filtered background.
    pub threshold_sigma: f64,
    /// Smallest number of connected pixels above the threshold.
    pub minimum_pixels: usize,
    /// Full width at half maximum of the Gaussian matched filter.
    pub filter_fwhm_pixels: f64,
    pub deblend_levels: usize,
    /// Smallest share of the flux for a branch to become a source.
    pub deblend_contrast: f64,
    /// Radius of the photometric aperture; `None`: the diameter of half of a star's light, at least 2 pixels.
    pub aperture_radius_pixels: Option<f64>,
    /// The most sources kept (brightest first): a bound on time and memory.
    pub maximum_sources: usize,
}

impl Default for DetectionParameters {
    fn default() -> Self {
        Self {
            threshold_sigma: 3.0,
            minimum_pixels: 4,
            filter_fwhm_pixels: 2.5,
            deblend_levels: 32,
            deblend_contrast: 0.005,
            aperture_radius_pixels: None,
            maximum_sources: 20_000,
        }
    }
}

/// Sources of one image and what was learned on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// Brightest first.
    pub sources: Vec<Source>,
    /// Full width at half maximum of a Moffat profile fitted to unsaturated, unblended, star-like sources; `None` with fewer than
    /// three.
    pub stellar_fwhm_pixels: Option<f64>,
    pub aperture_radius_pixels: f64,
    /// Sources beyond `maximum_sources`, left out.
    pub dropped_count: usize,
}

/// Lowest threshold accepted: below it, half of an empty sky is one source.
const LOWEST_THRESHOLD: f64 = 0.5;
const SMALLEST_APERTURE: f64 = 2.0;
/// The stars' profile is taken within this many half-light diameters.
const PROFILE_REACH: f64 = 1.5;
/// Of full width and half-light diameter: a Moffat profile of index 1.6.
const LEAST_SHARE: f64 = 0.5;
/// Share of a source's flux that neighbours may add to its aperture before it is called crowded.
const CROWDED_SHARE: f64 = 0.01;
/// Neighbours are looked for within this distance, pixels.
const CROWDED_REACH: f64 = 64.0;

/// Finds and measures the sources of a reduced image. The background is subtracted here. Positions are
/// windowed centroids where they converge, isophotal ones otherwise; fluxes are in a circular aperture with
/// exact pixel overlap; errors hold sky noise, source noise and read noise through the variance plane.
/// Deterministic: the same input gives the same list, in the same order.
///
/// The threshold applies to the significance of a point source in a matched filter, not to pixels. Pixels that are
/// bad, without data, hit by a cosmic ray or not finite take no part; saturated ones do, and mark the
/// source. Planes that differ in shape give no sources. A threshold that is below 0.5 or no number counts as 0.5.
pub fn detect(
    image: &CalibratedImage,
    background: &Background,
    parameters: &DetectionParameters,
) -> Detections {
    let planes = Planes::new(image, background);
    let (mut footprints, owners) = match &planes {
        Some(planes) => footprints(planes, parameters),
        None => (Vec::new(), Owners::default()),
    };
    footprints.sort_by(|a, b| {
        b.flux_electrons
            .total_cmp(&a.flux_electrons)
            .then(a.y.total_cmp(&b.y))
            .then(a.x.total_cmp(&b.x))
    });
    let dropped_count = footprints.len().saturating_sub(parameters.maximum_sources);
    footprints.truncate(parameters.maximum_sources);
    let measured: Vec<(Shape, Option<TotalFlux>)> = match &planes {
        Some(planes) => bands::map(&footprints, |footprint| {
            let (x, y, label) = (footprint.x, footprint.y, footprint.label);
            let mut surroundings = Surroundings::new(planes, &owners, label, x, y);
            let shape = shape(planes, &mut surroundings, footprint);
            (shape, total_flux(&mut surroundings, footprint))
        }),
        None => Vec::new(),
    };
    let (shapes, totals): (Vec<Shape>, Vec<Option<TotalFlux>>) = measured.into_iter().unzip();
    let samples: Vec<WidthSample> = shapes.iter().map(|shape| shape.sample).collect();
    let locus = stellar_width::star_locus(&samples);
    let diameter = locus.as_ref().map(|locus| locus.half_light_diameter);
    let share = match (&planes, &locus) {
        (Some(planes), Some(locus)) => full_width_share(planes, &shapes, locus),
        _ => 1.0,
    };
    let stellar_fwhm_pixels = diameter.map(|diameter| share * diameter);
    let aperture_radius_pixels = parameters
        .aperture_radius_pixels
        .filter(|radius| radius.is_finite() && *radius > 0.0)
        .unwrap_or_else(|| {
            diameter.unwrap_or(parameters.filter_fwhm_pixels).max(SMALLEST_APERTURE)
        });
    let mut sources = Vec::new();
    if let Some(planes) = &planes {
        let found: Vec<_> = footprints.into_iter().zip(shapes).zip(totals).collect();
        sources = bands::map(&found, |((footprint, shape), total)| {
            let fwhm = share * shape.sample.half_light_diameter;
            Source {
                total: *total,
                ..source(planes, footprint, shape, fwhm, aperture_radius_pixels)
            }
        });
    }
    mark_crowded(&mut sources, stellar_fwhm_pixels);
    sources.sort_by(|a, b| {
        b.flux_electrons
            .total_cmp(&a.flux_electrons)
            .then(a.y.total_cmp(&b.y))
            .then(a.x.total_cmp(&b.x))
    });
    Detections { sources, stellar_fwhm_pixels, aperture_radius_pixels, dropped_count }
}

/// Detections above the threshold, deblended and cleaned, and whose the pixels are.
pub(super) fn footprints(
    planes: &Planes<'_>,
    parameters: &DetectionParameters,
) -> (Vec<Footprint>, Owners) {
    let threshold = parameters.threshold_sigma.max(LOWEST_THRESHOLD) as f32;
    let minimum_pixels = parameters.minimum_pixels.max(1);
    let cutting = Cutting {
        threshold,
        levels: parameters.deblend_levels,
        contrast: parameters.deblend_contrast,
        minimum_pixels,
    };
    let bright = matched_filter::bright_runs(planes, parameters.filter_fwhm_pixels, threshold);
    let components = components::connected(&bright, minimum_pixels);
    let components: Vec<&[Run]> = components.iter().collect();
    let cut = bands::map(&components, |runs| cut(planes, &bright, runs, &cutting));
    let mut footprints = Vec::new();
    let mut owners = Owners::new(planes.height);
    for (own, footprint) in cut.into_iter().flatten() {
        let label = owners.add();
        for member in &own {
            owners.take(member.y as usize, member.x as usize, label);
        }
        footprints.extend(footprint.map(|footprint| Footprint { label, ..footprint }));
    }
    owners.sort();
    let mut kept = cleaning::survivors(&footprints, f64::from(threshold)).into_iter();
    footprints.retain(|footprint| {
        let keep = kept.next().unwrap_or(true);
        if !keep {
            owners.remove(footprint.label);
        }
        keep
    });
    (footprints, owners)
}

/// The sources of a component: their pixels, and what these say, if they are enough.
fn cut(
    planes: &Planes<'_>,
    bright: &BrightRuns,
    runs: &[Run],
    cutting: &Cutting,
) -> Vec<(Vec<Member>, Option<Footprint>)> {
    let members: Vec<Member> = runs
        .iter()
        .flat_map(|run| {
            let pixels = (run.start..run.end).zip(bright.values(run));
            pixels.map(|(x, &value)| Member { x, y: run.row, value })
        })
        .collect();
    let branches = match levelled(planes, &members) {
        Some(levelled) => deblending::deblend(&levelled, cutting),
        None => deblending::deblend(&members, cutting),
    };
    let blended = branches.len() > 1;
    let source = |branch: Vec<u32>| {
        let own: Vec<Member> =
            branch.into_iter().filter_map(|index| members.get(index as usize).copied()).collect();
        let mut footprint =
            moments::measure(planes, &own, cutting.threshold, cutting.minimum_pixels);
        if let Some(footprint) = footprint.as_mut().filter(|_| blended) {
            footprint.flags.set(SourceFlags::BLENDED);
        }
        (own, footprint)
    };
    branches.into_iter().map(source).collect()
}

/// The members with saturated pixels as bright as the brightest: what is cut off flat must not fall apart into its own
/// ripples. `None` without saturated pixels.
fn levelled(planes: &Planes<'_>, members: &[Member]) -> Option<Vec<Member>> {
    let saturated = |member: &Member| {
        let mask = planes.mask_row(member.y as usize).get(member.x as usize);
        mask.is_some_and(|mask| mask & mask_bits::SATURATED != 0)
    };
    if !members.iter().any(saturated) {
        return None;
    }
    let peak = members.iter().map(|member| member.value).fold(f32::MIN, f32::max);
    let lift = |member: &Member| Member {
        value: if saturated(member) { peak } else { member.value },
        ..*member
    };
    Some(members.iter().map(lift).collect())
}

/// Position and width of a source.
#[derive(Debug, Clone, Copy)]
struct Shape {
    x: f64,
    y: f64,
    position_error: f64,
    sample: WidthSample,
}

fn shape(planes: &Planes<'_>, surroundings: &mut Surroundings<'_>, footprint: &Footprint) -> Shape {
    let size = footprint.size();
    let radius = half_light::measure(surroundings, size)
        .map_or(FWHM_PER_SIGMA * size / 2.0, |half| half.radius);
    let diameter = 2.0 * radius;
    // A window as wide as the source is nearly optimal (SExtractor's choice).
    let sigma = diameter / FWHM_PER_SIGMA;
    let (x, y, position_error) =
        match windowed_centroid::measure(surroundings, sigma, radius.max(1.0)) {
            Some(centroid) => (centroid.x, centroid.y, centroid.error),
            None => {
                let error = windowed_centroid::error_at_centre(surroundings, sigma);
                (footprint.x, footprint.y, error.unwrap_or(size))
            }
        };
    let signal_to_noise = aperture::measure_in(planes, x, y, diameter)
        .filter(|sum| sum.flux_error_electrons > 0.0)
        .map_or(0.0, |sum| sum.flux_electrons / sum.flux_error_electrons);
    let sample = WidthSample {
        half_light_diameter: diameter,
        signal_to_noise,
        flagged: footprint.flags != SourceFlags::default(),
        elongation: footprint.semi_major / footprint.semi_minor,
        sharp: stellar_width::is_sharp(planes, footprint.peak_row, footprint.peak_column),
    };
    Shape { x, y, position_error, sample }
}

/// Full width at half maximum of a star over the diameter of half of its light: 1 for a Gaussian, 0.79 for a Moffat profile of
/// index 3. 1 when the stars are too few to say.
fn full_width_share(planes: &Planes<'_>, shapes: &[Shape], locus: &StarLocus) -> f64 {
    let diameter = locus.half_light_diameter;
    let mut stars: Vec<StarLight> = locus
        .stars
        .iter()
        .filter_map(|&place| shapes.get(place))
        .filter_map(|shape| {
            let sum = aperture::measure_in(planes, shape.x, shape.y, diameter)?;
            let electrons = sum.flux_electrons;
            (electrons > 0.0).then_some(StarLight { x: shape.x, y: shape.y, electrons })
        })
        .collect();
    stars.sort_by(|one, other| other.electrons.total_cmp(&one.electrons));
    star_profile::full_width(planes, &stars, PROFILE_REACH * diameter)
        .map_or(1.0, |width| (width / diameter).clamp(LEAST_SHARE, 1.0))
}

fn source(
    planes: &Planes<'_>,
    footprint: &Footprint,
    shape: &Shape,
    fwhm_pixels: f64,
    radius: f64,
) -> Source {
    let mut flags = footprint.flags;
    let (mut flux, mut flux_error) = (0.0, 0.0);
    if let Some(sum) = aperture::measure_in(planes, shape.x, shape.y, radius) {
        flux = sum.flux_electrons;
        flux_error = sum.flux_error_electrons;
        let circle = std::f64::consts::PI * radius * radius;
        if sum.area_pixels < circle * (1.0 - 1e-9) {
            flags.set(SourceFlags::TRUNCATED);
        }
        if sum.mask_bits & UNUSABLE != 0 {
            flags.set(SourceFlags::MASKED);
        }
        if sum.mask_bits & (mask_bits::SATURATED | mask_bits::BLEED) != 0 {
            flags.set(SourceFlags::SATURATED);
        }
    }
    Source {
        x: shape.x,
        y: shape.y,
        position_error_pixels: shape.position_error,
        peak_electrons: footprint.peak_electrons,
        flux_electrons: flux,
        flux_error_electrons: flux_error,
        aperture_radius_pixels: radius,
        semi_major_pixels: footprint.semi_major,
        semi_minor_pixels: footprint.semi_minor,
        theta_radians: footprint.theta,
        fwhm_pixels,
        half_light_radius_pixels: shape.sample.half_light_diameter / 2.0,
        isophotal_flux_electrons: footprint.flux_electrons,
        isophotal_flux_error_electrons: footprint.flux_error_electrons,
        total: None,
        point: None,
        spread: None,
        pixel_count: footprint.pixel_count,
        flags,
    }
}

/// Flux in the Kron aperture about the isophotal centre.
fn total_flux(surroundings: &mut Surroundings<'_>, footprint: &Footprint) -> Option<TotalFlux> {
    let axes = (footprint.semi_major, footprint.semi_minor, footprint.theta);
    let found = kron::measure(surroundings, axes)?;
    Some(TotalFlux {
        electrons: found.flux_electrons,
        error_electrons: found.flux_error_electrons,
        kron_radius: found.radius,
    })
}

/// Marks sources whose aperture holds light of neighbours: more than a hundredth of the flux and more than half of its
/// error. A neighbour is taken as a Moffat profile of index 3 of its own width, at least the stars'.
fn mark_crowded(sources: &mut [Source], stellar_fwhm: Option<f64>) {
    let positions: Vec<(f64, f64)> = sources.iter().map(|source| (source.x, source.y)).collect();
    let index = Neighbourhood::new(&positions, CROWDED_REACH / 2.0);
    let mut crowded = Vec::new();
    for (own, source) in sources.iter().enumerate() {
        let radius = source.aperture_radius_pixels;
        let allowed =
            (CROWDED_SHARE * source.flux_electrons).max(0.5 * source.flux_error_electrons);
        let mut foreign = 0.0;
        for near in index.within(source.x, source.y, CROWDED_REACH) {
            if near == own {
                continue;
            }
            let neighbour = &sources[near];
            let width = neighbour.fwhm_pixels.max(stellar_fwhm.unwrap_or(0.0));
            // Core radius of index 3: FWHM = 1.0196 α.
            let core = (width / 1.0196).powi(2).max(1e-6);
            let distance = (neighbour.x - source.x).powi(2) + (neighbour.y - source.y).powi(2);
            let density = 2.0 / (std::f64::consts::PI * core) / (1.0 + distance / core).powi(3);
            let share = (std::f64::consts::PI * radius * radius * density).min(1.0);
            foreign += share * neighbour.flux_electrons.max(0.0);
        }
        if foreign > allowed {
            crowded.push(own);
        }
    }
    for own in crowded {
        sources[own].flags.set(SourceFlags::CROWDED);
    }
}
