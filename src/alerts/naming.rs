//! Names of bursts as the telescope control system makes them (domain.md §1.5).

use crate::model::UtcTime;

const MILLIONTHS_PER_DAY: i64 = 86_400_000_000;

/// `SVOM yymmdd.fff`: the UTC date and the thousandths of the day, cut, never rounded.
pub fn trigger_name(mission: &str, t0: UtcTime) -> String {
    let thousandths =
        t0.unix_microseconds().rem_euclid(MILLIONTHS_PER_DAY) / (MILLIONTHS_PER_DAY / 1000);
    let date = t0.compact_date();
    let short_date = date.get(2..).unwrap_or(&date);
    format!("{mission} {short_date}.{thousandths:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_of_the_day_is_cut() {
        let name = |text: &str| trigger_name("SVOM", UtcTime::parse(text).unwrap());
        assert_eq!(name("2026-05-11T11:00:31.8"), "SVOM 260511.458");
        assert_eq!(name("2026-05-11T00:00:00"), "SVOM 260511.000");
        assert_eq!(name("2026-05-11T23:59:59.999999"), "SVOM 260511.999");
        assert_eq!(name("1969-12-31T12:00:00"), "SVOM 691231.500");
    }
}
