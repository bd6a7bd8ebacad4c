//! Plain typed data shared by every room of the controller.
//!
//! Nothing here opens a file, a socket or a clock. Units are in the names: `_seconds`, `_degrees`,
//! `_arcsec`, `_pixels`, `_electrons`. Pixel coordinates are zero-based with the centre of the first
//! pixel at (0, 0); files that leave the program carry FITS coordinates, one more on each axis.

pub mod actor;
pub mod analysis;
pub mod camera;
pub mod candidate;
pub mod catalogue;
pub mod frame;
pub mod magnitudes;
pub mod master;
pub mod metric;
pub mod minor_planet;
pub mod notice;
pub mod product;
pub mod report_file;
pub mod sensor;
pub mod sky;
pub mod source;
pub mod time;
pub mod trigger;

pub use actor::{ActorAnswer, ActorSnapshot, ActorState};
pub use analysis::{
    AnalysisResult, Degradation, FilterLimit, FrameUse, InjectionStep, InjectionStudy,
    ListedCandidate, Provenance,
};
pub use camera::{CameraTraits, PixelSection};
pub use candidate::{Candidate, FadingFit, LightCurvePoint, VettingReason};
pub use catalogue::{CatalogueAnswer, CatalogueObject, CatalogueStatus, ObjectKind};
pub use frame::{FrameIdentity, FrameKeywords, FrameKind, FrameQuality, FrameRecord, FrameState};
pub use magnitudes::{
    BandMagnitude, CatalogueBand, ColourTerm, FilterRules, FrameCalibration, MagnitudeScale,
    MagnitudeSystem,
};
pub use master::{LeftOut, Master, MasterFigures, MasterKind, MasterStatistics, Measured};
pub use minor_planet::{MinorPlanet, MinorPlanetAnswer, MinorPlanetMatch, Observatory};
pub use notice::{Citation, CitationKind, Notice, NoticeEffect, PositionEstimate, Role};
pub use product::{DeliveryStatus, ProductKey, ProductRecord, Receipt};
pub use sensor::{SensorFile, SensorReading};
pub use sky::SkyPosition;
pub use source::{PointFlux, Source, SourceFlags, SpreadModel, TotalFlux};
pub use time::UtcTime;
pub use trigger::{
    Deadline, DeadlineName, DeadlineState, T0Source, Trigger, TriggerOrigin, TriggerState,
    is_safe_name, normalise_burst_id,
};
