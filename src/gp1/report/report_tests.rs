//! Reports of made-up results against golden files, and of a small night from its frames.
//!
//! `tests/oracles/report.py` reads the golden files with astropy and its package `regions`; what it read is `report.json`.

use super::circular::{COLUMNS, CircularLines, draft};
use super::page::{PageContent, html};
use super::regions::region_file;
use super::votable::votable;
use crate::catalogs::{Catalogue, local::NoCatalogue};
use crate::fits::{cfitsio::Cfitsio, keywords::KeywordMap};
use crate::gp1::archive_tests::{deadline, provenance, trigger};
use crate::gp1::masters_in_force::MastersInForce;
use crate::gp1::pipeline::Instance;
use crate::gp1::settings::{InstanceSettings, Steps};
use crate::gp1::test_sky::{TestCatalogue, TestSky, centre};
use crate::model::{
    AnalysisResult, Candidate, CatalogueStatus, DeadlineName, Degradation, FadingFit, FilterLimit,
    FrameCalibration, FrameUse, InjectionStep, InjectionStudy, LightCurvePoint, ListedCandidate,
    MagnitudeScale, MagnitudeSystem, PositionEstimate, SkyPosition, T0Source, UtcTime,
    VettingReason, report_file,
};
use std::path::Path;
use std::sync::Arc;

fn t0() -> UtcTime {
    UtcTime::parse("2026-11-01T03:12:00").unwrap()
}

fn frame(index: usize, filter: &str) -> FrameUse {
    let start = t0().plus_seconds(120.0 + 60.0 * index as f64);
    FrameUse {
        name: format!("{}C0o", start.compact()),
        instrument: "C0".into(),
        filter: filter.into(),
        start,
        exposure_seconds: 30.0,
        arrived_at: start.plus_seconds(33.0),
        stacked: true,
        reason: None,
        zero_point: Some(22.5),
        relative_zero_point: Some(22.5),
        calibration: Some(FrameCalibration {
            error: 0.01,
            scatter: 0.03,
            star_count: 40,
            scale: MagnitudeScale {
                band: "r".into(),
                system: Some(MagnitudeSystem::Ab),
                colour_term: None,
                intrinsic_scatter: 0.01,
            },
        }),
        group: Some(1),
        limiting_magnitude: Some(19.4),
        fwhm_pixels: Some(3.1),
        astrometry: "solved".into(),
    }
}

fn point(frame: &FrameUse, detected: bool, magnitude: f64) -> LightCurvePoint {
    LightCurvePoint {
        image: frame.name.clone(),
        filter: frame.filter.clone(),
        start: frame.start,
        end: frame.start.plus_seconds(frame.exposure_seconds),
        exposure_seconds: frame.exposure_seconds,
        detected,
        magnitude,
        magnitude_error: if detected { 0.05 } else { 0.0 },
        signal_to_noise: if detected { 21.7 } else { 1.5 },
        flux: 10f64.powf(0.4 * (25.0 - magnitude)),
        flux_error: 4.0,
        limiting_magnitude: 19.4,
    }
}

/// Three candidates in as many filters as are asked for.
fn sample(filters: &[&str]) -> AnalysisResult {
    let frames: Vec<FrameUse> =
        (0..6).map(|index| frame(index, filters[index % filters.len()])).collect();
    let region = SkyPosition::new(30.27, -24.51);
    let candidate =
        |rank: usize, east: f64, reasons: Vec<VettingReason>, score: f64, seen: usize| {
            let position = region.offset_arcsec(east, 4.0);
            let light_curve: Vec<LightCurvePoint> = frames
                .iter()
                .enumerate()
                .map(|(index, frame)| {
                    let seconds = frame.start.plus_seconds(15.0).seconds_since(t0());
                    let magnitude = 16.0 + 2.5 * (seconds / 60.0).log10();
                    point(frame, index < seen, if index < seen { magnitude } else { 19.4 })
                })
                .collect();
            let fits = filters.iter().take(1).filter(|_| seen > 2).map(|filter| FadingFit {
                filter: (*filter).into(),
                magnitude_at_60_seconds: 16.0,
                index: 1.0,
                index_error: 0.04,
                reduced_chi_square: 0.9,
                point_count: 6,
                first_seconds: 135.0,
                last_seconds: 435.0,
                chi_square_gain: 240.0,
            });
            ListedCandidate {
                rank,
                candidate: Candidate {
                    id: position.designation(),
                    position,
                    position_error_arcsec: 0.2,
                    light_curve,
                    fits: fits.collect(),
                    reasons,
                    score,
                    in_search_region: east.abs() < 60.0,
                    offset_arcsec: Some(region.separation_arcsec(position)),
                    first_detected: frames[0].start,
                    detection_count: seen,
                    minor_planet: None,
                    set_aside: None,
                },
                cutout: None,
            }
        };
    use VettingReason::{Fading, InSearchRegion, NotInCatalogue, OutsideSearchRegion, SeenOnce};
    let candidates = vec![
        candidate(1, 12.0, vec![NotInCatalogue, Fading, InSearchRegion], 0.94, 6),
        candidate(2, -30.0, vec![NotInCatalogue, InSearchRegion, SeenOnce], 0.21, 1),
        candidate(3, 240.0, vec![NotInCatalogue, OutsideSearchRegion], 0.05, 2),
    ];
    let limits = filters.iter().map(|filter| FilterLimit {
        filter: (*filter).into(),
        frame_count: frames.len() / filters.len(),
        exposure_seconds: 30.0 * (frames.len() / filters.len()) as f64,
        first_start: frames[0].start,
        last_end: frames[5].start.plus_seconds(30.0),
        limiting_magnitude: 20.1,
        image: format!("stack_{filter}"),
    });
    AnalysisResult {
        format_version: AnalysisResult::FORMAT_VERSION,
        burst_id: "sb26110101".into(),
        deadline: DeadlineName::Minutes(10),
        due_at: t0().plus_seconds(600.0),
        t0: t0(),
        t0_source: T0Source::SequenceT0,
        opened_at: t0().plus_seconds(30.0),
        search_region: Some(PositionEstimate { position: region, radius_degrees: Some(0.02) }),
        field_centre: Some(region),
        telescope: "COLIBRI".into(),
        instrument: "C0".into(),
        limits: limits.collect(),
        frames,
        catalogue_status: CatalogueStatus::Found,
        candidates,
        set_aside: 57,
        completeness: vec![study()],
        degradations: vec![Degradation::new("NODARK", "6 of 6 frames: no dark")],
        empty_reason: None,
        provenance: crate::model::Provenance {
            catalogue: "field.csv, 400 objects to magnitude 20.00".into(),
            ..provenance()
        },
    }
}

fn study() -> InjectionStudy {
    let step = |brightest, listed| InjectionStep {
        brightest,
        faintest: brightest + 0.25,
        injected: 60,
        listed,
    };
    InjectionStudy {
        filter: "w".into(),
        image: "stack_w".into(),
        limiting_magnitude: 20.1,
        at_ten_sigma: Some(0.95),
        half_magnitude: Some(20.52),
        false_detections: 0,
        steps: vec![step(19.975, 57), step(20.225, 44), step(20.475, 21)],
    }
}

fn lines() -> CircularLines {
    CircularLines::new(Some("A. Author (Institute)"), Some("A. Author, author@institute.example"))
}

fn page_of(result: &AnalysisResult) -> String {
    let filters = super::filters_of(result);
    html(&PageContent {
        result,
        filters: &filters,
        candidate_count: 70,
        cutouts: &vec![None; result.candidates.len().min(2)],
        chart: None,
        sources: &[],
        calibrations: &[],
        omissions: &[],
        circular: &draft(result, &lines()),
    })
}

fn is_well_formed(xml: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut names = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(start) => {
                names.push(start.name().as_ref().to_owned());
            }
            quick_xml::events::Event::Eof => return names,
            _ => {}
        }
    }
}

/// With GIC_GOLDEN set the files are written instead.
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GIC_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "{name}");
}

#[test]
fn circulars_regions_and_tables_are_the_golden_ones() {
    let detection = sample(&["r"]);
    assert_golden("circular_detection.txt", &draft(&detection, &lines()));
    let mut limits = sample(&["g", "r", "i"]);
    limits.candidates.remove(0);
    assert_golden("circular_limits.txt", &draft(&limits, &lines()));
    let mut nothing = sample(&["r"]);
    (nothing.frames, nothing.limits, nothing.candidates) = (Vec::new(), Vec::new(), Vec::new());
    nothing.empty_reason = Some("no frame had arrived".into());
    assert_golden("circular_nothing.txt", &draft(&nothing, &CircularLines::default()));
    assert_golden("candidates.reg", &region_file(&sample(&["r", "i"]), 70));
    assert_golden("candidates.vot", &votable(&sample(&["r", "i"]), 70));
    assert_golden("candidates_none.vot", &votable(&nothing, 0));
}

#[test]
fn astropy_reads_what_was_meant() {
    #[derive(serde::Deserialize)]
    struct Circle {
        ra: f64,
        dec: f64,
        radius_arcsec: f64,
        text: String,
    }
    #[derive(serde::Deserialize)]
    struct Read {
        circles: Vec<Circle>,
        ranks: Vec<usize>,
        ids: Vec<String>,
        ra: Vec<f64>,
        dec: Vec<f64>,
        magnitudes: Vec<f64>,
        point_count: usize,
        detected: usize,
        start_unix_seconds: Vec<f64>,
    }
    let read: Read =
        serde_json::from_str(include_str!("../../../tests/oracles/report.json")).unwrap();
    let result = sample(&["r", "i"]);
    let near = |left: f64, right: f64| (left - right).abs() < 1e-6;
    // Positions to 1e-6 degree, as they are written; radii to a milliarcsecond.
    let region = result.search_region.unwrap();
    assert_eq!(read.circles.len(), 4);
    assert!(near(read.circles[0].ra, region.position.ra_degrees));
    assert!((read.circles[0].radius_arcsec - 72.0).abs() < 1e-3);
    assert_eq!(read.circles[0].text, "search region");
    for (index, listed) in result.candidates.iter().enumerate() {
        let (circle, candidate) = (&read.circles[index + 1], &listed.candidate);
        assert!(near(circle.ra, candidate.position.ra_degrees));
        assert!(near(circle.dec, candidate.position.dec_degrees));
        assert_eq!(circle.text, format!("{} {}", listed.rank, candidate.id));
        assert_eq!((read.ranks[index], &read.ids[index]), (listed.rank, &candidate.id));
        assert!(near(read.ra[index], candidate.position.ra_degrees));
        assert!(near(read.dec[index], candidate.position.dec_degrees));
        assert!(near(read.magnitudes[index], candidate.light_curve[0].magnitude));
    }
    let points = || result.candidates.iter().flat_map(|listed| &listed.candidate.light_curve);
    assert_eq!(read.point_count, points().count());
    assert_eq!(read.detected, points().filter(|point| point.detected).count());
    for (seconds, point) in read.start_unix_seconds.iter().zip(points()) {
        assert!((seconds - point.start.unix_seconds()).abs() < 1e-3);
    }
}

#[test]
fn drafts_are_plain_and_narrow_and_say_that_they_are_drafts() {
    for filters in
        [&["r"][..], &["g", "r", "i"], &["a filter with a name that has no end and no sense"]]
    {
        let mut result = sample(filters);
        result.burst_id = "sb\u{e9}\u{1}x".repeat(30);
        let text = draft(&result, &CircularLines::new(Some(&"é. Author, ".repeat(40)), None));
        assert!(text.starts_with("DRAFT"));
        assert!(text.lines().all(|line| line.len() <= COLUMNS), "{text}");
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
        assert!(text.contains("Galactic"));
    }
}

#[test]
fn a_page_has_all_its_views_and_needs_nothing_else() {
    let page = page_of(&sample(&["g", "r", "i"]));
    for part in [
        "One fading source stands out among 70 candidates",
        "Sources not in the catalogue",
        "Variability",
        "Catalogued sources",
        "Calibration",
        "Sensitivity",
        "What this result lacks",
        "NODARK",
        "T0 + 10.0 min",
        "The 3 best are listed here, the first 2 with pictures",
        "All 70 are in",
        "Draft of a GCN Circular",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    // Every drawing is well formed, and says in words what it shows.
    let drawings: Vec<&str> =
        page.split("<svg ").skip(1).filter_map(|rest| rest.split("</svg>").next()).collect();
    assert!(drawings.len() > 8);
    for drawing in drawings {
        is_well_formed(&format!("<svg {drawing}</svg>"));
        assert!(drawing.contains("aria-label") || drawing.contains("aria-hidden"));
    }
    // Triangles of limits, and three series.
    for series in ["series-0", "series-1", "series-2", "hollow"] {
        assert!(page.contains(series), "{series}");
    }
    let mut empty = sample(&["r"]);
    empty.candidates.clear();
    empty.frames.clear();
    empty.limits.clear();
    empty.search_region = None;
    empty.empty_reason = Some("no frame had arrived".into());
    let page = page_of(&empty);
    for part in [
        "There is no candidate: no frame had arrived.",
        "The list is empty",
        "No frame had arrived",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn hostile_names_stay_text() {
    let hostile = "</pre><script>alert(1)</script>\"'><img src=x onerror=1>{}\u{0}]]>";
    let mut result = sample(&[hostile, "r"]);
    result.burst_id = hostile.into();
    result.telescope = hostile.into();
    result.provenance.catalogue = hostile.into();
    result.degradations = vec![Degradation::new(hostile, hostile)];
    for listed in &mut result.candidates {
        listed.candidate.id = hostile.into();
        listed.candidate.position_error_arcsec = f64::NAN;
        listed.candidate.score = f64::INFINITY;
        for point in &mut listed.candidate.light_curve {
            point.image = hostile.into();
        }
    }
    result.candidates[1].candidate.position =
        SkyPosition { ra_degrees: f64::NAN, dec_degrees: f64::NAN };
    result.candidates[2].candidate.light_curve[0].magnitude = f64::NAN;
    let page = page_of(&result);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{0}'));
    let table = votable(&result, 3);
    assert_eq!(is_well_formed(&table).iter().filter(|name| *name == "TR").count(), 3 + 18);
    let regions = region_file(&result, 3);
    assert!(regions.lines().filter(|line| line.starts_with("circle")).all(|line| {
        line.matches('{').count() == 1 && line.ends_with('}') && !line.contains("NaN")
    }));
    assert_eq!(regions.matches("\ncircle").count(), 3, "the region, and two that have a place");
}

fn night(work: &Path, catalogue: Arc<dyn Catalogue>) -> Instance {
    let settings = InstanceSettings::new("svom", Steps::ALL, work);
    Instance::new(settings, catalogue, Arc::new(Cfitsio), KeywordMap::default(), provenance())
}

const FILES: [&str; 6] = [
    report_file::REPORT,
    report_file::CHART,
    report_file::REGIONS,
    report_file::VOTABLE,
    report_file::CATALOGUED,
    report_file::CIRCULAR,
];

/// The middle of the chart, and what lies about it.
fn is_dark_in_the_middle(png: &[u8]) -> bool {
    let picture = image::load_from_memory(png).unwrap().to_luma8();
    let (width, height) = picture.dimensions();
    // 30 rows above the field, 52 below (`finding_chart`).
    assert_eq!(height, width + 82);
    let middle = (width / 2, 30 + width / 2);
    let grey = |x: u32, y: u32| u32::from(picture.get_pixel(x, y).0[0]);
    let darkest = (0..9).flat_map(|x| (0..9).map(move |y| (x, y)));
    let darkest = darkest.map(|(x, y)| grey(middle.0 + x - 4, middle.1 + y - 4)).min().unwrap();
    let left = (0..9).map(|y| grey(middle.0 - 11, middle.1 + y - 4)).sum::<u32>() / 9;
    darkest + 60 < left
}

#[test]
fn a_night_has_its_report_and_the_same_again_after_a_restart() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let region = PositionEstimate { position: centre(), radius_degrees: Some(0.05) };
    let trigger = trigger(sky.t0, Some(region));
    let catalogue: Arc<dyn Catalogue> = Arc::new(TestCatalogue(sky.catalogue.clone()));
    let mut instance = night(work.path(), catalogue.clone());
    let records: Vec<_> = (0..4).map(|index| sky.write_frame(raw.path(), index)).collect();
    let masters = MastersInForce::default();
    for record in &records {
        instance.process_frame(record, &masters, Some(&trigger)).unwrap();
    }
    let path = instance.analyse(&trigger, &deadline(sky.t0, 5), &records).unwrap();
    let page = instance.report(&path).unwrap();
    assert_eq!(page, path.with_file_name(report_file::REPORT));
    let contents = || FILES.map(|name| std::fs::read(path.with_file_name(name)).unwrap());
    let first = contents();
    // The afterglow is under the reticle.
    assert!(is_dark_in_the_middle(&first[1]));
    let html = String::from_utf8(first[0].clone()).unwrap();
    assert!(html.matches("data:image/png;base64,").count() >= 3, "chart and cut-outs");
    assert!(html.contains("on frame w, stack:"));
    assert!(html.contains("stands out"));
    let csv = String::from_utf8(first[4].clone()).unwrap();
    assert!(csv.lines().count() > 20, "{csv}");
    is_well_formed(std::str::from_utf8(&first[3]).unwrap());
    // Later frames, a restart, and a second time change nothing.
    let later = sky.write_frame(raw.path(), 4);
    instance.process_frame(&later, &masters, Some(&trigger)).unwrap();
    instance.report(&path).unwrap();
    assert_eq!(contents(), first);
    let mut again = night(work.path(), catalogue);
    again.restore(&records, Some(&trigger)).unwrap();
    FILES.iter().for_each(|name| std::fs::remove_file(path.with_file_name(name)).unwrap());
    again.report(&path).unwrap();
    assert_eq!(contents(), first);
}

#[test]
fn a_difference_image_is_a_third_picture_and_a_damaged_one_is_said() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let trigger = trigger(sky.t0, None);
    let catalogue: Arc<dyn Catalogue> = Arc::new(TestCatalogue(sky.catalogue.clone()));
    let mut instance = night(work.path(), catalogue);
    let records: Vec<_> = (0..3).map(|index| sky.write_frame(raw.path(), index)).collect();
    for record in &records {
        instance.process_frame(record, &MastersInForce::default(), Some(&trigger)).unwrap();
    }
    let path = instance.analyse(&trigger, &deadline(sky.t0, 5), &records).unwrap();
    let difference = path.with_file_name("difference_w.fits");
    std::fs::copy(path.with_file_name("stack_w.fits"), &difference).unwrap();
    let page = std::fs::read_to_string(instance.report(&path).unwrap()).unwrap();
    assert!(page.contains("frame w, stack, difference"));
    std::fs::write(&difference, "not FITS").unwrap();
    let page = std::fs::read_to_string(instance.report(&path).unwrap()).unwrap();
    assert!(!page.contains("frame w, stack, difference"));
    assert!(page.contains("difference_w could not be read"));
}

#[test]
fn a_deadline_without_frames_or_catalogue_has_its_report() {
    let work = tempfile::tempdir().unwrap();
    let sky = TestSky::new();
    let trigger = trigger(sky.t0, None);
    let mut instance = night(work.path(), Arc::new(NoCatalogue));
    let path = instance.analyse(&trigger, &deadline(sky.t0, 5), &[]).unwrap();
    let page = std::fs::read_to_string(instance.report(&path).unwrap()).unwrap();
    assert!(page.contains("There is no candidate: no frame had arrived."));
    for name in FILES {
        let is_there = path.with_file_name(name).exists();
        assert_eq!(is_there, name != report_file::CHART, "{name}");
    }
}
