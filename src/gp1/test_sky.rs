//! A small sky with a small camera for the tests of this room: stars, one fading source, noise; no traps.

use super::archive_tests::provenance;
use super::batch::BatchTools;
use super::masters_in_force::{MastersInForce, tests::master};
use super::named_masters::NamedMasters;
use crate::catalogs::Catalogue;
use crate::fits::{FitsStore, Header, NewPlane, cfitsio::Cfitsio, keywords::KeywordMap, wcs_cards};
use crate::imaging::{Image, wcs::TangentPlane};
use crate::model::{
    CatalogueAnswer, CatalogueObject, FrameIdentity, FrameKeywords, FrameKind, FrameRecord,
    FrameState, MasterKind, ObjectKind, SkyPosition, UtcTime,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Poisson};
use std::path::Path;
use std::sync::Arc;

pub const SIZE: usize = 256;
pub const SCALE_DEGREES: f64 = 0.000195;
pub const ZERO_POINT: f64 = 22.8;
pub const EXPOSURE: f64 = 60.0;
pub const BIAS: f32 = 600.0;
pub const GAIN: f64 = 6.2;
const SKY_ELECTRONS: f64 = 400.0;
const READ_NOISE: f64 = 8.0;
const FAINT_LIMIT: f64 = 19.5;

/// Stars of 14 to 19.5, new constant sources and one that fades.
pub struct TestSky {
    pub catalogue: Vec<CatalogueObject>,
    pub constant: Vec<(SkyPosition, f64)>,
    pub afterglow: SkyPosition,
    pub t0: UtcTime,
}

/// The bias of the camera.
pub fn masters() -> MastersInForce {
    let mut bias = master(MasterKind::Bias, "", "2019-10-16T01:00:00", (SIZE, SIZE));
    bias.data = Arc::new(Image::from_elem((SIZE, SIZE), BIAS));
    MastersInForce::new(vec![bias])
}

pub fn centre() -> SkyPosition {
    SkyPosition::new(30.27, 24.51)
}

impl TestSky {
    pub fn new() -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(11);
        let half = SIZE as f64 * SCALE_DEGREES * 3600.0 / 2.0 + 20.0;
        let mut taken: Vec<SkyPosition> = Vec::new();
        let mut place = |reach: f64, apart: f64| loop {
            let mut coordinate = || (2.0 * generator.random::<f64>() - 1.0) * reach;
            let position = centre().offset_arcsec(coordinate(), coordinate());
            if taken.iter().all(|other| other.separation_arcsec(position) > apart) {
                taken.push(position);
                return position;
            }
        };
        let afterglow = place(30.0, 15.0);
        let constant = (0..5).map(|index| (place(60.0, 15.0), 16.8 + 0.4 * f64::from(index)));
        let constant = constant.collect();
        let catalogue = (0..70)
            .map(|index| CatalogueObject {
                id: format!("s{index}"),
                kind: ObjectKind::Star,
                position: place(half, 9.0),
                magnitude: 14.0 + 5.4 * f64::from(index) / 70.0,
                magnitude_error: 0.02,
                magnitudes: Vec::new(),
            })
            .collect();
        let t0 = UtcTime::parse("2019-10-16T04:18:00").unwrap();
        Self { catalogue, constant, afterglow, t0 }
    }

    /// The files and the catalogue of this sky, with its bias.
    pub fn tools(&self) -> BatchTools {
        BatchTools {
            store: Arc::new(Cfitsio),
            catalogue: Arc::new(TestCatalogue(self.catalogue.clone())),
            keywords: KeywordMap::default(),
            named_masters: NamedMasters::default(),
            masters_in_force: Arc::new(masters()),
            provenance: provenance(),
        }
    }

    /// m = 16 + 2.5 log10(t / 60 s) at mid-exposure.
    pub fn afterglow_magnitude(&self, start: UtcTime) -> f64 {
        let seconds = start.plus_seconds(EXPOSURE / 2.0).seconds_since(self.t0);
        16.0 + 2.5 * (seconds / 60.0).log10()
    }

    pub fn start(&self, index: usize) -> UtcTime {
        self.t0.plus_seconds(121.0 + 65.0 * index as f64)
    }

    /// Writes raw frame `index` and returns its record. The header's coordinates are wrong by tens of arcseconds.
    pub fn write_frame(&self, directory: &Path, index: usize) -> FrameRecord {
        let start = self.start(index);
        let mut generator = ChaCha8Rng::seed_from_u64(100 + index as u64);
        let middle = (SIZE as f64 - 1.0) / 2.0;
        let dither = centre().offset_arcsec(3.0 * index as f64 - 6.0, 5.0 - 2.0 * index as f64);
        let nominal = TangentPlane::nominal((middle, middle), dither, SCALE_DEGREES);
        let mut actual = nominal;
        actual.reference_sky = dither.offset_arcsec(17.0, -11.0);
        let (sin, cos) = 0.1f64.to_radians().sin_cos();
        actual.cd = [
            [-SCALE_DEGREES * cos, SCALE_DEGREES * sin],
            [SCALE_DEGREES * sin, SCALE_DEGREES * cos],
        ];
        let sigma = 1.15 + 0.12 * (index % 3) as f64;
        let mut electrons = ndarray::Array2::from_elem((SIZE, SIZE), SKY_ELECTRONS);
        let afterglow = (self.afterglow, self.afterglow_magnitude(start));
        let stars = self.catalogue.iter().map(|star| (star.position, star.magnitude));
        for (position, magnitude) in
            stars.chain(self.constant.iter().copied()).chain(std::iter::once(afterglow))
        {
            let flux = EXPOSURE * 10f64.powf(0.4 * (ZERO_POINT - magnitude));
            let (x, y) = actual.sky_to_pixel(position).unwrap();
            add_star(&mut electrons, x, y, flux, sigma);
        }
        let noise = Normal::new(0.0, READ_NOISE).unwrap();
        let data = Image::from_shape_fn((SIZE, SIZE), |place| {
            let light: f64 = Poisson::new(electrons[place]).unwrap().sample(&mut generator);
            BIAS + ((light + noise.sample(&mut generator)) / GAIN).round() as f32
        });
        let mut header = header(start);
        wcs_cards::write(&mut header, &nominal);
        write_raw(directory, index, start, header, &data)
    }

    /// A frame of this plane, whatever it is.
    pub fn write_plane(&self, directory: &Path, index: usize, data: &Image) -> FrameRecord {
        let start = self.start(index);
        let mut header = header(start);
        let middle = (SIZE as f64 - 1.0) / 2.0;
        let nominal = TangentPlane::nominal((middle, middle), centre(), SCALE_DEGREES);
        wcs_cards::write(&mut header, &nominal);
        write_raw(directory, index, start, header, data)
    }
}

fn header(start: UtcTime) -> Header {
    let mut header = Header::new();
    header.set("EXPTIME", EXPOSURE, "");
    header.set("DATE-OBS", start.iso_milliseconds(), "");
    header.set("FILTER", "w", "");
    header.set("INSTRUME", "C0", "");
    header.set("TELESCOP", "TEST", "");
    header.set("OBSERVER", "svom", "");
    header.set("EXPTYPE", "object", "");
    header.set("TRGID", 929744i64, "");
    header.set("GAIN", GAIN, "");
    header.set("RDNOISE", READ_NOISE, "");
    header.set("SATURATE", 7000.0, "");
    header
}

fn write_raw(
    directory: &Path,
    index: usize,
    start: UtcTime,
    header: Header,
    data: &Image,
) -> FrameRecord {
    let name = format!("{}C0o", start.compact());
    let path = directory.join(format!("{name}.fits"));
    Cfitsio.write_images(&path, &[("", &header, NewPlane::Float32(data))]).unwrap();
    let (rows, columns) = data.dim();
    FrameRecord {
        id: index as i64,
        identity: FrameIdentity { name, data_sha256: format!("{index:064}") },
        path,
        keywords: FrameKeywords {
            kind: FrameKind::Object,
            trigger_id: Some("929744".into()),
            observer: Some("svom".into()),
            object: None,
            instrument: "C0".into(),
            filter: "w".into(),
            exposure_seconds: EXPOSURE,
            date_obs: start,
            pointing: Some(centre()),
            gain_electrons: Some(GAIN),
            read_noise_electrons: Some(READ_NOISE),
            saturation: Some(7000.0),
            binning: 1,
            size_pixels: (columns, rows),
            camera: Default::default(),
        },
        instance: "svom".into(),
        arrived_at: start.plus_seconds(EXPOSURE + 2.0),
        state: FrameState::Arrived,
        reason: None,
        attempts: 0,
        quality: None,
    }
}

fn add_star(plane: &mut ndarray::Array2<f64>, x: f64, y: f64, flux: f64, sigma: f64) {
    let reach = 12i64;
    let (column, row) = (x.round() as i64, y.round() as i64);
    for j in row - reach..=row + reach {
        for i in column - reach..=column + reach {
            let inside = |value: i64| (0..SIZE as i64).contains(&value);
            if !(inside(i) && inside(j)) {
                continue;
            }
            // Integrated over the pixel on nine points: the profile is not much wider than a pixel.
            let mut light = 0.0;
            for dj in [-1.0, 0.0, 1.0] {
                for di in [-1.0, 0.0, 1.0] {
                    let dx = i as f64 + di / 3.0 - x;
                    let dy = j as f64 + dj / 3.0 - y;
                    light += (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp();
                }
            }
            let normalisation = 9.0 * std::f64::consts::TAU * sigma * sigma;
            plane[[j as usize, i as usize]] += flux * light / normalisation;
        }
    }
}

/// The catalogue of the test sky.
pub struct TestCatalogue(pub Vec<CatalogueObject>);

impl Catalogue for TestCatalogue {
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer {
        let objects: Vec<CatalogueObject> = self
            .0
            .iter()
            .filter(|star| star.position.separation_arcsec(centre) <= radius_degrees * 3600.0)
            .cloned()
            .collect();
        match objects.is_empty() {
            true => CatalogueAnswer::Empty,
            false => {
                CatalogueAnswer::Found { objects, faint_limit: FAINT_LIMIT, covered_share: 1.0 }
            }
        }
    }

    fn object_count(&self) -> u64 {
        self.0.len() as u64
    }

    fn describe(&self) -> String {
        "test sky".into()
    }
}
