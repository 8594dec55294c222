//! How long each model has been without a request. Found out when someone looks: what is counted
//! of requests anyway is compared with what it was at the look before, so that a request pays
//! nothing for it. Who looks seldom is told of less rest than there was, never of more.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_crds::names::metrics as names;
use prometheus::{GaugeVec, Opts, Registry};

/// What is counted of one model's requests at one moment.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Requests that have ended, by each name that leads to the model. A name that leads elsewhere
    /// from now on is a difference as well: whose its last requests were can't be told any more.
    pub(crate) ended: BTreeMap<String, u64>,
    /// Whether one waits, is queued or is in flight.
    pub(crate) open: bool,
}

/// All models of the table, by key.
#[derive(Debug)]
pub(crate) struct Idle {
    models: Mutex<HashMap<String, Model>>,
    seconds: GaugeVec,
}

#[derive(Debug)]
struct Model {
    ended: BTreeMap<String, u64>,
    /// The last look that saw a request, or that something had changed.
    busy: Duration,
}

impl Idle {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = GaugeVec::new(
            Opts::new(
                names::GATEWAY_IDLE,
                "Seconds since the last request for a model ended, by namespace/name of it; 0 while \
                 one waits or is in flight.",
            ),
            &[names::MODEL],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            models: Mutex::default(),
            seconds,
        })
    }

    /// Looks at every model of the table: `count` counts, and `now` tells the time after that. One
    /// that was not there before has been without a request since now. Gives the time of the look.
    pub(crate) fn look(
        &self,
        count: impl FnOnce() -> HashMap<String, Counted>,
        now: impl FnOnce() -> Duration,
    ) -> Duration {
        // Under the lock, so that no older count is compared with a newer one.
        let mut models = self.models();
        let (counted, now) = (count(), now());
        models.retain(|key, _| {
            let stays = counted.contains_key(key);
            if !stays {
                // It fails for a series that is not there.
                let _ = self.seconds.remove_label_values(&[key]);
            }
            stays
        });
        for (key, Counted { ended, open }) in counted {
            match models.get(&key) {
                Some(model) if !open && model.ended == ended => {}
                _ => {
                    models.insert(key, Model { ended, busy: now });
                }
            }
        }
        for (key, model) in &*models {
            let idle = now.saturating_sub(model.busy);
            self.seconds
                .with_label_values(&[key])
                .set(idle.as_secs_f64());
        }
        now
    }

    /// How long a model had been without a request at `now`, as of the last look; `None` of one
    /// that the table did not have.
    pub(crate) fn of(&self, key: &str, now: Duration) -> Option<Duration> {
        let models = self.models();
        Some(now.saturating_sub(models.get(key)?.busy))
    }

    fn models(&self) -> MutexGuard<'_, HashMap<String, Model>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use prometheus::proto::MetricFamily;

    use super::*;

    /// Models by key, each called `name` and with so many requests that have ended.
    type Models<'a> = &'a [(&'a str, &'a str, u64)];

    fn counted(models: Models<'_>, open: bool) -> HashMap<String, Counted> {
        let models = models.iter().map(|(key, name, ended)| {
            let ended = BTreeMap::from([((*name).to_owned(), *ended)]);
            ((*key).to_owned(), Counted { ended, open })
        });
        models.collect()
    }

    struct Watch {
        idle: Idle,
        registry: Registry,
    }

    impl Watch {
        fn new() -> Self {
            let registry = Registry::new();
            let idle = Idle::new(&registry).unwrap();
            Self { idle, registry }
        }

        fn look(&self, models: Models<'_>, open: bool, at: u64) {
            let now = Duration::from_secs(at);
            self.idle.look(|| counted(models, open), || now);
        }

        /// What is told of `d/m` in seconds, in both ways.
        fn told(&self, at: u64) -> Option<u64> {
            let idle = self.idle.of("d/m", Duration::from_secs(at));
            let families = self.registry.gather();
            let mut series = families.iter().flat_map(MetricFamily::get_metric);
            let of_model = series.find(|it| it.get_label()[0].value() == "d/m");
            let seconds = of_model.map(|it| it.get_gauge().get_value());
            assert_eq!(seconds, idle.map(|idle| idle.as_secs_f64()));
            idle.map(|idle| idle.as_secs())
        }
    }

    #[test]
    fn rest_is_counted_from_the_last_look_that_saw_a_difference() {
        let watch = Watch::new();
        for (at, ended, open, idle) in [
            (100, 0, false, 0), // known since now
            (130, 0, false, 30),
            (140, 0, true, 0),
            (150, 0, true, 0),
            (160, 1, false, 0),
            (190, 1, false, 30),
            // Came and went since.
            (200, 2, false, 0),
            (205, 2, false, 5),
        ] {
            watch.look(&[("d/m", "m", ended), ("d/other", "other", at)], open, at);
            assert_eq!(watch.told(at), Some(idle), "at {at}");
        }
    }

    #[test]
    fn a_model_that_leaves_the_table_is_told_of_no_more_and_comes_back_anew() {
        let watch = Watch::new();
        watch.look(&[("d/m", "m", 0)], false, 0);
        watch.look(&[("d/other", "other", 0)], false, 10);
        assert_eq!(watch.told(10), None);
        watch.look(&[("d/m", "m", 0)], false, 20);
        assert_eq!(watch.told(20), Some(0));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_a_difference_for_both() {
        let watch = Watch::new();
        let both = |name| [("d/m", name, 7), ("d/other", "other", 0)];
        watch.look(&both("m"), false, 0);
        watch.look(&both("m"), false, 10);
        assert_eq!(watch.told(10), Some(10));
        watch.look(&both("n"), false, 20);
        assert_eq!(watch.told(20), Some(0));
    }
}
