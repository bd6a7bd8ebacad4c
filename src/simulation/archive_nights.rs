//! Which frames of an archive are of one night.

use super::archive::ReplayCards;
use crate::model::{FrameKeywords, FrameKind, UtcTime};
use std::path::PathBuf;

/// Object frames further apart than this are of different nights, wherever the telescope stands.
const NIGHT_GAP_SECONDS: f64 = 6.0 * 3600.0;
/// Calibration frames further than this from the night's object frames are of other nights.
const CALIBRATION_REACH_SECONDS: f64 = 18.0 * 3600.0;
/// A frame whose header could be read.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) keywords: FrameKeywords,
    pub(super) cards: ReplayCards,
}

impl Found {
    pub(super) fn start(&self) -> UtcTime {
        self.keywords.date_obs
    }
}

/// Whether the archive holds several object frames and no two of one night: the epochs of a survey.
pub(super) fn is_series(found: &[Found]) -> bool {
    let starts: Vec<UtcTime> = found
        .iter()
        .filter(|frame| frame.keywords.kind == FrameKind::Object)
        .map(Found::start)
        .collect();
    let apart = |pair: &[UtcTime]| match pair {
        [one, next] => next.seconds_since(*one) > NIGHT_GAP_SECONDS,
        _ => true,
    };
    starts.len() > 1 && starts.windows(2).all(apart)
}

/// The night with most object frames (the first of equals), with the calibration frames near it; the rest is skipped. Of a
/// series all frames are taken.
pub(super) fn select_night(
    found: Vec<Found>,
    is_series: bool,
    skipped: &mut Vec<(PathBuf, String)>,
) -> (Vec<Found>, Vec<Found>) {
    let (objects, calibration): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|frame| frame.keywords.kind == FrameKind::Object);
    let mut nights: Vec<Vec<Found>> = Vec::new();
    for frame in objects {
        let continues = nights.last().and_then(|night| night.last()).is_some_and(|last| {
            is_series || frame.start().seconds_since(last.start()) <= NIGHT_GAP_SECONDS
        });
        match nights.last_mut() {
            Some(night) if continues => night.push(frame),
            _ => nights.push(vec![frame]),
        }
    }
    let largest = nights.iter().map(Vec::len).max().unwrap_or(0);
    let mut chosen: Option<Vec<Found>> = None;
    for night in nights {
        if chosen.is_none() && night.len() == largest {
            chosen = Some(night);
        } else {
            let reason = "object frame of another night";
            skipped.extend(night.into_iter().map(|frame| (frame.path, reason.to_owned())));
        }
    }
    let objects = chosen.unwrap_or_default();
    let span = objects.first().zip(objects.last()).map(|(first, last)| {
        (
            first.start().plus_seconds(-CALIBRATION_REACH_SECONDS),
            last.start().plus_seconds(CALIBRATION_REACH_SECONDS),
        )
    });
    let mut near = Vec::new();
    for frame in calibration {
        if span.is_some_and(|(from, to)| (from..=to).contains(&frame.start())) {
            near.push(frame);
        } else {
            skipped.push((frame.path, "calibration frame of another night".to_owned()));
        }
    }
    (objects, near)
}
