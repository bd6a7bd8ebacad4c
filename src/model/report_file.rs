//! Names of the files of a deadline's report, in the directory of the deadline, beside the result.

/// The page; written last, so that its presence says the others are there.
pub const REPORT: &str = "report.html";
pub const CHART: &str = "finding_chart.png";
/// For DS9.
pub const REGIONS: &str = "candidates.reg";
pub const VOTABLE: &str = "candidates.vot";
pub const CATALOGUED: &str = "catalogued_sources.csv";
/// The draft of a GCN Circular.
pub const CIRCULAR: &str = "circular_draft.txt";
/// All candidates, by the analysis itself.
pub const CANDIDATES: &str = "candidates.fits";
/// The result itself.
pub const RESULT: &str = "result.json";
