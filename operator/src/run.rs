//! Puts the parts together: while this process leads, it works; otherwise it stands by.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chandler_core::validate::ModelKey;
use chandler_crds::ModelDeployment;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cli::RunArgs;
use crate::controller::{Scope, control};
use crate::events::Teller;
use crate::failpoint::Failpoints;
use crate::gateways::Gateways;
use crate::guard::Guard;
use crate::health::{self, Health, Pulse, Standing};
use crate::lead::{Elector, Timing};
use crate::looks::Looks;
use crate::metrics::Metrics;
use crate::prometheus::{Credentials, Server};
use crate::reconcile::{Context, Left, Worlds};
use crate::render::{Site, with_default_image};
use crate::scrape::{MetricsFrom, Scraper, Settled};
use crate::world::ClusterModel;

/// Turns that work at one time. One that waits for a replica's answer does not count.
const TURNS: usize = 8;
/// The kubelet waits 30 s for a process that shall end.
const GRACE: Duration = Duration::from_secs(10);
/// An API server answers within this, or is asked again. Watches are another matter.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The address is taken, there is no way to a cluster, or a listener broke.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let stop = stop_on_signals().context("no signal can be waited for")?;
    let (client, watch_client) = connect().await?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("can't listen on {}: write another --listen", args.listen))?;
    let metrics = Metrics::new()?;
    let probe = chandler_probe::Client::new();
    let gateways = args.gateways.clone();
    let gateways = gateways.map(|address| Gateways::new(address, probe.clone(), metrics.clone()));
    let scraper = scraper(&args, probe.clone(), metrics.clone())?;
    let pulse = Pulse::new();
    let (standing, standing_seen) = watch::channel(Standing::Candidate);
    let health = Health {
        pulse: pulse.clone(),
        standing: standing_seen,
        metrics: metrics.clone(),
    };
    let elector = Elector::new(
        client.clone(),
        &args.pod_namespace,
        &args.lease_name,
        &args.pod_name,
        Timing::default(),
        pulse,
    );
    let operator = Operator {
        worlds: Arc::new(Cluster {
            client: client.clone(),
            site: Arc::new(args.site()),
            probe,
            gateways: gateways.clone(),
            scraper: scraper.clone(),
        }),
        gateways,
        scraper,
        scope: Scope {
            client: watch_client,
            namespace: args.watch_namespace.clone(),
        },
        teller: Teller::new(client.clone(), &args.pod_name),
        client,
        failpoints: Failpoints::new(args.failpoint.clone()),
        metrics,
        standing,
        grace: GRACE,
    };
    tokio::select! {
        served = health::serve(listener, health) => served.context("health can't be served"),
        () = operator.operate(elector, stop) => Ok(()),
    }
}

/// Who has what replicas measure from where the flags say.
fn scraper(
    args: &RunArgs,
    probe: chandler_probe::Client,
    metrics: Metrics,
) -> anyhow::Result<Scraper> {
    let folder = args.metrics_credentials.clone();
    let address = match &args.metrics {
        MetricsFrom::Pods if folder.is_some() => bail!(
            "--metrics-credentials is for --metrics=prometheus=URL alone: leave it out, or add that"
        ),
        MetricsFrom::Pods => return Ok(Scraper::new(probe, metrics)),
        MetricsFrom::Prometheus(address) => address,
    };
    let server = Server::new(address, Credentials::of(folder))?;
    tracing::info!(%server, "what replicas measure is had from Prometheus");
    let namespace = args.watch_namespace.as_deref();
    Ok(Scraper::recorded(server, namespace, metrics))
}

/// A client for questions, and one for watches, which are silent for minutes.
async fn connect() -> anyhow::Result<(Client, Client)> {
    let mut config = Config::infer()
        .await
        .context("no way to a cluster: run in a pod with a ServiceAccount, or set KUBECONFIG")?;
    // Whoever asks here decides when to ask again, and the lease can't wait.
    config.default_retry = false;
    let watch_client = Client::try_from(config.clone())?;
    config.read_timeout = Some(ANSWER_TIME);
    Ok((Client::try_from(config)?, watch_client))
}

fn stop_on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        told.cancel();
    });
    Ok(stop)
}

/// Models in the cluster.
struct Cluster {
    client: Client,
    site: Arc<Site>,
    probe: chandler_probe::Client,
    gateways: Option<Gateways>,
    scraper: Scraper,
}

impl Worlds for Cluster {
    type Model = ClusterModel;

    fn complete(&self, object: ModelDeployment) -> ModelDeployment {
        with_default_image(object, &self.site)
    }

    fn of(&self, object: &ModelDeployment) -> ClusterModel {
        let (client, site) = (self.client.clone(), Arc::clone(&self.site));
        let (probe, scraper) = (self.probe.clone(), self.scraper.clone());
        ClusterModel::new(client, site, probe, self.gateways.clone(), scraper, object)
    }

    fn gone(&self, key: &ModelKey) {
        if let Some(gateways) = &self.gateways {
            gateways.gone(key);
        }
    }

    fn unsettle(&self, key: &ModelKey) {
        self.scraper.unsettle(key);
    }

    fn settle(&self, key: &ModelKey, left: Left) {
        if let Some(settled) = Settled::new(left, self.gateways.clone()) {
            self.scraper.settle(key, settled);
        }
    }
}

/// Forgets what was told when it is dropped: a process that leads no more asks no more.
struct Forget<F: Fn()>(F);

impl<F: Fn()> Drop for Forget<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Everything but the election.
pub struct Operator<W> {
    /// Where models are served.
    pub worlds: Arc<W>,
    /// Who is asked of requests, if there is anyone.
    pub gateways: Option<Gateways>,
    /// Who is asked what replicas measure.
    pub scraper: Scraper,
    /// What is watched.
    pub scope: Scope,
    /// A client for questions.
    pub client: Client,
    /// Writes events.
    pub teller: Teller,
    /// Where the process ends, for tests.
    pub failpoints: Failpoints,
    /// Counts.
    pub metrics: Metrics,
    /// Told of the election.
    pub standing: watch::Sender<Standing>,
    /// How long turns that run may go on once the process shall end.
    pub grace: Duration,
}

impl<W> fmt::Debug for Operator<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Why this process leads no more.
enum Ended {
    /// It shall end.
    Stopped,
    /// Another process may lead.
    Lost,
}

impl<W: Worlds> Operator<W> {
    /// Works whenever this process leads, until `stop`; then hands the lease over.
    pub async fn operate(&self, mut elector: Elector, stop: CancellationToken) {
        loop {
            tracing::info!("waiting for the lease");
            tokio::select! {
                () = stop.cancelled() => return,
                () = elector.acquire() => {}
            }
            tracing::info!("leading");
            self.metrics.leads(true);
            self.standing.send_replace(Standing::Syncing);
            let ended = self.lead(&mut elector, &stop).await;
            self.metrics.leads(false);
            self.metrics.ledger().close();
            self.standing.send_replace(Standing::Candidate);
            match ended {
                Ended::Stopped => return elector.release().await,
                Ended::Lost => tracing::warn!("lost the lease; no turn runs any more"),
            }
        }
    }

    /// Works until told to stop or the lease is lost. No turn runs once this returns.
    async fn lead(&self, elector: &mut Elector, stop: &CancellationToken) -> Ended {
        // Every turn holds the context, and with it a sender: the channel ends with the last turn.
        let (alive, mut ended) = mpsc::channel::<Infallible>(1);
        let context = Arc::new(Context {
            client: self.client.clone(),
            worlds: Arc::clone(&self.worlds),
            guard: Guard {
                tenure: elector.tenure(),
                failpoints: self.failpoints.clone(),
                metrics: self.metrics.clone(),
                turns: Arc::new(Semaphore::new(TURNS)),
            },
            teller: self.teller.clone(),
            alive,
        });
        let synced = || {
            self.standing.send_replace(Standing::Leading);
        };
        // A turn that still runs tells of replicas, so this comes after the last of them.
        let _forgotten = Forget(|| self.scraper.forget_all());
        let (looks, due) = mpsc::channel(1);
        let why = tokio::select! {
            () = elector.hold() => Ended::Lost,
            () = control(&self.scope, context, due, stop.clone(), synced) => Ended::Stopped,
            () = self.overdue(stop) => Ended::Stopped,
            never = self.ask_replicas(looks.clone()) => match never {},
            never = self.ask_gateways(looks) => match never {},
        };
        ended.recv().await;
        why
    }

    /// Asks the gateways of requests, if there are any. What they told is forgotten with this.
    async fn ask_gateways(&self, looks: mpsc::Sender<Looks>) -> Infallible {
        if let Some(gateways) = &self.gateways {
            let _forgotten = Forget(|| gateways.forget());
            gateways.follow(&looks).await;
        }
        pending().await
    }

    /// Asks the replicas that turns tell of what they measure.
    async fn ask_replicas(&self, looks: mpsc::Sender<Looks>) -> Infallible {
        self.scraper.follow(&looks).await;
        pending().await
    }

    /// Comes when turns had their time to finish.
    async fn overdue(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        sleep(self.grace).await;
        tracing::warn!("turns that still run are broken off");
    }
}
