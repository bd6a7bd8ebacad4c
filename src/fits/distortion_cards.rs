//! Distortion polynomials as header cards: SIP (Shupe et al. 2005) and TPV (FITS registry of conventions).

use super::Header;
use super::wcs_cards::{WcsCardsError, optional};
use crate::imaging::polynomial::{
    BivariatePolynomial, MAXIMUM_DEGREE, PolynomialTerm, powers_up_to,
};
use crate::imaging::sip::SipDistortion;
use crate::imaging::tpv::{COEFFICIENT_COUNT, TpvAxis, TpvDistortion};
use crate::imaging::world_coordinates::Distortion;

/// A plain TAN has parameters up to PVi_4; a higher one is a polynomial's.
const LEAST_TPV_INDEX: usize = 5;

/// How the header writes the distortion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Convention {
    None,
    Sip,
    Tpv,
}

/// SCAMP has long written TPV under the name of TAN.
pub(super) fn is_tpv_in_disguise(header: &Header) -> bool {
    [1, 2].iter().any(|axis| {
        (LEAST_TPV_INDEX..COEFFICIENT_COUNT)
            .any(|index| header.get(&format!("PV{axis}_{index}")).is_some())
    })
}

pub(super) fn has_sip(header: &Header) -> bool {
    ["A_ORDER", "B_ORDER"].iter().any(|keyword| header.get(keyword).is_some())
}

/// Tables of shifts, as the Hubble telescope's files have them, are not read: without them positions would be wrong.
pub(super) fn refuse_lookup_tables(header: &Header) -> Result<(), WcsCardsError> {
    for keyword in ["CPDIS1", "CPDIS2", "D2IMDIS1", "D2IMDIS2"] {
        if let Some(kind) = header.text(keyword) {
            return Err(WcsCardsError::Distortion(format!("{keyword} asks for \"{kind}\"")));
        }
    }
    Ok(())
}

/// The polynomials up to their orders; orders below two are no distortion, as in astropy.
pub(super) fn read_sip(header: &Header) -> Result<Distortion, WcsCardsError> {
    if !has_sip(header) && is_tpv_in_disguise(header) {
        let what = "CTYPE says SIP, but the polynomials are those of TPV".to_owned();
        return Err(WcsCardsError::Distortion(what));
    }
    let orders = [order(header, "A")?, order(header, "B")?];
    let forward = match orders {
        [Some(a), Some(b)] if a.max(b) >= 2 => {
            [polynomial(header, "A", a)?, polynomial(header, "B", b)?]
        }
        [Some(2..), None] | [None, Some(2..)] => {
            let what = "only one of A_ORDER and B_ORDER is there".to_owned();
            return Err(WcsCardsError::Distortion(what));
        }
        _ => return Ok(Distortion::None),
    };
    // The way back is a hint alone: what is wrong with it does no harm.
    Ok(Distortion::Sip(SipDistortion { forward, inverse: hint(header).ok().flatten() }))
}

fn hint(header: &Header) -> Result<Option<[BivariatePolynomial; 2]>, WcsCardsError> {
    let (Some(ap), Some(bp)) = (order(header, "AP")?, order(header, "BP")?) else {
        return Ok(None);
    };
    Ok(Some([polynomial(header, "AP", ap)?, polynomial(header, "BP", bp)?]))
}

fn order(header: &Header, stem: &str) -> Result<Option<usize>, WcsCardsError> {
    let keyword = format!("{stem}_ORDER");
    if header.get(&keyword).is_none() {
        return Ok(None);
    }
    let order = optional(header, &keyword, 0.0)?;
    if !(0.0..=MAXIMUM_DEGREE as f64).contains(&order) || order.fract() != 0.0 {
        return Err(WcsCardsError::Distortion(format!("{keyword} is {order}")));
    }
    Ok(Some(order as usize))
}

fn polynomial(
    header: &Header,
    stem: &str,
    order: usize,
) -> Result<BivariatePolynomial, WcsCardsError> {
    let mut terms = Vec::new();
    for powers in powers_up_to(order) {
        let keyword = format!("{stem}_{}_{}", powers.0, powers.1);
        let coefficient = optional(header, &keyword, 0.0)?;
        if coefficient != 0.0 {
            terms.push(PolynomialTerm { powers, coefficient });
        }
    }
    BivariatePolynomial::new(&terms).map_err(|error| WcsCardsError::Distortion(error.to_string()))
}

pub(super) fn read_tpv(
    header: &Header,
    right_ascension_axis: usize,
    pole_longitude_degrees: f64,
) -> Result<Distortion, WcsCardsError> {
    let axis = |number: usize| {
        let mut coefficients = Vec::new();
        for index in 0..COEFFICIENT_COUNT {
            let keyword = format!("PV{number}_{index}");
            if header.get(&keyword).is_some() {
                coefficients.push((index, optional(header, &keyword, 0.0)?));
            }
        }
        TpvAxis::new(&coefficients).map_err(|error| WcsCardsError::Distortion(error.to_string()))
    };
    Ok(Distortion::Tpv(TpvDistortion {
        xi: axis(right_ascension_axis)?,
        eta: axis(3 - right_ascension_axis)?,
        pole_longitude_degrees,
    }))
}

/// Makes the linear solution of a header one of SIP.
pub(super) fn write_sip(header: &mut Header, sip: &SipDistortion) {
    header.set("CTYPE1", "RA---TAN-SIP", "right ascension, gnomonic projection with SIP");
    header.set("CTYPE2", "DEC--TAN-SIP", "declination, gnomonic projection with SIP");
    let polynomials = |polynomials: &[BivariatePolynomial; 2], stems: [&'static str; 2]| {
        let [first, second] = polynomials.clone();
        stems.into_iter().zip([first, second])
    };
    let forward = polynomials(&sip.forward, ["A", "B"]);
    let inverse = sip.inverse.iter().flat_map(|inverse| polynomials(inverse, ["AP", "BP"]));
    for (stem, polynomial) in forward.chain(inverse) {
        // Readers take an order below two for no distortion at all.
        let order = polynomial.degree().max(2);
        header.set(&format!("{stem}_ORDER"), order, "degree of the SIP polynomial");
        for term in polynomial.terms() {
            let (i, j) = term.powers;
            header.set(&format!("{stem}_{i}_{j}"), term.coefficient, "[pixel]");
        }
    }
}

/// Makes the linear solution of a header one of TPV.
pub(super) fn write_tpv(header: &mut Header, tpv: &TpvDistortion) {
    header.set("CTYPE1", "RA---TPV", "right ascension, gnomonic projection, TPV");
    header.set("CTYPE2", "DEC--TPV", "declination, gnomonic projection, TPV");
    let longitude = tpv.pole_longitude_degrees;
    header.set("LONPOLE", longitude, "[deg] native longitude of the celestial pole");
    for (number, axis) in [(1, &tpv.xi), (2, &tpv.eta)] {
        for (index, coefficient) in axis.coefficients() {
            header.set(&format!("PV{number}_{index}"), coefficient, "[deg]");
        }
    }
}
