//! All replicas replaced, one after another, while requests come: none may fail.

use super::api_server::ApiServer;
use super::callers::Callers;
use super::checks::Check;
use super::objects;
use super::proxies::Proxy;
use super::question::{self, Seen, Stream};
use super::replicas::{Replica, Replicas};
use anyhow::{Context, Result, anyhow};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Connections with short requests, and as many with streams.
const CONNECTIONS: usize = 32;
/// A stream that is longer than most turns, so that replicas end with streams on them.
const STREAM: Stream = Stream {
    tokens: 20,
    interval: Duration::from_millis(20),
};
/// How often each replica is replaced.
const ROUNDS: usize = 3;
/// How long a replica goes on after it was told to leave, as a pod does.
const GOES_ON: Duration = Duration::from_millis(300);
/// How long a turn waits at most, so that the end is seen.
const TURN: Duration = Duration::from_millis(50);

/// What came of the requests.
#[derive(Debug, Default)]
struct Outcome {
    answered: u32,
    failures: Vec<String>,
}

/// Replaces `all`, with requests coming through `gateway`.
///
/// # Errors
/// When a replica can't be replaced. Requests that fail are told in the check.
pub(super) fn measure(
    api: &ApiServer,
    replicas: &mut Replicas,
    all: Vec<Replica>,
    gateway: &Proxy,
) -> Result<Check> {
    let count = ROUNDS * all.len();
    println!("rolling: {count} replicas replaced");
    let over = AtomicBool::new(false);
    let (replaced, outcome) = thread::scope(|scope| {
        let load = scope.spawn(|| send_until(&over, gateway.addr));
        let replaced = replace(api, replicas, all);
        over.store(true, Ordering::Relaxed);
        (replaced, load.join())
    });
    replaced?;
    let outcome = outcome.map_err(|_| anyhow!("the generator panicked"))??;
    if let Some(failure) = outcome.failures.first() {
        println!("  {failure}");
    }
    #[allow(clippy::cast_precision_loss)]
    let failed = outcome.failures.len() as f64;
    Ok(Check {
        name: "rolling-failed",
        value: failed,
        bound: 0.0,
        unit: "requests",
        of: format!("{count} replicas replaced, {} requests", outcome.answered),
    })
}

/// As a Deployment does it: a new one is ready, an old one leaves, goes on for a time, and ends when
/// all that it was asked is answered.
fn replace(api: &ApiServer, replicas: &mut Replicas, all: Vec<Replica>) -> Result<()> {
    let mut serving = std::collections::VecDeque::from(all);
    for _ in 0..ROUNDS * serving.len() {
        let new = replicas.start_one()?;
        objects::put_replica(api, new);
        serving.push_back(new);
        let old = serving.pop_front().context("no replica")?;
        objects::leave(api, old);
        thread::sleep(GOES_ON);
        replicas.drain(old)?;
        objects::delete_replica(api, old);
    }
    Ok(())
}

/// Short requests and streams, each connection's next one when the last one is answered.
fn send_until(over: &AtomicBool, target: SocketAddr) -> Result<Outcome> {
    let short = (0..CONNECTIONS).map(question::short);
    let streams = (0..CONNECTIONS).map(|index| question::streamed(index, STREAM));
    let mut callers = Callers::connect(&[target], short.chain(streams).collect())?;
    let mut seen = vec![Seen::default(); 2 * CONNECTIONS];
    let mut outcome = Outcome::default();
    for index in 0..2 * CONNECTIONS {
        callers.send(index, Instant::now())?;
    }
    let mut open = 2 * CONNECTIONS;
    while open > 0 {
        callers.turn(TURN, |index, events| seen[index].take(events, |_| {}))?;
        while let Some(finished) = callers.finished.pop() {
            let seen = std::mem::take(&mut seen[finished.index]);
            let is_stream = finished.index >= CONNECTIONS;
            let cut = seen.failure(STREAM).filter(|_| is_stream);
            match finished.failure().or(cut) {
                Some(failure) => outcome.failures.push(failure),
                None => outcome.answered += 1,
            }
            if over.load(Ordering::Relaxed) {
                open -= 1;
            } else {
                callers.send(finished.index, Instant::now())?;
            }
        }
    }
    Ok(outcome)
}
