//! Many slow streams at once: none may be dropped or late, and they may not cost much memory.

use super::callers::Callers;
use super::checks::Check;
use super::load::seconds_at;
use super::proxies::Proxy;
use super::question::{self, Seen, Stream};
use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const STREAMS: usize = 2000;
const INTERVAL: Duration = Duration::from_millis(100);
/// Over this time the streams begin, so that their tokens don't all come at once.
const BEGIN: Duration = Duration::from_secs(2);
/// How long after its time a stream may still end.
const LATE: Duration = Duration::from_secs(60);
/// Files that one process needs: the gateway has two for each stream.
const FILES: u64 = 2 * STREAMS as u64 + 500;
/// The most that the gateway may occupy.
const MIB: f64 = 150.0;
/// The most that the median token may be delayed.
const DELAY_MILLIS: f64 = 50.0;

/// What came of many streams.
#[derive(Debug, Default)]
struct Held {
    /// From when a token was sent until it came; sorted.
    ages: Vec<Duration>,
    failures: Vec<String>,
}

impl Held {
    fn millis(&self, share: f64) -> f64 {
        seconds_at(&self.ages, share) * 1e3
    }
}

/// Lets this process, and those that it starts from now on, open as many files as it takes.
///
/// # Errors
/// When the machine doesn't allow so many.
pub(super) fn allow_files() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < FILES {
        bail!("{STREAMS} streams take {FILES} open files, and `ulimit -Hn` allows {hard}");
    }
    let wanted = soft.max(FILES);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).context("can't allow more open files")
}

/// Streams of `length` through a gateway that has served nothing before.
///
/// # Errors
/// When it can't be measured. Streams that fail are told in the checks.
pub(super) fn measure(
    direct: &[SocketAddr],
    gateway: &Proxy,
    length: Duration,
) -> Result<Vec<Check>> {
    let tokens = u32::try_from(length.as_millis() / INTERVAL.as_millis())?;
    let stream = Stream {
        tokens: tokens.max(1),
        interval: INTERVAL,
    };
    println!("streams: {STREAMS} of {} tokens", stream.tokens);
    let without = hold(direct, stream)?;
    let through = hold(&[gateway.addr], stream)?;
    if let Some(failure) = without.failures.first() {
        bail!("the replicas themselves dropped a stream: {failure}");
    }
    if let Some(failure) = through.failures.first() {
        println!("  {failure}");
    }
    for (name, held) in [("directly", &without), ("through the gateway", &through)] {
        let [half, most] = [0.5, 0.99].map(|share| held.millis(share));
        println!("  {name}: tokens after {half:.2} ms at the median, {most:.2} ms at p99");
    }
    let of = format!("{STREAMS} streams, {} tokens each", stream.tokens);
    let check = |name, value, bound, unit| Check {
        name,
        value,
        bound,
        unit,
        of: of.clone(),
    };
    #[allow(clippy::cast_precision_loss)]
    let dropped = through.failures.len() as f64;
    let delay = through.millis(0.5) - without.millis(0.5);
    Ok(vec![
        check("streams-dropped", dropped, 0.0, "streams"),
        check("streams-delay-p50", delay, DELAY_MILLIS, "ms"),
        check("streams-memory", gateway.peak_mib()?, MIB, "MiB"),
    ])
}

fn hold(targets: &[SocketAddr], stream: Stream) -> Result<Held> {
    let requests = (0..STREAMS).map(|index| question::streamed(index, stream));
    let mut callers = Callers::connect(targets, requests.collect())?;
    let mut seen = vec![Seen::default(); STREAMS];
    let mut held = Held::default();
    let begin = Instant::now();
    let deadline = begin + BEGIN + stream.interval * stream.tokens + LATE;
    let (mut sent, mut ended) = (0, 0);
    while ended < STREAMS {
        let now = Instant::now();
        while sent < STREAMS && begin + begin_of(sent) <= now {
            callers.send(sent, now)?;
            sent += 1;
        }
        if now > deadline {
            let left = (ended..STREAMS).map(|_| "a stream didn't end".to_owned());
            held.failures.extend(left);
            break;
        }
        let ages = &mut held.ages;
        callers.turn(BEGIN / u32::try_from(STREAMS)?, |index, events| {
            seen[index].take(events, |age| ages.push(age));
        })?;
        while let Some(finished) = callers.finished.pop() {
            ended += 1;
            let cut = seen[finished.index].failure(stream);
            held.failures.extend(finished.failure().or(cut));
        }
    }
    held.ages.sort_unstable();
    Ok(held)
}

fn begin_of(index: usize) -> Duration {
    #[allow(clippy::cast_precision_loss)]
    BEGIN.mul_f64(index as f64 / STREAMS as f64)
}
