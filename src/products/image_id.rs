//! IMAGEID: `S_<filter>_<number>` for a single frame, `C_<filter>_<number>` for a combined image (seed 003, 50A).

use crate::model::{AnalysisResult, FrameUse, LightCurvePoint, UtcTime};

/// A single frame. Its number is the start of the exposure in digits, `YYYYMMDDHHMMSS`: the same at every deadline, and
/// found again in the frame's name.
pub(super) fn single(filter: &str, start: UtcTime) -> String {
    format!("S_{filter}_{}", start.compact().replace('T', ""))
}

/// A combined image. Its number is the count of frames in it.
pub(super) fn combined(filter: &str, frame_count: usize) -> String {
    format!("C_{filter}_{frame_count}")
}

/// Whether a measurement was made on one frame of the result, and not on a combined image.
pub(super) fn is_single(result: &AnalysisResult, point: &LightCurvePoint) -> bool {
    result.frames.iter().any(|frame| frame.name == point.image)
}

/// Of the image a measurement was made on.
pub(super) fn of_point(result: &AnalysisResult, point: &LightCurvePoint) -> String {
    if is_single(result, point) {
        return single(&point.filter, point.start);
    }
    let limit = result
        .limits
        .iter()
        .find(|limit| limit.filter == point.filter && limit.image == point.image);
    let inside = |frame: &&FrameUse| {
        frame.stacked
            && frame.filter == point.filter
            && frame.start >= point.start
            && frame.start < point.end
    };
    let count = match limit {
        Some(limit) => limit.frame_count,
        None => result.frames.iter().filter(inside).count(),
    };
    combined(&point.filter, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::sample;

    #[test]
    fn frames_and_stacks_are_told_apart() {
        let result = sample::result();
        let point = result.candidates[0].candidate.light_curve[0].clone();
        assert_eq!(of_point(&result, &point), "S_r_20261101000205");
        let stack = LightCurvePoint { image: result.limits[0].image.clone(), ..point.clone() };
        assert_eq!(of_point(&result, &stack), "C_r_3");
        let end = result.frames[1].start.plus_seconds(1.0);
        let other = LightCurvePoint { image: "of two frames".to_owned(), end, ..point };
        assert_eq!(of_point(&result, &other), "C_r_2");
    }
}
