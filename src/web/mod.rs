//! What the controller shows: metrics, health, the API and the live page.
//!
//! Read only: nothing here changes the controller, and everything shown comes from the journal, the clock and the
//! published actor states. Floor: between the actors above and storage below.

mod addresses;
mod api_error;
mod beside_result;
mod cutouts;
mod entity;
mod event_stream;
mod flow;
pub mod health;
pub mod metrics;
mod page;
mod reports;
pub mod server;
mod snapshot;
pub mod status;
pub mod view;

#[cfg(test)]
mod made_up_night;

pub use health::{HealthReport, health};
pub use metrics::{Metrics, MetricsError};
pub use server::{RunningWeb, WebError, WebSettings, start};
pub use snapshot::JournalSnapshot;
pub use status::{ApiStatus, Mode, Program, StatusError, StatusSources, status};
