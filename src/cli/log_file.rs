//! A log file that rotates by itself, is opened again when somebody else has moved it, and never stops the program.

use crate::{config::LogSettings, model::metric};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tracing_subscriber::fmt::MakeWriter;

/// After a failure (a full disk) the file is left alone for so long: a disk that fails is not asked for every line.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The log file, cheap to clone.
#[derive(Debug, Clone)]
pub struct LogFile {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    maximum_bytes: u64,
    kept_files: u32,
    /// Absent after a failure, until it is opened again.
    file: Option<File>,
    written: u64,
    paused_until: Option<Instant>,
    lost_lines: u64,
}

impl LogFile {
    /// Opens `path` for appending, making its directory.
    ///
    /// # Errors
    /// The file cannot be opened: said once at the start; later failures only lose lines.
    pub fn open(path: &Path, settings: &LogSettings) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        let mut state = State {
            path: path.to_owned(),
            maximum_bytes: settings.maximum_bytes,
            kept_files: settings.kept_files,
            file: None,
            written: 0,
            paused_until: None,
            lost_lines: 0,
        };
        state.open()?;
        Ok(Self { shared: Arc::new(Mutex::new(state)) })
    }

    /// Opens the file by its name again: whoever rotates logs has moved it and sent SIGHUP.
    pub fn reopen(&self) {
        let mut state = self.lock();
        state.paused_until = None;
        if let Err(error) = state.open() {
            state.fail(&error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A line half written at worst: sound enough for a log.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        self.written = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.paused_until.is_some_and(|until| Instant::now() < until) {
            self.lose();
            return Ok(());
        }
        self.paused_until = None;
        let is_too_long = self.written > 0
            && self.maximum_bytes > 0
            && self.written + line.len() as u64 > self.maximum_bytes;
        if is_too_long {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.open()?;
        }
        if self.lost_lines > 0 {
            let note = format!(
                "{{\"level\":\"ERROR\",\"fields\":{{\"message\":\"lines of this log were lost\",\"count\":{}}}}}\n",
                self.lost_lines
            );
            self.append(note.as_bytes())?;
            self.lost_lines = 0;
        }
        self.append(line)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// `gic.log` becomes `gic.log.1`, that one `gic.log.2`, and so on; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for number in (1..self.kept_files).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.open()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name: OsString = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn lose(&mut self) {
        self.lost_lines += 1;
        metrics::counter!(metric::LOG_LINES_LOST).increment(1);
    }

    fn fail(&mut self, error: &io::Error) {
        self.lose();
        self.file = None;
        self.paused_until = Some(Instant::now() + PAUSE_AFTER_FAILURE);
        if self.lost_lines == 1 {
            // Not through the log, which is what fails; if standard error fails too, nobody is left to tell.
            let text = format!("gic: log file {}: {error}; lines are lost\n", self.path.display());
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
}

/// One line of the log.
#[derive(Debug)]
pub struct LineWriter {
    file: LogFile,
}

impl Write for LineWriter {
    /// The whole line or nothing, and never an error: a log that cannot be written is no reason to stop.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.file.lock();
        if let Err(error) = state.write_line(line) {
            state.fail(&error);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { file: self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(maximum_bytes: u64, kept_files: u32) -> LogSettings {
        LogSettings { file: None, maximum_bytes, kept_files }
    }

    fn say(log: &LogFile, text: &str) {
        log.make_writer().write_all(text.as_bytes()).unwrap();
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn files_rotate_by_size_and_so_many_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/gic.log");
        let log = LogFile::open(&path, &settings(10, 2)).unwrap();
        for line in ["aaaaaa\n", "bbbbbb\n", "cccccc\n", "dddddddddddddddd\n", "e\n", "f\n"] {
            say(&log, line);
        }
        assert_eq!(text(&path), "e\nf\n");
        assert_eq!(text(&path.with_extension("log.1")), "dddddddddddddddd\n");
        assert_eq!(text(&path.with_extension("log.2")), "cccccc\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
        // A restart goes on in the same file.
        drop(log);
        say(&LogFile::open(&path, &settings(10, 2)).unwrap(), "g\n");
        assert_eq!(text(&path), "e\nf\ng\n");
    }

    #[test]
    fn a_file_that_was_moved_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gic.log");
        let log = LogFile::open(&path, &settings(0, 1)).unwrap();
        say(&log, "before\n");
        let moved = directory.path().join("gic.log-20261102");
        fs::rename(&path, &moved).unwrap();
        say(&log, "between\n");
        log.reopen();
        say(&log, "after\n");
        assert_eq!(text(&moved), "before\nbetween\n");
        assert_eq!(text(&path), "after\n");
    }

    #[test]
    fn a_failing_file_loses_lines_and_says_how_many() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gic.log");
        let log = LogFile::open(&path, &settings(0, 1)).unwrap();
        // As a disk that is full: every write to it fails.
        log.lock().file = Some(OpenOptions::new().append(true).open("/dev/full").unwrap());
        say(&log, "lost\n");
        say(&log, "lost in the pause\n");
        log.lock().paused_until = None;
        say(&log, "kept\n");
        let written = text(&path);
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let note: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(note["fields"]["count"], 2);
        assert_eq!(lines[1], "kept");
    }
}
