//! FSC uploader: the durable outbox. A product leaves it only with a receipt.

use super::{
    messages::{Delivered, ProductReady},
    pump::{PassOutcome, Pump, Pumped, wake},
    sending::hint,
    stopwatch::Stopwatches,
    supervision::Post,
    trigger_manager::TriggerManager,
};
use crate::{
    clock::Clock,
    fsc::upload::{UploadError, upload},
    model::{DeadlineName, DeadlineState, DeliveryStatus, Receipt, metric, normalise_burst_id},
    storage::journal::{
        Journal, JournalError,
        products::{self, ProductRow},
        triggers,
    },
};
use actix::{Actor, AsyncContext, Context, Handler, Supervised, WrapFuture};
use futures_util::future::LocalBoxFuture;
use std::time::Duration;

const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const MAXIMUM_BACKOFF: Duration = Duration::from_secs(60);

/// What the uploader works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct FscUploaderSettings {
    pub client: reqwest::Client,
    pub url: String,
    /// Bearer token; never logged.
    pub token: Option<String>,
    pub timeout: Duration,
    pub journal: Journal,
    pub clock: Clock,
    pub trigger_manager: Post<TriggerManager>,
    pub lateness: Stopwatches<(String, DeadlineName)>,
}

pub struct FscUploader {
    settings: FscUploaderSettings,
    pump: Pump,
}

impl FscUploader {
    pub const NAME: &'static str = "fsc-uploader";

    pub fn new(settings: FscUploaderSettings) -> Self {
        Self { settings, pump: Pump::default() }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let guard = self.settings.clock.hold();
        wake(self, context, Some(guard));
        let settings = self.settings.clone();
        context.spawn(async move { tell_again(&settings).await }.into_actor(self));
    }
}

impl Actor for FscUploader {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Supervised for FscUploader {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

impl Handler<ProductReady> for FscUploader {
    type Result = ();

    fn handle(&mut self, _hint: ProductReady, context: &mut Self::Context) {
        wake(self, context, None);
    }
}

impl Pumped for FscUploader {
    fn pump(&mut self) -> &mut Pump {
        &mut self.pump
    }

    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome> {
        let settings = self.settings.clone();
        Box::pin(async move {
            match empty_outbox(&settings).await {
                Ok(()) => PassOutcome::Done,
                Err(error) => {
                    tracing::error!(%error, "the outbox could not be read or updated");
                    PassOutcome::TryAgain
                }
            }
        })
    }
}

/// An earlier life may have ended between the last receipt of a trigger and the word of it.
async fn tell_again(settings: &FscUploaderSettings) {
    match settings.journal.read(triggers::to_be_closed).await {
        Ok(last_deadlines) => {
            for last in last_deadlines {
                let message = Delivered { burst_id: last.burst_id, deadline: last.name };
                hint(&settings.trigger_manager, TriggerManager::NAME, message).await;
            }
        }
        Err(error) => tracing::error!(%error, "the triggers to be closed could not be read"),
    }
}

async fn empty_outbox(settings: &FscUploaderSettings) -> Result<(), JournalError> {
    settle_deadlines(settings).await?;
    loop {
        let outbox = settings.journal.read(products::outbox).await?;
        metrics::gauge!(metric::OUTBOX_DEPTH).set(outbox.len() as f64);
        let Some(next) = outbox.into_iter().next() else { return Ok(()) };
        deliver(settings, next).await?;
    }
}

/// Delivers one product, or waits after a failed attempt: products leave in the order they were made.
async fn deliver(settings: &FscUploaderSettings, product: ProductRow) -> Result<(), JournalError> {
    let key = product.record.key.clone();
    let answer = upload(
        &settings.client,
        &settings.url,
        settings.token.as_deref(),
        &product.record.path,
        &key.file_name(),
        settings.timeout,
    )
    .await;
    match answer {
        Ok(receipt) => {
            count("accepted");
            tracing::info!(product = %key, status = ?receipt.status, "receipt stored");
            store_receipt(settings, &product, receipt).await
        }
        Err(error) if error.is_retry_safe() => {
            count("failed");
            let text = error.to_string();
            tracing::warn!(product = %key, error = text, attempts = product.attempts + 1,
                "not delivered; it stays in the outbox");
            settings.journal.write(move |t| products::set_attempt_failed(t, &key, &text)).await?;
            tokio::time::sleep(backoff(product.attempts)).await;
            Ok(())
        }
        Err(error) => {
            count("refused");
            tracing::error!(product = %key, %error, "refused for good by the receiving side");
            let receipt = refusal(settings, &product, error);
            store_receipt(settings, &product, receipt).await
        }
    }
}

fn refusal(settings: &FscUploaderSettings, product: &ProductRow, error: UploadError) -> Receipt {
    let reason = error.to_string();
    error.into_receipt().unwrap_or_else(|| Receipt {
        product: product.record.key.to_string(),
        sha256: product.record.sha256.clone(),
        received_at: settings.clock.now(),
        status: DeliveryStatus::Refused,
        reason: Some(reason),
        sdb: None,
    })
}

async fn store_receipt(
    settings: &FscUploaderSettings,
    product: &ProductRow,
    receipt: Receipt,
) -> Result<(), JournalError> {
    let result = match receipt.status {
        DeliveryStatus::Refused => "refused",
        DeliveryStatus::Stored | DeliveryStatus::Duplicate => "delivered",
    };
    let key = product.record.key.clone();
    metrics::counter!(metric::PRODUCTS, "card" => key.card.clone(), "result" => result)
        .increment(1);
    let (stored_key, at) = (key, settings.clock.now());
    settings.journal.write(move |t| products::set_answered(t, &stored_key, &receipt, at)).await?;
    settle_deadlines(settings).await
}

/// Deadlines whose products are all made and answered are delivered.
async fn settle_deadlines(settings: &FscUploaderSettings) -> Result<(), JournalError> {
    let produced =
        settings.journal.read(|c| triggers::deadlines_in(c, DeadlineState::Produced)).await?;
    for deadline in produced {
        let (burst, name) = (deadline.burst_id.clone(), deadline.name);
        let open = settings
            .journal
            .read(move |c| {
                let rows = products::of_burst(c, &burst)?;
                Ok(rows.iter().any(|row| {
                    row.record.key.deadline == name && row.delivery.as_deref() == Some("waiting")
                }))
            })
            .await?;
        if open {
            continue;
        }
        let watch = (normalise_burst_id(&deadline.burst_id), deadline.name);
        let lateness = settings.lateness.stop(&watch);
        let settled = deadline.clone();
        settings
            .journal
            .write(move |t| {
                if let Some(seconds) = lateness {
                    triggers::set_lateness(t, &settled.burst_id, settled.name, seconds)?;
                }
                triggers::advance_deadline(
                    t,
                    &settled.burst_id,
                    settled.name,
                    DeadlineState::Delivered,
                )
            })
            .await?;
        if let Some(seconds) = lateness {
            let label = deadline.name.to_string();
            metrics::histogram!(metric::DEADLINE_LATENESS, "deadline" => label).record(seconds);
        }
        let message = Delivered { burst_id: deadline.burst_id, deadline: deadline.name };
        hint(&settings.trigger_manager, TriggerManager::NAME, message).await;
    }
    Ok(())
}

fn backoff(attempts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << attempts.min(10)).min(MAXIMUM_BACKOFF)
}

fn count(result: &'static str) {
    metrics::counter!(metric::UPLOADS, "result" => result).increment(1);
}
