//! A fair trial of an exact catalogue: blurred and cut, as real ones are (interfaces.md §6).

use super::{
    CatalogueParameters, SimulationError,
    random::{Purpose, stream},
};
use rand_distr::{Distribution, StandardNormal};
use std::{fmt::Write, path::Path};

/// Columns of the exact catalogue, in this order.
const COLUMNS: [&str; 5] = ["id", "kind", "ra", "dec", "mag"];

/// Writes to `destination` what a real survey would know of the catalogue in `source` (CSV `id,kind,ra,dec,mag`): positions and magnitudes
/// with errors drawn from the seed, nothing that seems fainter than the limit.
pub fn blurred_catalogue(
    source: &Path,
    destination: &Path,
    seed: u64,
    parameters: &CatalogueParameters,
) -> Result<(), SimulationError> {
    let io = |path: &Path, source| SimulationError::Io { path: path.to_owned(), source };
    let text = std::fs::read_to_string(source).map_err(|error| io(source, error))?;
    let mut blurred = COLUMNS.join(",");
    blurred.push('\n');
    for (index, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        if index == 0 && fields.starts_with(&COLUMNS) {
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let complaint = |what: &str| SimulationError::Content {
            path: source.to_owned(),
            line: Some(index + 1),
            what: what.to_owned(),
        };
        let [id, kind, ra, dec, magnitude, ..] = fields.as_slice() else {
            return Err(complaint("a line has id,kind,ra,dec,mag"));
        };
        let number = |text: &str| -> Result<f64, SimulationError> {
            text.parse().map_err(|_| complaint(&format!("'{text}' is not a number")))
        };
        let mut generator = stream(seed, Purpose::Catalogue, index as u32);
        let mut normal = || -> f64 { StandardNormal.sample(&mut generator) };
        let error_arcsec = parameters.position_error_mas / 1000.0;
        let position = crate::model::SkyPosition::new(number(ra)?, number(dec)?)
            .offset_arcsec(error_arcsec * normal(), error_arcsec * normal());
        let magnitude = number(magnitude)? + parameters.magnitude_error * normal();
        if magnitude <= parameters.faintest_magnitude {
            // Writing to a String cannot fail.
            let _ = writeln!(
                blurred,
                "{id},{kind},{:.7},{:.7},{magnitude:.3}",
                position.ra_degrees, position.dec_degrees
            );
        }
    }
    std::fs::write(destination, blurred).map_err(|error| io(destination, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_blurred_and_faint_objects_cut() {
        let directory = tempfile::tempdir().unwrap();
        let (exact, blurred) = (directory.path().join("a.csv"), directory.path().join("b.csv"));
        let mut text = "id,kind,ra,dec,mag\n".to_owned();
        for number in 0..400 {
            text += &format!("{number},star,30.2,24.5,{}\n", 18.0 + f64::from(number % 4));
        }
        std::fs::write(&exact, text).unwrap();
        blurred_catalogue(&exact, &blurred, 1, &CatalogueParameters::default()).unwrap();
        let made = std::fs::read_to_string(&blurred).unwrap();
        let declinations: Vec<f64> =
            made.lines().skip(1).map(|l| l.split(',').nth(3).unwrap().parse().unwrap()).collect();
        assert_eq!(declinations.len(), 200);
        let scatter = (declinations.iter().map(|d| ((d - 24.5) * 3600e3).powi(2)).sum::<f64>()
            / declinations.len() as f64)
            .sqrt();
        assert!((40.0..60.0).contains(&scatter), "{scatter} mas");
    }
}
