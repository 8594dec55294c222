//! A model's files without serving them: `resolve` and `fetch`, each a process of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use chandler_crds::names::env;
use chandler_crds::report::Report;
use chandler_source::{Access, Phase, Progress, Source};

use crate::cli::ModelArgs;
use crate::reporter::Reporter;
use crate::startup::{StartError, lock_of_environment};

/// Shares of a phase that are told in the log.
const STEPS: u64 = 10;

/// Brings the files of the environment's lock into the cache. Gives the exit code.
pub async fn fetch(args: &ModelArgs) -> u8 {
    deliver(args, try_fetch(args).await)
}

/// Tells the lock of what the source has now. Gives the exit code.
pub async fn resolve(args: &ModelArgs) -> u8 {
    deliver(args, try_resolve(args).await)
}

fn deliver(args: &ModelArgs, result: Result<Report, StartError>) -> u8 {
    let reporter = Reporter::new(args.termination_log.clone());
    let told = result.and_then(|report| reporter.end(&report));
    told.map_or_else(|error| reporter.fail(&error), |()| 0)
}

async fn try_resolve(args: &ModelArgs) -> Result<Report, StartError> {
    let source = Source::parse(&args.source)?;
    let (access, cache) = (Access::from_env(), args.cache());
    tracing::info!(%source, revision = args.revision, "resolving");
    let revision = args.revision.as_deref();
    let lock = chandler_source::resolve(&source, revision, &access, &cache).await?;
    let (files, bytes) = (lock.files.len(), lock.total_size());
    tracing::info!(%source, commit = lock.commit, files, bytes, "resolved");
    Ok(Report::Resolved { lock })
}

async fn try_fetch(args: &ModelArgs) -> Result<Report, StartError> {
    let source = Source::parse(&args.source)?;
    let (access, cache) = (Access::from_env(), args.cache());
    let lock = lock_of_environment()?.ok_or_else(|| StartError::Lock {
        problem: format!("{} is not set", env::LOCK),
    })?;
    let (files, bytes) = (lock.files.len(), lock.total_size());
    tracing::info!(%source, commit = lock.commit, files, bytes, "fetching");
    let (told, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |progress: Progress| {
        received.fetch_max(progress.bytes_received, Ordering::Relaxed);
        log_step(progress, &told);
    };
    chandler_source::fetch(&lock, &source, &access, &cache, &progress).await?;
    let received = received.into_inner();
    tracing::info!(%source, files, bytes, received, "fetched");
    Ok(Report::Fetched {
        files,
        bytes,
        received,
    })
}

/// Logs each further step of a phase once. `told` counts the steps of both phases; files that are
/// slow may bring the first phase back, which is not told again.
fn log_step(progress: Progress, told: &AtomicU64) {
    let done = u128::from(progress.bytes_done) * u128::from(STEPS);
    let step = done / u128::from(progress.bytes_total.max(1));
    let step = u64::try_from(step).unwrap_or(STEPS);
    let step = match progress.phase {
        Phase::Downloading => step,
        Phase::Verifying => STEPS + step,
    };
    if told.fetch_max(step, Ordering::Relaxed) < step {
        let (done, total) = (progress.bytes_done, progress.bytes_total);
        tracing::info!(phase = ?progress.phase, done, total, "on the way");
    }
}
