//! Reads the descriptors of seed 003: tab-separated texts with two indexes.
//!
//! ```text
//! # a comment
//! PrimaryHDU
//! name<TAB>description<TAB>format<TAB>unit<TAB>default<TAB>expected<TAB>remark<TAB>SdB
//! common<TAB>[imported keywords]
//! OBS_ID<TAB>Observation<TAB>20A<TAB><TAB>''<TAB><TAB><TAB>yes
//! DT_GFT_FGFT
//! name<TAB>description<TAB>…
//! [col#1] FILTER<TAB>Filter<TAB>16A<TAB>…
//! ```
//!
//! * An index line holds one name: `PrimaryHDU`, then the name of the extension, which is the file's stem and `_FGFT`.
//! * A row with `[imported keywords]` stands for all rows of the file of that name, which has no index lines.
//! * In the second index a row marked `[col#n]` is a column; columns are numbered from 1 without a gap. A row without a
//!   mark is a keyword of the table's header. Keywords are unique over both headers and have at most eight characters;
//!   columns may have more.
//! * `format`: nA, I, J, K, E, D. `default`: taken where no value is given, `''` for the blank text; without a default a
//!   value must be given. `expected`: `a|b|c` or `low..high`. `remark`: free; `ucd=…` names the content of a column.
//!   `SdB`: yes if the scientific data base can be searched by it. Cells missing at the end of a row are empty.
//! * A keyword that ends in `nn` repeats with a number: `DEGRnn` is DEGR01, DEGR02, ….

use super::descriptor::{Descriptor, DescriptorFault, Entry, Expected};
use super::value::{Format, Value};
use std::collections::BTreeMap;

/// A descriptor text with its name.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// File name without directory and `.tsv`.
    pub stem: String,
    /// As it is named in messages.
    pub file: String,
    pub text: String,
}

const HEADINGS: [&str; 8] =
    ["name", "description", "format", "unit", "default", "expected", "remark", "SdB"];
const PRIMARY_INDEX: &str = "PrimaryHDU";
const IMPORT_MARK: &str = "[imported keywords]";
const EXTENSION_SUFFIX: &str = "_FGFT";
const KEYWORD_LENGTH: usize = 8;

/// A line that is not a comment, cut at the tabs.
struct Line<'a> {
    number: usize,
    cells: [&'a str; 8],
}

/// A row that is a keyword or a column.
struct Row {
    line: usize,
    /// Number of the `[col#n]` mark.
    column: Option<usize>,
    entry: Entry,
}

/// Compiles descriptors; imports are found among the same sources. Gives all faults of all files.
pub(super) fn compile(sources: &[Source]) -> Result<Vec<Descriptor>, Vec<DescriptorFault>> {
    let mut faults = Vec::new();
    let mut imports: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
    let mut cards = Vec::new();
    for source in sources {
        let mut reader = Reader { source, faults: &mut faults };
        let lines = reader.lines();
        if lines.iter().any(|line| is_index(line)) {
            cards.push((source, lines));
        } else {
            let rows = reader.rows(&lines, &BTreeMap::new());
            for row in rows.iter().filter(|row| row.column.is_some()) {
                reader.fault(row.line, "a column in a set of keywords".to_owned());
            }
            imports.insert(&source.stem, rows.into_iter().map(|row| row.entry).collect());
        }
    }
    let mut descriptors = Vec::new();
    for (source, lines) in &cards {
        let mut reader = Reader { source, faults: &mut faults };
        if let Some(descriptor) = reader.card(lines, &imports) {
            descriptors.push(descriptor);
        }
    }
    if faults.is_empty() { Ok(descriptors) } else { Err(faults) }
}

/// A name alone on its line.
fn is_index(line: &Line) -> bool {
    !line.cells[0].is_empty() && line.cells[1..].iter().all(|cell| cell.is_empty())
}

struct Reader<'source, 'faults> {
    source: &'source Source,
    faults: &'faults mut Vec<DescriptorFault>,
}

impl<'source> Reader<'source, '_> {
    fn fault(&mut self, line: usize, what: String) {
        self.faults.push(DescriptorFault { file: self.source.file.clone(), line, what });
    }

    fn lines(&mut self) -> Vec<Line<'source>> {
        let mut lines = Vec::new();
        let source = self.source;
        for (index, text) in source.text.lines().enumerate() {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let mut cells = [""; 8];
            let mut count = 0;
            for (position, cell) in text.split('\t').enumerate() {
                if let Some(place) = cells.get_mut(position) {
                    *place = cell.trim();
                }
                count = position + 1;
            }
            if count > HEADINGS.len() {
                self.fault(index + 1, format!("invalid row: {count} cells, there are 8 columns"));
            }
            lines.push(Line { number: index + 1, cells });
        }
        lines
    }

    /// The rows below an index line (or of an import): headings first.
    fn rows(&mut self, lines: &[Line], imports: &BTreeMap<&str, Vec<Entry>>) -> Vec<Row> {
        let Some((headings, lines)) = lines.split_first() else { return Vec::new() };
        if headings.cells != HEADINGS {
            let what = format!("expected the headings {}", HEADINGS.join(", "));
            self.fault(headings.number, what);
        }
        let mut rows = Vec::new();
        for line in lines {
            if line.cells[1] == IMPORT_MARK {
                match imports.get(line.cells[0]) {
                    Some(entries) => rows.extend(entries.iter().map(|entry| Row {
                        line: line.number,
                        column: None,
                        entry: entry.clone(),
                    })),
                    None => {
                        let what = format!("no set of keywords '{}' to import", line.cells[0]);
                        self.fault(line.number, what);
                    }
                }
            } else if let Some(row) = self.row(line) {
                rows.push(row);
            }
        }
        rows
    }

    fn row(&mut self, line: &Line) -> Option<Row> {
        let [name, description, format, unit, default, expected, remark, searchable] = line.cells;
        let (column, name) = match column_mark(name) {
            Ok(split) => split,
            Err(what) => {
                self.fault(line.number, what);
                return None;
            }
        };
        let (name, numbered) = match name.strip_suffix("nn") {
            Some(stem) if column.is_none() => (stem, true),
            _ => (name, false),
        };
        if column.is_none() {
            self.check_keyword(line.number, name, if numbered { 2 } else { 0 });
        } else if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            // FITS Standard 4.0, §7.3.1: letters, digits and underscore are recommended for TTYPEn.
            self.fault(line.number, format!("'{name}' is not a column name: letters, digits, _"));
        }
        if !description.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            self.fault(line.number, format!("{name}: the description is not plain ASCII"));
        }
        let format: Format = match format.parse() {
            Ok(format) => format,
            Err(error) => {
                self.fault(line.number, format!("{name}: {error}"));
                return None;
            }
        };
        let expected = self.expected(line.number, name, expected);
        let default = self.default(line.number, name, format, default, &expected);
        let searchable = match searchable {
            "yes" => true,
            "no" | "" => false,
            other => {
                self.fault(line.number, format!("{name}: SdB is '{other}', not yes or no"));
                false
            }
        };
        let ucd = remark.split(' ').find_map(|word| word.strip_prefix("ucd=")).unwrap_or_default();
        let entry = Entry {
            name: name.to_owned(),
            description: description.to_owned(),
            format,
            unit: unit.to_owned(),
            default,
            expected,
            remark: remark.to_owned(),
            ucd: ucd.to_owned(),
            searchable,
            numbered,
        };
        Some(Row { line: line.number, column, entry })
    }

    fn check_keyword(&mut self, line: usize, name: &str, digits: usize) {
        let legal = |byte: u8| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
        };
        if name.is_empty() || !name.bytes().all(legal) {
            let what = format!("'{name}' is not header: capitals, digits, - and _ only");
            self.fault(line, what);
        } else if name.len() + digits > KEYWORD_LENGTH {
            self.fault(line, format!("'{name}' is not header: more than eight characters"));
        }
    }

    fn expected(&mut self, line: usize, name: &str, text: &str) -> Expected {
        if text.is_empty() {
            return Expected::Any;
        }
        if let Some((low, high)) = text.split_once("..") {
            return match (low.parse(), high.parse()) {
                (Ok(low), Ok(high)) if low <= high => Expected::Between(low, high),
                _ => {
                    self.fault(line, format!("{name}: '{text}' is not an interval low..high"));
                    Expected::Any
                }
            };
        }
        Expected::OneOf(text.split('|').map(|word| word.trim().to_owned()).collect())
    }

    fn default(
        &mut self,
        line: usize,
        name: &str,
        format: Format,
        text: &str,
        expected: &Expected,
    ) -> Option<Value> {
        if text.is_empty() {
            return None;
        }
        let Some(value) = format.read(text) else {
            self.fault(line, format!("{name}: the default '{text}' is not of format {format}"));
            return None;
        };
        if !expected.holds(&value) {
            self.fault(line, format!("{name}: the default {value} is not {expected}"));
        }
        Some(value)
    }

    /// The two indexes of a product.
    fn card(&mut self, lines: &[Line], imports: &BTreeMap<&str, Vec<Entry>>) -> Option<Descriptor> {
        let faults_before = self.faults.len();
        let positions: Vec<usize> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| is_index(line))
            .map(|(position, _)| position)
            .collect();
        let extension = format!("{}{EXTENSION_SUFFIX}", self.source.stem);
        let [primary_at, table_at] = positions.as_slice() else {
            let line = positions.last().and_then(|&position| lines.get(position));
            let what = format!("{} indexes: {PRIMARY_INDEX} and {extension}", positions.len());
            self.fault(line.map_or(1, |line| line.number), format!("expected two, found {what}"));
            return None;
        };
        for (position, name) in [(*primary_at, PRIMARY_INDEX), (*table_at, extension.as_str())] {
            let found = lines.get(position).map_or("", |line| line.cells[0]);
            let number = lines.get(position).map_or(1, |line| line.number);
            if found != name {
                self.fault(number, format!("the index is '{found}', expected '{name}'"));
            }
        }
        if let Some(line) = lines.first().filter(|_| *primary_at > 0) {
            self.fault(line.number, format!("a row before the index {PRIMARY_INDEX}"));
        }
        let primary = self.rows(lines.get(primary_at + 1..*table_at).unwrap_or_default(), imports);
        let (columns, table): (Vec<Row>, Vec<Row>) = self
            .rows(lines.get(table_at + 1..).unwrap_or_default(), imports)
            .into_iter()
            .partition(|row| row.column.is_some());
        self.check_unique(&primary, &table, &extension);
        let index_line = lines.get(*table_at).map_or(1, |line| line.number);
        self.check_columns(&primary, &columns, &extension, index_line);
        let entries = |rows: Vec<Row>| rows.into_iter().map(|row| row.entry).collect();
        (self.faults.len() == faults_before).then(|| Descriptor {
            card: self.source.stem.clone(),
            extension,
            primary: entries(primary),
            table: entries(table),
            columns: entries(columns),
        })
    }

    fn check_unique(&mut self, primary: &[Row], table: &[Row], extension: &str) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        let places = [(primary, PRIMARY_INDEX), (table, extension)];
        for (rows, place) in places {
            for row in rows {
                if let Some(earlier) = seen.get(row.entry.name.as_str()) {
                    let what = format!("key {} already exists in {earlier}", row.entry.name);
                    self.fault(row.line, what);
                } else {
                    seen.insert(&row.entry.name, place);
                }
            }
        }
    }

    fn check_columns(&mut self, primary: &[Row], columns: &[Row], extension: &str, line: usize) {
        for row in primary.iter().filter(|row| row.column.is_some()) {
            let what = format!("invalid row: column {} in {PRIMARY_INDEX}", row.entry.name);
            self.fault(row.line, what);
        }
        if columns.is_empty() {
            self.fault(line, format!("no column found for {extension} extension: [col#1] missing"));
        }
        let mut names: Vec<&str> = Vec::new();
        for (index, row) in columns.iter().enumerate() {
            let (found, expected) = (row.column.unwrap_or_default(), index + 1);
            if found != expected {
                let what = format!("COL{found} invalid row: [col#{expected}] is next");
                self.fault(row.line, what);
            }
            if names.contains(&row.entry.name.as_str()) {
                self.fault(row.line, format!("column {} already exists", row.entry.name));
            }
            names.push(&row.entry.name);
        }
    }
}

/// Splits `[col#3] MAG` into 3 and `MAG`.
fn column_mark(name: &str) -> Result<(Option<usize>, &str), String> {
    let Some(rest) = name.strip_prefix('[') else { return Ok((None, name)) };
    let invalid = || format!("invalid row: '{name}', expected [col#n] and a name");
    let (mark, name) = rest.split_once(']').ok_or_else(invalid)?;
    let number = mark.strip_prefix("col#").ok_or_else(invalid)?;
    let number = number.parse().map_err(|_| invalid())?;
    Ok((Some(number), name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "name\tdescription\tformat\tunit\tdefault\texpected\tremark\tSdB";

    fn source(stem: &str, text: &str) -> Source {
        Source { stem: stem.to_owned(), file: format!("{stem}.tsv"), text: text.to_owned() }
    }

    fn card(primary: &str, table: &str) -> Vec<Source> {
        let text = format!("PrimaryHDU\n{HEAD}\n{primary}XX_FGFT\n{HEAD}\n{table}");
        vec![source("keys", &format!("{HEAD}\nCARD\tCard\t8A\n")), source("XX", &text)]
    }

    fn faults(sources: &[Source]) -> Vec<String> {
        compile(sources).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_descriptor() {
        let sources = card(
            "keys\t[imported keywords]\nNOTEnn\tNote\t8A\n",
            "EPOCH_NO\tEpoch\tJ\t\t1\t0..9\n[col#1] LONG_COLUMN\tMagnitude\tD\tmag\t\t\tucd=phot.mag x\tyes\n",
        );
        let compiled = compile(&sources).unwrap();
        let [descriptor] = compiled.as_slice() else { panic!("one card") };
        assert_eq!((descriptor.card.as_str(), descriptor.extension.as_str()), ("XX", "XX_FGFT"));
        assert_eq!(descriptor.primary[0].name, "CARD");
        assert!(descriptor.primary[1].numbered && descriptor.primary[1].name == "NOTE");
        assert_eq!(descriptor.table[0].default, Some(Value::Integer(1)));
        assert_eq!(descriptor.columns[0].ucd, "phot.mag");
        assert!(descriptor.columns[0].searchable);
    }

    #[test]
    fn a_key_in_both_headers_is_named_with_its_line() {
        let sources = card(
            "keys\t[imported keywords]\nCARD\tAgain\t8A\n",
            "CARD\tAgain\t8A\n[col#1] A\ta\tJ\n",
        );
        assert_eq!(
            faults(&sources),
            [
                "XX.tsv:4: key CARD already exists in PrimaryHDU",
                "XX.tsv:7: key CARD already exists in PrimaryHDU"
            ]
        );
    }

    #[test]
    fn the_other_checks_of_the_seed_compiler() {
        let cases = [
            (
                "LONGKEYWORD\tx\tJ\n",
                "[col#1] A\ta\tJ\n",
                "XX.tsv:3: 'LONGKEYWORD' is not header: more than eight characters",
            ),
            (
                "DEGREEnn\tx\t8A\nnote\tx\tJ\n",
                "[col#1] A\ta\tJ\n",
                "XX.tsv:4: 'note' is not header: capitals, digits, - and _ only",
            ),
            (
                "A\ta\tJ\n",
                "B\tb\tJ\n",
                "XX.tsv:4: no column found for XX_FGFT extension: [col#1] missing",
            ),
            ("A\ta\tJ\n", "[col#7] B\tb\tJ\n", "XX.tsv:6: COL7 invalid row: [col#1] is next"),
            (
                "A\ta\tJ\n",
                "[col#x] B\tb\tJ\n[col#1] C\tc\tJ\n",
                "XX.tsv:6: invalid row: '[col#x] B', expected [col#n] and a name",
            ),
            (
                "A\ta\tJ\n",
                "[col#1] B\tb\tJ\n[col#2] B\tb\tJ\n",
                "XX.tsv:7: column B already exists",
            ),
            (
                "[col#1] A\ta\tJ\n",
                "[col#1] B\tb\tJ\n",
                "XX.tsv:3: invalid row: column A in PrimaryHDU",
            ),
            (
                "A\ta\tfloat\n",
                "[col#1] B\tb\tJ\n",
                "XX.tsv:3: A: 'float' is no format: nA, I, J, K, E or D",
            ),
            (
                "A\ta\tJ\t\t1.5\n",
                "[col#1] B\tb\tJ\n",
                "XX.tsv:3: A: the default '1.5' is not of format J",
            ),
            (
                "A\ta\tJ\t\t3\t0|1\n",
                "[col#1] B\tb\tJ\n",
                "XX.tsv:3: A: the default 3 is not one of 0, 1",
            ),
            (
                "A\ta\tJ\t\t\t9..1\n",
                "[col#1] B\tb\tJ\n",
                "XX.tsv:3: A: '9..1' is not an interval low..high",
            ),
            (
                "A\ta\tJ\t\t\t\t\tmaybe\n",
                "[col#1] B\tb\tJ\n",
                "XX.tsv:3: A: SdB is 'maybe', not yes or no",
            ),
            (
                "A\ta\tJ\t\t\t\t\tno\tmore\n",
                "[col#1] B\tb\tJ\n",
                "XX.tsv:3: invalid row: 9 cells, there are 8 columns",
            ),
            (
                "others\t[imported keywords]\n",
                "[col#1] B\tb\tJ\n",
                "XX.tsv:3: no set of keywords 'others' to import",
            ),
            (
                "A\ta\tJ\n",
                "[col#1] DATE-OBS\tb\tJ\n",
                "XX.tsv:6: 'DATE-OBS' is not a column name: letters, digits, _",
            ),
        ];
        for (primary, table, expected) in cases {
            let found = faults(&card(primary, table));
            assert_eq!(found, [expected], "{primary}{table}");
        }
    }

    #[test]
    fn indexes_and_headings_must_be_there() {
        let wrong_name = format!("PrimaryHDU\n{HEAD}\nYY_FGFT\n{HEAD}\n[col#1] A\ta\tJ\n");
        assert_eq!(
            faults(&[source("XX", &wrong_name)]),
            ["XX.tsv:3: the index is 'YY_FGFT', expected 'XX_FGFT'"]
        );
        let one_index = format!("PrimaryHDU\n{HEAD}\nA\ta\tJ\n");
        assert_eq!(
            faults(&[source("XX", &one_index)]),
            ["XX.tsv:1: expected two, found 1 indexes: PrimaryHDU and XX_FGFT"]
        );
        let no_headings = "PrimaryHDU\nA\ta\tJ\nXX_FGFT\nB\tb\tJ\n";
        assert_eq!(faults(&[source("XX", no_headings)]).len(), 3);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(PrimaryHDU|XX_FGFT|\\[col#[0-9]\\]|[A-Zn]{1,9}|\t|\n|[ -~]|é){0,60}") {
            let _ = compile(&[source("XX", &text), source("common", &text)]);
        }
    }
}
