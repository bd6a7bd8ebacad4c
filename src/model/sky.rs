//! Directions on the sky (ICRS).

use serde::{Deserialize, Serialize};

/// A direction in ICRS, degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SkyPosition {
    /// Right ascension, 0 ≤ α < 360.
    pub ra_degrees: f64,
    /// Declination, -90 ≤ δ ≤ 90.
    pub dec_degrees: f64,
}

impl SkyPosition {
    /// A direction; right ascension is brought into 0..360.
    pub fn new(ra_degrees: f64, dec_degrees: f64) -> Self {
        Self { ra_degrees: ra_degrees.rem_euclid(360.0), dec_degrees }
    }

    /// Angle to `other`, arcseconds (haversine: exact for small angles as well as large).
    pub fn separation_arcsec(self, other: Self) -> f64 {
        let dec_a = self.dec_degrees.to_radians();
        let dec_b = other.dec_degrees.to_radians();
        let half_dec = (dec_b - dec_a) / 2.0;
        let half_ra = (other.ra_degrees - self.ra_degrees).to_radians() / 2.0;
        let h = half_dec.sin().powi(2) + dec_a.cos() * dec_b.cos() * half_ra.sin().powi(2);
        2.0 * h.sqrt().min(1.0).asin().to_degrees() * 3600.0
    }

    /// The direction `east_arcsec` and `north_arcsec` away on the tangent plane at this one
    /// (inverse gnomonic projection, Calabretta & Greisen 2002, §5.1.3).
    pub fn offset_arcsec(self, east_arcsec: f64, north_arcsec: f64) -> Self {
        let xi = (east_arcsec / 3600.0).to_radians();
        let eta = (north_arcsec / 3600.0).to_radians();
        let (sin_dec, cos_dec) = self.dec_degrees.to_radians().sin_cos();
        let denominator = cos_dec - eta * sin_dec;
        let ra = self.ra_degrees + xi.atan2(denominator).to_degrees();
        let dec = (sin_dec + eta * cos_dec).atan2(xi.hypot(denominator)).to_degrees();
        Self::new(ra, dec)
    }

    /// `JHHMMSS_DDMMSS` (or `JHHMMSS_mDDMMSS` south of the equator would lose the sign, so `-` is kept):
    /// the name the French Science Center gives to candidates.
    pub fn designation(self) -> String {
        let ra_seconds = (self.ra_degrees / 15.0 * 3600.0).floor() as u64 % 86400;
        let dec_seconds = (self.dec_degrees.abs() * 3600.0).floor() as u64;
        let sign = if self.dec_degrees < 0.0 { "-" } else { "" };
        format!(
            "J{:02}{:02}{:02}_{sign}{:02}{:02}{:02}",
            ra_seconds / 3600,
            ra_seconds / 60 % 60,
            ra_seconds % 60,
            dec_seconds / 3600,
            dec_seconds / 60 % 60,
            dec_seconds % 60
        )
    }

    /// Galactic longitude and latitude, degrees (Hipparcos Catalogue, ESA SP-1200 vol. 1, eq. 1.5.11).
    pub fn galactic_degrees(self) -> (f64, f64) {
        const ICRS_TO_GALACTIC: [[f64; 3]; 3] = [
            [-0.0548755604162154, -0.873_437_090_234_885, -0.4838350155487132],
            [0.4941094278755837, -0.444_829_629_960_011_2, 0.746_982_244_497_219],
            [-0.8676661490190047, -0.1980763734312015, 0.4559837761750669],
        ];
        let (sin_ra, cos_ra) = self.ra_degrees.to_radians().sin_cos();
        let (sin_dec, cos_dec) = self.dec_degrees.to_radians().sin_cos();
        let direction = [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec];
        let rotated = ICRS_TO_GALACTIC
            .map(|row| row[0] * direction[0] + row[1] * direction[1] + row[2] * direction[2]);
        let longitude = rotated[1].atan2(rotated[0]).to_degrees().rem_euclid(360.0);
        let latitude = rotated[2].clamp(-1.0, 1.0).asin().to_degrees();
        (longitude, latitude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separation_and_offset_agree() {
        let centre = SkyPosition::new(30.2695, 24.5099);
        let moved = centre.offset_arcsec(30.0, -40.0);
        assert!((centre.separation_arcsec(moved) - 50.0).abs() < 1e-4);
        assert!(moved.ra_degrees > centre.ra_degrees);
        assert!(moved.dec_degrees < centre.dec_degrees);
    }

    #[test]
    fn galactic_coordinates_agree_with_astropy() {
        // Tolerance 1e-5 degrees (36 mas): Hipparcos takes the pole as exact in ICRS, astropy takes it as
        // exact in FK5, and the two frames differ by about 23 mas.
        let rows: Vec<[f64; 4]> =
            serde_json::from_str(include_str!("../../tests/oracles/galactic.json")).unwrap();
        assert_eq!(rows.len(), 5);
        for [ra, dec, expected_longitude, expected_latitude] in rows {
            let (longitude, latitude) = SkyPosition::new(ra, dec).galactic_degrees();
            assert!((latitude - expected_latitude).abs() < 1e-5, "{ra} {dec}: {latitude}");
            let difference = (longitude - expected_longitude) * latitude.to_radians().cos();
            assert!(difference.abs() < 1e-5, "{ra} {dec}: {longitude}");
        }
    }

    #[test]
    fn designation_truncates() {
        assert_eq!(SkyPosition::new(51.729, 46.65).designation(), "J032654_463900");
        assert_eq!(SkyPosition::new(0.0, -0.5).designation(), "J000000_-003000");
    }
}
