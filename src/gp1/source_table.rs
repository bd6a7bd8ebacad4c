//! The sources of one frame as a FITS table, `<frame>_sources.fits`, written and read.

use super::error::Gp1Error;
use super::photometry::magnitude;
use crate::fits::{Column, ColumnData, FitsStore, FitsTables, Header, Table};
use crate::imaging::{growth_curve::ApertureCorrection, world_coordinates::WorldCoordinates};
use crate::model::{
    CatalogueObject, ObjectKind, PointFlux, SkyPosition, Source, SourceFlags, SpreadModel,
    TotalFlux,
};
use std::path::Path;

const TABLE_NAME: &str = "SOURCES";

/// A source with the catalogue object that it is.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredSource {
    pub source: Source,
    pub object: Option<IdentifiedObject>,
}

/// A catalogue object, as far as the table keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct IdentifiedObject {
    pub id: String,
    pub kind: ObjectKind,
    pub magnitude: f64,
    /// At the date of the frame.
    pub position: SkyPosition,
}

impl IdentifiedObject {
    pub fn of(object: &CatalogueObject) -> Self {
        let CatalogueObject { id, kind, magnitude, position, .. } = object;
        Self { id: id.clone(), kind: *kind, magnitude: *magnitude, position: *position }
    }
}

/// Scales of the frame, for the columns people read.
#[derive(Debug, Clone, Copy)]
pub struct TableScales<'a> {
    pub wcs: Option<&'a WorldCoordinates>,
    /// Value and standard error.
    pub zero_point: Option<(f64, f64)>,
    /// Of the aperture to all light; without it there are no magnitudes of all light.
    pub aperture: Option<&'a ApertureCorrection>,
    pub exposure_seconds: f64,
}

/// Writes the table. X and Y are FITS pixel coordinates. RA, DEC and magnitudes with their errors are derived from the other columns and 0
/// where the frame has no coordinates or no zero point; WCSSTAT and ZPMAG in the header say which.
pub fn write_sources(
    store: &dyn FitsStore,
    path: &Path,
    header: &Header,
    sources: &[MeasuredSource],
    scales: TableScales<'_>,
) -> Result<(), Gp1Error> {
    let number =
        |name: &str, unit: &str, description: &str, value: &dyn Fn(&Source) -> f64| Column {
            name: name.to_owned(),
            unit: unit.to_owned(),
            description: description.to_owned(),
            data: ColumnData::Float64(sources.iter().map(|each| value(&each.source)).collect()),
        };
    let sky = |source: &Source| scales.wcs.map(|wcs| wcs.pixel_to_sky(source.x, source.y));
    let calibrated = |source: &Source| {
        let (zero_point, error) = scales.zero_point?;
        magnitude(
            source.flux_electrons,
            source.flux_error_electrons,
            scales.exposure_seconds,
            zero_point,
            error,
        )
    };
    // The zero point of all light has the aperture correction's error too.
    let of_all_light = |electrons: f64, error: f64| {
        let ((zero_point, zero_error), aperture) = (scales.zero_point?, scales.aperture?);
        magnitude(
            electrons,
            error,
            scales.exposure_seconds,
            zero_point - aperture.magnitudes(),
            zero_error.hypot(aperture.magnitude_error()),
        )
    };
    let kron = |source: &Source| {
        source.total.and_then(|total| of_all_light(total.electrons, total.error_electrons))
    };
    let point = |source: &Source| {
        source.point.and_then(|point| of_all_light(point.electrons, point.error_electrons))
    };
    let text = |name: &str, description: &str, value: &dyn Fn(&IdentifiedObject) -> String| {
        let values: Vec<String> = sources
            .iter()
            .map(|each| each.object.as_ref().map(value).unwrap_or_default())
            .collect();
        let width = values.iter().map(String::len).max().unwrap_or(0).max(1);
        Column {
            name: name.to_owned(),
            unit: String::new(),
            description: description.to_owned(),
            data: ColumnData::Text { width, values },
        }
    };
    let listed =
        |name: &str, unit: &str, description: &str, value: &dyn Fn(&IdentifiedObject) -> f64| {
            let of = |each: &MeasuredSource| each.object.as_ref().map_or(0.0, value);
            Column {
                name: name.to_owned(),
                unit: unit.to_owned(),
                description: description.to_owned(),
                data: ColumnData::Float64(sources.iter().map(of).collect()),
            }
        };
    let columns = vec![
        number("X", "pixel", "column, first is 1", &|each| each.x + 1.0),
        number("Y", "pixel", "row, first is 1", &|each| each.y + 1.0),
        number("XYERR", "pixel", "standard error on each axis", &|each| each.position_error_pixels),
        number("RA", "deg", "right ascension, ICRS", &|each| {
            sky(each).map_or(0.0, |position| position.ra_degrees)
        }),
        number("DEC", "deg", "declination, ICRS", &|each| {
            sky(each).map_or(0.0, |position| position.dec_degrees)
        }),
        number("FLUX", "electron", "in the aperture", &|each| each.flux_electrons),
        number("FLUXERR", "electron", "standard error", &|each| each.flux_error_electrons),
        number("MAG", "mag", "magnitude", &|each| calibrated(each).map_or(0.0, |pair| pair.0)),
        number("MAGERR", "mag", "standard error, zero point included", &|each| {
            calibrated(each).map_or(0.0, |pair| pair.1)
        }),
        number("PEAK", "electron", "brightest pixel", &|each| each.peak_electrons),
        number("APRADIUS", "pixel", "radius of the aperture", &|each| each.aperture_radius_pixels),
        number("AIMAGE", "pixel", "rms along the major axis", &|each| each.semi_major_pixels),
        number("BIMAGE", "pixel", "rms along the minor axis", &|each| each.semi_minor_pixels),
        number("THETA", "rad", "major axis from the x axis", &|each| each.theta_radians),
        number("FWHM", "pixel", "full width at half maximum", &|each| each.fwhm_pixels),
        number("R50", "pixel", "radius of half of the light", &|each| {
            each.half_light_radius_pixels
        }),
        number("FLUXISO", "electron", "above the threshold", &|each| each.isophotal_flux_electrons),
        number("FISOERR", "electron", "its standard error", &|each| {
            each.isophotal_flux_error_electrons
        }),
        number("FLUXAUTO", "electron", "in the Kron ellipse", &|each| {
            each.total.map_or(0.0, |total| total.electrons)
        }),
        number("FAUTOERR", "electron", "its standard error", &|each| {
            each.total.map_or(0.0, |total| total.error_electrons)
        }),
        number("KRONRAD", "", "Kron ellipse in AIMAGE, 0: none", &|each| {
            each.total.map_or(0.0, |total| total.kron_radius)
        }),
        number("MAGAUTO", "mag", "magnitude of FLUXAUTO, zero point ZPTOTAL", &|each| {
            kron(each).map_or(0.0, |pair| pair.0)
        }),
        number("MAUTOERR", "mag", "standard error, zero point included", &|each| {
            kron(each).map_or(0.0, |pair| pair.1)
        }),
        number("FLUXPSF", "electron", "by the point-spread function", &|each| {
            each.point.map_or(0.0, |point| point.electrons)
        }),
        number("FPSFERR", "electron", "its standard error, 0: none", &|each| {
            each.point.map_or(0.0, |point| point.error_electrons)
        }),
        number("CHI2PSF", "", "its reduced chi square", &|each| {
            each.point.map_or(0.0, |point| point.reduced_chi_square)
        }),
        number("SPREAD", "", "0 star, > 0 galaxy (SPREAD_MODEL)", &|each| {
            each.spread.map_or(0.0, |spread| spread.value)
        }),
        number("SPREADER", "", "its standard error, 0: none", &|each| {
            each.spread.map_or(0.0, |spread| spread.error)
        }),
        number("MAGPSF", "mag", "magnitude of FLUXPSF, zero point ZPTOTAL", &|each| {
            point(each).map_or(0.0, |pair| pair.0)
        }),
        number("MPSFERR", "mag", "standard error, zero point included", &|each| {
            point(each).map_or(0.0, |pair| pair.1)
        }),
        Column {
            name: "NPIX".into(),
            unit: "pixel".into(),
            description: "pixels above the threshold".into(),
            data: ColumnData::Integer32(
                sources
                    .iter()
                    .map(|each| i32::try_from(each.source.pixel_count).unwrap_or(i32::MAX))
                    .collect(),
            ),
        },
        Column {
            name: "FLAGS".into(),
            unit: String::new(),
            description: "1 crowded 2 blended 4 saturated 8 truncated 16 masked".into(),
            data: ColumnData::Integer32(
                sources.iter().map(|each| i32::from(each.source.flags.0)).collect(),
            ),
        },
        text("CATID", "catalogue object", &|object| object.id.clone()),
        text("CATKIND", "its kind", &|object| kind_word(object.kind).to_owned()),
        listed("CATMAG", "mag", "its magnitude", &|object| object.magnitude),
        listed("CATRA", "deg", "its right ascension then", &|object| object.position.ra_degrees),
        listed("CATDEC", "deg", "its declination then", &|object| object.position.dec_degrees),
    ];
    let content = FitsTables {
        primary: header.clone(),
        tables: vec![Table { name: TABLE_NAME.into(), header: Header::new(), columns }],
    };
    Ok(store.write_tables(path, &content)?)
}

/// Reads what [`write_sources`] wrote.
pub fn read_sources(store: &dyn FitsStore, path: &Path) -> Result<Vec<MeasuredSource>, Gp1Error> {
    let content = store.read_tables(path)?;
    let table = content.tables.iter().find(|table| table.name == TABLE_NAME).ok_or_else(|| {
        Gp1Error::Content { path: path.to_owned(), what: format!("no table {TABLE_NAME}") }
    })?;
    let reader = Reader { table, path };
    let floats = |name| reader.floats(name);
    let (x, y, position_error) = (floats("X")?, floats("Y")?, floats("XYERR")?);
    let (flux, flux_error, peak) = (floats("FLUX")?, floats("FLUXERR")?, floats("PEAK")?);
    let (radius, major, minor) = (floats("APRADIUS")?, floats("AIMAGE")?, floats("BIMAGE")?);
    let (theta, fwhm, catalogue_magnitude) = (floats("THETA")?, floats("FWHM")?, floats("CATMAG")?);
    let (half_light, isophotal) = (floats("R50")?, floats("FLUXISO")?);
    let isophotal_error = floats("FISOERR")?;
    let (total, total_error) = (floats("FLUXAUTO")?, floats("FAUTOERR")?);
    let kron_radius = floats("KRONRAD")?;
    let (point, point_error) = (floats("FLUXPSF")?, floats("FPSFERR")?);
    let chi_square = floats("CHI2PSF")?;
    let (spread, spread_error) = (floats("SPREAD")?, floats("SPREADER")?);
    let (pixel_count, flags) = (reader.integers("NPIX")?, reader.integers("FLAGS")?);
    let (catalogue_ra, catalogue_dec) = (floats("CATRA")?, floats("CATDEC")?);
    let (ids, kinds) = (reader.texts("CATID")?, reader.texts("CATKIND")?);
    let mut sources = Vec::with_capacity(table.row_count());
    for row in 0..table.row_count() {
        let float = |values: &[f64]| values.get(row).copied().unwrap_or(0.0);
        let integer = |values: &[i32]| values.get(row).copied().unwrap_or(0);
        let text = |values: &[String]| {
            values.get(row).map(|value| value.trim().to_owned()).unwrap_or_default()
        };
        let kind = parse_kind(&text(kinds));
        sources.push(MeasuredSource {
            source: Source {
                x: float(x) - 1.0,
                y: float(y) - 1.0,
                position_error_pixels: float(position_error),
                peak_electrons: float(peak),
                flux_electrons: float(flux),
                flux_error_electrons: float(flux_error),
                aperture_radius_pixels: float(radius),
                semi_major_pixels: float(major),
                semi_minor_pixels: float(minor),
                theta_radians: float(theta),
                fwhm_pixels: float(fwhm),
                half_light_radius_pixels: float(half_light),
                isophotal_flux_electrons: float(isophotal),
                isophotal_flux_error_electrons: float(isophotal_error),
                total: Some(TotalFlux {
                    electrons: float(total),
                    error_electrons: float(total_error),
                    kron_radius: float(kron_radius),
                })
                .filter(|total| total.kron_radius > 0.0),
                point: Some(PointFlux {
                    electrons: float(point),
                    error_electrons: float(point_error),
                    reduced_chi_square: float(chi_square),
                })
                .filter(|point| point.error_electrons > 0.0),
                spread: Some(SpreadModel { value: float(spread), error: float(spread_error) })
                    .filter(|spread| spread.error > 0.0),
                pixel_count: usize::try_from(integer(pixel_count)).unwrap_or(0),
                flags: SourceFlags(u16::try_from(integer(flags)).unwrap_or(0)),
            },
            object: kind.map(|kind| IdentifiedObject {
                id: text(ids),
                kind,
                magnitude: float(catalogue_magnitude),
                position: SkyPosition::new(float(catalogue_ra), float(catalogue_dec)),
            }),
        });
    }
    Ok(sources)
}

fn kind_word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Star => "star",
        ObjectKind::Galaxy => "galaxy",
        ObjectKind::Unknown => "unknown",
    }
}

fn parse_kind(word: &str) -> Option<ObjectKind> {
    match word {
        "star" => Some(ObjectKind::Star),
        "galaxy" => Some(ObjectKind::Galaxy),
        "unknown" => Some(ObjectKind::Unknown),
        _ => None,
    }
}

struct Reader<'a> {
    table: &'a Table,
    path: &'a Path,
}

impl<'a> Reader<'a> {
    fn data(&self, name: &str) -> Result<&'a ColumnData, Gp1Error> {
        self.table.column(name).map(|column| &column.data).ok_or_else(|| self.wrong(name))
    }

    fn wrong(&self, name: &str) -> Gp1Error {
        Gp1Error::Content {
            path: self.path.to_owned(),
            what: format!("column {name} of {TABLE_NAME} is absent or of another type"),
        }
    }

    fn floats(&self, name: &str) -> Result<&'a [f64], Gp1Error> {
        match self.data(name)? {
            ColumnData::Float64(values) => Ok(values),
            _ => Err(self.wrong(name)),
        }
    }

    fn integers(&self, name: &str) -> Result<&'a [i32], Gp1Error> {
        match self.data(name)? {
            ColumnData::Integer32(values) => Ok(values),
            _ => Err(self.wrong(name)),
        }
    }

    fn texts(&self, name: &str) -> Result<&'a [String], Gp1Error> {
        match self.data(name)? {
            ColumnData::Text { values, .. } => Ok(values),
            _ => Err(self.wrong(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::astrometry::tests::source;
    use super::*;
    use crate::fits::cfitsio::Cfitsio;
    use crate::imaging::wcs::TangentPlane;

    fn sources() -> Vec<MeasuredSource> {
        let mut first = source(100.123456789, 200.987654321, 12345.678901234);
        first.flags.set(SourceFlags::BLENDED);
        first.point =
            Some(PointFlux { electrons: 14e3, error_electrons: 99.5, reduced_chi_square: 1.25 });
        first.total =
            Some(TotalFlux { electrons: 13e3, error_electrons: 150.5, kron_radius: 3.8125 });
        first.spread = Some(SpreadModel { value: 0.015625, error: 0.0021 });
        let object = IdentifiedObject {
            id: "S17 b".into(),
            kind: ObjectKind::Galaxy,
            magnitude: 17.123456789,
            position: SkyPosition::new(30.000123456789, -24.5),
        };
        vec![
            MeasuredSource { source: first, object: Some(object) },
            MeasuredSource { source: source(1.5, 2.5, -3.0), object: None },
        ]
    }

    #[test]
    fn what_is_written_is_read_to_the_last_bit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f_sources.fits");
        let wcs = TangentPlane::nominal((511.5, 511.5), SkyPosition::new(30.0, 24.0), 0.000195);
        let scales = TableScales {
            wcs: Some(&wcs.into()),
            zero_point: Some((22.8, 0.01)),
            aperture: None,
            exposure_seconds: 60.0,
        };
        let sources = sources();
        write_sources(&Cfitsio, &path, &Header::new(), &sources, scales).unwrap();
        let read = read_sources(&Cfitsio, &path).unwrap();
        // One is added to X and Y and taken off again: exact to the spacing of numbers there.
        for (before, after) in sources.iter().zip(&read) {
            assert!((before.source.x - after.source.x).abs() < 1e-12);
            let moved = MeasuredSource {
                source: Source { x: before.source.x, y: before.source.y, ..after.source.clone() },
                object: after.object.clone(),
            };
            assert_eq!(*before, moved);
        }
        // Written again, the file says the same to the last bit.
        write_sources(&Cfitsio, &path, &Header::new(), &read, scales).unwrap();
        let again = read_sources(&Cfitsio, &path).unwrap();
        assert_eq!(read, again);
        let table = Cfitsio.read_tables(&path).unwrap();
        let ColumnData::Float64(magnitudes) = &table.tables[0].column("MAG").unwrap().data else {
            panic!("MAG is not a number");
        };
        assert!((magnitudes[0] - (22.8 - 2.5 * (12345.678901234f64 / 60.0).log10())).abs() < 1e-9);
        assert_eq!(magnitudes[1], 0.0);
    }

    #[test]
    fn an_empty_list_and_a_foreign_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f_sources.fits");
        let scales =
            TableScales { wcs: None, zero_point: None, aperture: None, exposure_seconds: 60.0 };
        write_sources(&Cfitsio, &path, &Header::new(), &[], scales).unwrap();
        assert!(read_sources(&Cfitsio, &path).unwrap().is_empty());
        let column = Column {
            name: "X".into(),
            unit: String::new(),
            description: String::new(),
            data: ColumnData::Float64(vec![1.0]),
        };
        let table = Table { name: "OTHER".into(), header: Header::new(), columns: vec![column] };
        let content = FitsTables { primary: Header::new(), tables: vec![table] };
        let foreign = directory.path().join("g.fits");
        Cfitsio.write_tables(&foreign, &content).unwrap();
        assert!(matches!(read_sources(&Cfitsio, &foreign), Err(Gp1Error::Content { .. })));
    }
}
