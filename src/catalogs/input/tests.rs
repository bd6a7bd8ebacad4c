use super::*;
use proptest::prelude::*;

/// The number of a row, and its values or why it is none.
type Row = (u64, Result<Vec<TableValue>, &'static str>);

/// Reads a text with the given columns chosen by name.
fn read(text: &[u8], names: &[&str]) -> Result<Vec<Row>, InputError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    std::fs::write(&path, text).unwrap();
    let mut rows = Vec::new();
    read_rows::<InputError>(
        &path,
        &mut |columns| {
            let places = places_by_name(columns);
            Ok(names.iter().map(|name| places.get(*name).copied()).collect())
        },
        &mut |(number, row)| {
            rows.push((number, row.map(<[TableValue]>::to_vec)));
            Ok(())
        },
        &Arc::new(AtomicU64::new(0)),
    )?;
    Ok(rows)
}

fn word(text: &str) -> TableValue {
    TableValue::Text(text.to_owned())
}

#[test]
fn delimited_text_is_read_whatever_its_delimiter() {
    for delimiter in [",", "\t", ";", "|"] {
        let text = "# made up\n\u{feff}RA,Dec,\"name, of\"\n\n1.5,-2,\"a, \"\"b\"\"\"\n3,null,\n4,5\n6,7,\"x\n"
            .to_owned();
        let quoted_elsewhere = text.replace("name, of", "name").replace("a, \"\"", "a \"\"");
        let text = match delimiter {
            "," => text,
            _ => quoted_elsewhere.replace(',', delimiter),
        };
        let rows = read(text.as_bytes(), &["dec", "ra"]).unwrap();
        assert_eq!(rows[0], (4, Ok(vec![word("-2"), word("1.5")])), "{delimiter}");
        assert_eq!(rows[1], (5, Ok(vec![TableValue::Missing, word("3")])));
        assert_eq!(rows[2].1, Err("the line has not as many fields as the header"));
        assert_eq!(rows[3].1, Err("a quotation mark is not closed"));
        assert_eq!(rows.len(), 4);
    }
    let no_column = read(b"a,b\n1,2\n", &["ra"]).unwrap_err();
    assert!(matches!(no_column, InputError::Columns { .. }), "{no_column}");
    assert!(read(b"", &["ra"]).unwrap_err().to_string().contains("no header line"));
}

#[test]
fn gzip_is_unfolded() {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(b"ra,dec\n1,2\n").unwrap();
    let packed = packer.finish().unwrap();
    assert_eq!(read(&packed, &["ra"]).unwrap(), [(2, Ok(vec![word("1")]))]);
    let broken = read(&packed[..packed.len() - 9], &["ra"]).unwrap_err();
    assert!(matches!(broken, InputError::Io { .. }), "{broken}");
}

const VOTABLE: &str = r#"<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
<TABLE name="t"><FIELD name="ra" datatype="double" unit="deg"/>
<FIELD name="id" datatype="char" arraysize="*"><DESCRIPTION>x</DESCRIPTION></FIELD>
<FIELD name="n" datatype="int"><VALUES null="-999"/></FIELD>
<DATA><TABLEDATA>
<TR><TD>1.25</TD><TD>a &amp; b&#33;</TD><TD>-999</TD></TR>
<TR><TD/><TD><![CDATA[<c>]]></TD><TD> 7 </TD></TR>
<TR><TD>1</TD></TR>
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"#;

#[test]
fn a_votable_is_read() {
    let rows = read(VOTABLE.as_bytes(), &["ra", "id", "n"]).unwrap();
    assert_eq!(rows[0].1, Ok(vec![word("1.25"), word("a & b!"), TableValue::Missing]));
    assert_eq!(rows[1].1, Ok(vec![TableValue::Missing, word("<c>"), word("7")]));
    assert_eq!(rows[2].1, Err("the row has not as many cells as the table has fields"));
    let fits = VOTABLE.replace("TABLEDATA", "FITS");
    assert!(read(fits.as_bytes(), &["ra"]).unwrap_err().to_string().contains("TABLEDATA"));
    let cut = read(&VOTABLE.as_bytes()[..500], &["ra"]).unwrap_err();
    assert!(matches!(cut, InputError::Format { .. }), "{cut}");
    assert!(read(VOTABLE.as_bytes(), &["dec"]).is_err());
}

#[test]
fn of_a_fits_file_the_tables_with_the_columns_are_read() {
    use crate::fits::{Column, ColumnData, FitsStore, FitsTables, Header, Table, cfitsio::Cfitsio};
    let column = |name: &str, values: Vec<f64>| Column {
        name: name.to_owned(),
        unit: "deg".to_owned(),
        description: String::new(),
        data: ColumnData::Float64(values),
    };
    let table =
        |name: &str, columns| Table { name: name.to_owned(), header: Header::new(), columns };
    // As in FITS-LDAC: the header of the image as a table before each table of its objects.
    let tables = vec![
        table("LDAC_IMHEAD", vec![column("x", vec![1.0])]),
        table("LDAC_OBJECTS", vec![column("ra", vec![1.0, 2.0])]),
        table("LDAC_IMHEAD_2", vec![column("x", vec![1.0])]),
        table("LDAC_OBJECTS_2", vec![column("y", vec![0.0]), column("ra", vec![3.0])]),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ldac.fits");
    Cfitsio.write_tables(&path, &FitsTables { primary: Header::new(), tables }).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let rows = read(&bytes, &["ra"]).unwrap();
    let expected: Vec<_> = (1..=3).map(|n| (n, Ok(vec![TableValue::Number(n as f64)]))).collect();
    assert_eq!(rows, expected);
    assert!(matches!(read(&bytes, &["dec"]), Err(InputError::Columns { .. })));
    assert!(matches!(read(&bytes[..4000], &["ra"]), Err(InputError::Fits(_))));
}

const BINARY_FILES: [(&str, &[u8]); 3] = [
    ("tabledata", include_bytes!("../../../tests/fixtures/votable/tabledata.xml")),
    ("binary", include_bytes!("../../../tests/fixtures/votable/binary.xml")),
    ("binary2", include_bytes!("../../../tests/fixtures/votable/binary2.xml")),
];

#[test]
fn what_astropy_writes_is_read_in_every_serialisation() {
    let oracle = include_str!("../../../tests/oracles/votable_binary.json");
    let oracle: serde_json::Value = serde_json::from_str(oracle).unwrap();
    let names: Vec<&str> =
        oracle["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let expected = oracle["rows"].as_array().unwrap();
    for (form, file) in BINARY_FILES {
        let rows = read(file, &names).unwrap();
        assert_eq!(rows.len(), expected.len(), "{form}");
        for ((number, row), expected) in rows.iter().zip(expected) {
            for ((value, name), expected) in
                row.as_ref().unwrap().iter().zip(&names).zip(expected.as_array().unwrap())
            {
                let is_right = match (value, expected) {
                    (TableValue::Missing, expected) => expected.is_null(),
                    (TableValue::Integer(value), expected) => expected.as_i64() == Some(*value),
                    // The reader of JSON is good to the last bit but one.
                    (TableValue::Number(value), expected) => {
                        (expected.as_f64().unwrap() / value - 1.0).abs() < 4.0 * f64::EPSILON
                    }
                    (TableValue::Text(text), expected) => match expected.as_f64() {
                        // TABLEDATA: rounded by whoever wrote it.
                        Some(number) => (text.parse::<f64>().unwrap() - number).abs() < 1e-6,
                        None => expected.as_str().unwrap().eq_ignore_ascii_case(text),
                    },
                };
                assert!(is_right, "{form} row {number} {name}: {value:?}, not {expected}");
            }
        }
    }
}

#[test]
fn a_binary_stream_that_is_damaged_is_an_error() {
    let complaint = |text: String| read(text.as_bytes(), &["ra"]).unwrap_err().to_string();
    for (form, file) in &BINARY_FILES[1..] {
        let text = String::from_utf8(file.to_vec()).unwrap();
        assert!(complaint(text.replace("base64", "gzip")).contains("not base64"), "{form}");
        let elsewhere = text.replace("<STREAM ", "<STREAM href=\"file:x\" ");
        assert!(complaint(elsewhere).contains("another file"), "{form}");
        let start = text.find("<STREAM").unwrap() + 60;
        let half =
            format!("{}</STREAM>{}", &text[..start], &text[text.find("</STREAM>").unwrap() + 9..]);
        let what = complaint(half);
        assert!(what.contains("truncated") || what.contains("within four"), "{form}: {what}");
        let marked = format!("{}!{}", &text[..start], &text[start + 1..]);
        assert!(complaint(marked).contains("not base64"), "{form}");
        let inside = text.replace("</STREAM>", "<!-- x -->AAAA</STREAM>");
        assert!(complaint(inside).contains("markup"), "{form}");
        let strange = text.replace("datatype=\"short\"", "datatype=\"quaternion\"");
        assert!(complaint(strange).contains("quaternion"), "{form}");
    }
    // A cell that says it is four gigabytes long takes no memory.
    let greedy = r#"<VOTABLE><RESOURCE><TABLE><FIELD name="ra" datatype="char" arraysize="*"/><DATA><BINARY>
        <STREAM encoding="base64">/////wAA</STREAM></BINARY></DATA></TABLE></RESOURCE></VOTABLE>"#;
    assert!(complaint(greedy.to_owned()).contains("longer than"));
    let empty = greedy.replace("arraysize=\"*\"", "arraysize=\"0\"");
    assert!(complaint(empty).contains("hold nothing"));
}

proptest! {
    #[test]
    fn a_binary_votable_with_any_damage_gives_rows_or_an_error(
        which in 1_usize..3,
        damage in prop::collection::vec((0_usize..20_000, any::<u8>()), 0..6),
        cut in 0_usize..20_000,
    ) {
        let mut bytes = BINARY_FILES[which].1.to_vec();
        for (place, byte) in damage {
            let length = bytes.len();
            bytes[place % length] = byte;
        }
        bytes.truncate(cut.max(1));
        let _ = read(&bytes, &["ra", "name", "mag"]);
    }

    #[test]
    fn any_stream_gives_rows_or_an_error(
        stream in "[A-Za-z0-9+/=\\n<]{0,200}",
        kind in "boolean|bit|unsignedByte|short|int|long|char|unicodeChar|float|double|doubleComplex",
        size in "|[0-9]{1,6}|[0-9]{0,3}\\*|[0-9]x[0-9*]|x",
        form in "BINARY2?",
    ) {
        let text = format!(
            "<VOTABLE><TABLE><FIELD name=\"ra\" datatype=\"{kind}\" arraysize=\"{size}\"/>\
             <DATA><{form}><STREAM encoding=\"base64\">{stream}</STREAM></{form}></DATA></TABLE></VOTABLE>"
        );
        let _ = read(text.as_bytes(), &["ra"]);
    }

    #[test]
    fn no_bytes_make_the_readers_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[<>/A-Za-z0-9\", \n]{0,200}",
        cut in 0_usize..700,
    ) {
        let _ = read(&bytes, &["a"]);
        let _ = read(text.as_bytes(), &["a"]);
        let _ = read(&VOTABLE.as_bytes()[..cut.min(VOTABLE.len())], &["ra"]);
    }
}

#[cfg(feature = "hats")]
mod parquet {
    use super::*;

    const CELLS: [&[u8]; 4] = [
        include_bytes!("../../../tests/fixtures/hats/small/dataset/Norder=1/Dir=0/Npix=14.parquet"),
        include_bytes!("../../../tests/fixtures/hats/small/dataset/Norder=1/Dir=0/Npix=15.parquet"),
        include_bytes!("../../../tests/fixtures/hats/small/dataset/Norder=2/Dir=0/Npix=0.parquet"),
        include_bytes!("../../../tests/fixtures/hats/small/dataset/Norder=2/Dir=0/Npix=90.parquet"),
    ];
    const NAMES: [&str; 4] = ["source_id", "ra", "pmra", "designation"];

    #[test]
    fn a_truncated_file_is_an_error() {
        for cell in CELLS {
            assert!(read(cell, &NAMES).unwrap().iter().all(|(_, row)| row.is_ok()));
            assert!(matches!(read(cell, &["nested"]), Err(InputError::Columns { .. })));
            for length in (4..cell.len()).step_by(97) {
                let cut = read(&cell[..length], &NAMES).unwrap_err();
                assert!(matches!(cut, InputError::Format { .. }), "{length}: {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn damage_gives_rows_or_an_error(
            which in 0_usize..4,
            damage in prop::collection::vec((4_usize..100_000, any::<u8>()), 1..8),
        ) {
            let mut bytes = CELLS[which].to_vec();
            for (place, byte) in damage {
                let length = bytes.len();
                bytes[4 + place % (length - 4)] = byte;
            }
            let _ = read(&bytes, &NAMES);
        }
    }
}
