use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use chandler_crds::names::logs;
use kube::config::InferConfigError;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::keys::follow_keys;
use super::watch::follow;
use crate::accounts::{KeysFile, KeysFileError};
use crate::cli::{RunArgs, Switch};
use crate::config::GatewayConfig;
use crate::gateway::Gateway;
use crate::observe::{AccessLog, Otlp, OtlpError};
use crate::serve::{Certificates, TlsError, TlsFiles, serve};

/// How often the files of the certificate are read again. Until a changed Secret is in a pod's
/// files takes a minute anyway.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(10);

/// Why the gateway cannot run, or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address is taken, or not this machine's.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// No cluster is told of.
    #[error("no cluster to follow: run in a pod with a service account, or set KUBECONFIG ({0})")]
    NoCluster(#[from] InferConfigError),
    /// The cluster's credentials are of no use.
    #[error("cannot make a client for the API server: {0}")]
    Client(#[from] kube::Error),
    /// The file of keys is of no use.
    #[error(transparent)]
    Keys(#[from] KeysFileError),
    /// Signals cannot be heard.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// There is no certificate to show.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The collector's address is none.
    #[error("--otlp-endpoint: {0}")]
    Otlp(#[from] OtlpError),
    /// The access log can't be begun.
    #[error("cannot begin the access log: {0}")]
    AccessLog(io::Error),
    /// A metric's name is wrong.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A part that should run until the end has ended.
    #[error("a part of the gateway ended: {0}")]
    PartEnded(String),
    /// The listener broke.
    #[error("cannot serve: {0}")]
    Serve(io::Error),
}

impl RunError {
    /// A stable CamelCase word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "CannotListen",
            Self::NoCluster(_) => "NoCluster",
            Self::Client(_) => "NoClient",
            Self::Keys(error) => error.reason(),
            Self::Signals(_) => "NoSignals",
            Self::Tls(error) => error.reason(),
            Self::Otlp(error) => error.reason(),
            Self::AccessLog(_) => "NoAccessLog",
            Self::Metrics(_) => "BadMetrics",
            Self::PartEnded(_) => "PartEnded",
            Self::Serve(_) => "CannotServe",
        }
    }
}

/// Runs until SIGTERM or SIGINT and the end of what was in flight then.
///
/// # Errors
/// [`RunError`], when the gateway can't begin or can't go on.
pub async fn run(args: RunArgs) -> Result<(), RunError> {
    // Other crates of a build may bring in a second provider, and then neither is the default. An
    // error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let signals = Signals::new().map_err(RunError::Signals)?;
    let gateway = Gateway::new(config(&args).await?)?;
    let listener = listen(args.listen).await?;
    let admin = listen(args.admin_listen).await?;
    let admin_addr = admin.local_addr().map_err(RunError::Serve)?;
    tracing::info!(listen = %admin_addr, "health and metrics are open");

    let mut parts = JoinSet::new();
    let admin_router = gateway.admin_router();
    parts.spawn(async move {
        axum::serve(admin, admin_router)
            .await
            .map_err(RunError::Serve)
    });
    let followed = gateway.clone();
    let config = kube::Config::infer().await?;
    follow_access(&args, &config, &gateway, &mut parts).await?;
    parts.spawn(async move {
        let namespace = args.watch_namespace.as_deref();
        Ok(follow(&config, namespace, &followed).await?)
    });
    let stop = CancellationToken::new();
    let delay = Duration::from_secs(args.shutdown_delay_seconds);
    let stages = shut_down(signals, gateway.clone(), delay, stop.clone());
    let stages = tokio::spawn(stages);
    let result = tokio::select! {
        served = serve(listener, gateway, stop.cancelled_owned()) => served.map_err(RunError::Serve),
        Some(ended) = parts.join_next() => Err(why(ended)),
    };
    stages.abort();
    result
}

/// Keys come from a file, or from the Secrets of a namespace. With neither, everyone may ask.
async fn follow_access(
    args: &RunArgs,
    config: &kube::Config,
    gateway: &Gateway,
    parts: &mut JoinSet<Result<(), RunError>>,
) -> Result<(), RunError> {
    if let Some(path) = &args.keys_file {
        let file = KeysFile::open(path, gateway).await?;
        parts.spawn(async move {
            file.follow().await;
            Ok(())
        });
    } else if let Some(namespace) = args.keys_namespace.clone() {
        gateway.await_keys();
        let (config, gateway) = (config.clone(), gateway.clone());
        parts.spawn(async move { Ok(follow_keys(&config, &namespace, &gateway).await?) });
    } else {
        gateway.warn_if_open();
    }
    Ok(())
}

async fn config(args: &RunArgs) -> Result<GatewayConfig, RunError> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(
            Certificates::load(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                every: CERTIFICATE_CHECK,
            })
            .await?,
        ),
        _ => None,
    };
    // An empty variable is one that is not set, says OpenTelemetry.
    let collector = args.otlp_endpoint.as_deref().filter(|url| !url.is_empty());
    let otlp = collector.map(|url| Otlp::new(url, args.otlp_share));
    let wanted = args.access_log == Switch::On
        && tracing::enabled!(target: logs::ACCESS, tracing::Level::INFO);
    let access_log = wanted.then(|| AccessLog::new(io::stdout()));
    Ok(GatewayConfig {
        drain_deadline: Duration::from_secs(args.drain_seconds),
        max_connections: args.max_connections,
        threads: args.threads.map_or_else(processors, usize::from),
        hedge: args.hedge == Switch::On,
        tls,
        access_log: access_log.transpose().map_err(RunError::AccessLog)?,
        otlp: otlp.transpose()?,
        ..GatewayConfig::default()
    })
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, RunError> {
    let listener = TcpListener::bind(addr).await;
    listener.map_err(|error| RunError::Listen { addr, error })
}

fn why(ended: Result<Result<(), RunError>, JoinError>) -> RunError {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => RunError::PartEnded("it has nothing more to do".into()),
        Err(error) => RunError::PartEnded(error.to_string()),
    }
}

/// On the first signal leaves, and stops after `delay`; on a second one stops at once and ends
/// what is in flight.
///
/// The delay stands for a condition that nobody can see: that every node's proxy and every load
/// balancer knows that this pod is no endpoint any more. Kubernetes tells them of it when it tells
/// the pod to stop, and waits for none of them. Until they know, they send new connections here,
/// and each one that finds a closed port is a failed request.
async fn shut_down(
    mut signals: Signals,
    gateway: Gateway,
    delay: Duration,
    stop: CancellationToken,
) {
    signals.next().await;
    tracing::info!(
        delay = delay.as_secs(),
        "told to stop; not ready from now on"
    );
    gateway.leave();
    if timeout(delay, signals.next()).await.is_err() {
        stop.cancel();
        signals.next().await;
    }
    tracing::warn!("told to stop again; requests in flight end now");
    gateway.cut();
    stop.cancel();
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
