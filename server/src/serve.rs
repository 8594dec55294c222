//! The process from its first line on standard output to its exit code.

use std::future::pending;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use axum::serve::ListenerExt;
use chandler_crds::report::Report;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::cli::ServeArgs;
use crate::http::{App, router};
use crate::lifecycle::Lifecycle;
use crate::memory::{self, MemoryWatch};
use crate::metrics::Metrics;
use crate::reporter::Reporter;
use crate::startup::{StartError, prepare};

/// Time for last events to reach their clients once everything had to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What asks the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// The parent has gone, and its end of standard input with it.
    ParentGone,
}

/// Serves until told to stop. Gives the exit code.
pub async fn serve(args: ServeArgs) -> u8 {
    let reporter = Reporter::new(args.model.termination_log.clone());
    match run(&args, &reporter).await {
        Ok(()) => 0,
        Err(error) => reporter.fail(&error),
    }
}

async fn run(args: &ServeArgs, reporter: &Reporter) -> Result<(), StartError> {
    let stop = stops(args.exit_with_parent)?;
    let metrics = Arc::new(Metrics::new(&args.served_name)?);
    let name = args.served_name.clone();
    let app = Arc::new(App::new(name, args.revision_name.clone(), metrics));
    let (listener, address) = bind(args.listen).await?;
    reporter.say(&Report::Listening { addr: address });
    let grace = Duration::from_secs(args.drain_seconds);
    let mut server = tokio::spawn(serve_http(listener, Arc::clone(&app), stop, grace));
    tokio::select! {
        _ = &mut server => return Ok(()),
        prepared = prepare(args, &app) => match prepared {
            Ok(served) => {
                if let Some(available) = memory::available() {
                    app.room.narrow(available, 2 * memory::RESERVE);
                }
                let metrics = Arc::clone(&app.metrics);
                MemoryWatch::follow(&app.memory, move |bytes| metrics.set_memory_available(bytes))?;
                app.open(served);
            }
            Err(error) => {
                app.lifecycle.fail(error.reason(), &error.to_string());
                return Err(error);
            }
        },
    }
    tracing::info!(name = args.served_name, "ready");
    // A panic of the server's task has been logged; either way nothing is served any more.
    let _ = server.await;
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Answers on `listener` until told to stop, then drains: nothing new starts, what runs has
/// `grace` to finish, and is ended well-formed after that or when the same signal comes again.
pub async fn serve_http(
    listener: TcpListener,
    app: Arc<App>,
    mut stop: mpsc::Receiver<Stop>,
    grace: Duration,
) {
    let lifecycle = Arc::clone(&app.lifecycle);
    let (close, closed) = oneshot::channel::<()>();
    let listener = listener.tap_io(|connection| {
        // An event of a few bytes must not wait for the acknowledgement of the one before.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(async {
        let _ = closed.await;
    });
    let server = tokio::spawn(async move { server.await });
    let first = stop.recv().await.unwrap_or(Stop::ParentGone);
    tracing::info!(reason = ?first, in_flight = lifecycle.in_flight(), "draining");
    drain(&lifecycle, first, &mut stop, grace).await;
    // Health was answered until here; now idle connections close too.
    let _ = close.send(());
    let _ = timeout(LAST_WORDS, server).await;
}

async fn drain(
    lifecycle: &Lifecycle,
    first: Stop,
    stop: &mut mpsc::Receiver<Stop>,
    grace: Duration,
) {
    lifecycle.drain();
    tokio::select! {
        () = lifecycle.idle() => return,
        () = tokio::time::sleep(grace) => {}
        () = repeated(first, stop) => {}
    }
    tracing::warn!(in_flight = lifecycle.in_flight(), "ending what still runs");
    lifecycle.end();
    let _ = timeout(LAST_WORDS, lifecycle.idle()).await;
}

/// Resolves when a signal comes that came before. Two different ones are often one wish: a
/// terminal interrupts the whole group of processes, and the parent then terminates its children.
async fn repeated(first: Stop, stop: &mut mpsc::Receiver<Stop>) {
    let mut seen = vec![first];
    while let Some(next) = stop.recv().await {
        if next != Stop::ParentGone && seen.contains(&next) {
            return;
        }
        seen.push(next);
    }
    pending::<()>().await;
}

/// Everything that asks this process to stop, as it comes.
pub(crate) fn stops(with_parent: bool) -> io::Result<mpsc::Receiver<Stop>> {
    let (sender, stops) = mpsc::channel(8);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    if with_parent {
        let sender = sender.clone();
        thread::Builder::new()
            .name("parent-watch".to_owned())
            .spawn(move || {
                wait_for_end(&mut io::stdin().lock());
                let _ = sender.blocking_send(Stop::ParentGone);
            })?;
    }
    tokio::spawn(async move {
        loop {
            let stop = tokio::select! {
                _ = terminate.recv() => Stop::Terminate,
                _ = interrupt.recv() => Stop::Interrupt,
            };
            if sender.send(stop).await.is_err() {
                return;
            }
        }
    });
    Ok(stops)
}

/// Reads until nothing more can come.
fn wait_for_end(input: &mut impl Read) {
    let mut ignored = [0; 256];
    loop {
        match input.read(&mut ignored) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => {}
        }
    }
}
