//! From a source's text to a model that has answered once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::{env, io};

use chandler_crds::ModelLock;
use chandler_crds::names::env as names;
use chandler_source::{Access, ModelDir, Source, SourceError, fetch, resolve};
use tokio::task::spawn_blocking;

use crate::cli::ServeArgs;
use crate::engine::EngineError;
use crate::http::App;
use crate::lifecycle::Phase;
use crate::load::{LoadError, LoadedModel, load};
use crate::node_cache::NodeCacheError;
use crate::tasks::Served;

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port could not be opened.
    #[error(
        "cannot listen on {address}: {error}; choose another --listen, or port 0 for a free one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The lock in the environment is no lock.
    #[error(
        "{} is not a model lock: {problem}; `chandler-server resolve` tells one, and `serve` without it resolves by itself",
        names::LOCK
    )]
    Lock {
        /// What is wrong with it.
        problem: String,
    },
    /// The result is too long for the termination log.
    #[error(
        "the result takes {bytes} bytes, and a container can tell {} at most: the model has too many files, so name one format of it",
        chandler_crds::report::TERMINATION_MESSAGE_LIMIT
    )]
    ReportTooLong {
        /// Of the whole line.
        bytes: usize,
    },
    /// The model's files cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A folder can't be what servers keep models in.
    #[error(transparent)]
    NodeCache(#[from] NodeCacheError),
    /// The model's files cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The loader panicked.
    #[error("the loader hit a bug on this model: {0}")]
    LoadPanicked(String),
    /// The loaded model does not answer.
    #[error("the model is loaded but its first request failed: {0}")]
    Warm(#[source] EngineError),
    /// The system refused something that a process needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// A metric could not be registered.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "ListenFailed",
            Self::Lock { .. } => "InvalidLock",
            Self::ReportTooLong { .. } => "ReportTooLong",
            Self::Source(error) => error.reason(),
            Self::NodeCache(error) => error.reason(),
            Self::Load(error) => error.reason(),
            Self::LoadPanicked(_) => "LoadPanicked",
            Self::Warm(_) => "WarmingFailed",
            Self::System(_) => "SystemRefused",
            Self::Metrics(_) => "MetricsInvalid",
        }
    }

    /// Whether trying again, with nothing changed, may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Source(error) => error.is_transient(),
            Self::Listen { error, .. } => error.kind() == io::ErrorKind::AddrInUse,
            Self::System(_) => true,
            Self::Lock { .. }
            | Self::ReportTooLong { .. }
            | Self::NodeCache(_)
            | Self::Load(_)
            | Self::LoadPanicked(_)
            | Self::Warm(_)
            | Self::Metrics(_) => false,
        }
    }
}

/// Fetches, loads and warms the model; `app` tells each step.
///
/// # Errors
/// [`StartError`].
pub async fn prepare(args: &ServeArgs, app: &Arc<App>) -> Result<Served, StartError> {
    let files = bring(args, app).await?;
    app.lifecycle.advance(Phase::Loading, 0, 0);
    let model = load_files(args, files, app).await?;
    let limits = args.engine_limits();
    let (task, metrics) = (args.task, Arc::clone(&app.metrics));
    let starting = spawn_blocking(move || Served::start(model, task, limits, metrics));
    let served = match starting.await {
        Ok(served) => served?,
        Err(error) => return Err(StartError::LoadPanicked(error.to_string())),
    };
    app.lifecycle.enter(Phase::Warming);
    served.warm().await.map_err(StartError::Warm)?;
    Ok(served)
}

async fn bring(args: &ServeArgs, app: &App) -> Result<ModelDir, StartError> {
    let source = Source::parse(&args.model.source)?;
    let (access, cache) = (Access::from_env(), args.model.cache());
    let revision = args.model.revision.as_deref();
    let lock = match lock_of_environment()? {
        Some(lock) => lock,
        None => resolve(&source, revision, &access, &cache).await?,
    };
    tracing::info!(source = %source, commit = lock.commit, files = lock.files.len(), "resolved");
    app.lifecycle
        .advance(Phase::Downloading, 0, lock.total_size());
    let progress = |progress: chandler_source::Progress| {
        let phase = match progress.phase {
            chandler_source::Phase::Downloading => Phase::Downloading,
            chandler_source::Phase::Verifying => Phase::Verifying,
        };
        app.lifecycle
            .advance(phase, progress.bytes_done, progress.bytes_total);
    };
    Ok(fetch(&lock, &source, &access, &cache, &progress).await?)
}

/// The lock that the environment holds, if it holds one.
///
/// # Errors
/// [`StartError::Lock`] if it is none.
pub(crate) fn lock_of_environment() -> Result<Option<ModelLock>, StartError> {
    let text = match env::var(names::LOCK) {
        Ok(text) => text,
        Err(env::VarError::NotPresent) => return Ok(None),
        Err(error @ env::VarError::NotUnicode(_)) => {
            let problem = error.to_string();
            return Err(StartError::Lock { problem });
        }
    };
    let lock = serde_json::from_str(&text);
    lock.map(Some).map_err(|error| StartError::Lock {
        problem: error.to_string(),
    })
}

async fn load_files(
    args: &ServeArgs,
    files: ModelDir,
    app: &Arc<App>,
) -> Result<LoadedModel, StartError> {
    let options = args.load_options();
    let app = Arc::clone(app);
    let loading = spawn_blocking(move || {
        let progress = |done, total| app.lifecycle.advance(Phase::Loading, done, total);
        load(&files.root, &files.files, &options, &progress)
    });
    match loading.await {
        Ok(model) => Ok(model?),
        Err(error) => Err(StartError::LoadPanicked(error.to_string())),
    }
}
