//! Frames from files, for the command line: names, identity and keywords without a journal.

use super::error::Gp1Error;
use crate::fits::{FitsImage, FitsStore, Header, keywords::KeywordMap};
use crate::model::{FrameIdentity, FrameKeywords, FrameRecord, FrameState, UtcTime};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

const ENDINGS: [&str; 3] = [".fits", ".fits.fz", ".fits.gz"];

/// Name of a frame's file without directory and `.fits[.fz|.gz]`; `None` for other files, temporary ones among them.
pub fn frame_stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    ENDINGS
        .iter()
        .rev()
        .find_map(|ending| name.strip_suffix(ending))
        .filter(|stem| !stem.is_empty())
}

/// Files as they are given, and the FITS files of directories, by name. A path that does not exist is an error.
pub fn expand(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, Gp1Error> {
    let mut files = Vec::new();
    for input in inputs {
        let failed = |source| Gp1Error::Io { path: input.clone(), source };
        if std::fs::metadata(input).map_err(failed)?.is_dir() {
            let mut inside = Vec::new();
            for entry in std::fs::read_dir(input).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_file() && frame_stem(&path).is_some() {
                    inside.push(path);
                }
            }
            inside.sort();
            files.extend(inside);
        } else {
            files.push(input.clone());
        }
    }
    Ok(files)
}

/// Hash of a file's bytes, hexadecimal.
pub fn sha256_of(path: &Path) -> Result<String, Gp1Error> {
    let failed = |source| Gp1Error::Io { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0u8; 1 << 16];
    loop {
        let count = file.read(&mut block).map_err(failed)?;
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A raw frame as a record, with its image.
pub fn raw_record(
    store: &dyn FitsStore,
    keywords: &KeywordMap,
    path: &Path,
    instance: &str,
    arrived_at: UtcTime,
) -> Result<(FrameRecord, FitsImage), Gp1Error> {
    let image = store.read_image(path)?;
    let (header, shape) = (&image.header, image.data.dim());
    Ok((record_of_raw(keywords, path, header, shape, instance, arrived_at)?, image))
}

/// A raw frame of this header and these rows and columns as a record.
pub fn record_of_raw(
    keywords: &KeywordMap,
    path: &Path,
    header: &Header,
    shape: (usize, usize),
    instance: &str,
    arrived_at: UtcTime,
) -> Result<FrameRecord, Gp1Error> {
    let stem = frame_stem(path).unwrap_or_default();
    let mapped = mapped(keywords, header, stem, path, shape)?;
    let identity = FrameIdentity { name: stem.to_owned(), data_sha256: sha256_of(path)? };
    Ok(record(path, identity, mapped, instance, arrived_at))
}

/// Whether a header is that of a frame reduced by this program.
pub fn is_reduced_here(header: &Header) -> bool {
    header.get(RAW_NAME).is_some()
}

/// The card that names the raw frame.
pub const RAW_NAME: &str = "RAWNAME";

/// A reduced frame as the record of the raw one it was made of.
pub fn reduced_record(
    keywords: &KeywordMap,
    path: &Path,
    header: &Header,
    shape: (usize, usize),
    instance: &str,
) -> Result<FrameRecord, Gp1Error> {
    let text = |keyword: &str| {
        header.text(keyword).ok_or_else(|| Gp1Error::Content {
            path: path.to_owned(),
            what: format!("no card {keyword}: it is not a frame reduced by this program"),
        })
    };
    let identity = FrameIdentity { name: text(RAW_NAME)?, data_sha256: text("RAWSHA")? };
    let mapped = mapped(keywords, header, &identity.name, path, shape)?;
    let arrived_at = mapped.date_obs.plus_seconds(mapped.exposure_seconds);
    Ok(record(path, identity, mapped, instance, arrived_at))
}

fn mapped(
    keywords: &KeywordMap,
    header: &Header,
    stem: &str,
    path: &Path,
    (rows, columns): (usize, usize),
) -> Result<FrameKeywords, Gp1Error> {
    keywords
        .read(header, stem, (columns, rows))
        .map_err(|source| Gp1Error::Keywords { path: path.to_owned(), source })
}

fn record(
    path: &Path,
    identity: FrameIdentity,
    keywords: FrameKeywords,
    instance: &str,
    arrived_at: UtcTime,
) -> FrameRecord {
    FrameRecord {
        id: 0,
        identity,
        path: path.to_owned(),
        keywords,
        instance: instance.to_owned(),
        arrived_at,
        state: FrameState::Arrived,
        reason: None,
        attempts: 0,
        quality: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_frames() {
        for (name, stem) in [
            ("a/20191016T042001C0o.fits.fz", Some("20191016T042001C0o")),
            ("20191016T042001C0o.fits", Some("20191016T042001C0o")),
            ("x.fits.gz", Some("x")),
            ("x.fits.tmp", None),
            ("x.fits.fz.tmp", None),
            (".fits", None),
            ("notes.txt", None),
        ] {
            assert_eq!(frame_stem(Path::new(name)), stem, "{name}");
        }
    }

    #[test]
    fn directories_are_listed_by_name_and_missing_paths_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.fits", "a.fits.fz", "c.fits.tmp", "d.txt"] {
            std::fs::write(directory.path().join(name), b"x").unwrap();
        }
        let files = expand(&[directory.path().to_owned()]).unwrap();
        let names: Vec<_> = files.iter().filter_map(|path| frame_stem(path)).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(expand(&[directory.path().join("none")]).is_err());
    }

    #[test]
    fn the_hash_of_the_standard_test_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        std::fs::write(&path, b"abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_of(&path).unwrap(), expected);
    }
}
