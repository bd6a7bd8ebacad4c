//! A master in its file.

use super::error::Gp1Error;
use super::masters::MasterCandidate;
use super::workspace::component;
use crate::fits::{FitsStore, Header, NewPlane};
use crate::model::{LeftOut, Master, MasterKind};
use sha2::{Digest, Sha256};
use std::path::Path;

/// `bias_20180306T021123_C0_none_2.fits`: kind, date, camera, filter, binning.
pub fn master_file_name(record: &Master) -> String {
    let filter = if record.filter.is_empty() { "none" } else { &record.filter };
    format!(
        "{}_{}_{}_{}_{}.fits",
        record.kind,
        record.date.compact(),
        component(&record.instrument),
        component(filter),
        record.binning
    )
}

/// Writes the file into `directory` and returns the record with its path and hash.
pub fn write_master(
    store: &dyn FitsStore,
    directory: &Path,
    candidate: &MasterCandidate,
) -> Result<Master, Gp1Error> {
    super::workspace::make_directory(directory)?;
    let mut record = candidate.record.clone();
    let path = directory.join(master_file_name(&record));
    let header = master_header(candidate);
    store.write_images(&path, &[("", &header, NewPlane::Float32(&candidate.data))])?;
    let content =
        std::fs::read(&path).map_err(|source| Gp1Error::Io { path: path.clone(), source })?;
    record.sha256 = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    record.path = path;
    Ok(record)
}

fn master_header(candidate: &MasterCandidate) -> Header {
    let record = &candidate.record;
    let mut header = Header::new();
    header.set("EXPTYPE", format!("master {}", record.kind), "kind of master");
    header.set("INSTRUME", record.instrument.as_str(), "camera");
    if !record.filter.is_empty() {
        header.set("FILTER", record.filter.as_str(), "filter");
    }
    header.set("BINNING", record.binning, "pixels binned on each axis");
    header.set("DATE-OBS", record.date.iso_milliseconds(), "UTC of the start of the first frame");
    header.set("NCOMBINE", record.frame_count, "frames combined");
    let unit = match record.kind {
        MasterKind::Bias => "adu",
        MasterKind::Dark => "adu/s",
        MasterKind::Flat => "",
    };
    header.set("BUNIT", unit, "unit of the pixels");
    let statistics = &record.statistics;
    header.set("MEAN", statistics.mean, "mean of all pixels");
    header.set("MEDIAN", statistics.median, "median of all pixels");
    header.set("RMS", statistics.rms, "standard deviation of all pixels");
    for (keyword, value, what) in [
        ("MEANDIFF", statistics.mean_difference, "mean"),
        ("MEDIANDIF", statistics.median_difference, "median"),
        ("RMSDIFF", statistics.rms_difference, "standard deviation"),
    ] {
        // Keywords have eight characters; the record beside the file spells them as seed 003 does.
        let keyword = keyword.get(..8).unwrap_or(keyword);
        if let Some(value) = value {
            header.set(keyword, value, &format!("{what} of new - master before"));
        }
    }
    let figures = &record.figures;
    if let Some(noise) = figures.read_noise_dn {
        header.set("RDNOISED", noise, "[adu] read noise, from differences of pairs");
    }
    if let Some(gain) = figures.gain_electrons {
        header.set("PTCGAIN", gain.value, "[electron/adu] gain, by photon transfer");
        header.set("PTCERR", gain.error, "[electron/adu] its standard error");
        header.set("PTCPAIRS", figures.gain_pairs, "pairs of flats it was measured on");
    }
    if let Some(difference) = figures.half_difference {
        header.set("HALFDIFF", difference, "robust deviation of one half from the other");
    }
    header.set("VALID", record.valid, "passed the validation");
    for name in &candidate.inputs {
        header.history(&format!("combined from {name}"));
    }
    for LeftOut { name, reason } in &record.figures.left_out {
        header.history(&format!("left out {name}: {reason}"));
    }
    header
}
