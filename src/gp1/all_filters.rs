//! Stacks over all filters of a camera and field: the mean of the filters' stacks by weight, in the flux scale of the first.

use super::field_grid::FieldGrid;
use super::stacking::{FilterStack, StackSet};
use super::workspace::component;
use crate::fits::{Header, wcs_cards};
use crate::imaging::{CalibratedImage, Image, Mask, mask_bits, stack::DepthMap};
use ndarray::Array2;
use std::collections::BTreeSet;

/// A stack over filters, with how deep it is.
#[derive(Debug, Clone)]
pub struct StackOfFilters {
    /// `stack_all`; with the camera in it where several cameras have one, and with a number from the second field on.
    pub name: String,
    pub header: Header,
    pub image: CalibratedImage,
    pub depth: DepthMap,
}

/// Of every camera and field that is tied to the sky and was taken in two filters at least. Zero points bring the filters to one scale, so
/// that a source of the colour that they hold for has one flux in all of them; the stack shows what is there, it does not measure magnitudes.
pub fn stacks_of_filters(stacks: &StackSet) -> Vec<StackOfFilters> {
    let named = stacks.named();
    let cameras: BTreeSet<&str> =
        named.iter().map(|(_, stack)| stack.instrument.as_str()).collect();
    let mut made: Vec<(&str, StackOfFilters)> = Vec::new();
    for camera in cameras {
        let mut of_camera: Vec<&FilterStack> = named
            .iter()
            .map(|(_, stack)| *stack)
            .filter(|stack| stack.instrument == camera && stack.reference.is_absolute)
            .collect();
        of_camera.sort_by_key(|stack| stack.first_start);
        let mut number = 0;
        while let Some(first) = of_camera.first().copied() {
            let grid: &FieldGrid = &first.reference;
            let (members, others): (Vec<_>, Vec<_>) =
                of_camera.into_iter().partition(|stack| grid.fit_grid(&stack.reference).is_ok());
            // A field that does not fit itself would be looked at for ever.
            of_camera =
                others.into_iter().filter(|stack| stack.reference.frame != grid.frame).collect();
            let filters: BTreeSet<&str> =
                members.iter().map(|stack| stack.filter.as_str()).collect();
            if filters.len() > 1 {
                number += 1;
                let suffix = if number == 1 { String::new() } else { format!("_{number}") };
                let (image, depth) = mean_of(first, &members);
                let header = header_of(first, &members, &filters);
                let name = format!("stack_all{suffix}");
                made.push((camera, StackOfFilters { name, header, image, depth }));
            }
        }
    }
    let cameras: BTreeSet<&str> = made.iter().map(|(camera, _)| *camera).collect();
    let is_shared = cameras.len() > 1;
    made.iter_mut().filter(|_| is_shared).for_each(|(camera, stack)| {
        stack.name = stack.name.replace("stack_", &format!("stack_{}_", component(camera)));
    });
    made.into_iter().map(|(_, stack)| stack).collect()
}

/// Sums over the members so far, pixel by pixel.
struct Sums {
    weight: Image,
    value: Image,
    variance: Image,
    frames: Array2<u16>,
    /// Of values that do not count.
    bits: Mask,
}

fn mean_of(first: &FilterStack, members: &[&FilterStack]) -> (CalibratedImage, DepthMap) {
    let shape = first.reference.shape;
    let mut sums = Sums {
        weight: Image::zeros(shape),
        value: Image::zeros(shape),
        variance: Image::zeros(shape),
        frames: Array2::zeros(shape),
        bits: Mask::zeros(shape),
    };
    for member in members {
        sums.add(first, member);
    }
    let Sums { weight, mut value, mut variance, frames, mut bits } = sums;
    for (place, total) in weight.indexed_iter() {
        if *total > 0.0 {
            value[place] /= total;
            variance[place] /= total * total;
            bits[place] = 0;
        } else {
            bits[place] |= mask_bits::NO_DATA;
        }
    }
    (CalibratedImage { data: value, variance, mask: bits }, DepthMap { weight, frames })
}

impl Sums {
    fn add(&mut self, first: &FilterStack, member: &FilterStack) {
        let (image, depth) = member.image_with_depth();
        let is_first = member.reference.frame == first.reference.frame;
        let (image, weight, frames) = if is_first {
            (image, depth.weight, depth.frames.mapv(f32::from))
        } else {
            let Ok(fit) = first.reference.fit_grid(&member.reference) else { return };
            let moved = |plane: Image| {
                let (variance, mask) = (Image::zeros(plane.dim()), Mask::zeros(plane.dim()));
                fit.resample_plain(&CalibratedImage { data: plane, variance, mask }).data
            };
            (fit.resample_plain(&image), moved(depth.weight), moved(depth.frames.mapv(f32::from)))
        };
        let scale = first.scale_of(member.reference.zero_point, member.reference.exposure_seconds);
        let scale = scale as f32;
        for (place, bits) in image.mask.indexed_iter() {
            // In the scale of the first. The kernel rings where the depth changes.
            let own = weight[place] / (scale * scale);
            if *bits != 0 || !(own > 0.0 && own.is_finite()) {
                self.bits[place] |= *bits;
                continue;
            }
            self.weight[place] += own;
            self.value[place] += own * scale * image.data[place];
            self.variance[place] += (own * scale).powi(2) * image.variance[place];
            let count = frames[place].round().clamp(0.0, f32::from(u16::MAX)) as u16;
            self.frames[place] = self.frames[place].saturating_add(count);
        }
    }
}

fn header_of(first: &FilterStack, members: &[&FilterStack], filters: &BTreeSet<&str>) -> Header {
    let mut header = Header::new();
    let reference = &first.reference;
    let names: Vec<&str> = filters.iter().copied().collect();
    header.set("FILTER", "all", "several filters");
    header.set("FILTERS", names.join(" ").as_str(), "the filters");
    header.set("INSTRUME", first.instrument.as_str(), "camera");
    let frames: usize = members.iter().map(|stack| stack.stacked.len()).sum();
    header.set("NCOMBINE", frames, "frames in the stack");
    header.set("EXPTIME", reference.exposure_seconds, "[s] exposure the fluxes are scaled to");
    let total: f64 = members.iter().map(|stack| stack.exposure_seconds).sum();
    header.set("TOTEXP", total, "[s] sum of the exposures");
    if let (Some(start), Some(end)) = (
        members.iter().map(|stack| stack.first_start).min(),
        members.iter().map(|stack| stack.last_end).max(),
    ) {
        header.set("DATE-OBS", start.iso_milliseconds(), "UTC of the first start");
        header.set("DATE-END", end.iso_milliseconds(), "UTC of the last end");
    }
    header.set("ZPMAG", reference.zero_point, "[mag] of one electron per second");
    header.set("ZPFILTER", first.filter.as_str(), "filter whose scale it has");
    header.set("REFFRAME", reference.frame.as_str(), "frame that gives grid and scale");
    header.set("BUNIT", "electron", "unit of the pixels");
    wcs_cards::write_distorted(&mut header, &reference.wcs);
    for stack in members {
        header.history(&format!("stacking: {} of filter {}", stack.stacked.len(), stack.filter));
    }
    header
}
