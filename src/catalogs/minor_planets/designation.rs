//! Packed designations and dates of the Minor Planet Center (*Packed Provisional and Permanent Designations*, *Packed Dates*).

use jiff::civil;

/// Half-month cycles that fit the older form; the extended form counts on from here.
const CYCLES_OF_OLD_FORM: u64 = 620;
/// Second letters of a half-month: A to Z without I.
const LETTERS: &[u8; 25] = b"ABCDEFGHJKLMNOPQRSTUVWXYZ";
const MJD_OF_UNIX_EPOCH: f64 = 40_587.0;
/// Numbers below this have a letter and four digits.
const NUMBERS_OF_OLD_FORM: u64 = 620_000;

/// 0–9, A–Z, a–z as 0 to 61.
fn digit(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some(u64::from(byte - b'0')),
        b'A'..=b'Z' => Some(u64::from(byte - b'A') + 10),
        b'a'..=b'z' => Some(u64::from(byte - b'a') + 36),
        _ => None,
    }
}

fn base_62(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0, |sum, byte| Some(sum * 62 + digit(*byte)?))
}

fn decimal(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0, |sum, byte| match byte {
        b'0'..=b'9' => Some(sum * 10 + u64::from(byte - b'0')),
        _ => None,
    })
}

/// The designation as it is written: `433`, `2007 TA418`, `2040 P-L`. `None` for what is none.
pub(super) fn unpacked(packed: &str) -> Option<String> {
    match *packed.trim().as_bytes() {
        [b'~', ref rest @ ..] if rest.len() == 4 => {
            Some((NUMBERS_OF_OLD_FORM + base_62(rest)?).to_string())
        }
        [first, ref rest @ ..] if rest.len() == 4 => {
            Some((digit(first)? * 10_000 + decimal(rest)?).to_string())
        }
        [survey @ (b'P' | b'T'), kind, b'S', ref rest @ ..] if rest.len() == 4 => {
            let is_known = matches!((survey, kind), (b'P', b'L') | (b'T', b'1'..=b'3'));
            let (survey, kind) = (char::from(survey), char::from(kind));
            is_known.then_some(format!("{} {survey}-{kind}", decimal(rest)?))
        }
        [b'_', year, half, ref rest @ ..] if rest.len() == 4 && half.is_ascii_uppercase() => {
            let count = base_62(rest)? + CYCLES_OF_OLD_FORM * LETTERS.len() as u64;
            let letters = LETTERS.len() as u64;
            let letter = LETTERS.get(usize::try_from(count % letters).ok()?)?;
            let year = 2000 + digit(year)?;
            let cycle = count / letters;
            Some(format!("{year} {}{}{cycle}", char::from(half), char::from(*letter)))
        }
        [century @ b'I'..=b'K', tens, ones, half, first, second, letter]
            if half.is_ascii_uppercase() && LETTERS.contains(&letter) =>
        {
            let year = digit(century)? * 100 + decimal(&[tens, ones])?;
            let cycle = digit(first)? * 10 + decimal(&[second])?;
            let cycle = if cycle == 0 { String::new() } else { cycle.to_string() };
            Some(format!("{year} {}{}{cycle}", char::from(half), char::from(letter)))
        }
        _ => None,
    }
}

/// MJD at 0 h of a packed date: `K239D` is 2023 September 13.
pub(super) fn packed_date_mjd(packed: &str) -> Option<f64> {
    let [century @ b'I'..=b'K', tens, ones, month, day] = *packed.as_bytes() else { return None };
    let year = digit(century)? * 100 + decimal(&[tens, ones])?;
    mjd_of(year, digit(month)?, digit(day)?)
}

/// MJD at 0 h of a date as eight digits: `20230913`.
pub(super) fn plain_date_mjd(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    match bytes.len() {
        8 => mjd_of(decimal(&bytes[..4])?, decimal(&bytes[4..6])?, decimal(&bytes[6..])?),
        _ => None,
    }
}

fn mjd_of(year: u64, month: u64, day: u64) -> Option<f64> {
    let date = civil::Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    let epoch = civil::date(1970, 1, 1);
    let days = epoch.until(date.ok()?).ok()?.get_days();
    Some(MJD_OF_UNIX_EPOCH + f64::from(days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_minor_planet_center() {
        for (packed, written) in [
            ("00433", "433"),
            ("A0345", "100345"),
            ("a0017", "360017"),
            ("~0000", "620000"),
            ("~000z", "620061"),
            ("~AZaz", "3140113"),
            ("~zzzz", "15396335"),
            ("J95X00A", "1995 XA"),
            ("J95X01L", "1995 XL1"),
            ("J95F13B", "1995 FB13"),
            ("J98SA8Q", "1998 SQ108"),
            ("J98SC7V", "1998 SV127"),
            ("J98SG2S", "1998 SS162"),
            ("K99AJ3Z", "2099 AZ193"),
            ("K08Aa0A", "2008 AA360"),
            ("K07Tf8A", "2007 TA418"),
            ("PLS2040", "2040 P-L"),
            ("T3S4101", "4101 T-3"),
            ("_QC0000", "2026 CA620"),
        ] {
            assert_eq!(unpacked(packed).as_deref(), Some(written));
        }
        for wrong in ["", "0043", "K07Tf8", "K07Tf8I", "T4S4101", "~00?0", "X07Tf8A"] {
            assert_eq!(unpacked(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // 1996 Jan. 1, 1996 Sept. 30, 2001 Oct. 22: examples of the Minor Planet Center.
        assert_eq!(packed_date_mjd("J9611"), Some(50_083.0));
        assert_eq!(packed_date_mjd("J969U"), Some(50_356.0));
        assert_eq!(packed_date_mjd("K01AM"), Some(52_204.0));
        assert_eq!(plain_date_mjd("20011022"), Some(52_204.0));
        for wrong in ["", "K0100", "K01D1", "J992V", "L0111", "K011"] {
            assert_eq!(packed_date_mjd(wrong), None, "{wrong}");
        }
        assert_eq!(plain_date_mjd("20010230"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,9}") {
            let _ = (unpacked(&text), packed_date_mjd(&text), plain_date_mjd(&text));
        }
    }
}
