use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use chandler_core::traffic::Endpoint;

/// Requests in flight at one endpoint.
pub(crate) type Count = Arc<AtomicU64>;

/// The counts of every endpoint that a table names or a request still uses. An endpoint keeps its
/// count when a table drops it while it drains, and when a later table takes it back.
#[derive(Debug, Default)]
pub(crate) struct Counts(HashMap<String, Weak<AtomicU64>>);

impl Counts {
    /// The one count of `id`, made if there is none.
    pub(crate) fn of(&mut self, id: &str) -> Count {
        if let Some(count) = self.0.get(id).and_then(Weak::upgrade) {
            return count;
        }
        let count = Count::default();
        self.0.insert(id.to_owned(), Arc::downgrade(&count));
        count
    }

    /// Requests in flight at `id`; 0 for one never heard of.
    pub(crate) fn in_flight(&self, id: &str) -> u64 {
        let count = self.0.get(id).and_then(Weak::upgrade);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Forgets endpoints that neither a table nor a request holds.
    pub(crate) fn forget_unused(&mut self) {
        self.0.retain(|_, count| count.strong_count() > 0);
    }
}

/// One request's place at an endpoint; counted from its creation until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    count: Count,
    pub(crate) endpoint: Endpoint,
    pub(crate) revision: String,
    /// What the endpoint calls the model.
    pub(crate) served_name: String,
}

impl Lease {
    pub(crate) fn new(
        count: Count,
        endpoint: Endpoint,
        revision: String,
        served_name: String,
    ) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self {
            count,
            endpoint,
            revision,
            served_name,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(counts: &mut Counts, id: &str) -> Lease {
        let endpoint = Endpoint {
            id: id.into(),
            addr: ([127, 0, 0, 1], 1).into(),
        };
        Lease::new(counts.of(id), endpoint, "r".into(), "m".into())
    }

    #[test]
    fn a_count_lives_as_long_as_its_last_request() {
        let mut counts = Counts::default();
        let first = lease(&mut counts, "a");
        counts.forget_unused();
        let second = lease(&mut counts, "a");
        assert_eq!((counts.in_flight("a"), counts.in_flight("b")), (2, 0));
        drop(first);
        assert_eq!(counts.in_flight("a"), 1);
        drop(second);
        counts.forget_unused();
        assert_eq!((counts.in_flight("a"), counts.0.len()), (0, 0));
    }
}
