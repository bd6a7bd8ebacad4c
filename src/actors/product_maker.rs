//! Product maker: turns the result of a deadline into its products, in local storage and in the outbox.

use super::{
    fsc_uploader::FscUploader,
    messages::{AnalysisReady, ProductReady},
    pool::{PoolError, WorkerPool},
    pump::{PassOutcome, Pump, Pumped, wake},
    sending::hint,
    supervision::Post,
};
use crate::{
    clock::Clock,
    fits::{FitsError, FitsStore},
    model::{AnalysisResult, Deadline, DeadlineState, ProductKey, metric},
    products::{self, DescriptorSet, ProductError, ProductSettings},
    storage::{
        journal::{self, Journal, JournalError, analyses, triggers},
        local::{LocalStorage, StorageError, make_directory, sha256_of_file},
    },
};
use actix::{Actor, Context, Handler, Supervised};
use futures_util::future::LocalBoxFuture;
use std::{path::PathBuf, sync::Arc};

/// What the maker works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct ProductMakerSettings {
    pub descriptors: Arc<DescriptorSet>,
    pub products: ProductSettings,
    pub store: Arc<dyn FitsStore>,
    pub pool: WorkerPool,
    pub journal: Journal,
    pub storage: LocalStorage,
    pub clock: Clock,
    pub uploader: Post<FscUploader>,
}

pub struct ProductMaker {
    settings: ProductMakerSettings,
    pump: Pump,
}

#[derive(Debug, thiserror::Error)]
enum MakerError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Product(#[from] ProductError),
    #[error(transparent)]
    Fits(#[from] FitsError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{key} does not conform to its descriptor: {findings}")]
    Nonconforming { key: String, findings: String },
}

impl ProductMaker {
    pub const NAME: &'static str = "product-maker";

    pub fn new(settings: ProductMakerSettings) -> Self {
        Self { settings, pump: Pump::default() }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let guard = self.settings.clock.hold();
        wake(self, context, Some(guard));
    }
}

impl Actor for ProductMaker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Supervised for ProductMaker {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

impl Handler<AnalysisReady> for ProductMaker {
    type Result = ();

    fn handle(&mut self, _hint: AnalysisReady, context: &mut Self::Context) {
        wake(self, context, None);
    }
}

impl Pumped for ProductMaker {
    fn pump(&mut self) -> &mut Pump {
        &mut self.pump
    }

    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome> {
        let settings = self.settings.clone();
        Box::pin(async move {
            match make_all(&settings).await {
                Ok(()) => PassOutcome::Done,
                Err(error) => {
                    tracing::error!(%error, "products are left to be made");
                    PassOutcome::TryAgain
                }
            }
        })
    }
}

async fn make_all(settings: &ProductMakerSettings) -> Result<(), MakerError> {
    let analysed =
        settings.journal.read(|c| triggers::deadlines_in(c, DeadlineState::Analysed)).await?;
    for deadline in analysed {
        make_deadline(settings, &deadline).await?;
    }
    Ok(())
}

/// Makes every product of a deadline. One card that cannot be made does not keep the others back.
async fn make_deadline(
    settings: &ProductMakerSettings,
    deadline: &Deadline,
) -> Result<(), MakerError> {
    let (burst, name) = (deadline.burst_id.clone(), deadline.name);
    let found = settings.journal.read(move |c| analyses::find(c, &burst, name)).await?;
    let Some((_, result)) = found else { return Ok(()) };
    let result = Arc::new(result);
    let mut last_made = None;
    for card in products::cards_of(deadline.name) {
        let key = ProductKey {
            burst_id: result.burst_id.clone(),
            card: (*card).to_owned(),
            deadline: deadline.name,
            processing_version: settings.products.processing_version,
        };
        match make_product(settings, &result, &key).await {
            Ok(()) => {
                count(card, "made");
                last_made = Some(key);
            }
            Err(error @ (MakerError::Product(_) | MakerError::Nonconforming { .. })) => {
                count(card, "failed");
                tracing::error!(product = %key, %error, "a product could not be made");
            }
            Err(error) => return Err(error),
        }
    }
    let served = deadline.clone();
    settings
        .journal
        .write(move |t| {
            triggers::advance_deadline(t, &served.burst_id, served.name, DeadlineState::Produced)
        })
        .await?;
    // The last receipt may have come before the deadline was marked: the uploader looks once more.
    if let Some(key) = last_made {
        hint(&settings.uploader, FscUploader::NAME, ProductReady { key }).await;
    }
    Ok(())
}

async fn make_product(
    settings: &ProductMakerSettings,
    result: &Arc<AnalysisResult>,
    key: &ProductKey,
) -> Result<(), MakerError> {
    let now = settings.clock.now();
    let reserved = key.clone();
    let date =
        settings.journal.write(move |t| journal::products::reserve(t, &reserved, now)).await?;
    let (job, job_result, job_key) = (settings.clone(), result.clone(), key.clone());
    let (path, sha256) = settings
        .pool
        .run(move || {
            let tables =
                products::make(&job_key.card, &job_result, &job.products, date, &job.descriptors)?;
            let findings = products::validate(&tables, &job_key.card, &job.descriptors);
            if !findings.is_empty() {
                let findings =
                    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                return Err(MakerError::Nonconforming { key: job_key.to_string(), findings });
            }
            let path = path_of(&job.storage, &job_key)?;
            job.store.write_tables(&path, &tables)?;
            let sha256 = sha256_of_file(&path)?;
            Ok((path, sha256))
        })
        .await??;
    let made = key.clone();
    settings.journal.write(move |t| journal::products::set_made(t, &made, &path, &sha256)).await?;
    tracing::info!(product = %key, "product made");
    hint(&settings.uploader, FscUploader::NAME, ProductReady { key: key.clone() }).await;
    Ok(())
}

fn path_of(storage: &LocalStorage, key: &ProductKey) -> Result<PathBuf, StorageError> {
    let directory = storage.products().join(&key.burst_id);
    make_directory(&directory)?;
    Ok(directory.join(key.file_name()))
}

fn count(card: &str, result: &'static str) {
    metrics::counter!(metric::PRODUCTS, "card" => card.to_owned(), "result" => result).increment(1);
}
