//! `gic distortion`: learns the distortion of a camera from frames that were solved.

use super::Failure;
use crate::{
    config::ControllerConfig,
    controller::assembly::keyword_map,
    fits::plain_files::PlainFiles,
    gp1::{camera_distortions, frame_input},
};
use anyhow::anyhow;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "The files written are used where `distortion` in astrometry.cfg names them or their directory.\n\n\
    Example:\n  gic distortion -s calibrated/svom/*_reduced.fits -r distortions"
)]
pub struct DistortionArguments {
    /// Reduced frames of one camera, solved, with their source tables and quality records beside them; or a directory of them
    #[arg(short = 's', long, required = true, num_args = 1.., value_name = "PATH")]
    input: Vec<PathBuf>,
    /// Directory of the distortions
    #[arg(short = 'r', long, value_name = "DIR")]
    output: PathBuf,
    /// Degree of the polynomials
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=4))]
    order: u8,
    /// Configuration of the controller, for keywords and [cameras] (default: built in)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(arguments: DistortionArguments) -> Result<(), Failure> {
    for path in &arguments.input {
        if !path.exists() {
            return Err(Failure::InputMissing(anyhow!("{}: not there", path.display())));
        }
    }
    let is_reduced = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_reduced.fits"))
    };
    let mut frames = frame_input::expand(&arguments.input)?;
    frames.retain(is_reduced);
    let config = match &arguments.config {
        Some(file) => ControllerConfig::read(file),
        None => ControllerConfig::embedded(),
    };
    let keywords = keyword_map(&config.map_err(super::config::failure)?)?;
    let order = usize::from(arguments.order);
    let learned = camera_distortions::learn(&PlainFiles::UNSYNCED, &keywords, &frames, order)?;
    std::fs::create_dir_all(&arguments.output)?;
    let path = camera_distortions::write(&arguments.output, &learned)?;
    let (rows, columns) = learned.shape;
    let largest = [(0, 0), (columns, 0), (0, rows), (columns, rows)]
        .map(|(x, y)| {
            let (x, y) = (x as f64, y as f64);
            let (u, v) = learned.undistorted(x, y);
            (u - x).hypot(v - y)
        })
        .into_iter()
        .fold(0.0, f64::max);
    println!("{}", path.display());
    eprintln!(
        "{}: {} stars, residual {:.4} pixels per axis, {largest:.2} pixels at the worst corner",
        learned.camera, learned.star_count, learned.rms_pixels
    );
    Ok(())
}
