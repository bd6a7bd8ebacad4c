//! Writes the GP1 result of a deadline: `result.json`, `candidates.fits`, stacks and cut-outs (interfaces.md §7).

use super::all_filters::{StackOfFilters, stacks_of_filters};
use super::analysis::StackView;
use super::candidate_table::write_candidates;
use super::error::Gp1Error;
use super::frame_steps::StepContext;
use super::measured_frame::MeasuredFrame;
use super::reduced_file::{read_reduced, write_reduced, write_stack};
use super::stack_difference::StackDifference;
use super::stacking::StackSet;
use super::workspace::{component, make_directory, write_atomically};
use crate::fits::Header;
use crate::imaging::{Image, render::cutout};
use crate::model::{AnalysisResult, Candidate, ListedCandidate, SkyPosition, report_file};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the result in the directory of a deadline.
pub const RESULT_FILE: &str = report_file::RESULT;

/// Writes the stacks of a deadline, `stack_<filter>.fits`, and the same into the directory of the filter.
pub fn write_stacks(
    context: StepContext<'_>,
    directory: &Path,
    frames: &[&MeasuredFrame],
    stacks: &[StackView<'_>],
) -> Result<(), Gp1Error> {
    for view in stacks {
        let name = format!("{}.fits", view.name);
        let header = view.stack.header();
        write_stack(context.store, &directory.join(&name), &header, &view.image, &view.depth)?;
        let reference = &view.stack.reference.frame;
        if let Some(frame) = frames.iter().find(|frame| frame.name() == reference) {
            let place = frame.paths.directory.join(&name);
            write_stack(context.store, &place, &header, &view.image, &view.depth)?;
        }
    }
    Ok(())
}

/// Writes the difference of each stack to its template, `difference_<filter>.fits`.
pub(super) fn write_differences(
    context: StepContext<'_>,
    directory: &Path,
    differences: &[(String, StackDifference)],
) -> Result<(), Gp1Error> {
    for (stack, made) in differences {
        let name = format!("{}.fits", stack.replacen("stack_", "difference_", 1));
        let path = directory.join(name);
        write_reduced(context.store, &path, &made.header, &made.difference.image)?;
    }
    Ok(())
}

/// Writes the stacks over all filters, `stack_all.fits`, where there are several filters.
pub fn write_stacks_of_filters(
    context: StepContext<'_>,
    directory: &Path,
    stacks: &StackSet,
) -> Result<(), Gp1Error> {
    for StackOfFilters { name, header, image, depth } in stacks_of_filters(stacks) {
        let path = directory.join(format!("{name}.fits"));
        write_stack(context.store, &path, &header, &image, &depth)?;
    }
    Ok(())
}

/// Writes a cut-out for each listed candidate, `<rank>_<id>.png`, from the stack that covers it, else from the first frame
/// that shows it. Returns the file name of each; `None` where no image covers the place.
pub fn write_cutouts(
    context: StepContext<'_>,
    directory: &Path,
    frames: &[&MeasuredFrame],
    stacks: &[StackView<'_>],
    candidates: &[&Candidate],
    size: usize,
) -> Result<Vec<Option<String>>, Gp1Error> {
    let mut names = vec![None; candidates.len()];
    // Candidates by frame, so that each frame is read once.
    let mut by_frame: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let on_stack = stacks.iter().find_map(|view| {
            let place = pixel_on(view, candidate.position)?;
            Some((&view.image.data, place))
        });
        match on_stack {
            Some((image, place)) => {
                let name = write_cutout(directory, index, candidate, image, place, size)?;
                if let Some(slot) = names.get_mut(index) {
                    *slot = Some(name);
                }
            }
            None => {
                if let Some(frame) = frame_showing(frames, candidate) {
                    by_frame.entry(frame).or_default().push(index);
                }
            }
        }
    }
    for (frame, members) in by_frame {
        let Some(frame) = frames.get(frame) else { continue };
        let reduced = read_reduced(context.store, &frame.paths.reduced)?;
        for index in members {
            let Some(candidate) = candidates.get(index) else { continue };
            let Some(place) = frame.pixel_of(candidate.position, 0.0) else { continue };
            let image = &reduced.image.data;
            let name = write_cutout(directory, index, candidate, image, place, size)?;
            if let Some(slot) = names.get_mut(index) {
                *slot = Some(name);
            }
        }
    }
    Ok(names)
}

fn pixel_on(view: &StackView<'_>, position: SkyPosition) -> Option<(f64, f64)> {
    let (x, y) = view.stack.reference.wcs.sky_to_pixel(position).ok()?;
    let (rows, columns) = view.image.shape();
    let inside = x >= 0.0 && y >= 0.0 && x <= columns as f64 - 1.0 && y <= rows as f64 - 1.0;
    let (column, row) = (x.round().max(0.0) as usize, y.round().max(0.0) as usize);
    let has_data = view
        .image
        .mask
        .get((row, column))
        .is_some_and(|bits| bits & crate::imaging::mask_bits::NO_DATA == 0);
    (inside && has_data).then_some((x, y))
}

fn frame_showing(frames: &[&MeasuredFrame], candidate: &Candidate) -> Option<usize> {
    let shown = candidate.light_curve.iter().find(|point| point.detected);
    let by_name = shown
        .and_then(|point| frames.iter().position(|frame| frame.name() == point.image))
        .filter(|index| {
            frames
                .get(*index)
                .is_some_and(|frame| frame.pixel_of(candidate.position, 0.0).is_some())
        });
    by_name.or_else(|| {
        frames.iter().position(|frame| frame.pixel_of(candidate.position, 0.0).is_some())
    })
}

fn write_cutout(
    directory: &Path,
    index: usize,
    candidate: &Candidate,
    image: &Image,
    (x, y): (f64, f64),
    size: usize,
) -> Result<String, Gp1Error> {
    let name = format!("{:03}_{}.png", index + 1, component(&candidate.id));
    let path = directory.join(&name);
    let pixels = cutout(image, x, y, size);
    let (rows, columns) = pixels.dim();
    let bytes: Vec<u8> = pixels.iter().copied().collect();
    let wrong = |what: String| Gp1Error::Content { path: path.clone(), what };
    let side = |count: usize| u32::try_from(count).map_err(|error| wrong(error.to_string()));
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&bytes, side(columns)?, side(rows)?, ExtendedColorType::L8)
        .map_err(|error| wrong(error.to_string()))?;
    write_atomically(&path, &png)?;
    Ok(name)
}

/// Writes the table of all candidates and, last, the JSON. Returns the path of the JSON.
pub fn write_result(
    context: StepContext<'_>,
    directory: &Path,
    result: &AnalysisResult,
    all: &[Candidate],
) -> Result<PathBuf, Gp1Error> {
    make_directory(directory)?;
    let mut header = Header::new();
    header.set("BURST_ID", result.burst_id.as_str(), "burst");
    header.set("DEADLINE", result.deadline.to_string(), "deadline");
    header.set("T0", result.t0.iso_milliseconds(), "UTC of the burst");
    header.set("TELESCOP", result.telescope.as_str(), "telescope");
    header.set("INSTRUME", result.instrument.as_str(), "cameras");
    header.set("CATSTAT", result.catalogue_status.as_card(), "answer of the catalogue");
    header.set("NFRAMES", result.frames.len(), "frames at hand");
    header.set("NCAND", all.len(), "candidates");
    write_candidates(context.store, &directory.join(report_file::CANDIDATES), &header, all)?;
    let path = directory.join(RESULT_FILE);
    write_json(&path, result)?;
    Ok(path)
}

/// Writes the list after a frame.
pub fn write_provisional(path: &Path, list: &[ListedCandidate]) -> Result<(), Gp1Error> {
    if let Some(directory) = path.parent() {
        make_directory(directory)?;
    }
    write_json(path, &list)
}

fn write_json(path: &Path, content: &impl serde::Serialize) -> Result<(), Gp1Error> {
    let text = serde_json::to_vec_pretty(content)
        .map_err(|error| Gp1Error::Content { path: path.to_owned(), what: error.to_string() })?;
    write_atomically(path, &text)
}
