//! Progress of long work on a terminal; silence elsewhere.

use crate::controller::simulated_night::{NightProgress, NightWatcher};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar on standard error, or a line every so often where that is no terminal.
pub struct TerminalProgress {
    bar: ProgressBar,
    is_terminal: bool,
    last_percent: std::sync::atomic::AtomicU64,
}

impl TerminalProgress {
    pub fn new(quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal() && !quiet;
        let bar = ProgressBar::with_draw_target(
            Some(0),
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        let style =
            ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} frames  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
        bar.set_style(style);
        let last_percent = std::sync::atomic::AtomicU64::new(if quiet { u64::MAX } else { 0 });
        Self { bar, is_terminal, last_percent }
    }
}

impl NightWatcher for TerminalProgress {
    fn see(&self, progress: &NightProgress) {
        use std::sync::atomic::Ordering;
        self.bar.set_length(progress.frames_planned);
        self.bar.set_position(progress.frames_done);
        let message = format!(
            "T0{:+.0} s  {}  candidates {}  receipts {}",
            progress.seconds_after_t0, progress.phase, progress.candidates, progress.receipts
        );
        self.bar.set_message(message.clone());
        if self.is_terminal || progress.frames_planned == 0 {
            return;
        }
        let percent = progress.frames_done * 100 / progress.frames_planned;
        let last = self.last_percent.load(Ordering::Relaxed);
        if last != u64::MAX && percent >= last + 10 {
            self.last_percent.store(percent - percent % 10, Ordering::Relaxed);
            eprintln!("{percent:3} %  {message}");
        }
    }

    fn announce(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(text);
        } else if self.last_percent.load(std::sync::atomic::Ordering::Relaxed) != u64::MAX {
            eprintln!("{text}");
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
