//! The bytes of a file, plain or unfolded from gzip, before anybody interprets them.

use super::defect::{Defect, Refusal};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// Most that a gzip file may unfold to, bytes. It is held in memory: twice a frame of 4096² floats.
pub(super) const MAXIMUM_UNFOLDED: u64 = 128 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER: usize = 1 << 16;

/// A file that can be read and sought in. A plain file stays on disk; a gzip file (RFC 1952) is unfolded into memory, up to
/// [`MAXIMUM_UNFOLDED`].
pub(super) enum Source {
    Plain(BufReader<File>),
    Unfolded(Cursor<Vec<u8>>),
}

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(Refusal),
}

impl Source {
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
        let mut start = [0; 2];
        let is_gzip = match file.read_exact(&mut start) {
            Ok(()) => start == GZIP_MAGIC,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error.into()),
        };
        file.rewind()?;
        if is_gzip {
            return Ok(Self::Unfolded(Cursor::new(unfold(file, MAXIMUM_UNFOLDED)?)));
        }
        Ok(Self::Plain(file))
    }

    pub fn is_gzip(&self) -> bool {
        matches!(self, Self::Unfolded(_))
    }

    /// All bytes from the start; `limit` bounds what is taken into memory.
    pub fn into_bytes(self, limit: u64) -> Result<Vec<u8>, SourceError> {
        match self {
            Self::Unfolded(cursor) => Ok(cursor.into_inner()),
            Self::Plain(mut file) => {
                let length = file.seek(SeekFrom::End(0))?;
                file.rewind()?;
                if length > limit {
                    return Err(SourceError::Refused(Refusal::new(
                        Defect::TooLarge,
                        format!("{length} bytes are more than the {limit} that are read"),
                    )));
                }
                let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
                // The file may have grown meanwhile.
                file.take(limit).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Unfolded(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            // Near places stay in the buffer.
            Self::Plain(file) => {
                if let SeekFrom::Start(place) = to {
                    let here = file.stream_position()?;
                    file.seek_relative(place.cast_signed().saturating_sub(here.cast_signed()))?;
                    return Ok(place);
                }
                file.seek(to)
            }
            Self::Unfolded(bytes) => bytes.seek(to),
        }
    }
}

/// Unfolds gzip members one after the other. What goes beyond `limit` is refused before it is held.
fn unfold(packed: impl Read, limit: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    let outcome = MultiGzDecoder::new(packed).take(limit + 1).read_to_end(&mut bytes);
    if bytes.len() as u64 > limit {
        let what = format!("a gzip file that unfolds to more than the {limit} bytes that are read");
        return Err(SourceError::Refused(Refusal::new(Defect::TooLarge, what)));
    }
    match outcome {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(SourceError::Refused(
            Refusal::new(Defect::Truncated, "truncated: the gzip file ends before its contents do"),
        )),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) =>
        {
            Err(SourceError::Refused(Refusal::damaged(format!("not a sound gzip file: {error}"))))
        }
        Err(error) => Err(error.into()),
    }
}

/// How many bytes a gzip or zlib stream or bare deflate unfolds to, at most `limit` + 1 counted; nothing is held.
pub(super) fn unfolded_length(packed: &[u8], limit: u64) -> io::Result<u64> {
    let counted = |decoder: &mut dyn Read| io::copy(&mut decoder.take(limit + 1), &mut io::sink());
    if packed.starts_with(&GZIP_MAGIC) {
        return counted(&mut MultiGzDecoder::new(packed));
    }
    // As the decoder tries them. One that fails has unfolded no more than was counted.
    match counted(&mut flate2::read::ZlibDecoder::new(packed)) {
        Ok(length) => Ok(length),
        Err(_) => counted(&mut flate2::read::DeflateDecoder::new(packed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(packed: &[u8], limit: u64) -> Refusal {
        match unfold(packed, limit) {
            Err(SourceError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn gzip_is_unfolded_up_to_the_limit_and_no_further() {
        let content = vec![7_u8; 5000];
        let packed = fitsio_pure::gzip::compress(&content, 6);
        assert_eq!(unfold(packed.as_slice(), 5000).unwrap(), content);
        assert_eq!(refused(&packed, 4999).defect, Defect::TooLarge);
        assert_eq!(refused(&packed[..packed.len() - 9], 5000).defect, Defect::Truncated);
        let mut changed = packed.clone();
        let last = changed.len() - 6;
        changed[last] ^= 1;
        assert_eq!(refused(&changed, 5000).defect, Defect::Damaged);
        let twice = [packed.clone(), packed].concat();
        assert_eq!(unfold(twice.as_slice(), 10_000).unwrap().len(), 10_000);
    }

    #[test]
    fn a_stream_is_counted_without_being_held() {
        let packed = fitsio_pure::gzip::compress(&vec![0; 1_000_000], 9);
        assert_eq!(unfolded_length(&packed, 2_000_000).unwrap(), 1_000_000);
        assert_eq!(unfolded_length(&packed, 1000).unwrap(), 1001);
        assert!(unfolded_length(b"\x1f\x8bnonsense", 1000).is_err());
    }
}
