//! Renders raw frames: sky, optics, air and detector together.

use super::SimulationError;
use super::contamination::{add_trail, cosmic_rays};
use super::detector::{Detector, DetectorParameters};
use super::headers::{AlertCards, HeaderContent, raw_header};
use super::observing::{Conditions, ObservingParameters};
use super::point_spread::PointSpread;
use super::random::{Purpose, stream};
use super::sky::SyntheticSky;
use crate::fits::Header;
use crate::imaging::Image;
use crate::imaging::wcs::TangentPlane;
use crate::model::{FrameKind, SkyPosition, UtcTime};

/// Telescope, camera and detector. The default is that of the simulated archive.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraParameters {
    pub detector: DetectorParameters,
    pub observing: ObservingParameters,
    /// Magnitude of a source of one electron per second through clear air.
    pub zero_point: f64,
    pub telescope: String,
    pub instrument: String,
    pub filter: String,
    pub temperature_celsius: f64,
    pub readout_mode: String,
    /// From the end of the exposure to the last byte of the file.
    pub readout_seconds: f64,
}

impl Default for CameraParameters {
    fn default() -> Self {
        Self {
            detector: DetectorParameters::default(),
            observing: ObservingParameters::default(),
            zero_point: 22.8,
            telescope: "COATLI".to_owned(),
            instrument: "C0".to_owned(),
            filter: "w".to_owned(),
            temperature_celsius: -40.0,
            readout_mode: "1MHz".to_owned(),
            readout_seconds: 5.0,
        }
    }
}

impl CameraParameters {
    fn check(&self) -> Result<(), SimulationError> {
        let refuse = |parameter, what: &str| {
            Err(SimulationError::Parameter { parameter, what: what.to_owned() })
        };
        let (columns, rows) = self.detector.size_pixels;
        if !(16..=16_384).contains(&columns) || !(16..=16_384).contains(&rows) {
            return refuse("size_pixels", "each side must be 16 to 16384 pixels");
        }
        // Written so that NaN is refused.
        let positive = |value: f64| value > 0.0 && value.is_finite();
        if !positive(self.detector.gain_electrons) {
            return refuse("gain_electrons", "must be above 0");
        }
        if !positive(self.detector.full_well_electrons) {
            return refuse("full_well_electrons", "must be above 0");
        }
        if !positive(self.observing.scale_degrees) {
            return refuse("scale_degrees", "must be above 0");
        }
        let (best, worst) = self.observing.seeing_arcsec;
        if !(positive(best) && positive(worst) && best <= worst) {
            return refuse("seeing_arcsec", "must be above 0, the best first");
        }
        if !(0.0..1.0).contains(&self.observing.transparency_loss) {
            return refuse("transparency_loss", "must be 0 or more and below 1");
        }
        if !(self.zero_point.is_finite() && self.readout_seconds >= 0.0) {
            return refuse(
                "zero_point, readout_seconds",
                "must be numbers, the latter not negative",
            );
        }
        Ok(())
    }
}

/// What an exposure is taken of.
#[derive(Debug, Clone, Copy)]
pub enum Light<'a> {
    /// The shutter stays closed.
    Closed,
    /// A uniformly lit sky of so many electrons per pixel.
    Twilight { electrons: f64 },
    /// A field.
    Field(FieldLight<'a>),
}

/// A field in an exposure.
#[derive(Debug, Clone, Copy)]
pub struct FieldLight<'a> {
    pub sky: &'a SyntheticSky,
    /// When the afterglow began.
    pub t0: UtcTime,
    /// Place in the visit: the first exposure has no dither.
    pub sequence: usize,
    pub target: SkyPosition,
}

/// One exposure to render.
#[derive(Debug, Clone)]
pub struct Exposure<'a> {
    pub kind: FrameKind,
    /// Number among all frames of the night: its random streams.
    pub number: u32,
    pub start: UtcTime,
    pub exposure_seconds: f64,
    pub light: Light<'a>,
    pub observer: &'a str,
    pub object: Option<&'a str>,
    pub alert: Option<AlertCards>,
}

/// What is really on a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTruth {
    pub middle: UtcTime,
    /// Absent for calibration frames.
    pub conditions: Option<Conditions>,
    pub afterglow: Option<AfterglowOnFrame>,
    /// Pixels (row, column) hit by cosmic rays.
    pub cosmic_ray_pixels: Vec<(usize, usize)>,
}

/// The afterglow as it is on one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AfterglowOnFrame {
    /// Zero-based pixels.
    pub x: f64,
    pub y: f64,
    /// At mid-exposure (interfaces.md §8); absent when the middle is before T0.
    pub magnitude_at_middle: Option<f64>,
    /// Before the detector's response.
    pub expected_electrons: f64,
}

/// A raw frame as the telescope would write it.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedFrame {
    /// `YYYYMMDDTHHMMSSC0o.fits`.
    pub file_name: String,
    pub header: Header,
    /// Data numbers: whole values from 0 to 65535.
    pub data: Image,
    pub truth: FrameTruth,
}

/// A camera with its detector.
#[derive(Debug, Clone)]
pub struct SyntheticCamera {
    seed: u64,
    parameters: CameraParameters,
    detector: Detector,
}

impl SyntheticCamera {
    /// The camera of a seed.
    pub fn new(seed: u64, parameters: CameraParameters) -> Result<Self, SimulationError> {
        parameters.check()?;
        let detector = Detector::new(seed, &parameters.detector);
        Ok(Self { seed, parameters, detector })
    }

    pub fn parameters(&self) -> &CameraParameters {
        &self.parameters
    }

    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Name of the file of an exposure, without directory.
    pub fn file_name(&self, kind: FrameKind, start: UtcTime) -> String {
        format!("{}{}{}.fits", start.compact(), self.parameters.instrument, kind.letter())
    }

    /// Electrons in an exposure of a constant source, through clear air.
    pub fn electrons(&self, magnitude: f64, exposure_seconds: f64) -> f64 {
        exposure_seconds * 10f64.powf(0.4 * (self.parameters.zero_point - magnitude))
    }

    /// Renders an exposure. The same exposure gives the same frame, whatever was rendered before.
    pub fn render(&self, exposure: &Exposure<'_>) -> RenderedFrame {
        let seconds = exposure.exposure_seconds;
        let dark = &self.detector.dark * seconds as f32;
        let (electrons, conditions, afterglow) = match exposure.light {
            Light::Closed => (dark, None, None),
            Light::Twilight { electrons } => {
                (&self.detector.response * electrons as f32 + dark, None, None)
            }
            Light::Field(field) => {
                let conditions = Conditions::draw(
                    self.seed,
                    &self.parameters.observing,
                    exposure.number,
                    field.sequence,
                    field.target,
                    self.parameters.detector.size_pixels,
                );
                let (light, afterglow) = self.field_light(exposure, &field, &conditions);
                (light * &self.detector.response + dark, Some(conditions), afterglow)
            }
        };
        let mut particles = stream(self.seed, Purpose::CosmicRays, exposure.number);
        let rate = self.parameters.observing.cosmic_rays_per_second;
        let hits = cosmic_rays(&mut particles, rate * seconds, electrons.dim());
        let mut photons = stream(self.seed, Purpose::Photons, exposure.number);
        let data = self.detector.read_out(electrons, &hits, &mut photons);
        let target = match exposure.light {
            Light::Field(_) => conditions.as_ref().map(|drawn| drawn.nominal.reference_sky),
            _ => None,
        };
        let detector = &self.parameters.detector;
        let content = HeaderContent {
            kind: exposure.kind,
            start: exposure.start,
            exposure_seconds: seconds,
            filter: &self.parameters.filter,
            telescope: &self.parameters.telescope,
            instrument: &self.parameters.instrument,
            observer: exposure.observer,
            object: exposure.object,
            target,
            alert: exposure.alert.clone(),
            gain_electrons: detector.gain_electrons,
            read_noise_electrons: detector.read_noise_electrons,
            saturation: detector.stated_saturation,
            temperature_celsius: self.parameters.temperature_celsius,
            readout_mode: &self.parameters.readout_mode,
        };
        RenderedFrame {
            file_name: self.file_name(exposure.kind, exposure.start),
            header: raw_header(&content, conditions.as_ref()),
            data,
            truth: FrameTruth {
                middle: exposure.start.plus_seconds(seconds / 2.0),
                conditions,
                afterglow,
                cosmic_ray_pixels: hits.iter().map(|(pixel, _)| *pixel).collect(),
            },
        }
    }

    /// Expected electrons of sky and sources before the detector's response.
    fn field_light(
        &self,
        exposure: &Exposure<'_>,
        field: &FieldLight<'_>,
        conditions: &Conditions,
    ) -> (Image, Option<AfterglowOnFrame>) {
        let seconds = exposure.exposure_seconds;
        let mut plane = self.sky_background(conditions, seconds);
        let scale_arcsec = self.parameters.observing.scale_degrees * 3600.0;
        let spread = PointSpread::new(
            conditions.fwhm_arcsec / scale_arcsec,
            conditions.ellipticity,
            conditions.elongation_angle,
            self.parameters.observing.moffat_beta,
        );
        let to_pixels = arcsec_to_pixels(&conditions.actual);
        for source in &field.sky.sources {
            let Some((x, y)) = conditions.actual.sky_to_pixel(source.position) else { continue };
            let flux = conditions.transparency * self.electrons(source.magnitude, seconds);
            if source.light_points.is_empty() {
                spread.add_star(&mut plane, x, y, flux);
            }
            for point in &source.light_points {
                let (dx, dy) = to_pixels(point.east_arcsec, point.north_arcsec);
                spread.add_share(&mut plane, x + dx, y + dy, flux * point.weight);
            }
        }
        let afterglow = field.sky.afterglow.as_ref().and_then(|afterglow| {
            let (x, y) = conditions.actual.sky_to_pixel(afterglow.position)?;
            let relative = afterglow.mean_relative_flux(field.t0, exposure.start, seconds);
            let expected_electrons = conditions.transparency
                * relative
                * self.electrons(afterglow.magnitude_at_60_seconds, seconds);
            spread.add_star(&mut plane, x, y, expected_electrons);
            let middle = exposure.start.plus_seconds(seconds / 2.0);
            let magnitude_at_middle = afterglow.magnitude(field.t0, middle);
            Some(AfterglowOnFrame { x, y, magnitude_at_middle, expected_electrons })
        });
        if conditions.has_trail {
            let mut generator = stream(self.seed, Purpose::Trail, exposure.number);
            add_trail(&mut plane, &mut generator, conditions.fwhm_arcsec / scale_arcsec);
        }
        (plane, afterglow)
    }

    /// The sky with its gradient, electrons.
    fn sky_background(&self, conditions: &Conditions, seconds: f64) -> Image {
        let (columns, rows) = self.parameters.detector.size_pixels;
        let level = conditions.sky_electrons_per_second * seconds;
        let slope = level * self.parameters.observing.sky_gradient;
        let (sin, cos) = conditions.gradient_angle.sin_cos();
        let per_column = (slope * cos / columns as f64) as f32;
        let per_row = (slope * sin / rows as f64) as f32;
        let (middle_column, middle_row) = (columns as f32 / 2.0, rows as f32 / 2.0);
        Image::from_shape_fn((rows, columns), |(row, column)| {
            level as f32
                + per_column * (column as f32 - middle_column)
                + per_row * (row as f32 - middle_row)
        })
    }
}

/// Turns a small offset on the sky into one in pixels: the inverse of the CD matrix.
fn arcsec_to_pixels(plane: &TangentPlane) -> impl Fn(f64, f64) -> (f64, f64) {
    let [[a, b], [c, d]] = plane.cd;
    let determinant = a * d - b * c;
    move |east_arcsec, north_arcsec| {
        let (east, north) = (east_arcsec / 3600.0, north_arcsec / 3600.0);
        ((d * east - b * north) / determinant, (a * north - c * east) / determinant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::SkyParameters;
    use crate::simulation::sky::{MagnitudeLaw, SourceKind};

    const CENTRE: SkyPosition = SkyPosition { ra_degrees: 30.2695, dec_degrees: 24.5099 };

    fn t0() -> UtcTime {
        UtcTime::parse("2026-11-01T04:18:00").unwrap()
    }

    fn parameters(side: usize) -> CameraParameters {
        let mut parameters = CameraParameters::default();
        parameters.detector.size_pixels = (side, side);
        parameters
    }

    /// An ideal camera: no structure, no contamination, clear air.
    fn clean(side: usize) -> CameraParameters {
        let mut clean = parameters(side);
        clean.detector.hot_pixel_fraction = 0.0;
        clean.detector.bad_column_count = 0;
        clean.detector.hot_column_count = 0;
        clean.detector.vignetting = 0.0;
        clean.detector.dust_ring_count = 0;
        clean.detector.pixel_response_scatter = 0.0;
        clean.observing.transparency_loss = 0.0;
        clean.observing.sky_gradient = 0.0;
        clean.observing.trail_probability = 0.0;
        clean.observing.cosmic_rays_per_second = 0.0;
        clean.observing.pointing_error_arcsec = (10.0, 10.0);
        clean
    }

    fn sky(stars: usize) -> SyntheticSky {
        let parameters = SkyParameters {
            star_count: stars,
            galaxy_count: 0,
            bright_star_magnitudes: Vec::new(),
            new_source_count: 0,
            star_magnitudes: MagnitudeLaw { brightest: 15.5, faintest: 15.5, slope: 0.0 },
            half_width_arcsec: 80.0,
            common_half_width_arcsec: 80.0,
            afterglow: Some(crate::simulation::sky::AfterglowParameters {
                offset_arcsec: (20.0, 60.0),
                host_magnitude: 26.0,
                ..Default::default()
            }),
            ..SkyParameters::default()
        };
        SyntheticSky::new(4, &parameters).unwrap()
    }

    fn exposure<'a>(sky: &'a SyntheticSky, number: u32, start: f64) -> Exposure<'a> {
        Exposure {
            kind: FrameKind::Object,
            number,
            start: t0().plus_seconds(start),
            exposure_seconds: 55.0,
            light: Light::Field(FieldLight { sky, t0: t0(), sequence: 0, target: CENTRE }),
            observer: "svom",
            object: Some("SVOM26110101"),
            alert: None,
        }
    }

    /// Sum over a disc less the median of a ring, data numbers.
    fn aperture_sum(frame: &Image, x: f64, y: f64, radius: f64) -> f64 {
        let mut ring = Vec::new();
        let (mut sum, mut area) = (0.0, 0.0);
        for ((row, column), value) in frame.indexed_iter() {
            let distance = (column as f64 - x).hypot(row as f64 - y);
            if distance <= radius {
                sum += f64::from(*value);
                area += 1.0;
            } else if distance > radius + 3.0 && distance < radius + 10.0 {
                ring.push(f64::from(*value));
            }
        }
        ring.sort_by(f64::total_cmp);
        sum - area * ring.iter().sum::<f64>() / ring.len() as f64
    }

    #[test]
    fn a_star_holds_the_electrons_of_its_magnitude() {
        let sky = sky(12);
        let camera = SyntheticCamera::new(1, clean(256)).unwrap();
        let frame = camera.render(&exposure(&sky, 0, 125.0));
        let plane = frame.truth.conditions.unwrap().actual;
        let mut measured = 0;
        for star in sky.of_kind(SourceKind::Star) {
            let (x, y) = plane.sky_to_pixel(star.position).unwrap();
            let inside = |v: f64| (30.0..226.0).contains(&v);
            let alone = sky.sources.iter().filter(|other| other.magnitude < 20.0).all(|other| {
                let distance = other.position.separation_arcsec(star.position);
                distance == 0.0 || distance > 24.0
            }) && sky.afterglow.unwrap().position.separation_arcsec(star.position)
                > 24.0;
            if !(inside(x) && inside(y) && alone) {
                continue;
            }
            let electrons = aperture_sum(&frame.data, x, y, 12.0) * 6.2;
            let expected = camera.electrons(15.5, 55.0);
            // 46 000 e⁻ on 450 pixels of 20 e⁻ noise: 480 e⁻, about one percent; half a percent lies outside.
            assert!((electrons / expected - 0.995).abs() < 0.03, "{electrons} {expected}");
            measured += 1;
        }
        assert!(measured >= 2, "{measured} isolated stars");
        // The zero point of the simulated archive: 12 512 e⁻ in 60 s at magnitude 17.0021.
        assert!((camera.electrons(17.0021, 60.0) / 12_512.0 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn the_afterglow_has_the_mean_of_its_law() {
        let sky = sky(0);
        let camera = SyntheticCamera::new(1, clean(256)).unwrap();
        for start in [125.0, 605.0] {
            let frame = camera.render(&exposure(&sky, 3, start));
            let on_frame = frame.truth.afterglow.unwrap();
            let measured = aperture_sum(&frame.data, on_frame.x, on_frame.y, 12.0) * 6.2;
            let law = 60.0 * ((start + 55.0) / start).ln() / 55.0;
            let expected = camera.electrons(16.0, 55.0) * law;
            assert!((on_frame.expected_electrons / expected - 1.0).abs() < 1e-6);
            assert!((measured - 0.995 * expected).abs() < 5.0 * 480.0, "{measured} {expected}");
            let middle: f64 = (start + 27.5) / 60.0;
            let magnitude = on_frame.magnitude_at_middle.unwrap();
            assert!((magnitude - 16.0 - 2.5 * middle.log10()).abs() < 1e-9);
        }
        let before = camera.render(&exposure(&sky, 3, -300.0)).truth.afterglow.unwrap();
        assert_eq!((before.expected_electrons, before.magnitude_at_middle), (0.0, None));
    }

    #[test]
    fn sky_and_noise_are_those_asked_for() {
        let sky = sky(0);
        let camera = SyntheticCamera::new(1, clean(256)).unwrap();
        let frame = camera.render(&exposure(&sky, 0, -300.0));
        let mut electrons: Vec<f64> = (&frame.data - &camera.detector().bias)
            .iter()
            .map(|value| f64::from(*value) * 6.2)
            .collect();
        electrons.sort_by(f64::total_cmp);
        let count = electrons.len();
        let level = electrons[count / 2];
        let expected = 6.5 * 55.0 + 0.05 * 55.0;
        assert!((level - expected).abs() < 3.2, "{level} {expected}: half a data number");
        let spread = (electrons[count * 84 / 100] - electrons[count * 16 / 100]) / 2.0;
        let noise = (expected + 64.0 + 6.2f64.powi(2) / 12.0).sqrt();
        // Rounding to data numbers of 6.2 e⁻ makes the percentiles coarse.
        assert!((spread - noise).abs() < 3.2, "{spread} {noise}");
    }

    #[test]
    fn a_frame_depends_on_seed_and_number_only() {
        let sky = sky(50);
        let camera = SyntheticCamera::new(1, parameters(128)).unwrap();
        let alone = camera.render(&exposure(&sky, 5, 425.0));
        let _ = camera.render(&exposure(&sky, 4, 365.0));
        assert_eq!(camera.render(&exposure(&sky, 5, 425.0)), alone);
        assert_ne!(camera.render(&exposure(&sky, 6, 425.0)).data, alone.data);
        let other = SyntheticCamera::new(2, parameters(128)).unwrap();
        assert_ne!(other.render(&exposure(&sky, 5, 425.0)).data, alone.data);
        assert_eq!(alone.file_name, "20261101T042505C0o.fits");
        assert!(alone.data.iter().all(|v| v.fract() == 0.0 && (0.0..=65535.0).contains(v)));
    }

    #[test]
    fn the_header_points_where_the_telescope_believes() {
        let sky = sky(0);
        let camera = SyntheticCamera::new(1, parameters(128)).unwrap();
        let frame = camera.render(&exposure(&sky, 0, 125.0));
        let conditions = frame.truth.conditions.unwrap();
        assert_eq!(frame.header.number("CRVAL1"), Some(CENTRE.ra_degrees));
        assert_eq!(frame.header.number("CRPIX1"), Some(64.5));
        assert_eq!(frame.header.number("CD1_1"), Some(-0.000195));
        let error = conditions.actual.reference_sky.separation_arcsec(CENTRE);
        assert!((10.0..60.0).contains(&error), "{error}");
        assert!(frame.header.number("AIRMASS").is_some_and(|airmass| airmass < 2.0));
    }

    #[test]
    fn senseless_cameras_are_refused() {
        let refused = |change: &dyn Fn(&mut CameraParameters)| {
            let mut parameters = parameters(64);
            change(&mut parameters);
            SyntheticCamera::new(1, parameters).is_err()
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|p| p.detector.size_pixels = (0, 10)));
        assert!(refused(&|p| p.detector.gain_electrons = f64::NAN));
        assert!(refused(&|p| p.observing.seeing_arcsec = (2.0, 1.0)));
        assert!(refused(&|p| p.observing.transparency_loss = 1.0));
        assert!(refused(&|p| p.readout_seconds = -1.0));
    }
}
