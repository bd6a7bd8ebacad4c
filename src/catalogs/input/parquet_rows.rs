//! Parquet files (Apache Parquet format 2), by the `parquet` crate, column by column: only the chosen ones are decoded.
//!
//! The crate is careful with what it reads, but not so careful that damage never makes it panic; a panic inside is an error here.

use super::{Choice, InputColumn, InputError, TableValue, Take, checked, shortest, text_value};
use parquet::{
    basic::{ConvertedType, Type},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::DataType,
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
};
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// Rows decoded at a time.
const BATCH: usize = 4096;
/// Unfolded bytes of a column in one row group; HATS files have some megabytes.
const MAXIMUM_CHUNK: i64 = 1 << 30;
/// Longest text, bytes.
const MAXIMUM_TEXT: usize = 1 << 16;

/// A column that is not nested.
struct Leaf {
    /// Among all columns of the file.
    place: usize,
    name: String,
    is_optional: bool,
    is_unsigned: bool,
}

/// What can go wrong inside the crate.
enum Fault {
    Parquet(String),
    Panic,
}

impl From<ParquetError> for Fault {
    fn from(error: ParquetError) -> Self {
        Self::Parquet(error.to_string())
    }
}

fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, InputError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Fault::Panic)).map_err(|fault| {
        let what = match fault {
            Fault::Parquet(what) => format!("damaged or no Parquet that is read: {what}"),
            Fault::Panic => "damaged: the Parquet reader gave up".to_owned(),
        };
        InputError::Format { path: path.to_owned(), what }
    })
}

/// Reads the rows of a file, numbered from one.
pub(super) fn rows<E: From<InputError>>(
    path: &Path,
    choose: &mut Choice<'_>,
    take: &mut Take<'_, E>,
) -> Result<(), E> {
    let file =
        File::open(path).map_err(|source| InputError::Io { path: path.to_owned(), source })?;
    let (reader, leaves) = guarded(path, || {
        let reader = SerializedFileReader::new(file)?;
        let leaves = leaves_of(&reader);
        Ok((reader, leaves))
    })?;
    let columns: Vec<InputColumn> = leaves
        .iter()
        .map(|leaf| InputColumn { name: leaf.name.clone(), unit: String::new() })
        .collect();
    let columns_error = |what: String| InputError::Columns { path: path.to_owned(), what };
    let places = choose(&columns).map_err(columns_error)?.ok_or_else(|| {
        columns_error("the Parquet file has not the columns of the map".to_owned())
    })?;
    let places = checked(places, columns.len()).map_err(columns_error)?;
    let chosen: Vec<&Leaf> = places.iter().filter_map(|place| leaves.get(*place)).collect();
    let mut number = 0;
    let mut row = Vec::new();
    for group in 0..reader.num_row_groups() {
        let mut left = 0;
        let mut readers = guarded(path, || {
            let group = reader.get_row_group(group)?;
            left = usize::try_from(group.metadata().num_rows())
                .map_err(|_| Fault::Parquet("a row group of negative length".to_owned()))?;
            let mut readers = Vec::with_capacity(chosen.len());
            for leaf in &chosen {
                if group.metadata().column(leaf.place).uncompressed_size() > MAXIMUM_CHUNK {
                    let what = format!("column {} is too long in a row group", leaf.name);
                    return Err(Fault::Parquet(what));
                }
                readers.push(group.get_column_reader(leaf.place)?);
            }
            Ok(readers)
        })?;
        while left > 0 {
            let wanted = left.min(BATCH);
            let batch = guarded(path, || {
                let mut batch = Vec::with_capacity(readers.len());
                for (reader, leaf) in readers.iter_mut().zip(&chosen) {
                    let values = values_of(reader, leaf, wanted)?;
                    if values.len() != wanted {
                        let what = format!("column {} ends before its row group", leaf.name);
                        return Err(Fault::Parquet(what));
                    }
                    batch.push(values.into_iter());
                }
                Ok(batch)
            })?;
            let mut batch = batch;
            for _ in 0..wanted {
                number += 1;
                row.clear();
                row.extend(batch.iter_mut().filter_map(Iterator::next));
                take((number, Ok(&row)))?;
            }
            left -= wanted;
        }
    }
    Ok(())
}

fn leaves_of(reader: &SerializedFileReader<File>) -> Vec<Leaf> {
    let schema = reader.metadata().file_metadata().schema_descr();
    schema
        .columns()
        .iter()
        .enumerate()
        .filter(|(_, column)| {
            let is_flat = column.max_rep_level() == 0 && column.max_def_level() <= 1;
            let is_read =
                !matches!(column.physical_type(), Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY)
                    && !matches!(column.converted_type(), ConvertedType::DECIMAL);
            is_flat && is_read && column.path().parts().len() == 1
        })
        .map(|(place, column)| Leaf {
            place,
            name: column.name().to_owned(),
            is_optional: column.max_def_level() == 1,
            is_unsigned: matches!(
                column.converted_type(),
                ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64
            ),
        })
        .collect()
}

/// The next values of a column, one for each row.
fn values_of(
    reader: &mut ColumnReader,
    leaf: &Leaf,
    wanted: usize,
) -> Result<Vec<TableValue>, Fault> {
    let unsigned = leaf.is_unsigned;
    let number = |value: f64| match value.is_nan() {
        true => TableValue::Missing,
        false => TableValue::Number(value),
    };
    match reader {
        ColumnReader::BoolColumnReader(reader) => {
            batch(reader, leaf, wanted, |value| TableValue::Text(value.to_string()))
        }
        ColumnReader::Int32ColumnReader(reader) => batch(reader, leaf, wanted, |value| {
            let value = *value;
            TableValue::Integer(if unsigned { i64::from(value as u32) } else { value.into() })
        }),
        ColumnReader::Int64ColumnReader(reader) => batch(reader, leaf, wanted, |value| {
            match unsigned && *value < 0 {
                // Beyond 64 bits with a sign: an identifier.
                true => TableValue::Text((*value as u64).to_string()),
                false => TableValue::Integer(*value),
            }
        }),
        ColumnReader::FloatColumnReader(reader) => {
            batch(reader, leaf, wanted, |value| number(shortest(*value)))
        }
        ColumnReader::DoubleColumnReader(reader) => {
            batch(reader, leaf, wanted, |value| number(*value))
        }
        ColumnReader::ByteArrayColumnReader(reader) => batch(reader, leaf, wanted, |value| {
            let bytes = value.data();
            text_value(&String::from_utf8_lossy(bytes.get(..MAXIMUM_TEXT).unwrap_or(bytes)))
        }),
        ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
            Err(Fault::Parquet(format!("column {} has another type than it says", leaf.name)))
        }
    }
}

fn batch<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    leaf: &Leaf,
    wanted: usize,
    value_of: impl Fn(&T::T) -> TableValue,
) -> Result<Vec<TableValue>, Fault> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut rows = 0;
    while rows < wanted {
        let (records, ..) = reader.read_records(
            wanted - rows,
            leaf.is_optional.then_some(&mut levels),
            None,
            &mut values,
        )?;
        if records == 0 {
            break;
        }
        rows += records;
    }
    if !leaf.is_optional {
        return Ok(values.iter().map(value_of).collect());
    }
    let mut values = values.iter();
    Ok(levels
        .iter()
        .map(|level| match level {
            0 => TableValue::Missing,
            _ => values.next().map_or(TableValue::Missing, &value_of),
        })
        .collect())
}
