//! The analysis of the made-up burst: an afterglow among four other new sources.

use super::{
    BURST, after, due_at,
    instruments::{CADENCE, EXPOSURE, FIRST_EXPOSURE},
    region_centre, t0,
};
use crate::model::{
    AnalysisResult, Candidate, CatalogueStatus, DeadlineName, Degradation, FadingFit, FilterLimit,
    FrameUse, LightCurvePoint, ListedCandidate, PositionEstimate, Provenance, T0Source,
    VettingReason,
};
use std::path::Path;

const FILTERS: [&str; 2] = ["r", "i"];
const LIMIT: f64 = 19.6;

/// What a made-up candidate is.
struct Story {
    east_arcsec: f64,
    north_arcsec: f64,
    /// Magnitude a minute after T0, and the power-law index.
    magnitude: f64,
    index: f64,
    score: f64,
    in_search_region: bool,
    reasons: &'static [VettingReason],
}

const STORIES: [Story; 5] = [
    Story {
        east_arcsec: 11.2,
        north_arcsec: -7.4,
        magnitude: 16.02,
        index: 1.01,
        score: 0.942,
        in_search_region: true,
        reasons: &[
            VettingReason::NotInCatalogue,
            VettingReason::InSearchRegion,
            VettingReason::Fading,
            VettingReason::NearGalaxy,
        ],
    },
    Story {
        east_arcsec: -21.0,
        north_arcsec: 14.0,
        magnitude: 18.31,
        index: 0.0,
        score: 0.418,
        in_search_region: true,
        reasons: &[
            VettingReason::NotInCatalogue,
            VettingReason::InSearchRegion,
            VettingReason::Constant,
        ],
    },
    Story {
        east_arcsec: 18.0,
        north_arcsec: 25.0,
        magnitude: 19.55,
        index: 0.0,
        score: 0.287,
        in_search_region: true,
        reasons: &[
            VettingReason::NotInCatalogue,
            VettingReason::InSearchRegion,
            VettingReason::FainterThanCatalogueLimit,
            VettingReason::SeenOnce,
        ],
    },
    Story {
        east_arcsec: 240.0,
        north_arcsec: -131.0,
        magnitude: 17.42,
        index: 0.02,
        score: 0.195,
        in_search_region: false,
        reasons: &[
            VettingReason::NotInCatalogue,
            VettingReason::OutsideSearchRegion,
            VettingReason::Constant,
        ],
    },
    Story {
        east_arcsec: -371.0,
        north_arcsec: 402.0,
        magnitude: 18.9,
        index: 0.0,
        score: 0.061,
        in_search_region: false,
        reasons: &[
            VettingReason::OutsideSearchRegion,
            VettingReason::NearEdge,
            VettingReason::SharperThanStars,
        ],
    },
];

/// The first-ranked candidate of T0 + 10 min.
pub(crate) fn afterglow() -> ListedCandidate {
    analysis(DeadlineName::Minutes(10)).candidates.remove(0)
}

/// The GP1 result of a deadline.
pub(crate) fn analysis(deadline: DeadlineName) -> AnalysisResult {
    let due = due_at(deadline);
    let frame_count = (0..60).filter(|index| arrival(*index) <= due.seconds_since(t0())).count();
    let frames: Vec<FrameUse> = (0..frame_count).map(frame_use).collect();
    AnalysisResult {
        format_version: AnalysisResult::FORMAT_VERSION,
        burst_id: BURST.to_owned(),
        deadline,
        due_at: due,
        t0: t0(),
        t0_source: T0Source::SequenceT0,
        opened_at: after(30.0),
        search_region: Some(PositionEstimate {
            position: region_centre(),
            radius_degrees: Some(0.0095),
        }),
        field_centre: Some(region_centre()),
        telescope: "COLIBRI".to_owned(),
        instrument: "DDRAGO-B".to_owned(),
        limits: FILTERS
            .iter()
            .map(|filter| FilterLimit {
                filter: (*filter).to_owned(),
                frame_count: frame_count / 2,
                exposure_seconds: EXPOSURE * (frame_count / 2) as f64,
                first_start: after(FIRST_EXPOSURE),
                last_end: due,
                limiting_magnitude: 20.31,
                image: format!("stack_{filter}"),
            })
            .collect(),
        frames,
        catalogue_status: CatalogueStatus::Found,
        set_aside: 12,
        completeness: Vec::new(),
        candidates: STORIES
            .iter()
            .enumerate()
            .map(|(index, story)| ListedCandidate {
                rank: index + 1,
                candidate: candidate(story, frame_count),
                cutout: Some(format!("cutouts/candidate_{}.png", index + 1)),
            })
            .collect(),
        degradations: vec![Degradation::new(
            "OLDBIAS",
            "no bias of this night: the master of 20261031 stands in",
        )],
        empty_reason: None,
        provenance: Provenance {
            program: "gic".to_owned(),
            version: "0.1.0".to_owned(),
            instance: "svom".to_owned(),
            masters: vec!["bias:00".to_owned()],
            catalogue: "local".to_owned(),
            configuration_sha256: "7f".repeat(32),
        },
    }
}

fn start(index: usize) -> f64 {
    FIRST_EXPOSURE + CADENCE * index as f64
}

fn arrival(index: usize) -> f64 {
    start(index) + EXPOSURE + 4.0
}

fn frame_use(index: usize) -> FrameUse {
    FrameUse {
        name: format!("{}C1o", after(start(index)).compact()),
        instrument: "DDRAGO-B".to_owned(),
        filter: FILTERS[index % 2].to_owned(),
        start: after(start(index)),
        exposure_seconds: EXPOSURE,
        arrived_at: after(arrival(index)),
        stacked: index != 4,
        reason: (index == 4).then(|| "set aside".to_owned()),
        relative_zero_point: None,
        calibration: None,
        group: None,
        zero_point: Some(24.87),
        limiting_magnitude: Some(LIMIT),
        fwhm_pixels: Some(3.2),
        astrometry: "solved".to_owned(),
    }
}

fn candidate(story: &Story, frame_count: usize) -> Candidate {
    let centre = region_centre();
    let position = centre.offset_arcsec(story.east_arcsec, story.north_arcsec);
    let light_curve: Vec<LightCurvePoint> =
        (0..frame_count).filter(|index| *index != 4).map(|index| point(story, index)).collect();
    let detections = light_curve.iter().filter(|point| point.detected).count();
    Candidate {
        id: position.designation(),
        position,
        position_error_arcsec: 0.14,
        fits: fits(story, &light_curve),
        light_curve,
        reasons: story.reasons.to_vec(),
        score: story.score,
        in_search_region: story.in_search_region,
        offset_arcsec: Some(position.separation_arcsec(centre)),
        first_detected: after(FIRST_EXPOSURE),
        detection_count: detections,
        minor_planet: None,
        set_aside: None,
    }
}

fn point(story: &Story, index: usize) -> LightCurvePoint {
    let middle = start(index) + EXPOSURE / 2.0;
    let colour = if index.is_multiple_of(2) { 0.0 } else { -0.28 };
    let true_magnitude = story.magnitude + colour + 2.5 * story.index * (middle / 60.0).log10();
    // 10σ at the limit; the scatter is a fixed sequence within the error.
    let signal_to_noise = 10.0 * 10f64.powf(0.4 * (LIMIT - true_magnitude));
    let magnitude_error = 1.0857 / signal_to_noise;
    let scatter = (((index * 37 + 11) % 19) as f64 / 9.0 - 1.0) * magnitude_error;
    let detected = signal_to_noise > 5.0 && !(story.magnitude > 19.5 && index != 2);
    let magnitude = if detected { true_magnitude + scatter } else { LIMIT };
    let flux = 10f64.powf(0.4 * (25.0 - true_magnitude));
    LightCurvePoint {
        image: format!("{}C1o", after(start(index)).compact()),
        filter: FILTERS[index % 2].to_owned(),
        start: after(start(index)),
        end: after(start(index) + EXPOSURE),
        exposure_seconds: EXPOSURE,
        detected,
        magnitude,
        magnitude_error: if detected { magnitude_error.max(0.012) } else { 0.0 },
        signal_to_noise,
        flux,
        flux_error: flux / signal_to_noise,
        limiting_magnitude: LIMIT,
    }
}

fn fits(story: &Story, light_curve: &[LightCurvePoint]) -> Vec<FadingFit> {
    FILTERS
        .iter()
        .enumerate()
        .filter_map(|(channel, filter)| {
            let used: Vec<&LightCurvePoint> = light_curve
                .iter()
                .filter(|point| point.detected && point.filter == *filter)
                .collect();
            let (first, last) = (used.first()?, used.last()?);
            (used.len() > 1).then(|| FadingFit {
                filter: (*filter).to_owned(),
                magnitude_at_60_seconds: story.magnitude - 0.28 * channel as f64,
                index: story.index + 0.011,
                index_error: 0.034,
                reduced_chi_square: 1.08,
                point_count: used.len(),
                first_seconds: first.middle().seconds_since(t0()),
                last_seconds: last.middle().seconds_since(t0()),
                chi_square_gain: 812.0 * story.index,
            })
        })
        .collect()
}

/// A star of the candidate's brightness on noise, as a PNG of 64 × 64 pixels.
pub(super) fn draw_cutout(listed: &ListedCandidate, path: &Path) {
    let mut state = 2_463_534_242_u32.wrapping_add(listed.rank as u32 * 7919);
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state % 1000) / 1000.0 - 0.5
    };
    let magnitude = listed.candidate.light_curve.last().map_or(18.0, |point| point.magnitude);
    let peak = 235.0 * 10f64.powf(0.16 * (17.0 - magnitude)).min(1.0);
    let neighbours = [(14.0, 47.0, 120.0, 2.2), (50.0, 12.0, 70.0, 4.5)];
    let picture = image::GrayImage::from_fn(64, 64, |column, row| {
        let star = |x: f64, y: f64, height: f64, width: f64| {
            let square = (f64::from(column) - x).powi(2) + (f64::from(row) - y).powi(2);
            height * (-square / (2.0 * width * width)).exp()
        };
        let mut value = 34.0 + 26.0 * (noise() + noise()) + star(31.5, 31.5, peak, 2.2);
        if listed.rank % 2 == 1 {
            value += neighbours.iter().map(|(x, y, h, w)| star(*x, *y, *h, *w)).sum::<f64>();
        }
        image::Luma([value.clamp(0.0, 255.0) as u8])
    });
    picture.save(path).unwrap();
}
