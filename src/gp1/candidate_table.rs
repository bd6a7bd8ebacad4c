//! All candidates of a deadline as FITS tables, `candidates.fits`: one row each, and their light curves.

use super::error::Gp1Error;
use crate::fits::{Column, ColumnData, FitsStore, FitsTables, Header, Table};
use crate::model::{Candidate, LightCurvePoint, VettingReason};
use std::path::Path;

/// Writes the tables CANDIDATES (best first) and LIGHTCURVES (keyed by the rank). Absent numbers are 0, as in the products.
pub fn write_candidates(
    store: &dyn FitsStore,
    path: &Path,
    header: &Header,
    candidates: &[Candidate],
) -> Result<(), Gp1Error> {
    let content = FitsTables {
        primary: header.clone(),
        tables: vec![candidate_rows(candidates), light_curve_rows(candidates)],
    };
    Ok(store.write_tables(path, &content)?)
}

fn number<T>(
    rows: &[T],
    name: &str,
    unit: &str,
    description: &str,
    value: impl Fn(&T) -> f64,
) -> Column {
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    Column {
        name: name.into(),
        unit: unit.into(),
        description: description.into(),
        data: ColumnData::Float64(rows.iter().map(|row| finite(value(row))).collect()),
    }
}

fn whole<T>(rows: &[T], name: &str, description: &str, value: impl Fn(&T) -> usize) -> Column {
    let values = rows.iter().map(|row| i32::try_from(value(row)).unwrap_or(i32::MAX));
    Column {
        name: name.into(),
        unit: String::new(),
        description: description.into(),
        data: ColumnData::Integer32(values.collect()),
    }
}

fn text<T>(rows: &[T], name: &str, description: &str, value: impl Fn(&T) -> String) -> Column {
    let values: Vec<String> = rows.iter().map(value).collect();
    let width = values.iter().map(String::len).max().unwrap_or(0).max(1);
    Column {
        name: name.into(),
        unit: String::new(),
        description: description.into(),
        data: ColumnData::Text { width, values },
    }
}

fn candidate_rows(candidates: &[Candidate]) -> Table {
    let rows: Vec<(usize, &Candidate)> =
        candidates.iter().enumerate().map(|(index, each)| (index + 1, each)).collect();
    let strongest = |candidate: &Candidate| {
        candidate
            .fits
            .iter()
            .max_by(|left, right| left.chi_square_gain.total_cmp(&right.chi_square_gain))
            .map(|fit| (fit.index, fit.index_error, fit.chi_square_gain))
            .unwrap_or((0.0, 0.0, 0.0))
    };
    let first = |candidate: &Candidate| {
        let detected = candidate.light_curve.iter().find(|point| point.detected);
        detected.map_or((0.0, 0.0), |point| (point.magnitude, point.magnitude_error))
    };
    let reasons = |reasons: &[VettingReason]| {
        let words: Vec<String> = reasons
            .iter()
            .filter_map(|reason| serde_json::to_value(reason).ok()?.as_str().map(str::to_owned))
            .collect();
        words.join(" ")
    };
    let columns = vec![
        whole(&rows, "RANK", "1 is the best", |row| row.0),
        text(&rows, "ID", "name", |row| row.1.id.clone()),
        number(&rows, "RA", "deg", "right ascension, ICRS", |row| row.1.position.ra_degrees),
        number(&rows, "DEC", "deg", "declination, ICRS", |row| row.1.position.dec_degrees),
        number(&rows, "POSERR", "arcsec", "standard error", |row| row.1.position_error_arcsec),
        number(&rows, "SCORE", "", "0 to 1", |row| row.1.score),
        whole(&rows, "INREGION", "1 inside the search region", |row| {
            usize::from(row.1.in_search_region)
        }),
        number(&rows, "OFFSET", "arcsec", "from its centre", |row| {
            row.1.offset_arcsec.unwrap_or(0.0)
        }),
        whole(&rows, "NDET", "frames with a detection", |row| row.1.detection_count),
        number(&rows, "MAG", "mag", "first detection", |row| first(row.1).0),
        number(&rows, "MAGERR", "mag", "standard error", |row| first(row.1).1),
        number(&rows, "INDEX", "", "of the best power law", |row| strongest(row.1).0),
        number(&rows, "INDEXERR", "", "standard error", |row| strongest(row.1).1),
        number(&rows, "CHIGAIN", "", "chi2 that fading explains", |row| strongest(row.1).2),
        text(&rows, "REASONS", "what speaks for and against", |row| reasons(&row.1.reasons)),
        text(&rows, "SETASIDE", "reason why it is no candidate", |row| {
            reasons(row.1.set_aside.as_slice())
        }),
        text(&rows, "MINORPL", "minor planet predicted there", |row| {
            row.1.minor_planet.as_ref().map(|each| each.name.clone()).unwrap_or_default()
        }),
        number(&rows, "MPDIST", "arcsec", "from the predicted place", |row| {
            row.1.minor_planet.as_ref().map_or(0.0, |each| each.separation_arcsec)
        }),
        number(&rows, "MPERR", "arcsec", "standard error of that place", |row| {
            row.1.minor_planet.as_ref().map_or(0.0, |each| each.position_error_arcsec)
        }),
        number(&rows, "MPMAG", "mag", "predicted V", |row| {
            row.1.minor_planet.as_ref().and_then(|each| each.magnitude).unwrap_or(0.0)
        }),
    ];
    Table { name: "CANDIDATES".into(), header: Header::new(), columns }
}

fn light_curve_rows(candidates: &[Candidate]) -> Table {
    let rows: Vec<(usize, &LightCurvePoint)> = candidates
        .iter()
        .enumerate()
        .flat_map(|(index, each)| each.light_curve.iter().map(move |point| (index + 1, point)))
        .collect();
    let columns = vec![
        whole(&rows, "RANK", "candidate", |row| row.0),
        text(&rows, "IMAGE", "frame or stack", |row| row.1.image.clone()),
        text(&rows, "FILTER", "filter", |row| row.1.filter.clone()),
        number(&rows, "STARTMJD", "d", "UTC of the start", |row| row.1.start.mjd()),
        number(&rows, "ENDMJD", "d", "UTC of the end", |row| row.1.end.mjd()),
        number(&rows, "EXPTIME", "s", "sum of the exposures", |row| row.1.exposure_seconds),
        whole(&rows, "DETECTED", "1 detected", |row| usize::from(row.1.detected)),
        number(&rows, "MAG", "mag", "limit if not detected", |row| row.1.magnitude),
        number(&rows, "MAGERR", "mag", "standard error", |row| row.1.magnitude_error),
        number(&rows, "SNR", "", "signal to noise", |row| row.1.signal_to_noise),
        number(&rows, "FLUX", "", "1 at magnitude 25", |row| row.1.flux),
        number(&rows, "FLUXERR", "", "standard error", |row| row.1.flux_error),
        number(&rows, "LIMMAG", "mag", "ten sigma there", |row| row.1.limiting_magnitude),
    ];
    Table { name: "LIGHTCURVES".into(), header: Header::new(), columns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::cfitsio::Cfitsio;
    use crate::model::{MinorPlanetMatch, SkyPosition, UtcTime};

    #[test]
    fn every_candidate_has_its_row_and_its_points() {
        let start = UtcTime::parse("2019-10-16T04:20:01").unwrap();
        let point = |detected| LightCurvePoint {
            image: "20191016T042001C0o".into(),
            filter: "w".into(),
            start,
            end: start.plus_seconds(60.0),
            exposure_seconds: 60.0,
            detected,
            magnitude: 17.0,
            magnitude_error: f64::NAN,
            signal_to_noise: 50.0,
            flux: 1.0,
            flux_error: 0.1,
            limiting_magnitude: 19.0,
        };
        let candidate = Candidate {
            id: "J020104_243005".into(),
            position: SkyPosition::new(30.27, 24.5),
            position_error_arcsec: 0.1,
            light_curve: vec![point(false), point(true)],
            fits: Vec::new(),
            reasons: vec![VettingReason::NotInCatalogue, VettingReason::InSearchRegion],
            score: 0.9,
            in_search_region: true,
            offset_arcsec: None,
            first_detected: start,
            detection_count: 1,
            minor_planet: Some(MinorPlanetMatch {
                name: "(433) Eros".into(),
                separation_arcsec: 0.4,
                position_error_arcsec: 0.2,
                magnitude: None,
            }),
            set_aside: Some(VettingReason::SeenOnce),
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("candidates.fits");
        write_candidates(&Cfitsio, &path, &Header::new(), &[candidate]).unwrap();
        let content = Cfitsio.read_tables(&path).unwrap();
        assert_eq!(content.tables[0].row_count(), 1);
        assert_eq!(content.tables[1].row_count(), 2);
        let ColumnData::Text { values, .. } = &content.tables[0].column("REASONS").unwrap().data
        else {
            panic!("REASONS is no text");
        };
        assert_eq!(values[0].trim(), "not-in-catalogue in-search-region");
        let ColumnData::Text { values, .. } = &content.tables[0].column("SETASIDE").unwrap().data
        else {
            panic!("SETASIDE is no text")
        };
        assert_eq!(values[0].trim_end(), "seen-once");
        let ColumnData::Text { values, .. } = &content.tables[0].column("MINORPL").unwrap().data
        else {
            panic!("MINORPL is no text");
        };
        assert_eq!(values[0].trim(), "(433) Eros");
        let ColumnData::Float64(errors) = &content.tables[1].column("MAGERR").unwrap().data else {
            panic!("MAGERR is no number");
        };
        assert_eq!(errors, &[0.0, 0.0]);
        // No candidates: the tables are there, and empty.
        write_candidates(&Cfitsio, &path, &Header::new(), &[]).unwrap();
        assert_eq!(Cfitsio.read_tables(&path).unwrap().tables.len(), 2);
    }
}
