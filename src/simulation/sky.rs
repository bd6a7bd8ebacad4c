//! The synthetic sky: stars, galaxies, new constant sources and one afterglow, all determined by a seed.

use super::SimulationError;
use super::afterglow::Afterglow;
use super::galaxy::{GalaxyShape, LightPoint};
use super::placement::{Offset, anywhere, draw_allowed, in_ring, is_clear_of};
use super::random::{Purpose, stream};
use crate::model::SkyPosition;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// What stands on the sky. The names are those of the simulated archive's truth tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceKind {
    #[serde(rename = "star")]
    Star,
    /// A saturating star.
    #[serde(rename = "tycho")]
    BrightStar,
    #[serde(rename = "galaxy")]
    Galaxy,
    /// Constant, but in no catalogue.
    #[serde(rename = "transient")]
    NewSource,
    #[serde(rename = "afterglow")]
    Afterglow,
}

impl SourceKind {
    /// Whether a catalogue made before the burst may hold it.
    pub fn is_catalogued(self) -> bool {
        matches!(self, Self::Star | Self::BrightStar | Self::Galaxy)
    }

    /// Kind of a truth table's word.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "star" => Some(Self::Star),
            "tycho" => Some(Self::BrightStar),
            "galaxy" => Some(Self::Galaxy),
            "transient" => Some(Self::NewSource),
            "afterglow" => Some(Self::Afterglow),
            _ => None,
        }
    }
}

/// A constant object.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticSource {
    /// A letter for the kind and a number: `S17`.
    pub id: String,
    pub kind: SourceKind,
    pub position: SkyPosition,
    pub magnitude: f64,
    /// Of a galaxy; empty for a point source.
    pub light_points: Vec<LightPoint>,
}

/// Magnitudes drawn from N(<m) ∝ 10^(slope · m).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MagnitudeLaw {
    pub brightest: f64,
    pub faintest: f64,
    /// Per magnitude; 0.6 is a homogeneous Euclidean universe, stars at middle latitudes have about 0.2 to 0.3.
    pub slope: f64,
}

impl MagnitudeLaw {
    fn draw(&self, generator: &mut impl Rng) -> f64 {
        let uniform = generator.random::<f64>();
        let span = self.slope * (self.faintest - self.brightest);
        if span.abs() < 1e-9 {
            return self.brightest + uniform * (self.faintest - self.brightest);
        }
        self.brightest + (1.0 + uniform * (10f64.powf(span) - 1.0)).log10() / self.slope
    }
}

/// The afterglow and the galaxy beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct AfterglowParameters {
    pub magnitude_at_60_seconds: f64,
    /// α of F ∝ t^(−α).
    pub decay_index: f64,
    /// Least and greatest distance from the field centre; must stay inside the first error circle.
    pub offset_arcsec: (f64, f64),
    pub host_magnitude: f64,
    pub host_distance_arcsec: (f64, f64),
}

impl Default for AfterglowParameters {
    fn default() -> Self {
        Self {
            magnitude_at_60_seconds: 16.0,
            decay_index: 1.0,
            offset_arcsec: (40.0, 190.0),
            host_magnitude: 20.4,
            host_distance_arcsec: (4.0, 6.0),
        }
    }
}

/// What the sky holds. The default is the sky of interfaces.md §6: counts, depth and scale of the simulated archive.
#[derive(Debug, Clone, PartialEq)]
pub struct SkyParameters {
    pub field_centre: SkyPosition,
    /// Half the side of the square that holds objects: the frame, the dithers, the pointing error and some margin.
    pub half_width_arcsec: f64,
    pub star_count: usize,
    pub star_magnitudes: MagnitudeLaw,
    /// One saturating star for each magnitude.
    pub bright_star_magnitudes: Vec<f64>,
    pub galaxy_count: usize,
    pub galaxy_magnitudes: MagnitudeLaw,
    pub new_source_count: usize,
    pub new_source_magnitudes: MagnitudeLaw,
    /// Half the side of the square that every frame covers whatever its dither and pointing error, less an edge.
    pub common_half_width_arcsec: f64,
    /// Least distance of afterglow and new sources from each other and from bright stars.
    pub separation_arcsec: f64,
    /// Absent: a field without a burst.
    pub afterglow: Option<AfterglowParameters>,
}

impl Default for SkyParameters {
    fn default() -> Self {
        Self {
            field_centre: SkyPosition { ra_degrees: 30.2695, dec_degrees: 24.5099 },
            half_width_arcsec: 435.0,
            star_count: 1634,
            star_magnitudes: MagnitudeLaw { brightest: 12.0, faintest: 21.8, slope: 0.245 },
            bright_star_magnitudes: vec![8.6, 10.7, 10.8],
            galaxy_count: 263,
            galaxy_magnitudes: MagnitudeLaw { brightest: 15.0, faintest: 21.8, slope: 0.25 },
            new_source_count: 40,
            new_source_magnitudes: MagnitudeLaw { brightest: 16.5, faintest: 20.7, slope: 0.0 },
            common_half_width_arcsec: 262.0,
            separation_arcsec: 8.0,
            afterglow: Some(AfterglowParameters::default()),
        }
    }
}

impl SkyParameters {
    /// The field of another programme: stars and galaxies only.
    pub fn programme(field_centre: SkyPosition) -> Self {
        Self {
            field_centre,
            bright_star_magnitudes: vec![10.9],
            new_source_count: 0,
            afterglow: None,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<(), SimulationError> {
        let refuse = |parameter, what: &str| {
            Err(SimulationError::Parameter { parameter, what: what.to_owned() })
        };
        if !(self.half_width_arcsec > 0.0 && self.half_width_arcsec <= 7200.0) {
            return refuse("half_width_arcsec", "must be above 0 and at most 7200");
        }
        if !(self.common_half_width_arcsec > 0.0
            && self.common_half_width_arcsec <= self.half_width_arcsec)
        {
            return refuse("common_half_width_arcsec", "must be above 0 and inside the sky");
        }
        for law in [self.star_magnitudes, self.galaxy_magnitudes, self.new_source_magnitudes] {
            // Not (faintest < brightest): a comparison with NaN must refuse too.
            if !(law.brightest <= law.faintest && law.slope.is_finite()) {
                return refuse("magnitudes", "the brightest must not be fainter than the faintest");
            }
        }
        if let Some(afterglow) = &self.afterglow {
            let (inner, outer) = afterglow.offset_arcsec;
            if !(0.0 <= inner && inner <= outer && outer <= self.common_half_width_arcsec) {
                return refuse("offset_arcsec", "the afterglow must lie in the common area");
            }
            if !(afterglow.decay_index.is_finite() && afterglow.magnitude_at_60_seconds.is_finite())
            {
                return refuse("afterglow", "decay index and magnitude must be numbers");
            }
        }
        Ok(())
    }
}

/// All that shines in the field.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntheticSky {
    pub field_centre: SkyPosition,
    /// Bright stars, stars, galaxies, the host galaxy, new sources, in this order.
    pub sources: Vec<StaticSource>,
    pub afterglow: Option<Afterglow>,
}

/// A source while the sky is being made.
struct Draft {
    id: String,
    kind: SourceKind,
    place: Offset,
    magnitude: f64,
    light_points: Vec<LightPoint>,
}

impl SyntheticSky {
    /// Makes the sky of a seed. Every object has its own stream: adding some leaves the others where they are.
    pub fn new(seed: u64, parameters: &SkyParameters) -> Result<Self, SimulationError> {
        parameters.check()?;
        let mut afterglow_stream = stream(seed, Purpose::Afterglow, 0);
        let afterglow_place = parameters
            .afterglow
            .as_ref()
            .map(|afterglow| in_ring(&mut afterglow_stream, afterglow.offset_arcsec));
        let clear_of_afterglow = |place: Offset, magnitude: f64| {
            afterglow_place.is_none_or(|afterglow| {
                is_clear_of(afterglow, place, magnitude, parameters.separation_arcsec)
            })
        };
        let mut drafts = Vec::new();
        for (index, magnitude) in parameters.bright_star_magnitudes.iter().enumerate() {
            let mut generator = stream(seed, Purpose::BrightStar, index as u32);
            let place = draw_allowed(
                &mut generator,
                &format!("bright star {index}"),
                |generator| anywhere(generator, 0.75 * parameters.half_width_arcsec),
                |place| clear_of_afterglow(place, *magnitude),
            )?;
            drafts.push(point_source('B', index, SourceKind::BrightStar, place, *magnitude));
        }
        for index in 0..parameters.star_count {
            let mut generator = stream(seed, Purpose::Star, index as u32);
            let magnitude = parameters.star_magnitudes.draw(&mut generator);
            let place = draw_allowed(
                &mut generator,
                &format!("star {index}"),
                |generator| anywhere(generator, parameters.half_width_arcsec),
                |place| clear_of_afterglow(place, magnitude),
            )?;
            drafts.push(point_source('S', index, SourceKind::Star, place, magnitude));
        }
        for index in 0..parameters.galaxy_count {
            let mut generator = stream(seed, Purpose::Galaxy, index as u32);
            let magnitude = parameters.galaxy_magnitudes.draw(&mut generator);
            let place = draw_allowed(
                &mut generator,
                &format!("galaxy {index}"),
                |generator| anywhere(generator, parameters.half_width_arcsec),
                |place| clear_of_afterglow(place, magnitude),
            )?;
            drafts.push(galaxy('G', index, place, magnitude, &mut generator));
        }
        if let (Some(law), Some(place)) = (&parameters.afterglow, afterglow_place) {
            let from_host = in_ring(&mut afterglow_stream, law.host_distance_arcsec);
            let host = Offset {
                east_arcsec: place.east_arcsec + from_host.east_arcsec,
                north_arcsec: place.north_arcsec + from_host.north_arcsec,
            };
            drafts.push(galaxy('H', 0, host, law.host_magnitude, &mut afterglow_stream));
        }
        let static_count = drafts.len();
        for index in 0..parameters.new_source_count {
            let mut generator = stream(seed, Purpose::NewSource, index as u32);
            let magnitude = parameters.new_source_magnitudes.draw(&mut generator);
            let place = draw_allowed(
                &mut generator,
                &format!("new source {index}"),
                |generator| anywhere(generator, parameters.common_half_width_arcsec),
                |place| {
                    let (known, new) = drafts.split_at(static_count);
                    let apart = |other: Offset| {
                        place.distance_arcsec(other) >= parameters.separation_arcsec
                    };
                    afterglow_place.is_none_or(apart)
                        && new.iter().all(|other| apart(other.place))
                        && known.iter().all(|object| {
                            is_clear_of(
                                place,
                                object.place,
                                object.magnitude,
                                parameters.separation_arcsec,
                            )
                        })
                },
            )?;
            drafts.push(point_source('N', index, SourceKind::NewSource, place, magnitude));
        }
        let at = |place: Offset| {
            parameters.field_centre.offset_arcsec(place.east_arcsec, place.north_arcsec)
        };
        let afterglow = match (&parameters.afterglow, afterglow_place) {
            (Some(law), Some(place)) => Some(Afterglow {
                position: at(place),
                magnitude_at_60_seconds: law.magnitude_at_60_seconds,
                decay_index: law.decay_index,
            }),
            _ => None,
        };
        let sources = drafts
            .into_iter()
            .map(|draft| StaticSource {
                id: draft.id,
                kind: draft.kind,
                position: at(draft.place),
                magnitude: draft.magnitude,
                light_points: draft.light_points,
            })
            .collect();
        Ok(Self { field_centre: parameters.field_centre, sources, afterglow })
    }

    /// The constant sources of a kind.
    pub fn of_kind(&self, kind: SourceKind) -> impl Iterator<Item = &StaticSource> {
        self.sources.iter().filter(move |source| source.kind == kind)
    }
}

fn point_source(
    letter: char,
    index: usize,
    kind: SourceKind,
    place: Offset,
    magnitude: f64,
) -> Draft {
    Draft { id: format!("{letter}{index}"), kind, place, magnitude, light_points: Vec::new() }
}

/// A galaxy whose size follows its brightness with a scatter of 0.15 dex; a quarter of them are ellipticals.
fn galaxy(
    letter: char,
    index: usize,
    place: Offset,
    magnitude: f64,
    generator: &mut impl Rng,
) -> Draft {
    let scatter: f64 = StandardNormal.sample(generator);
    let half_light = 0.4 * 10f64.powf(0.1 * (21.5 - magnitude) + 0.15 * scatter);
    let shape = GalaxyShape {
        half_light_radius_arcsec: half_light.clamp(0.2, 4.0),
        axis_ratio: 0.35 + 0.65 * generator.random::<f64>(),
        position_angle: PI * generator.random::<f64>(),
        sersic_index: if generator.random::<f64>() < 0.25 { 4.0 } else { 1.0 },
    };
    Draft {
        id: format!("{letter}{index}"),
        kind: SourceKind::Galaxy,
        place,
        magnitude,
        light_points: shape.light_points(shape.sufficient_points()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sky(seed: u64) -> SyntheticSky {
        SyntheticSky::new(seed, &SkyParameters::default()).unwrap()
    }

    #[test]
    fn a_seed_is_a_sky() {
        assert_eq!(sky(1), sky(1));
        assert_ne!(sky(1).afterglow, sky(2).afterglow);
        let counts = |kind| sky(1).of_kind(kind).count();
        assert_eq!(counts(SourceKind::Star), 1634);
        assert_eq!(counts(SourceKind::BrightStar), 3);
        assert_eq!(counts(SourceKind::Galaxy), 264);
        assert_eq!(counts(SourceKind::NewSource), 40);
    }

    #[test]
    fn counts_per_magnitude_are_those_of_the_archive() {
        // Stars between 17 and 18, 19 and 20, 21 and 21.8 in ../shared/data/coatli_simulated/truth/catalog.csv: 92, 280, 528.
        // A fifth either way is the spread of a power law fitted to that histogram.
        let sky = sky(1);
        let between = |low: f64, high: f64| {
            sky.of_kind(SourceKind::Star)
                .filter(|star| (low..high).contains(&star.magnitude))
                .count() as f64
        };
        for (low, high, expected) in [(17.0, 18.0, 92.0), (19.0, 20.0, 280.0), (21.0, 21.8, 528.0)]
        {
            let found = between(low, high);
            assert!((found / expected - 1.0).abs() < 0.25, "{low}: {found}, {expected}");
        }
    }

    #[test]
    fn new_sources_and_afterglow_stand_alone() {
        let parameters = SkyParameters::default();
        for seed in 1..=20 {
            let sky = sky(seed);
            let afterglow = sky.afterglow.unwrap();
            let mut alone: Vec<SkyPosition> =
                sky.of_kind(SourceKind::NewSource).map(|source| source.position).collect();
            alone.push(afterglow.position);
            for (index, position) in alone.iter().enumerate() {
                for other in &alone[..index] {
                    assert!(position.separation_arcsec(*other) >= 7.99, "seed {seed}");
                }
                for star in sky.sources.iter().filter(|source| {
                    source.magnitude < 17.0 && source.kind != SourceKind::NewSource
                }) {
                    assert!(position.separation_arcsec(star.position) >= 7.99, "seed {seed}");
                }
                let north = (position.dec_degrees - parameters.field_centre.dec_degrees) * 3600.0;
                assert!(north.abs() < 263.0, "seed {seed}");
                assert!(
                    position.separation_arcsec(parameters.field_centre)
                        < 263.0 * std::f64::consts::SQRT_2
                );
            }
            let offset = afterglow.position.separation_arcsec(parameters.field_centre);
            assert!((39.9..190.1).contains(&offset), "seed {seed}: {offset}");
            let nearest_galaxy = sky
                .of_kind(SourceKind::Galaxy)
                .map(|galaxy| galaxy.position.separation_arcsec(afterglow.position))
                .fold(f64::INFINITY, f64::min);
            assert!((3.9..6.1).contains(&nearest_galaxy), "seed {seed}: {nearest_galaxy}");
        }
    }

    #[test]
    fn more_of_one_kind_leaves_the_others_in_place() {
        let more = SkyParameters { star_count: 1700, ..SkyParameters::default() };
        let (plain, crowded) = (sky(1), SyntheticSky::new(1, &more).unwrap());
        assert_eq!(plain.afterglow, crowded.afterglow);
        for kind in [SourceKind::Galaxy, SourceKind::BrightStar] {
            assert!(plain.of_kind(kind).eq(crowded.of_kind(kind)));
        }
        assert!(plain.of_kind(SourceKind::Star).eq(crowded.of_kind(SourceKind::Star).take(1634)));
        let moved = plain
            .of_kind(SourceKind::NewSource)
            .zip(crowded.of_kind(SourceKind::NewSource))
            .filter(|(before, after)| before.position != after.position)
            .count();
        assert!(moved <= 3, "{moved}");
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let refused = |change: &dyn Fn(&mut SkyParameters)| {
            let mut parameters = SkyParameters::default();
            change(&mut parameters);
            matches!(
                SyntheticSky::new(1, &parameters),
                Err(SimulationError::Parameter { .. } | SimulationError::NoRoom { .. })
            )
        };
        assert!(refused(&|p| p.half_width_arcsec = f64::NAN));
        assert!(refused(&|p| p.common_half_width_arcsec = 1000.0));
        assert!(refused(&|p| p.star_magnitudes.faintest = 10.0));
        assert!(refused(&|p| p.separation_arcsec = 300.0));
        assert!(refused(&|p| {
            p.afterglow = Some(AfterglowParameters {
                offset_arcsec: (10.0, 400.0),
                ..AfterglowParameters::default()
            });
        }));
    }
}
