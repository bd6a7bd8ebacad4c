//! Frames put on the grid of their field, each in a file of its own: `<frame>_aligned.fits`.

use super::error::Gp1Error;
use super::field_grid::{FieldGrid, GridFit, Placement, offer_in_turn};
use super::frame_steps::{StepContext, background_of};
use super::measured_frame::MeasuredFrame;
use super::reduced_file::{ReducedFrame, write_reduced};
use super::settings::AlignmentParameters;
use super::stacking::{StackKey, StackRefusal, key_of};
use crate::fits::{Header, wcs_cards};
use std::collections::BTreeMap;
use std::path::Path;

/// The fields of each camera and filter, in the order in which their first frames came.
#[derive(Debug, Clone, Default)]
pub struct FieldSet {
    fields: BTreeMap<StackKey, Vec<FieldGrid>>,
}

impl FieldSet {
    /// Writes a frame on the grid of its field, sky taken off, with variance and mask; how it lies there is in the header. The first
    /// frame of a field gives the grid. An error says why a frame fits none.
    pub fn write_aligned(
        &mut self,
        context: StepContext<'_>,
        frame: &MeasuredFrame,
        reduced: ReducedFrame,
        path: &Path,
    ) -> Result<(), Gp1Error> {
        let alignment = &context.settings.alignment;
        let refused = |refusal: StackRefusal| Gp1Error::Unusable {
            path: frame.paths.reduced.clone(),
            what: refusal.to_string(),
        };
        let number = self.field_of(frame, alignment).map_err(refused)?;
        let fields = self.fields.get(&key_of(frame));
        let Some(grid) = fields.and_then(|fields| fields.get(number)) else {
            return Err(refused(StackRefusal::NoCoordinates));
        };
        let fit = grid.fit(frame, alignment).map_err(refused)?;
        let placement = agreeing(&fit, frame, alignment).map_err(refused)?;
        let background = background_of(&reduced.image, context.settings);
        let image = fit.resample(&reduced.image, &background);
        let mut header = reduced.header;
        wcs_cards::write_distorted(&mut header, &grid.wcs);
        if grid.is_absolute && !frame.status.is_absolute() {
            header.set("WCSSTAT", "aligned", "solved, aligned, pointing or none");
        }
        set_placement_cards(&mut header, grid, number, &placement);
        write_reduced(context.store, path, &header, &image)
    }

    /// The number of the field of a frame, which founds the next one where it is of none.
    fn field_of(
        &mut self,
        frame: &MeasuredFrame,
        alignment: &AlignmentParameters,
    ) -> Result<usize, StackRefusal> {
        let fields = self.fields.entry(key_of(frame)).or_default();
        let mut number = 0;
        let fitting = offer_in_turn(
            fields,
            frame,
            |grid| grid.is_absolute,
            |grid| {
                number += 1;
                if grid.is_apart_from(frame) {
                    return Err(StackRefusal::OtherStars { reference: grid.frame.clone() });
                }
                grid.fit(frame, alignment).map(|_| number - 1)
            },
        )?;
        if let Some(number) = fitting {
            return Ok(number);
        }
        fields.push(FieldGrid::of(frame)?);
        Ok(fields.len() - 1)
    }
}

/// The place of a frame, unless its stars are elsewhere: coordinates may be wrong.
fn agreeing(
    fit: &GridFit<'_>,
    frame: &MeasuredFrame,
    alignment: &AlignmentParameters,
) -> Result<Placement, StackRefusal> {
    let placement = fit.placement(frame, alignment);
    let Placement { expected_stars, matched_stars, .. } = placement;
    if matched_stars < alignment.minimum_matches && expected_stars > 2 * alignment.minimum_matches {
        return Err(StackRefusal::Misaligned(format!(
            "only {matched_stars} of {expected_stars} stars are where its coordinates say"
        )));
    }
    Ok(placement)
}

fn set_placement_cards(
    header: &mut Header,
    grid: &FieldGrid,
    number: usize,
    placement: &Placement,
) {
    header.set("ALNREF", grid.frame.as_str(), "frame that gives the grid");
    header.set("ALNFIELD", number + 1, "field of its camera and filter");
    header.set("ALNBY", placement.by, "itself, coordinates or stars");
    header.set("ALNDX", placement.shift.0, "[pixel] the middle of the grid on the frame");
    header.set("ALNDY", placement.shift.1, "[pixel] less that middle");
    header.set("ALNROT", placement.rotation_degrees, "[deg] from grid to frame, x to y");
    header.set("ALNSCALE", placement.scale, "pixels of the frame in one of the grid");
    header.set("ALNSTARS", placement.matched_stars, "stars found where they should be");
    header.set("ALNEXPEC", placement.expected_stars, "stars of the grid on the frame");
    if let Some(residual) = placement.residual_pixels {
        header.set("ALNRMS", residual, "[pixel] their residual per axis");
    }
    header.history(&format!("alignment: resampled to the grid of {}, sky taken off", grid.frame));
}
