//! The report of a deadline for people: a page with pictures and plots, a finding chart, regions, tables, the draft of a circular.
//!
//! It is made of the result and of the files and measurements that the result rests on, and of nothing else: no time of day, no order of
//! events. Made again after a restart, or by `gic summary`, it has the same bytes. It is made after the result is out; what keeps a part from
//! being made is said in the page and keeps no other part.

mod base64;
mod canvas;
mod catalogued;
pub mod circular;
mod cutouts;
mod field_plots;
mod finding_chart;
mod glyphs;
mod light_curve_plot;
mod page;
mod page_tables;
mod pictures;
mod plot;
mod regions;
#[cfg(test)]
mod report_tests;
mod verdict;
mod votable;
mod words;

use super::analysis::field_catalogue;
use super::error::Gp1Error;
use super::frame_scale::FieldCatalogue;
use super::frame_steps::{StepContext, StepTimer};
use super::measured_frame::MeasuredFrame;
use super::workspace::{replace_unsynced, write_atomically};
use crate::model::{AnalysisResult, report_file};
use catalogued::{as_csv, calibration_sample, catalogued_sources};
use page::{PageContent, html};
use std::path::{Path, PathBuf};

/// What a report is made of.
#[derive(Clone, Copy)]
pub struct ReportInputs<'a> {
    pub context: StepContext<'a>,
    pub result: &'a AnalysisResult,
    /// Of the deadline: stacks and `candidates.fits` are there, and the report goes there.
    pub directory: &'a Path,
    /// Frames of the result, in its order.
    pub frames: &'a [&'a MeasuredFrame],
}

/// Writes all files of the report. Returns the path of the page, which is written last.
pub fn write_report(inputs: &ReportInputs<'_>) -> Result<PathBuf, Gp1Error> {
    let ReportInputs { context, result, directory, frames } = *inputs;
    let mut timer = StepTimer::new("report");
    let filters = filters_of(result);
    let answer = field_catalogue(context, frames);
    let catalogue = FieldCatalogue { objects: answer.objects(), bands: context.catalogue.bands() };
    let candidate_count = candidate_count(inputs);
    let sources = catalogued_sources(frames, &filters, catalogue);
    let calibrations: Vec<_> =
        filters.iter().filter_map(|filter| calibration_sample(frames, filter, catalogue)).collect();
    timer.done("report: sources");
    let pictures = pictures::pictures(inputs, catalogue);
    timer.done("report: pictures");
    let circular = circular::draft(result, &context.settings.circular);
    let page = html(&PageContent {
        result,
        filters: &filters,
        candidate_count,
        cutouts: &pictures.cutouts,
        chart: pictures.chart.as_ref(),
        sources: &sources,
        calibrations: &calibrations,
        omissions: &pictures.omissions,
        circular: &circular,
    });
    let write = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        match context.store.syncs() {
            true => write_atomically(&path, content),
            false => replace_unsynced(&path, content),
        }
        .map(|()| path)
    };
    write(report_file::REGIONS, regions::region_file(result, candidate_count).as_bytes())?;
    write(report_file::VOTABLE, votable::votable(result, candidate_count).as_bytes())?;
    write(report_file::CATALOGUED, as_csv(&sources, &filters).as_bytes())?;
    write(report_file::CIRCULAR, circular.as_bytes())?;
    if let Some(chart) = &pictures.chart {
        write(report_file::CHART, &chart.png)?;
    }
    let path = write(report_file::REPORT, page.as_bytes())?;
    timer.done("report: written");
    Ok(path)
}

/// A page that says why there is no report.
pub fn write_failed_report(result_path: &Path, reason: &str) -> Result<PathBuf, Gp1Error> {
    let path = result_path.with_file_name(report_file::REPORT);
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>No report</title></head>\n\
         <body><h1>No report</h1><p>The report could not be made: {}. The result itself is in <a href=\"{}\">{}</a>.</p></body></html>\n",
        words::escaped(reason),
        report_file::RESULT,
        report_file::RESULT
    );
    write_atomically(&path, page.as_bytes())?;
    Ok(path)
}

/// Filters of the frames, in the order of their names: each is one series of the plots.
fn filters_of(result: &AnalysisResult) -> Vec<String> {
    let mut filters: Vec<String> = result.frames.iter().map(|frame| frame.filter.clone()).collect();
    filters.sort_unstable();
    filters.dedup();
    filters
}

/// How many candidates there are, listed or not, as the table of all of them says; without those that are set aside.
fn candidate_count(inputs: &ReportInputs<'_>) -> usize {
    let listed = inputs.result.candidates.len();
    if listed < inputs.context.settings.summary.maximum_candidates {
        return listed;
    }
    let path = inputs.directory.join(report_file::CANDIDATES);
    let tables = inputs.context.store.read_tables(&path).ok();
    let count = tables.and_then(|content| content.tables.first().map(|table| table.row_count()));
    count.map_or(listed, |count| count.saturating_sub(inputs.result.set_aside)).max(listed)
}
