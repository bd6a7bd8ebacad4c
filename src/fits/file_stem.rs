//! The telescope's file names (domain facts in the telescope control system, `getfitsfilename`).

use crate::model::{FrameKind, UtcTime};

/// What `YYYYMMDDTHHMMSSC<n><letter>` says: start of the exposure command, camera, kind. A `c` after the letter marks a cube.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStem {
    /// UTC, whole seconds.
    pub date: UtcTime,
    /// `C0`, `C1`…
    pub camera: String,
    pub kind: FrameKind,
    pub is_cube: bool,
}

impl FileStem {
    /// Reads a file name without directory and extension; `None` where it is not of that form.
    pub fn parse(stem: &str) -> Option<Self> {
        let (date, rest) = stem.split_at_checked(15)?;
        let bytes = date.as_bytes();
        let is_date = bytes
            .iter()
            .enumerate()
            .all(|(place, byte)| if place == 8 { *byte == b'T' } else { byte.is_ascii_digit() });
        if !is_date {
            return None;
        }
        let (day, time) = date.split_once('T')?;
        let (year, month_day) = day.split_at_checked(4)?;
        let (month, day) = month_day.split_at_checked(2)?;
        let (hour, minute_second) = time.split_at_checked(2)?;
        let (minute, second) = minute_second.split_at_checked(2)?;
        let date =
            UtcTime::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}")).ok()?;
        let number = rest.strip_prefix('C')?;
        let digits = number.len() - number.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, letters) = number.split_at_checked(digits)?;
        let mut letters = letters.chars();
        let kind = FrameKind::from_letter(letters.next()?)?;
        let is_cube = match (letters.next(), letters.next()) {
            (None, _) => false,
            (Some('c'), None) => true,
            _ => return None,
        };
        (!number.is_empty()).then(|| Self { date, camera: format!("C{number}"), kind, is_cube })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_telescope_are_read() {
        let stem = FileStem::parse("20191016T042001C0o").unwrap();
        assert_eq!(stem.date, UtcTime::parse("2019-10-16T04:20:01").unwrap());
        assert_eq!(
            (stem.camera.as_str(), stem.kind, stem.is_cube),
            ("C0", FrameKind::Object, false)
        );
        let cube = FileStem::parse("20240229T235959C12dc").unwrap();
        assert_eq!((cube.camera.as_str(), cube.kind, cube.is_cube), ("C12", FrameKind::Dark, true));
        for other in [
            "",
            "20191016T042001C0",
            "20191016T042001Co",
            "20191016T042001C0q",
            "20191016T042001C0oo",
            "20191316T042001C0o",
            "20190229T042001C0o",
            "2019-10-16C0o",
            "p20130704T035256C3o_img_H",
        ] {
            assert_eq!(FileStem::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text in "\\PC{0,24}") {
            let _ = FileStem::parse(&text);
        }

        #[test]
        fn a_written_name_reads_back(seconds in 0_i64..4_000_000_000, camera in 0_u8..20, letter in "[obdfux]") {
            let date = UtcTime::from_unix_microseconds(seconds * 1_000_000);
            let stem = FileStem::parse(&format!("{}C{camera}{letter}", date.compact())).unwrap();
            prop_assert_eq!(stem.date, date);
            prop_assert_eq!(stem.camera, format!("C{camera}"));
            prop_assert_eq!(stem.kind.letter().to_string(), letter);
        }
    }
}
