//! From a configuration to running actors, and back to a clean end.

use crate::{
    actors::{
        alert_receiver::{AlertReceiver, AlertReceiverSettings},
        calibration_master::{CalibrationMaster, CalibrationMasterSettings},
        fsc_uploader::{FscUploader, FscUploaderSettings},
        gp1_instance::{Gp1Instance, Gp1InstanceSettings, InstanceFactory},
        heartbeat::{AddressNow, Heartbeats, Ping},
        image_provider::{ImageProvider, ImageProviderSettings, ImageSource, Intake, IntakeRules},
        messages::Nudge,
        pool::WorkerPool,
        product_maker::{ProductMaker, ProductMakerSettings},
        status_collector::{StatusCollector, StatusCollectorSettings},
        stopwatch::Stopwatches,
        supervision::{ChildPolicy, Escalation, Mailbox, Post, Supervision, mailbox},
        trigger_manager::{TriggerManager, TriggerManagerSettings},
        web::{WebActor, WebActorSettings},
    },
    alerts::{AllowList, PacketTable, ReceiverSettings, SubscriberSettings, TriggerPolicy},
    catalogs::Catalogue,
    clock::Clock,
    config::ControllerConfig,
    fits::{FitsStore, KeywordMap, plain_files::PlainFiles},
    fsc::upload,
    gp1::{self, night_masters::MasterSettings, router::Router, settings::InstanceSettings},
    model::{ActorSnapshot, ActorState, Provenance, UtcTime},
    products::{DescriptorSet, ProductSettings},
    storage::{
        directory_lock::DirectoryLock,
        journal::Journal,
        local::{LocalStorage, sha256_of_bytes},
    },
    web::{
        metrics::Metrics,
        status::{Mode, Program, StatusSources},
    },
};
use actix::{Actor, Context, Handler, Supervised};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Messages a mailbox holds; senders wait beyond it.
const MAILBOX_CAPACITY: usize = 256;
/// The longest a clean shutdown waits for the pages to close.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// Where products are delivered.
#[derive(Clone)]
pub struct FscTarget {
    pub url: String,
    pub token: Option<String>,
    pub timeout: Duration,
    /// Certificates to trust in the place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// All that a controller is made of.
pub struct ControllerParts {
    pub config: ControllerConfig,
    pub clock: Clock,
    pub journal: Journal,
    pub storage: LocalStorage,
    /// On the local data storage, for as long as the controller lives.
    pub lock: DirectoryLock,
    pub catalogue: Arc<dyn Catalogue>,
    pub keywords: KeywordMap,
    /// In the order of gp1.cfg, which is the order of routing.
    pub instances: Vec<InstanceSettings>,
    pub router: Router,
    pub products: ProductSettings,
    pub descriptors: DescriptorSet,
    pub source: ImageSource,
    pub fsc: FscTarget,
    pub metrics: Metrics,
    pub mode: Mode,
    pub started_at: UtcTime,
}

#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen { address: SocketAddr, purpose: &'static str, source: io::Error },
    #[error("cannot start worker threads: {0}")]
    Threads(#[from] io::Error),
    #[error(transparent)]
    Client(#[from] upload::ClientError),
    #[error(
        "gp1.cfg has no section that takes alert frames; the first one serves the deadlines, and there is none"
    )]
    NoInstance,
}

/// A running controller.
pub struct Controller {
    supervision: Supervision,
    /// Asks the threads of the actors for signs of life, and replaces those that hang.
    watching: actix_rt::task::JoinHandle<()>,
    beats: Heartbeats,
    asking: actix_rt::task::JoinHandle<()>,
    alert_address: SocketAddr,
    web_address: SocketAddr,
    web_running: Arc<Mutex<Option<crate::web::server::RunningWeb>>>,
    _lock: DirectoryLock,
    /// Keeps every mailbox connected for as long as the controller lives.
    _addresses: Addresses,
}

struct Addresses {
    _trigger_manager: Post<TriggerManager>,
    _alert_receiver: Post<AlertReceiver>,
    _image_provider: Post<ImageProvider>,
    _instances: Vec<(String, Post<Gp1Instance>)>,
    _product_maker: Post<ProductMaker>,
    _uploader: Post<FscUploader>,
    _calibration_master: Post<CalibrationMaster>,
    _status_collector: Post<StatusCollector>,
    _web: Post<WebActor>,
}

impl Controller {
    /// Starts every actor, each on its own thread and under supervision. Must be called inside an actix system.
    pub fn start(parts: ControllerParts) -> Result<Self, ControllerError> {
        let ControllerParts { config, clock, journal, storage, .. } = &parts;
        let alert_listener = listen(config.alerts.listen, "alerts")?;
        let web_listener = listen(config.web.listen, "pages")?;
        let alert_address = alert_listener.local_addr()?;
        let web_address = web_listener.local_addr()?;

        let supervision = Supervision::new(clock.clone(), journal.clone());
        let launcher = Launcher { supervision: supervision.clone(), policy: policy_of(config) };
        let patience = Duration::from_secs_f64(config.workers.frame_timeout_seconds);
        let store: Arc<dyn FitsStore> = Arc::new(PlainFiles::SYNCED);
        let arrivals = Stopwatches::default();
        let lateness = Stopwatches::default();

        let (trigger_manager, trigger_mail) = mailbox::<TriggerManager>(MAILBOX_CAPACITY);
        let (alert_receiver, alert_mail) = mailbox::<AlertReceiver>(MAILBOX_CAPACITY);
        let (image_provider, image_mail) = mailbox::<ImageProvider>(MAILBOX_CAPACITY);
        let (product_maker, product_mail) = mailbox::<ProductMaker>(MAILBOX_CAPACITY);
        let (uploader, upload_mail) = mailbox::<FscUploader>(MAILBOX_CAPACITY);
        let (calibration_master, calibration_mail) = mailbox::<CalibrationMaster>(MAILBOX_CAPACITY);
        let (status_collector, status_mail) = mailbox::<StatusCollector>(MAILBOX_CAPACITY);
        let (web, web_mail) = mailbox::<WebActor>(MAILBOX_CAPACITY);

        let mut instances = Vec::new();
        let mut instance_mail = Vec::new();
        for settings in &parts.instances {
            let (address, mail) = mailbox::<Gp1Instance>(MAILBOX_CAPACITY);
            instances.push((settings.name.clone(), address));
            instance_mail.push(mail);
        }
        // The first section of gp1.cfg takes the alert frames: it is the source of products.
        let deadline_instance = parts
            .instances
            .first()
            .map(|first| first.name.clone())
            .ok_or(ControllerError::NoInstance)?;

        let packet_table = PacketTable::new(&config.alerts.effects);
        let settings = TriggerManagerSettings {
            packet_table: Arc::new(packet_table),
            policy: TriggerPolicy::new(&config.alerts),
            first_result_seconds: config.deadlines.first_result_seconds,
            epochs_minutes: config.deadlines.epochs_minutes.clone(),
            journal: journal.clone(),
            storage: storage.clone(),
            clock: clock.clone(),
            instances: instances.clone(),
            deadline_instance: deadline_instance.clone(),
            lateness: lateness.clone(),
        };
        launcher.launch(TriggerManager::NAME, trigger_mail, settings, TriggerManager::new);

        for ((settings, mail), (name, _)) in
            parts.instances.iter().zip(instance_mail).zip(&instances)
        {
            let serves_deadlines = *name == deadline_instance;
            let pool = WorkerPool::start(&format!("gp1-{name}"), 1, 2, patience)?;
            let measuring_pool = WorkerPool::start(&format!("gp1-{name}-frames"), 1, 2, patience)?;
            let settings = Gp1InstanceSettings {
                name: name.clone(),
                factory: factory_of(&parts, settings, store.clone()),
                store: store.clone(),
                pool: pool.clone(),
                measuring_pool: measuring_pool.clone(),
                journal: journal.clone(),
                storage: storage.clone(),
                clock: clock.clone(),
                trigger_manager: trigger_manager.clone(),
                product_maker: serves_deadlines.then(|| product_maker.clone()),
                status_collector: status_collector.clone(),
                arrivals: arrivals.clone(),
            };
            let actor = Gp1Instance::actor_name(name);
            launcher.launch(&actor, mail, settings, Gp1Instance::new);
            supervision.knows_workers_of(&actor, vec![pool, measuring_pool]);
        }

        let settings = ProductMakerSettings {
            descriptors: Arc::new(parts.descriptors.clone()),
            products: parts.products.clone(),
            store: store.clone(),
            pool: WorkerPool::start("products", 1, 2, patience)?,
            journal: journal.clone(),
            storage: storage.clone(),
            clock: clock.clone(),
            uploader: uploader.clone(),
        };
        launcher.launch(ProductMaker::NAME, product_mail, settings, ProductMaker::new);

        if parts.fsc.token.is_some() && upload::is_readable_on_the_way(&parts.fsc.url) {
            tracing::warn!(
                url = parts.fsc.url,
                "the token goes over the network unencrypted: use https"
            );
        }
        let settings = FscUploaderSettings {
            client: upload::client(parts.fsc.ca_file.as_deref())?,
            url: parts.fsc.url.clone(),
            token: parts.fsc.token.clone(),
            timeout: parts.fsc.timeout,
            journal: journal.clone(),
            clock: clock.clone(),
            trigger_manager: trigger_manager.clone(),
            lateness,
        };
        launcher.launch(FscUploader::NAME, upload_mail, settings, FscUploader::new);

        let settings = CalibrationMasterSettings {
            quiet_seconds: config.calibration.quiet_seconds,
            masters: MasterSettings::from_config(&config.calibration, &config.site),
            store: store.clone(),
            pool: WorkerPool::start("calibration", 1, 2, patience)?,
            journal: journal.clone(),
            storage: storage.clone(),
            clock: clock.clone(),
            instances: instances.clone(),
        };
        launcher.launch(
            CalibrationMaster::NAME,
            calibration_mail,
            settings,
            CalibrationMaster::new,
        );

        let settings = StatusCollectorSettings {
            period_seconds: config.status.period_seconds,
            pool: WorkerPool::start("status", 1, 2, patience)?,
            journal: journal.clone(),
            storage: storage.clone(),
            clock: clock.clone(),
        };
        launcher.launch(StatusCollector::NAME, status_mail, settings, StatusCollector::new);

        let settings = ImageProviderSettings {
            source: parts.source.clone(),
            intake: Intake {
                storage: storage.clone(),
                keywords: parts.keywords.clone(),
                router: parts.router.clone(),
                rules: IntakeRules::new(&config.images),
            },
            pool: WorkerPool::start("images", 1, 2, patience)?,
            journal: journal.clone(),
            clock: clock.clone(),
            instances: instances.clone(),
            calibration_master: calibration_master.clone(),
            arrivals,
        };
        launcher.launch(ImageProvider::NAME, image_mail, settings, ImageProvider::new);

        let settings = AlertReceiverSettings {
            listener: Arc::new(alert_listener),
            allow: AllowList::new(config.alerts.allow.clone()),
            author: ReceiverSettings::new(&config.alerts),
            remotes: config.alerts.remotes.clone(),
            subscriber: SubscriberSettings::new(&config.alerts),
            journal: journal.clone(),
            clock: clock.clone(),
            trigger_manager: trigger_manager.clone(),
        };
        launcher.launch(AlertReceiver::NAME, alert_mail, settings, AlertReceiver::new);

        let mut hearts = vec![
            (TriggerManager::NAME.to_owned(), address_now(&trigger_manager)),
            (AlertReceiver::NAME.to_owned(), address_now(&alert_receiver)),
            (ImageProvider::NAME.to_owned(), address_now(&image_provider)),
            (ProductMaker::NAME.to_owned(), address_now(&product_maker)),
            (FscUploader::NAME.to_owned(), address_now(&uploader)),
            (CalibrationMaster::NAME.to_owned(), address_now(&calibration_master)),
            (StatusCollector::NAME.to_owned(), address_now(&status_collector)),
            (WebActor::NAME.to_owned(), address_now(&web)),
        ];
        for (name, instance) in &instances {
            hearts.push((Gp1Instance::actor_name(name), address_now(instance)));
        }
        let beats = Heartbeats::new(hearts);
        let asked = beats.clone();
        let asking = actix_rt::spawn(async move { asked.keep_asking().await });

        let web_running = Arc::new(Mutex::new(None));
        let published = supervision.clone();
        let answers = beats.clone();
        let settings = WebActorSettings {
            listener: Arc::new(web_listener),
            sources: StatusSources {
                journal: journal.clone(),
                clock: clock.clone(),
                actors: Arc::new(move || published.snapshot()),
                answers: Arc::new(move || answers.answers()),
                program: Program::this(),
                mode: parts.mode,
                started_at: parts.started_at,
                directory: storage.root().to_owned(),
            },
            metrics: parts.metrics.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            running: web_running.clone(),
        };
        launcher.launch(WebActor::NAME, web_mail, settings, WebActor::new);

        Ok(Self {
            watching: actix_rt::spawn(supervision.clone().watch()),
            supervision,
            beats,
            asking,
            alert_address,
            web_address,
            web_running,
            _lock: parts.lock,
            _addresses: Addresses {
                _trigger_manager: trigger_manager,
                _alert_receiver: alert_receiver,
                _image_provider: image_provider,
                _instances: instances,
                _product_maker: product_maker,
                _uploader: uploader,
                _calibration_master: calibration_master,
                _status_collector: status_collector,
                _web: web,
            },
        })
    }

    /// Where authors send packets.
    pub fn alert_address(&self) -> SocketAddr {
        self.alert_address
    }

    /// Where the pages are.
    pub fn web_address(&self) -> SocketAddr {
        self.web_address
    }

    /// The actors as they stand.
    pub fn actors(&self) -> Vec<ActorSnapshot> {
        self.supervision.snapshot()
    }

    /// A handle for making actors fail from elsewhere.
    pub fn supervision(&self) -> Supervision {
        self.supervision.clone()
    }

    /// The signs of life of the actors.
    pub fn heartbeats(&self) -> Heartbeats {
        self.beats.clone()
    }

    /// Waits until an actor has failed too often.
    pub async fn escalated(&self) -> Escalation {
        let mut escalations = self.supervision.escalations();
        loop {
            let seen = escalations.borrow_and_update().clone();
            if let Some(escalation) = seen {
                return escalation;
            }
            if escalations.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether every actor runs.
    pub fn is_healthy(&self) -> bool {
        self.actors().iter().all(|actor| actor.state == ActorState::Running)
    }

    /// Ends the actors. What was begun is in the journal; the next start goes on from there.
    pub async fn shut_down(self) {
        let running = self.web_running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running
            && tokio::time::timeout(SHUTDOWN_PATIENCE, running.stop()).await.is_err()
        {
            tracing::warn!("the pages did not close in time");
        }
        self.watching.abort();
        self.asking.abort();
        self.supervision.stop_all();
    }
}

/// Starts actors of any type under one policy, each on its own thread (its own failure domain).
struct Launcher {
    supervision: Supervision,
    policy: ChildPolicy,
}

impl Launcher {
    fn launch<A, S>(&self, name: &str, mail: Mailbox<A>, settings: S, make: fn(S) -> A)
    where
        A: Actor<Context = Context<A>> + Supervised + Handler<Nudge>,
        S: Clone + Send + Sync + 'static,
    {
        self.supervision.start(name, self.policy, mail, move || make(settings.clone()));
    }
}

/// How the signs of life reach an actor.
fn address_now<A>(post: &Post<A>) -> AddressNow
where
    A: Actor<Context = Context<A>> + Handler<Ping>,
{
    let post = post.clone();
    Box::new(move || post.address().recipient())
}

fn policy_of(config: &ControllerConfig) -> ChildPolicy {
    let supervision = &config.supervision;
    ChildPolicy {
        maximum_restarts: supervision.maximum_restarts as usize,
        period: Duration::from_secs_f64(supervision.period_seconds),
        first_backoff: Duration::from_millis(supervision.first_backoff_milliseconds),
        maximum_backoff: Duration::from_millis(supervision.maximum_backoff_milliseconds),
        answer_timeout: Duration::from_secs_f64(supervision.answer_timeout_seconds),
        ..ChildPolicy::default()
    }
}

fn factory_of(
    parts: &ControllerParts,
    settings: &InstanceSettings,
    store: Arc<dyn FitsStore>,
) -> InstanceFactory {
    let settings = settings.clone();
    let catalogue = parts.catalogue.clone();
    let keywords = parts.keywords.clone();
    let provenance = Provenance {
        program: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: settings.name.clone(),
        // The instance fills in what it used.
        masters: Vec::new(),
        catalogue: String::new(),
        configuration_sha256: sha256_of_bytes(settings.fingerprint().as_bytes()),
    };
    Arc::new(move || {
        gp1::pipeline::Instance::new(
            settings.clone(),
            catalogue.clone(),
            store.clone(),
            keywords.clone(),
            provenance.clone(),
        )
    })
}

fn listen(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, ControllerError> {
    TcpListener::bind(address).map_err(|source| ControllerError::Listen {
        address,
        purpose,
        source,
    })
}
