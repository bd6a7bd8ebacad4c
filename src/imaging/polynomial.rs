//! Polynomials of two variables with their slopes, as distortions of a camera are written.

use serde::{Deserialize, Serialize};

/// The SIP convention knows no higher powers (Shupe et al. 2005, §2: A_ORDER is 2 to 9).
pub const MAXIMUM_DEGREE: usize = 9;

/// One term: coefficient · uⁱ · vʲ with `powers` = (i, j).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PolynomialTerm {
    pub powers: (usize, usize),
    pub coefficient: f64,
}

/// Why terms make no polynomial.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PolynomialError {
    #[error("degree {degree} is above {MAXIMUM_DEGREE}")]
    Degree { degree: usize },
    #[error("the coefficient of u^{} v^{} is not a finite number", .powers.0, .powers.1)]
    NotFinite { powers: (usize, usize) },
}

/// Value of a polynomial at a point and its slopes there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolynomialValue {
    pub value: f64,
    pub along_u: f64,
    pub along_v: f64,
}

/// Σ cᵢⱼ uⁱ vʲ over i + j ≤ degree. All coefficients are finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<PolynomialTerm>", try_from = "Vec<PolynomialTerm>")]
pub struct BivariatePolynomial {
    degree: usize,
    /// In the order of Horner's scheme: power of u falling, within it power of v falling.
    descending: Vec<f64>,
}

impl BivariatePolynomial {
    /// The polynomial of these terms; a pair of powers that is there twice counts twice.
    pub fn new(terms: &[PolynomialTerm]) -> Result<Self, PolynomialError> {
        let degree = terms
            .iter()
            .map(|term| term.powers.0.saturating_add(term.powers.1))
            .max()
            .unwrap_or_default();
        if degree > MAXIMUM_DEGREE {
            return Err(PolynomialError::Degree { degree });
        }
        let mut descending = vec![0.0; (degree + 1) * (degree + 2) / 2];
        for term in terms {
            if let Some(place) = descending.get_mut(place_of(degree, term.powers)) {
                *place += term.coefficient;
                if !place.is_finite() {
                    return Err(PolynomialError::NotFinite { powers: term.powers });
                }
            }
        }
        Ok(Self { degree, descending })
    }

    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Its terms without the zeros, by rising power of u, then of v.
    pub fn terms(&self) -> impl Iterator<Item = PolynomialTerm> + '_ {
        powers_up_to(self.degree).filter_map(|powers| {
            let coefficient = *self.descending.get(place_of(self.degree, powers))?;
            (coefficient != 0.0).then_some(PolynomialTerm { powers, coefficient })
        })
    }

    /// The slopes at u = v = 0: the linear coefficients.
    pub fn slopes_at_origin(&self) -> [f64; 2] {
        [(1, 0), (0, 1)].map(|powers| match self.degree {
            0 => 0.0,
            degree => self.descending.get(place_of(degree, powers)).copied().unwrap_or_default(),
        })
    }

    pub fn value(&self, u: f64, v: f64) -> f64 {
        let mut rest = self.descending.as_slice();
        let mut value = 0.0;
        for length in 1..=self.degree + 1 {
            let (row, tail) = rest.split_at_checked(length).unwrap_or_default();
            rest = tail;
            value = value * u + row.iter().fold(0.0, |sum, coefficient| sum * v + coefficient);
        }
        value
    }

    pub fn value_and_slopes(&self, u: f64, v: f64) -> PolynomialValue {
        let mut rest = self.descending.as_slice();
        let (mut value, mut along_u, mut along_v) = (0.0, 0.0, 0.0);
        for length in 1..=self.degree + 1 {
            let (row, tail) = rest.split_at_checked(length).unwrap_or_default();
            rest = tail;
            let (mut sum, mut slope) = (0.0, 0.0);
            for coefficient in row {
                slope = slope * v + sum;
                sum = sum * v + coefficient;
            }
            along_u = along_u * u + value;
            along_v = along_v * u + slope;
            value = value * u + sum;
        }
        PolynomialValue { value, along_u, along_v }
    }
}

/// All pairs of powers with a sum of at most `degree`, by rising power of u, then of v.
pub fn powers_up_to(degree: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..=degree).flat_map(move |i| (0..=degree - i).map(move |j| (i, j)))
}

/// Index in the order of Horner's scheme; i + j is at most `degree`.
fn place_of(degree: usize, (i, j): (usize, usize)) -> usize {
    let row = degree - i;
    row * (row + 1) / 2 + (row - j)
}

impl From<BivariatePolynomial> for Vec<PolynomialTerm> {
    fn from(polynomial: BivariatePolynomial) -> Self {
        polynomial.terms().collect()
    }
}

impl TryFrom<Vec<PolynomialTerm>> for BivariatePolynomial {
    type Error = PolynomialError;

    fn try_from(terms: Vec<PolynomialTerm>) -> Result<Self, PolynomialError> {
        Self::new(&terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(i: usize, j: usize, coefficient: f64) -> PolynomialTerm {
        PolynomialTerm { powers: (i, j), coefficient }
    }

    #[test]
    fn value_and_slopes_are_those_of_the_formula() {
        let polynomial = BivariatePolynomial::new(&[
            term(0, 0, 0.5),
            term(2, 0, 3.0),
            term(1, 1, -2.0),
            term(0, 3, 0.25),
            term(2, 2, 0.125),
        ])
        .unwrap();
        assert_eq!(polynomial.degree(), 4);
        let (u, v) = (1.5, -2.0);
        let expected = 0.5 + 3.0 * u * u - 2.0 * u * v + 0.25 * v * v * v + 0.125 * u * u * v * v;
        let found = polynomial.value_and_slopes(u, v);
        assert_eq!(found.value, expected);
        assert_eq!(polynomial.value(u, v), expected);
        assert_eq!(found.along_u, 6.0 * u - 2.0 * v + 0.25 * u * v * v);
        assert_eq!(found.along_v, -2.0 * u + 0.75 * v * v + 0.25 * u * u * v);
    }

    #[test]
    fn terms_come_back() {
        let terms = vec![term(0, 2, 1e-6), term(1, 1, -3e-7), term(3, 0, 2e-9)];
        let polynomial = BivariatePolynomial::new(&terms).unwrap();
        assert_eq!(polynomial.terms().collect::<Vec<_>>(), terms);
        let text = serde_json::to_string(&polynomial).unwrap();
        assert_eq!(serde_json::from_str::<BivariatePolynomial>(&text).unwrap(), polynomial);
        assert_eq!(polynomial.slopes_at_origin(), [0.0, 0.0]);
        let linear = BivariatePolynomial::new(&[term(1, 0, 2.0), term(0, 1, 3.0), term(2, 0, 9.0)]);
        assert_eq!(linear.unwrap().slopes_at_origin(), [2.0, 3.0]);
        let nothing = BivariatePolynomial::new(&[]).unwrap();
        assert_eq!((nothing.value(3.0, 4.0), nothing.terms().count()), (0.0, 0));
        assert_eq!(nothing.slopes_at_origin(), [0.0, 0.0]);
    }

    #[test]
    fn high_powers_and_infinities_are_refused() {
        let high = BivariatePolynomial::new(&[term(5, 5, 1.0)]);
        assert_eq!(high, Err(PolynomialError::Degree { degree: 10 }));
        let beyond = BivariatePolynomial::new(&[term(usize::MAX, 5, 1.0)]);
        assert_eq!(beyond, Err(PolynomialError::Degree { degree: usize::MAX }));
        let infinite = BivariatePolynomial::new(&[term(1, 0, f64::INFINITY)]);
        assert_eq!(infinite, Err(PolynomialError::NotFinite { powers: (1, 0) }));
    }
}
