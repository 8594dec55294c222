//! Throughput and latency of each proxy in turn.

use super::load::{self, Measured};
use super::proxies::Proxy;
use crate::bench::REPEATS;
use crate::bench::row::{Pair, Row, middle};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::Duration;

/// The share of the slowest one's throughput at which latencies are taken: all bear it, and no queue
/// grows.
const RATE_SHARE: f64 = 0.3;
/// Differences of latency below this are nothing that can be measured.
const LEAST_MICROS: f64 = 1.0;

/// What is measured in turn.
#[derive(Debug)]
pub(super) struct Contest {
    /// The replicas themselves.
    pub(super) direct: Vec<SocketAddr>,
    pub(super) gateway: Proxy,
    pub(super) peers: Vec<Proxy>,
}

/// One measurement of every proxy, the gateway first, then the peers.
type Round = Vec<f64>;

/// Which of two measurements of one thing was less disturbed.
type Better = fn(f64, f64) -> f64;

impl Contest {
    /// All rows.
    ///
    /// # Errors
    /// When a request fails.
    pub(super) fn run(&self, runs: u32, length: Duration) -> Result<Vec<Row>> {
        let connections = load::CONNECTIONS;
        println!("throughput: {connections} connections, each as fast as it goes");
        let [rates, costs] = self.throughput(runs, length)?;
        let rate = (self.slowest(&rates) * RATE_SHARE).round();
        println!("latency: {rate} requests/s");
        let [medians, tails] = self.latency(runs, length, rate)?;
        let mut rows = self.rows("throughput", "requests/s", &rates);
        rows.extend(self.rows("added-p99", "µs", &tails));
        rows.extend(self.rows("added-p50", "µs", &medians));
        rows.extend(self.rows("cpu-per-request", "µs", &costs));
        Ok(rows)
    }

    /// Answers a second, and the processor's time for each in microseconds.
    fn throughput(&self, runs: u32, length: Duration) -> Result<[Vec<Round>; 2]> {
        let one = |index: usize| {
            let proxy = self.proxies().nth(index).context("a proxy")?;
            let before = proxy.cpu_seconds()?;
            let measured = self.through(proxy, |target| load::closed(target, length))?;
            let spent = proxy.cpu_seconds()? - before;
            // The warm-up's requests cost as much as those that count.
            Ok([measured.rate(), spent * 1e6 / measured.all_answers()])
        };
        let count = self.proxies().count();
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for run in 0..runs {
            let [rate, cost] = round(run, count, [f64::max, f64::min], one)?;
            self.tell(run, "requests/s", &rate);
            rates.push(rate);
            costs.push(cost);
        }
        Ok([rates, costs])
    }

    /// What each proxy adds to the median and to the 99th percentile, in microseconds.
    fn latency(&self, runs: u32, length: Duration, rate: f64) -> Result<[Vec<Round>; 2]> {
        let count = self.proxies().count();
        let one = |index: usize| {
            let measured = match self.proxies().nth(index) {
                Some(proxy) => self.through(proxy, |target| load::open(target, rate, length))?,
                None => load::open(&self.direct, rate, length)?,
            };
            Ok([measured.micros(0.5), measured.micros(0.99)])
        };
        let (mut medians, mut tails) = (Vec::new(), Vec::new());
        for run in 0..runs {
            let both = round(run, count + 1, [f64::min, f64::min], one)?;
            let [median, tail] = both.map(|values| added(values, count));
            self.tell(run, "µs added at p99", &tail);
            medians.push(median);
            tails.push(tail);
        }
        Ok([medians, tails])
    }

    fn through(
        &self,
        proxy: &Proxy,
        measure: impl Fn(&[SocketAddr]) -> Result<Measured>,
    ) -> Result<Measured> {
        measure(&[proxy.addr]).with_context(|| format!("through {}", proxy.name))
    }

    /// The least of the proxies' medians.
    fn slowest(&self, rounds: &[Round]) -> f64 {
        let medians = (0..self.proxies().count()).map(|index| {
            let of_one: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
            middle(&of_one)
        });
        medians.fold(f64::INFINITY, f64::min)
    }

    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        std::iter::once(&self.gateway).chain(&self.peers)
    }

    fn tell(&self, run: u32, unit: &str, round: &Round) {
        let told = self.proxies().zip(round);
        let told: Vec<String> = told
            .map(|(proxy, value)| format!("{} {value:.0}", proxy.name))
            .collect();
        println!("  run {}: {} {unit}", run + 1, told.join(", "));
    }

    /// One row for each peer. The first peer's has the plain name.
    fn rows(&self, name: &str, unit: &str, rounds: &[Round]) -> Vec<Row> {
        let peers = self.peers.iter().enumerate();
        let rows = peers.map(|(index, peer)| {
            let pairs = rounds.iter().map(|round| Pair {
                ours: round[0],
                peer: round[index + 1],
            });
            let pairs: Vec<Pair> = pairs.collect();
            let name = match index {
                0 => name.to_owned(),
                _ => format!("{name}-{}", peer.name),
            };
            Row::new(&name, &peer.version, unit, &pairs)
        });
        rows.collect()
    }
}

/// Measures each of `count` in turn, and that as often as a measurement is repeated: so a
/// disturbance meets all alike, and for each the best counts.
fn round(
    run: u32,
    count: usize,
    better: [Better; 2],
    one: impl Fn(usize) -> Result<[f64; 2]>,
) -> Result<[Round; 2]> {
    let mut best = [vec![f64::NAN; count], vec![f64::NAN; count]];
    for repeat in 0..REPEATS {
        for index in turns(run + repeat, count) {
            let measured = one(index)?;
            for (which, value) in measured.into_iter().enumerate() {
                let best = &mut best[which][index];
                // Of a number and what is none, both functions give the number.
                *best = better[which](*best, value);
            }
        }
    }
    Ok(best)
}

/// The order in turn `turn`: each is the first one in turn.
fn turns(turn: u32, count: usize) -> impl Iterator<Item = usize> {
    let first = turn as usize;
    (0..count).map(move |place| (first + place) % count)
}

/// What the first `count` values are above the one behind them.
fn added(mut values: Round, count: usize) -> Round {
    let direct = values[count];
    values.truncate(count);
    for value in &mut values {
        *value = (*value - direct).max(LEAST_MICROS);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_is_the_first_in_turn() {
        let order = |turn| turns(turn, 3).collect::<Vec<_>>();
        assert_eq!(order(0), [0, 1, 2]);
        assert_eq!(order(1), [1, 2, 0]);
        assert_eq!(order(5), [2, 0, 1]);
    }

    #[test]
    fn the_best_of_each_counts() {
        let clock = std::cell::Cell::new(0.0);
        let one = |index: usize| {
            clock.set(clock.get() + 1.0);
            Ok([clock.get(), if index == 0 { clock.get() } else { 100.0 }])
        };
        let [most, least] = round(0, 2, [f64::max, f64::min], one).expect("measured");
        // The order is 0 1, 1 0, 0 1.
        assert_eq!(most, [5.0, 6.0]);
        assert_eq!(least, [1.0, 100.0]);
    }

    #[test]
    fn what_a_proxy_adds_is_never_nothing() {
        assert_eq!(added(vec![150.0, 90.0, 100.0], 2), [50.0, LEAST_MICROS]);
    }
}
