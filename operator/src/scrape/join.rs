//! Samples of many series, put together again to what each replica told at each scrape.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chandler_core::load::STABLE;
use chandler_core::validate::ModelKey;
use chandler_crds::names::metrics;
use chandler_probe::{HISTOGRAMS, NUMBERS, Sample, idle, reading};

use super::Replica;
use super::model::Told;
use super::recorded::Silence;
use crate::prometheus::{Point, Series};

/// Scrapes further apart are too few for what is made of them.
const SELDOM: Duration = Duration::from_secs(30);
/// A scrape may come late by less.
const JITTER: Duration = Duration::from_secs(1);
/// Until a scrape is known here: it takes a while, and the server is asked only now and then.
const DELAY: Duration = Duration::from_secs(5);

/// What is had of each replica.
#[derive(Debug, Default)]
pub(super) struct Joint {
    replicas: Vec<Known>,
    /// By namespace and name of the pod.
    index: HashMap<(String, String), usize>,
}

#[derive(Debug)]
struct Known {
    key: ModelKey,
    replica: Replica,
    /// What was scraped by then is known, by the server's clock in milliseconds.
    until: i64,
    /// By the settings of the scrape and by its address. A pod may be scraped twice.
    targets: BTreeMap<(String, String), Target>,
}

/// What is scraped by one job at one address.
#[derive(Debug, Default)]
struct Target {
    /// When it was scraped.
    times: Vec<i64>,
    series: Vec<Kept>,
}

/// A series, until all of them are there: many replicas have many of them.
#[derive(Debug)]
struct Kept {
    metric: Arc<str>,
    bound: Option<String>,
    points: Vec<Point>,
}

/// What came of it for one replica.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// By time of the scrape: how long it is true, and what the replica told.
    pub(super) readings: Vec<(i64, Duration, Told)>,
    /// Why there is none.
    pub(super) silence: Option<Silence>,
}

impl Joint {
    /// Of these replicas, each with the time up to which its scrapes are known.
    pub(super) fn of(replicas: impl Iterator<Item = (ModelKey, Replica, i64)>) -> Self {
        let mut joint = Self::default();
        for (key, replica, until) in replicas {
            let name = (key.namespace.clone(), replica.pod.clone());
            joint.index.insert(name, joint.replicas.len());
            joint.replicas.push(Known {
                key,
                replica,
                until,
                targets: BTreeMap::new(),
            });
        }
        joint
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replicas.is_empty()
    }

    /// Adds the samples of one metric. Those of other pods are passed over.
    pub(super) fn add(&mut self, metric: &str, all: Vec<Series>) {
        let metric: Arc<str> = metric.into();
        for Series { labels, mut points } in all {
            let pod = (labels.namespace, labels.pod);
            let known = self.index.get(&pod);
            let Some(known) = known.and_then(|at| self.replicas.get_mut(*at)) else {
                continue;
            };
            let target = (labels.job, labels.instance);
            let target = known.targets.entry(target).or_default();
            if &*metric == metrics::REQUESTS_RUNNING {
                target.times = points.iter().map(|point| point.at).collect();
            }
            points.retain(|point| point.at > known.until);
            target.series.push(Kept {
                metric: Arc::clone(&metric),
                bound: labels.bound,
                points,
            });
        }
    }

    /// What came of it.
    pub(super) fn told(self) -> impl Iterator<Item = (ModelKey, Replica, Recorded)> {
        let all = self.replicas.into_iter();
        all.map(|known| (known.key, known.replica, recorded(known.targets)))
    }
}

fn recorded(targets: BTreeMap<(String, String), Target>) -> Recorded {
    let mut readings = Vec::new();
    let mut silence = targets.is_empty().then_some(Silence::NotFound);
    for target in targets.into_values() {
        let every = every(&target.times);
        if let Some(seldom) = every.filter(|every| *every > SELDOM + JITTER) {
            // Rounded, or jitter would make it another number each time.
            let seconds = (seldom + Duration::from_millis(500)).as_secs();
            silence = Some(Silence::Seldom(seconds));
            continue;
        }
        // One that missed a scrape may still be well; one that was scraped once may be scraped again.
        let lasts = (2 * every.unwrap_or(SELDOM) + DELAY).min(STABLE);
        for at in target.scrapes() {
            match told(&target.samples(at)) {
                Ok(told) => readings.push((at, lasts, told)),
                Err(why) => silence = Some(why),
            }
        }
    }
    readings.sort_by_key(|(at, ..)| *at);
    if !readings.is_empty() {
        silence = None;
    }
    Recorded { readings, silence }
}

impl Target {
    /// The times of those scrapes that were not known.
    fn scrapes(&self) -> BTreeSet<i64> {
        let points = self.series.iter().flat_map(|kept| &kept.points);
        points.map(|point| point.at).collect()
    }

    /// What it told at one of them.
    fn samples(&self, at: i64) -> Vec<Sample> {
        let told = self.series.iter().filter_map(|kept| {
            let points = &kept.points;
            let found = points.binary_search_by_key(&at, |point| point.at).ok()?;
            let bound = kept.bound.as_ref();
            let bound = bound.map(|bound| (metrics::BOUND.to_owned(), bound.clone()));
            Some(Sample {
                name: (*kept.metric).to_owned(),
                labels: bound.into_iter().collect(),
                value: points[found].value,
            })
        });
        told.collect()
    }
}

/// The time between two scrapes.
fn every(times: &[i64]) -> Option<Duration> {
    let pairs = times.windows(2);
    let least = pairs.map(|pair| pair[1].saturating_sub(pair[0])).min()?;
    u64::try_from(least).ok().map(Duration::from_millis)
}

/// What a replica told at one scrape.
fn told(samples: &[Sample]) -> Result<Told, Silence> {
    let Some(reading) = reading(samples) else {
        return Err(missing(samples));
    };
    if !reading.is_plausible() {
        return Err(Silence::Absurd);
    }
    Ok(Told {
        reading,
        idle: idle(samples),
    })
}

/// The metric of which something is missing.
fn missing(samples: &[Sample]) -> Silence {
    let is_there = |name: &str| samples.iter().any(|sample| sample.name == name);
    let has_all = |bucket: &Sample| {
        let bound = bucket.label(metrics::BOUND).map(str::parse);
        bound == Some(Ok(f64::INFINITY))
    };
    let is_whole = |name: &str| {
        let (bucket, sum) = (metrics::BUCKET, metrics::SUM);
        let bucket = format!("{name}{bucket}");
        let mut buckets = samples.iter().filter(|sample| sample.name == bucket);
        buckets.any(has_all) && is_there(&format!("{name}{sum}"))
    };
    let number = NUMBERS.into_iter().find(|name| !is_there(name));
    let histogram = HISTOGRAMS.into_iter().find(|name| !is_whole(name));
    number
        .or(histogram)
        .map_or(Silence::Absurd, Silence::Incomplete)
}
