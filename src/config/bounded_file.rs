//! Files that are read whole are read up to a limit: a wrong path or a device does not fill the memory.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Longest configuration file or descriptor, bytes.
pub const MAXIMUM_TEXT_BYTES: u64 = 1 << 20;

/// The content of a file of at most `maximum` bytes.
///
/// # Errors
/// What the system says, or [`io::ErrorKind::FileTooLarge`] with the limit.
pub fn read_bounded(path: &Path, maximum: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(maximum.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > maximum {
        let what = format!("it is longer than the {maximum} bytes that are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// The text of a configuration file: UTF-8, at most [`MAXIMUM_TEXT_BYTES`].
pub fn read_bounded_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bounded(path, MAXIMUM_TEXT_BYTES)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ControllerConfig, Gp1Config};

    #[test]
    fn a_file_at_the_limit_is_read_and_one_above_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        let error = read_bounded(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("4 bytes"), "{error}");
        assert_eq!(read_bounded(Path::new("/dev/zero"), 100).unwrap_err().kind(), error.kind());
    }

    #[test]
    fn no_configuration_is_read_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long.cfg");
        std::fs::write(&path, "# long\n".repeat(200_000)).unwrap();
        let toml = ControllerConfig::read(&path).unwrap_err().to_string();
        let ini = Gp1Config::read(&path).unwrap_err().to_string();
        for message in [toml, ini] {
            assert!(message.contains("longer than the 1048576 bytes"), "{message}");
        }
    }
}
