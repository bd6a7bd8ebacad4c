//! QTI: one row for each configured filter with the power law fitted to the light curve of the best counterpart candidate.

use super::header_values::counterparts;
use super::placement::Row;
use crate::model::{AnalysisResult, FadingFit};

/// Points that a power law needs.
const FEWEST_POINTS: usize = 2;

/// Rows of QTI; without a fit FITNPTS is below 2 and every figure 0.
pub(super) fn time_indices(result: &AnalysisResult, filters: &[String]) -> Vec<Row> {
    let best = counterparts(result).into_iter().next();
    filters
        .iter()
        .map(|filter| {
            let found = best.and_then(|listed| {
                let fit = listed.candidate.fits.iter().find(|fit| &fit.filter == filter)?;
                Some((listed.candidate.id.as_str(), fit))
            });
            row(result, filter, found)
        })
        .collect()
}

fn row(result: &AnalysisResult, filter: &str, found: Option<(&str, &FadingFit)>) -> Row {
    let points = found.map_or(0, |(_, fit)| fit.point_count);
    let fitted = found.filter(|(_, fit)| fit.point_count >= FEWEST_POINTS && is_sound(fit));
    let figure = |of_fit: fn(&FadingFit) -> f64| fitted.map_or(0.0, |(_, fit)| of_fit(fit));
    let mjd = |of_fit: fn(&FadingFit) -> f64| {
        fitted.map_or(0.0, |(_, fit)| result.t0.plus_seconds(of_fit(fit)).mjd())
    };
    // A fit that gave no number is no fit: the count must say so too.
    let points = if fitted.is_some() { points } else { points.min(FEWEST_POINTS - 1) };
    vec![
        ("FILTER", filter.into()),
        ("FITNPTS", points.into()),
        ("FITNORM", figure(|fit| fit.magnitude_at_60_seconds).into()),
        ("FITINDEX", figure(|fit| fit.index).into()),
        ("ERFITINDEX", figure(|fit| fit.index_error).into()),
        ("FITCHI2", figure(|fit| fit.reduced_chi_square).into()),
        ("TFSTART", figure(|fit| fit.first_seconds).into()),
        ("TFSTOP", figure(|fit| fit.last_seconds).into()),
        ("TFSTARTMJD", mjd(|fit| fit.first_seconds).into()),
        ("TFSTOPMJD", mjd(|fit| fit.last_seconds).into()),
        ("OBJECTID", fitted.map(|(id, _)| id).unwrap_or_default().into()),
    ]
}

fn is_sound(fit: &FadingFit) -> bool {
    [
        fit.magnitude_at_60_seconds,
        fit.index,
        fit.index_error,
        fit.reduced_chi_square,
        fit.first_seconds,
        fit.last_seconds,
    ]
    .iter()
    .all(|figure| figure.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::sample;
    use crate::products::value::Value;

    fn cell<'a>(row: &'a Row, name: &str) -> &'a Value {
        &row.iter().find(|(column, _)| *column == name).unwrap().1
    }

    #[test]
    fn a_fit_in_its_filter_and_zeros_in_the_others() {
        let result = sample::result();
        let rows = time_indices(&result, &sample::settings().filters);
        assert_eq!(rows.len(), 6);
        assert_eq!(cell(&rows[1], "FITNPTS"), &Value::Integer(2));
        assert_eq!(cell(&rows[1], "FITINDEX"), &Value::from(1.0));
        assert_eq!(cell(&rows[1], "TFSTART"), &Value::from(135.0));
        assert_eq!(cell(&rows[0], "FITNPTS"), &Value::Integer(0));
        assert_eq!(cell(&rows[0], "TFSTARTMJD"), &Value::from(0.0));
        assert_eq!(cell(&rows[0], "OBJECTID"), &Value::from(""));
    }

    #[test]
    fn a_fit_without_numbers_is_no_fit() {
        let mut result = sample::result();
        result.candidates[0].candidate.fits[0].index_error = f64::INFINITY;
        let rows = time_indices(&result, &["r".to_owned()]);
        assert_eq!(cell(&rows[0], "FITNPTS"), &Value::Integer(1));
        assert_eq!(cell(&rows[0], "FITNORM"), &Value::from(0.0));
    }
}
