//! Cards as the 80 characters of the file (FITS Standard 4.0, §4.1 and §4.2), both ways.
//!
//! Both engines read and write headers through this module, so that a header means the same to both.

use super::{Card, CardValue, Header};

/// One card image.
pub(super) type Record = [u8; RECORD_LENGTH];

/// Characters of a card image.
pub(super) const RECORD_LENGTH: usize = 80;

const KEYWORD_LENGTH: usize = 8;
/// Text of a commentary card: columns 9 to 80.
const COMMENTARY_LENGTH: usize = RECORD_LENGTH - KEYWORD_LENGTH;
/// Characters between the quotes of a string that fills its card: columns 12 to 79.
const STRING_LENGTH: usize = 68;
/// End of the fixed-format value field (column 30).
const FIXED_VALUE_END: usize = 30;

/// Why a header cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CardError {
    #[error(
        "'{0}' is no FITS keyword (one to eight of A-Z, 0-9, '-', '_'; FITS Standard 4.0, §4.1.2.1)"
    )]
    Keyword(String),
    #[error("{0} is not a finite number: FITS headers have no NaN and no infinity")]
    NotFinite(String),
}

/// Whether a keyword describes the layout of its HDU: the engines write these themselves and leave them out of a
/// [`Header`].
pub(super) fn is_structural(keyword: &str) -> bool {
    const EXACT: [&str; 41] = [
        "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "GROUPS", "TFIELDS",
        "THEAP", "BSCALE", "BZERO", "BLANK", "BLOCKED", "EXTNAME", "CHECKSUM", "DATASUM",
        "LONGSTRN", "CONTINUE", "END", "ZIMAGE", "ZTABLE", "ZSIMPLE", "ZTENSION", "ZEXTEND",
        "ZBITPIX", "ZNAXIS", "ZPCOUNT", "ZGCOUNT", "ZBLOCKED", "ZCMPTYPE", "ZMASKCMP", "ZQUANTIZ",
        "ZDITHER0", "ZSCALE", "ZZERO", "ZBLANK", "ZHECKSUM", "ZDATASUM", "ZTILELEN", "ZTHEAP",
    ];
    const NUMBERED: [&str; 18] = [
        "NAXIS", "TTYPE", "TFORM", "TUNIT", "TSCAL", "TZERO", "TNULL", "TDISP", "TDIM", "TBCOL",
        "ZNAXIS", "ZTILE", "ZNAME", "ZVAL", "ZFORM", "ZCTYP", "PTYPE", "PSCAL",
    ];
    let stem = keyword.trim_end_matches(|character: char| character.is_ascii_digit());
    EXACT.contains(&keyword) || (stem.len() < keyword.len() && NUMBERED.contains(&stem))
}

/// Keyword of a card image, trimmed; `None` where the eight characters are no keyword.
pub(super) fn keyword_of(record: &Record) -> Option<&str> {
    let text = std::str::from_utf8(&record[..KEYWORD_LENGTH]).ok()?.trim_end_matches(' ');
    is_keyword(text).then_some(text)
}

fn is_keyword(text: &str) -> bool {
    (1..=KEYWORD_LENGTH).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

/// Reads card images into a header, without the structural ones. Strings continued on `CONTINUE` cards are joined
/// (§4.2.1.2). Cards that cannot be read are kept without a value.
pub(super) fn parse_header(records: &[Record]) -> Header {
    let mut header = Header::new();
    let mut index = 0;
    while let Some(record) = records.get(index) {
        index += 1;
        let Some(mut card) = parse_record(record) else { continue };
        if let Some(CardValue::Text(text)) = &mut card.value {
            while text.ends_with('&') {
                let Some((piece, comment)) = records.get(index).and_then(continuation) else {
                    break;
                };
                text.pop();
                text.push_str(&piece);
                if !comment.is_empty() {
                    if !card.comment.is_empty() {
                        card.comment.push(' ');
                    }
                    card.comment.push_str(&comment);
                }
                index += 1;
            }
        }
        if !is_structural(&card.keyword) {
            header.cards.push(card);
        }
    }
    header
}

/// Reads one card image by itself; `None` for an empty one.
pub(super) fn parse_record(record: &Record) -> Option<Card> {
    let text = printable(record);
    let whole = text.trim_end();
    if whole.is_empty() {
        return None;
    }
    let commentary = |keyword: &str, comment: &str| {
        Some(Card { keyword: keyword.to_owned(), value: None, comment: comment.to_owned() })
    };
    let Some(keyword) = keyword_of(record) else {
        return commentary("COMMENT", whole.trim_start());
    };
    let rest = whole.get(KEYWORD_LENGTH..).unwrap_or_default();
    if matches!(keyword, "COMMENT" | "HISTORY" | "CONTINUE") {
        return commentary(keyword, rest);
    }
    let Some(field) =
        rest.strip_prefix('=').filter(|field| field.is_empty() || field.starts_with(' '))
    else {
        return commentary(keyword, rest);
    };
    match parse_field(field) {
        Some((value, comment)) => Some(Card { keyword: keyword.to_owned(), value, comment }),
        None => commentary(keyword, field.trim()),
    }
}

/// Whether a card image is neither empty nor a legal card.
pub(super) fn is_unreadable(record: &Record) -> bool {
    match keyword_of(record) {
        None => record.iter().any(|&byte| byte != b' '),
        Some("COMMENT" | "HISTORY" | "CONTINUE") => false,
        Some(_) => {
            let text = printable(record);
            let field = text.get(KEYWORD_LENGTH..).and_then(|rest| rest.strip_prefix("= "));
            field.is_some_and(|field| parse_field(field).is_none())
        }
    }
}

/// Value and comment of a field that follows `=`. The value is `None` where it is undefined; the whole is `None` where
/// it is no value at all.
fn parse_field(field: &str) -> Option<(Option<CardValue>, String)> {
    let field = field.trim_start();
    if let Some(quoted) = field.strip_prefix('\'') {
        let (text, after) = parse_string(quoted)?;
        let comment = after.trim_start();
        return match comment.strip_prefix('/') {
            Some(comment) => Some((Some(CardValue::Text(text)), comment.trim().to_owned())),
            None if comment.is_empty() => Some((Some(CardValue::Text(text)), String::new())),
            None => None,
        };
    }
    let (value, comment) = field.split_once('/').unwrap_or((field, ""));
    let value = value.trim();
    let parsed = match value {
        "" => None,
        "T" => Some(CardValue::Logical(true)),
        "F" => Some(CardValue::Logical(false)),
        number => Some(parse_number(number)?),
    };
    Some((parsed, comment.trim().to_owned()))
}

/// The text up to the closing quote, without trailing blanks, and what follows.
fn parse_string(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let (piece, after) = rest.split_once('\'')?;
        text.push_str(piece);
        match after.strip_prefix('\'') {
            Some(after) => {
                text.push('\'');
                rest = after;
            }
            None => {
                text.truncate(text.trim_end_matches(' ').len());
                return Some((text, after));
            }
        }
    }
}

/// An integer or a floating-point number, with the exponent letters E and D of either case. Integers beyond 64 bits
/// become floating-point.
fn parse_number(text: &str) -> Option<CardValue> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.EeDd".contains(&byte)) {
        return None;
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(CardValue::Integer(integer));
    }
    let number: f64 = text.replace(['D', 'd'], "E").parse().ok()?;
    number.is_finite().then_some(CardValue::Float(number))
}

fn continuation(record: &Record) -> Option<(String, String)> {
    if keyword_of(record) != Some("CONTINUE") {
        return None;
    }
    let text = printable(record);
    match parse_field(text.get(KEYWORD_LENGTH..)?)? {
        (Some(CardValue::Text(piece)), comment) => Some((piece, comment)),
        _ => None,
    }
}

/// ASCII text of a card; bytes outside 32..126 become `?`.
fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| if (32..127).contains(&byte) { byte as char } else { '?' }).collect()
}

fn ascii(text: &str) -> String {
    text.chars()
        .map(|character| if (' '..='~').contains(&character) { character } else { '?' })
        .collect()
}

/// Writes a header. Structural cards are left out; of repeated keywords the first stands, as [`Header::get`] has it; cards
/// without a value become `COMMENT no KEYWORD value`, the telescope's own way of saying so; characters outside ASCII
/// become `?`; comments are cut at column 80.
pub(super) fn format_header(header: &Header) -> Result<Vec<Record>, CardError> {
    let mut records = Vec::with_capacity(header.cards.len());
    let mut written = std::collections::BTreeSet::new();
    let mut has_long_string = false;
    for card in &header.cards {
        let keyword = card.keyword.as_str();
        if !is_keyword(keyword) {
            return Err(CardError::Keyword(keyword.to_owned()));
        }
        if is_structural(keyword) {
            continue;
        }
        if matches!(keyword, "COMMENT" | "HISTORY") {
            let text = match &card.value {
                Some(CardValue::Text(text)) => text,
                _ => &card.comment,
            };
            push_commentary(&mut records, keyword, text);
            continue;
        }
        if !written.insert(keyword) {
            continue;
        }
        match &card.value {
            None => {
                let text = format!("no {keyword} value / {}", card.comment.trim_start());
                push_commentary(&mut records, "COMMENT", text.trim_end_matches([' ', '/']));
            }
            Some(CardValue::Float(number)) if !number.is_finite() => {
                return Err(CardError::NotFinite(keyword.to_owned()));
            }
            Some(CardValue::Text(text)) => {
                let quoted = escape(text);
                if quoted.len() > STRING_LENGTH {
                    has_long_string = true;
                    push_long_string(&mut records, keyword, &quoted, &card.comment);
                } else {
                    records.push(value_record(
                        keyword,
                        &CardValue::Text(text.clone()),
                        &card.comment,
                    ));
                }
            }
            Some(value) => records.push(value_record(keyword, value, &card.comment)),
        }
    }
    if has_long_string {
        let announcement = CardValue::Text("OGIP 1.0".to_owned());
        records.insert(0, value_record("LONGSTRN", &announcement, "long strings are continued"));
    }
    Ok(records)
}

/// One card image with a value, in fixed format where it fits. A text must fit on its card.
pub(super) fn value_record(keyword: &str, value: &CardValue, comment: &str) -> Record {
    let field = match value {
        CardValue::Logical(flag) => format!("{:>20}", if *flag { 'T' } else { 'F' }),
        CardValue::Integer(number) => format!("{number:>20}"),
        CardValue::Float(number) => format!("{:>20}", format_float(*number)),
        CardValue::Text(text) => format!("'{:<8}'", escape(text)),
    };
    finish(format!("{keyword:<8}= {field}"), comment)
}

/// The shortest decimal text that reads back as the same number, with a decimal point (§4.2.4).
fn format_float(number: f64) -> String {
    let shortest = format!("{number:?}");
    match shortest.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => format!("{mantissa}E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => shortest,
    }
}

/// ASCII text with its quotes doubled.
fn escape(text: &str) -> String {
    ascii(text.trim_end_matches(' ')).replace('\'', "''")
}

fn push_long_string(records: &mut Vec<Record>, keyword: &str, quoted: &str, comment: &str) {
    // One place is kept for the ampersand that says the string goes on.
    const PIECE: usize = STRING_LENGTH - 1;
    let mut rest = quoted;
    let mut start = format!("{keyword:<8}= ");
    while rest.len() > PIECE {
        let quotes =
            rest.get(..PIECE).unwrap_or_default().bytes().rev().take_while(|&byte| byte == b'\'');
        // A doubled quote stays on one card.
        let (piece, after) = rest.split_at(PIECE - quotes.count() % 2);
        records.push(finish(format!("{start}'{piece}&'"), ""));
        rest = after;
        start = "CONTINUE  ".to_owned();
    }
    records.push(finish(format!("{start}'{rest}'"), comment));
}

fn push_commentary(records: &mut Vec<Record>, keyword: &str, text: &str) {
    let text = ascii(text);
    let mut rest = text.trim_end();
    loop {
        if rest.len() <= COMMENTARY_LENGTH {
            records.push(finish(format!("{keyword:<8}{rest}"), ""));
            return;
        }
        let (window, _) = rest.split_at(COMMENTARY_LENGTH);
        let end = match window.rfind(' ') {
            Some(blank) if !window[..blank].trim().is_empty() => blank,
            _ => COMMENTARY_LENGTH,
        };
        let (piece, after) = rest.split_at(end);
        records.push(finish(format!("{keyword:<8}{piece}"), ""));
        rest = after.trim_start();
    }
}

/// Adds the comment and fills with blanks to 80 characters.
fn finish(mut text: String, comment: &str) -> Record {
    let comment = ascii(comment);
    let comment = comment.trim();
    if !comment.is_empty() {
        text = format!("{text:<FIXED_VALUE_END$} / {comment}");
    }
    let mut record = [b' '; RECORD_LENGTH];
    for (place, byte) in record.iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(text: &str) -> Record {
        finish(text.to_owned(), "")
    }

    fn parsed(text: &str) -> Card {
        parse_record(&record(text)).unwrap()
    }

    fn text_of(record: &Record) -> String {
        String::from_utf8(record.to_vec()).unwrap().trim_end().to_owned()
    }

    #[test]
    fn values_of_the_telescope_dialect_are_read() {
        assert_eq!(parsed("EXPTIME = 8.0E+1 / s").value, Some(CardValue::Float(80.0)));
        assert_eq!(parsed("A= 1.5D-3").value, None, "no value indicator in column 9");
        assert_eq!(parsed("A       = 1.5D-3").value, Some(CardValue::Float(0.0015)));
        assert_eq!(parsed("A       = +12").value, Some(CardValue::Integer(12)));
        assert_eq!(parsed("FILTER  = 'i'/filter").value, Some(CardValue::Text("i".to_owned())));
        assert_eq!(parsed("FILTER  = 'i'/filter").comment, "filter");
        assert_eq!(parsed("S       = 'it''s /'").value, Some(CardValue::Text("it's /".to_owned())));
        assert_eq!(parsed("S       = ''").value, Some(CardValue::Text(String::new())));
        assert_eq!(parsed("L       = T").value, Some(CardValue::Logical(true)));
        let undefined = parsed("TEMP    =                      / [C] none");
        assert_eq!((undefined.value, undefined.comment.as_str()), (None, "[C] none"));
        let missing = parsed("COMMENT no FILTER value / filter name");
        assert_eq!((missing.keyword.as_str(), missing.value), ("COMMENT", None));
        assert_eq!(
            parsed("BIG     = 99999999999999999999").value,
            Some(CardValue::Float(99999999999999999999.0))
        );
    }

    #[test]
    fn unreadable_cards_are_kept_without_a_value() {
        for text in [
            "A       = 'open",
            "A       = NaN",
            "A       = 1.2.3",
            "A       = 'x' y",
            "A       = 1E999",
        ] {
            let card = parsed(text);
            assert_eq!((card.keyword.as_str(), &card.value), ("A", &None), "{text}");
            assert!(is_unreadable(&record(text)));
            assert!(!card.comment.is_empty());
        }
        assert_eq!(parsed("lower   = 1").keyword, "COMMENT");
        assert!(parse_record(&[b' '; 80]).is_none());
        assert!(is_unreadable(&record("lower   = 1")) && !is_unreadable(&record("A       =")));
    }

    #[test]
    fn floats_are_written_so_that_they_read_back() {
        for (number, text) in [
            (3.0, "3.0"),
            (1e-20, "1.0E-20"),
            (-2.5e300, "-2.5E300"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(format_float(number), text);
        }
        let mut header = Header::new();
        header.set("A", f64::NAN, "");
        assert_eq!(format_header(&header), Err(CardError::NotFinite("A".to_owned())));
    }

    #[test]
    fn what_cannot_be_a_card_is_refused_or_made_legal() {
        let mut header = Header::new();
        header.set("OBSERVÉ", 1_i64, "");
        assert!(matches!(format_header(&header), Err(CardError::Keyword(_))));
        let mut header = Header::new();
        header.set("OBJECT", "Šimůnek", "first");
        header.set("BITPIX", 8_i64, "structural");
        header.cards.push(Card {
            keyword: "OBJECT".to_owned(),
            value: None,
            comment: "twice".to_owned(),
        });
        header.cards.push(Card {
            keyword: "TEMP".to_owned(),
            value: None,
            comment: "[C]".to_owned(),
        });
        let records: Vec<String> = format_header(&header).unwrap().iter().map(text_of).collect();
        assert_eq!(
            records,
            ["OBJECT  = '?im?nek '           / first", "COMMENT no TEMP value / [C]"]
        );
    }

    #[test]
    fn long_strings_are_continued_and_long_history_is_broken_at_blanks() {
        let long = format!("{}''{}", "a".repeat(65), " b&c".repeat(40));
        let mut header = Header::new();
        header.set("PATH", long.as_str(), "where");
        header.history(&"word ".repeat(40));
        let records = format_header(&header).unwrap();
        assert!(text_of(&records[0]).starts_with("LONGSTRN= 'OGIP 1.0'"));
        let read = parse_header(&records);
        assert_eq!(read.text("PATH").unwrap(), long);
        let history: Vec<&Card> =
            read.cards.iter().filter(|card| card.keyword == "HISTORY").collect();
        assert_eq!(history.len(), 3);
        assert!(history.iter().all(|card| card.comment.split(' ').all(|word| word == "word")));
    }

    fn any_value() -> impl Strategy<Value = CardValue> {
        prop_oneof![
            any::<bool>().prop_map(CardValue::Logical),
            any::<i64>().prop_map(CardValue::Integer),
            any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(CardValue::Float),
            "[ -~]{0,300}".prop_map(|text| CardValue::Text(text.trim_end().to_owned())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_written_header_reads_back(values in prop::collection::vec(any_value(), 1..12)) {
            let mut header = Header::new();
            for (index, value) in values.into_iter().enumerate() {
                header.set(&format!("KEY{index}"), value, "");
            }
            prop_assert_eq!(parse_header(&format_header(&header).unwrap()), header);
        }

        #[test]
        fn any_eighty_bytes_are_read_and_written_again(bytes in prop::collection::vec(any::<u8>(), 160)) {
            let records: Vec<Record> = bytes.chunks(80).map(|chunk| chunk.try_into().unwrap()).collect();
            format_header(&parse_header(&records)).unwrap();
        }

        #[test]
        fn any_card_like_text_is_read_and_written_again(texts in prop::collection::vec("[A-Z]{8}= [ -~]{70}", 1..4)) {
            let records: Vec<Record> = texts.iter().map(|text| record(text)).collect();
            format_header(&parse_header(&records)).unwrap();
        }
    }
}
